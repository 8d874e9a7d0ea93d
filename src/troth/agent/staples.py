"""OCSP answers for servers that staple them (RFC 6066, 8): fetched, verified, written where the server reads.

nginx (``ssl_stapling_file``) and HAProxy hand on what lies there, right or wrong, and nginx does not start when the
file is missing. So an answer is written only when it is signed for this certificate and holds now; the old one stays
as long as nothing better came, and is never removed. An answer that says *revoked* is written too: a server that went
on showing the last good one would hide the revocation.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from datetime import datetime, timedelta
from pathlib import Path

import msgspec

from troth.agent import disk, fit
from troth.agent.config import owner_of
from troth.agent.errors import STAPLE, AgentError
from troth.agent.generations import Generations
from troth.agent.schedule import pause
from troth.agent.settings import StapleSettings
from troth.agent.state import Trouble, restore, save
from troth.client.ocsp import Ocsp, OcspAnswer
from troth.client.transport import Transport
from troth.kit.clock import Clock
from troth.kit.errors import TrothError
from troth.kit.log import get_logger

log = get_logger("agent")

#: An answer without nextUpdate says that newer ones can always be had (RFC 6960, 4.2.2.1).
_WITHOUT_END = timedelta(hours=12)
_SKEW = timedelta(minutes=5)
#: A server that is reloaded for answers of less than this does little else.
_SHORT = timedelta(minutes=10)


class Staple(msgspec.Struct, frozen=True):
    """What lies at the path, and how it stands with getting a newer one. ``told``: the server knows of it."""

    generation: int = 0
    told: bool = False
    status: str = ""
    since: datetime | None = None
    until: datetime | None = None
    failures: int = 0
    not_before: datetime | None = None
    trouble: Trouble | None = None


class Stapler:
    """Keeps the answer for one certificate. ``transport`` opens connections for asking."""

    def __init__(
        self,
        name: str,
        settings: StapleSettings,
        generations: Generations,
        *,
        transport: Callable[[], AbstractAsyncContextManager[Transport]],
        clock: Clock,
        chance: Callable[[], float],
    ) -> None:
        self._name = name
        self._settings = settings
        self._generations = generations
        self._transport = transport
        self._clock = clock
        self._chance = chance
        self._file = generations.directory / "staple.json"

    def look(self) -> Staple:
        """What was written last."""
        return restore(self._file, Staple) or Staple()

    def due(self) -> datetime:
        """When to ask next: when half of the answer's time is over, at once for a certificate that has none."""
        now, staple = self._clock.now(), self.look()
        current = self._generations.current
        if staple.not_before is not None and now < staple.not_before <= now + timedelta(hours=25):
            return staple.not_before
        if current is None or staple.generation != current.number or staple.since is None or staple.until is None:
            return now
        if not staple.told or not Path(self._settings.path).exists() or staple.since > now + _SKEW:
            return now
        return staple.since + (staple.until - staple.since) / 2

    def told(self) -> None:
        """The server has been told of what lies at the path."""
        save(self._file, msgspec.structs.replace(self.look(), told=True))

    async def refresh(self, number: int) -> bool:
        """Have a fresh answer for generation ``number`` at the path; whether there is one now.

        A failure is written down and logged; it is never raised, but for the disk's.
        """
        try:
            der, answer = await self._fetch(number)
        except TrothError as error:
            self.failed(error)
            return False
        path, now, before = Path(self._settings.path), self._clock.now(), self.look()
        changed = disk.read(path) != der
        if changed:
            uid, gid = owner_of(self._settings.owner, self._settings.group)
            disk.write(path, der, mode=int(self._settings.mode, 8), uid=uid, gid=gid)
        until = answer.next_update or now + _WITHOUT_END
        told = before.told and not changed
        save(self._file, Staple(number, told, answer.status, answer.this_update, until))
        tell = log.info if answer.status == "good" else log.error
        tell("agent.staple", certificate=self._name, status=str(answer), until=until.isoformat())
        if until - answer.this_update < _SHORT:
            log.warning("agent.staple_short", certificate=self._name, seconds=(until - answer.this_update).seconds)
        return True

    async def _fetch(self, number: int) -> tuple[bytes, OcspAnswer]:
        chain = fit.read_chain(self._generations.chain(number).encode())
        if len(chain) < 2:
            raise AgentError(STAPLE, "the chain has no issuer, without which nobody can be asked")
        async with self._transport() as transport:
            der, answer = await Ocsp(chain[0], chain[1], transport).fetch()
        now = self._clock.now()
        if answer.this_update > now + _SKEW:
            raise AgentError(STAPLE, f"the answer is of {answer.this_update:%Y-%m-%d %H:%M}, which is to come")
        if answer.next_update is not None and answer.next_update <= now:
            raise AgentError(STAPLE, f"the answer held until {answer.next_update:%Y-%m-%d %H:%M}")
        if answer.status == "unknown":
            raise AgentError(STAPLE, "the responder does not know the certificate")
        return der, answer

    def failed(self, error: TrothError) -> None:
        """Write down that there is no newer answer, or nobody was told, and when to try again."""
        now, staple = self._clock.now(), self.look()
        left = max((staple.until or now) - now, timedelta(0))
        failures = staple.failures + 1
        wait = pause(failures, left, self._chance(), 0.0)
        tell = log.warning if left else log.error
        tell("agent.staple_failed", certificate=self._name, code=error.code, detail=error.detail,
             again_in=round(wait.total_seconds()), ends_in=round(left.total_seconds()))  # fmt: skip
        trouble = Trouble(error.code, error.detail, now)
        save(self._file, msgspec.structs.replace(staple, failures=failures, not_before=now + wait, trouble=trouble))
