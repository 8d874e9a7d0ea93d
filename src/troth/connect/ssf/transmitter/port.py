"""The outbox's port ``ssf``: a change of standing, told to every stream that is granted it.

Done means queued, durably, for every stream; from there each stream goes at its receiver's pace. The outbox has the
effects of one subject done one after the other, so that what is queued is in order for each subject. A repetition of
the effect queues nothing twice. A freeze does not stop what only tells.
"""

from __future__ import annotations

from troth.connect.ssf.transmitter import saying, store
from troth.connect.ssf.transmitter.model import TOKENS_CHANNEL, OutStream, Receiver
from troth.connect.ssf.transmitter.sending import Sender
from troth.pki.store import CertificateStore
from troth.store.pool import Database
from troth.store.unit import Unit
from troth.trust.outbox.model import Effect, EffectSubject, Outcome
from troth.trust.signals.signal_store import find_subject

_MOST_CERTIFICATES = 100


class SsfPort:
    """``ssf``."""

    def __init__(self, database: Database, sender: Sender) -> None:
        self._database = database
        self.sender = sender

    async def execute(self, effect: Effect, subject: EffectSubject) -> Outcome:
        """See :class:`~troth.trust.outbox.model.EffectPort`."""
        receivers = {one.name: one for one in await store.receivers(self._database)}
        streams = [one for one in await store.streams(self._database) if one.receiver in receivers]
        known = await find_subject(self._database, subject.id)
        groups = frozenset(known.groups) if known is not None else frozenset()
        unit, told = Unit(), 0
        certificates = await self._certificates(effect, subject) if streams else []
        for stream in streams:
            receiver = receivers[stream.receiver]
            if receiver.definition.scope.covers(subject.kind, groups):
                told += await self._tell(unit, receiver, stream, effect, subject, certificates)
        if unit.writes:
            await self._database.commit(unit)
            self._database.wake(TOKENS_CHANNEL)
        return Outcome.done(f"{told} tokens queued for {len(streams)} streams" if streams else "nobody receives")

    async def _tell(
        self,
        unit: Unit,
        receiver: Receiver,
        stream: OutStream,
        effect: Effect,
        subject: EffectSubject,
        certificates: list[bytes],
    ) -> int:
        definition, told = receiver.definition, 0
        about = saying.subject_of(subject, self.sender.issuer, definition.subject_format)
        if about is None:
            return 0
        events = saying.events_of(
            effect.notice, certificates, at=effect.accepted_at, actor=effect.actor, dialect=definition.dialect
        )
        granted = set(stream.delivered(definition))
        for what, type, event in events:
            if type in granted or (definition.dialect == "okta" and _risk_of(type) in granted):
                told += await self.sender.queue(
                    unit, receiver, stream, type, saying.worded(definition, type, event, about), about,
                    cause=f"{effect.id}:{what}", transaction=str(effect.signal_id),
                )  # fmt: skip
        return told

    async def _certificates(self, effect: Effect, subject: EffectSubject) -> list[bytes]:
        if "credential-change" not in effect.notice.tell:
            return []
        found = await CertificateStore(self._database).of_subject(subject.id, limit=_MOST_CERTIFICATES)
        return [one.der for one in found if one.der is not None and one.not_after > effect.accepted_at]


def _risk_of(type: str) -> str:
    """The CAEP type by which Okta's own is granted."""
    return "https://schemas.openid.net/secevent/caep/event-type/risk-level-change" if "-risk-change" in type else ""
