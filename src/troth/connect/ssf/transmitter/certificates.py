"""What becomes of single certificates, told as CAEP ``credential-change``: revoked by whomever, and made.

A change of standing is told by the outbox's port. A person who revokes one lost certificate changes no standing, and a
receiver that trusts by certificate must hear of it all the same; so the ledger itself is followed. A certificate that
ends with its subject's standing may be told of twice, in the words of both; it ends only once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final
from uuid import UUID

from troth.audit.event import StreamEvent
from troth.audit.follower import Follower
from troth.connect.ssf.events import CAEP
from troth.connect.ssf.transmitter import saying, store
from troth.connect.ssf.transmitter.model import TOKENS_CHANNEL, OutStream, Receiver
from troth.connect.ssf.transmitter.sending import Sender
from troth.kit.clock import Clock
from troth.pki.model import CertificateRecord
from troth.pki.store import CertificateStore
from troth.store.pool import Database
from troth.store.unit import Unit
from troth.trust.outbox.document_store import DocumentStore
from troth.trust.outbox.model import EffectSubject
from troth.trust.signals.signal_store import find_subject

#: How the ledger calls it → how CAEP does (CAEP 1.0, 3.3). A hold is neither: it may end, and the standing tells of it.
_CHANGES: Final = {"certificate.revoked": "revoke", "certificate.issued": "create"}
_TYPE: Final = CAEP + "credential-change"


class CertificateTelling:
    """Queues tokens about certificates. :meth:`follower` is to run in the worker."""

    def __init__(self, database: Database, clock: Clock, sender: Sender) -> None:
        self._database = database
        self._clock = clock
        self._sender = sender
        self._certificates = CertificateStore(database)
        self._documents = DocumentStore(database)

    def follower(self) -> Follower:
        """What reads the ledger for it."""
        kinds = frozenset(_CHANGES)
        # Mostly nobody listens, and a busy installation would write five times a second that there was nobody.
        return Follower(
            self._database, self._clock, "ssf.certificates", kinds, self.take, wakes=TOKENS_CHANNEL, lazily=True
        )

    async def take(self, unit: Unit, events: Sequence[StreamEvent]) -> None:
        """Add to ``unit`` what the receivers are to hear of ``events``."""
        receivers = {one.name: one for one in await store.receivers(self._database)}
        streams = [
            (receivers[one.receiver], one)
            for one in await store.streams(self._database)
            if one.receiver in receivers and _TYPE in one.delivered(receivers[one.receiver].definition)
        ]
        for event in events if streams else ():
            change = _CHANGES[event.kind]
            hearing = [(to, stream) for to, stream in streams if change in to.definition.credential_changes]
            record = await self._certificates.by_id(UUID(event.data["certificate_id"])) if hearing else None
            if record is not None and record.der is not None:
                told = saying.certificate_change(
                    record.der, change, at=event.recorded_at, actor=event.actor, profile=record.profile
                )
                await self._tell(unit, event, told, record, hearing)

    async def _tell(
        self,
        unit: Unit,
        event: StreamEvent,
        told: Mapping[str, Any],
        record: CertificateRecord,
        hearing: Sequence[tuple[Receiver, OutStream]],
    ) -> None:
        for subject, groups in await self._subjects(record.id):
            for receiver, stream in hearing:
                definition = receiver.definition
                about = saying.subject_of(subject, self._sender.issuer, definition.subject_format)
                if about is not None and definition.scope.covers(subject.kind, groups):
                    await self._sender.queue(
                        unit, receiver, stream, _TYPE, saying.worded(definition, _TYPE, told, about), about,
                        cause=f"{event.id}:{subject.id}", transaction=str(event.unit),
                    )  # fmt: skip

    async def _subjects(self, certificate_id: UUID) -> list[tuple[EffectSubject, frozenset[str]]]:
        found: list[tuple[EffectSubject, frozenset[str]]] = []
        for subject_id, role in await self._certificates.subjects(certificate_id):
            subject = await self._documents.subject(subject_id) if role == "subject" else None
            known: Any = await find_subject(self._database, subject_id) if subject is not None else None
            if subject is not None:
                found.append((subject, frozenset(known.groups) if known is not None else frozenset()))
        return found
