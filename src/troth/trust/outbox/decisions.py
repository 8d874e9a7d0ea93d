"""``notify:`` of policies: whom a decision obliges to tell, told through the outbox, in the unit that records it.

A device that asks every minute and is refused every minute is told of once an hour for each rule and outcome: the id of
such an effect is made of what it says and of the hour, and what is there already is not written again.
"""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import Final
from uuid import UUID

from troth.store.unit import Unit
from troth.trust.model import Decision
from troth.trust.outbox import store
from troth.trust.outbox.model import Effect, Notice

_HOUR: Final = 3_600


def tell(unit: Unit, decision: Decision) -> None:
    """Add to ``unit`` a ``notify`` effect for each target that ``decision`` names."""
    if not decision.obligations.notify:
        return
    subject = decision.subject
    notice = Notice(
        kind=subject.kind.value,
        name=subject.name,
        before=subject.standing.value,
        after=subject.standing.value,
        version=subject.standing_version,
        decision={
            "id": str(decision.id),
            "moment": decision.moment.value,
            "asked": decision.asked,
            "outcome": decision.outcome.value,
            "reason": decision.reason,
            "policy": decision.policy or "",
            "rule": decision.rule or "",
        },
    )
    for target in dict.fromkeys(decision.obligations.notify):
        store.plan(
            unit,
            Effect(
                id=_once_an_hour(decision, target), subject_id=subject.id, standing_version=subject.standing_version,
                port="notify", target=target, acting=False, undo="", undone=False, notice=notice,
                # It tells people what was decided anyway: a freeze of automation does not silence it.
                signal_id=decision.id, actor=f"policy:{decision.policy or 'none'}", automated=False,
                accepted_at=decision.at, planned_at=decision.at, due=decision.at,
            ),
        )  # fmt: skip


def _once_an_hour(decision: Decision, target: str) -> UUID:
    """A UUIDv7 (RFC 9562, 5.7) whose time is the hour's and whose rest is what would be told."""
    hour = _hour(decision.at)
    said = "\0".join(
        [str(decision.subject.id), target, decision.policy or "", decision.rule or "", decision.moment.value,
         decision.asked, decision.outcome.value, str(hour)]
    )  # fmt: skip
    rest = int.from_bytes(hashlib.sha256(f"troth notify\0{said}".encode()).digest()[:10], "big")
    value = (hour * 1000) << 80 | rest
    value = value & ~(0xF << 76) | 0x7 << 76
    return UUID(int=value & ~(0x3 << 62) | 0x2 << 62)


def _hour(at: datetime) -> int:
    return int(at.timestamp()) // _HOUR * _HOUR
