"""Calling people about something that is nobody's standing: a network, not a subject. Told through the outbox.

Targets are those of the reactions (mail, chat, webhook), named where the alarm is defined, as by a policy's
``notify:``. Whoever raises it words it: this room does not know what a network is. Many processes see the same thing at
once, so the same words about the same thing are told to a target once an hour.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Final
from uuid import UUID, uuid5

from troth.kit.ids import new_id
from troth.store.unit import Reader, Unit
from troth.trust.outbox import store
from troth.trust.outbox.document_store import DocumentStore
from troth.trust.outbox.errors import ReactionsInvalid
from troth.trust.outbox.hourly import once_an_hour
from troth.trust.outbox.model import Alarm, Effect, Notice
from troth.trust.outbox.reactions import ChatTarget, MailTarget, WebhookTarget, parse_reactions, shipped

#: Names what alarms are about where an effect names a subject: one lane for each thing at each target.
_THINGS: Final = UUID("6d1b4a0e-2f0c-5e57-9a44-0a5f1d0b7c91")


def call(
    unit: Unit, alarm: Alarm, targets: Iterable[str], *, kind: str, name: str, key: str = "", actor: str, at: datetime
) -> None:
    """Add to ``unit`` a ``notify`` effect at each of ``targets``.

    Args:
        kind, name: what it is about: ``network``, ``corp``.
        key: what makes two alarms about it the same one; of those that are told once, whoever raises them sees to it.
    """
    thing = uuid5(_THINGS, f"{kind}\n{name}")
    for target in dict.fromkeys(targets):
        # What is told once has an end that must not overtake it: ids are in the order in which they are made.
        made = new_id() if alarm.once else once_an_hour(at, alarm.event, kind, name, key, target)
        store.plan(
            unit,
            Effect(
                id=made, subject_id=thing, standing_version=0, port="notify", target=target, acting=False, undo="",
                undone=False, notice=Notice(kind=kind, name=name, before="", after="", version=0, alarm=alarm),
                # Nothing acts: a freeze of automation does not silence it.
                signal_id=made, actor=actor, automated=False, accepted_at=at, planned_at=at, due=at,
            ),
        )  # fmt: skip


async def nobody(reader: Reader, targets: Iterable[str]) -> list[str]:
    """Which of ``targets`` are none of the reactions in force that people could be told by."""
    newest = await DocumentStore(reader).newest()
    try:
        known = parse_reactions(shipped() if newest is None else newest.source).targets
    except ReactionsInvalid:
        known = {}
    return [one for one in targets if not isinstance(known.get(one), MailTarget | ChatTarget | WebhookTarget)]
