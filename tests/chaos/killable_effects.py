"""Does effects, or takes a signal in, and dies at a named point. The target writes down what it is asked, durably.

Run in a process of its own, forked from one that has imported all of this already.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import random
import signal as signals
from datetime import datetime, timedelta
from pathlib import Path
from uuid import UUID

from troth.kit.clock import FakeClock
from troth.kit.ids import new_id
from troth.store.pool import Database
from troth.store.unit import Unit
from troth.trust.enforcement.enforce import Enforcer
from troth.trust.intake.desk import SignalDesk
from troth.trust.outbox import store
from troth.trust.outbox.model import Effect, EffectSubject, Outcome
from troth.trust.outbox.runner import EffectRunner
from troth.trust.signals.model import Whom, signal


def die() -> None:
    """As if the power had gone."""
    os.kill(os.getpid(), signals.SIGKILL)


class WritingTarget:
    """A target that can tell: it does each effect once, whatever it is asked, and writes every request down."""

    def __init__(self, log: Path, point: str = "") -> None:
        self._log = log
        self._point = point

    async def execute(self, effect: Effect, subject: EffectSubject) -> Outcome:
        if self._point == "before the target":
            die()
        with self._log.open("ab") as file:
            file.write(f"{effect.id} {effect.target} {effect.notice.version}\n".encode())
            file.flush()
            os.fsync(file.fileno())
        if self._point == "after the target":
            die()
        return Outcome.done()


class _Dying(Database):
    """Dies while, or right after, a commit of the outcome is made."""

    point = ""

    async def commit(self, unit: Unit) -> None:
        if self.point == "during the commit":
            asked = asyncio.ensure_future(super().commit(unit))
            await asyncio.sleep(random.random() * 0.004)
            die()
            await asked
        await super().commit(unit)
        if self.point == "after the commit":
            die()


async def _work(url: str, log: Path, point: str, at: datetime, subject: UUID | None) -> None:
    clock = FakeClock(at)
    database = await _Dying.open(url, clock=clock)
    assert isinstance(database, _Dying)
    database.point = point
    if subject is not None:
        word = signal(
            feed="edr", message_id=f"msg_{new_id().hex}", digest=hashlib.sha256(b"x").digest(), kind="edr.intrusion",
            whom=Whom(id=subject), observed_at=at, now=at,
        )  # fmt: skip
        await SignalDesk(database, clock, Enforcer()).take(word)
    target = WritingTarget(log, point)
    if point == "after the claim":
        await store.claim(database, "falcon", now=at, lease_until=at + timedelta(seconds=60), limit=5)
    if point in ("before the claim", "after the claim"):
        die()
    await EffectRunner(database, clock, {"crowdstrike": target, "webhook": target}).drain()
    die()


def work_and_die(url: str, log: Path, point: str, at: datetime, subject: UUID | None = None) -> None:
    """Do what is due (after taking a signal about ``subject``, if one is given), and be killed at ``point``."""
    asyncio.run(_work(url, log, point, at, subject))
