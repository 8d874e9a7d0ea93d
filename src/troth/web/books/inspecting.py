"""Blocked keys and findings, over the mint."""

from __future__ import annotations

from collections.abc import Sequence

from troth.access.model import Principal
from troth.audit.event import Event
from troth.kit.clock import Clock
from troth.pki.auditor import Auditor
from troth.pki.blocked import BlockedKeys
from troth.pki.blocked_store import BlockedKey, BlockedStore
from troth.pki.catalogue import Catalogue
from troth.pki.finding_store import FindingStore
from troth.pki.lint_codes import CODES
from troth.pki.store import CertificateStore
from troth.store.pool import Database
from troth.store.unit import Unit
from troth.trust.policy.store import PolicyStore
from troth.web.inspecting import (
    Audited,
    BlockedKeyView,
    FindingView,
    KeyUse,
    KeyView,
    WalkView,
)

_WALKS = ("lint", "audit")


class Inspections:
    """See :class:`troth.web.inspecting.InspectionBook`."""

    def __init__(self, database: Database, clock: Clock, catalogue: Catalogue) -> None:
        self._database = database
        self._keys = BlockedKeys(database, clock)
        self._blocked = BlockedStore(database)
        self._certificates = CertificateStore(database)
        self._findings = FindingStore(database)
        self._auditor = Auditor(database, catalogue, clock, PolicyStore(database).known_decisions)

    async def blocked(self, limit: int) -> Sequence[BlockedKeyView]:
        return [_view(one) for one in await self._blocked.listed(limit=limit)]

    async def key(self, spki_sha256: bytes) -> KeyView:
        found = await self._blocked.get(spki_sha256)
        uses = await self._keys.uses(spki_sha256)
        certificates = []
        for one in await self._blocked.certificates(spki_sha256):
            record = await self._certificates.by_id(one)
            if record is not None:
                title = record.common_name or (record.names[0][1] if record.names else record.serial.hex())
                certificates.append(KeyUse(record.id, title, record.serial.hex(), record.status, record.not_after))
        return KeyView(
            spki_sha256=spki_sha256.hex(), blocked=None if found is None else _view(found),
            ever=uses.ever, live=uses.live, certificates=tuple(certificates),
        )  # fmt: skip

    async def report(self, proof: bytes, by: Principal) -> KeyView:
        key = await self._keys.report(proof, actor=by.actor)
        return await self.key(key.spki_sha256)

    async def findings(self, *, source: str, cleared: bool, limit: int) -> Sequence[FindingView]:
        found = await self._findings.listed(source=source or None, cleared=cleared, limit=limit)
        return [
            FindingView(
                object=one.object, code=one.code, meaning=CODES.get(one.code, ""), source=one.source,
                severity=one.severity.lower(), detail=one.detail, first_at=one.first_at, last_at=one.last_at,
                cleared_at=one.cleared_at,
            )
            for one in found
        ]  # fmt: skip

    async def walks(self) -> Sequence[WalkView]:
        stands = [(name, await self._findings.inspection(name)) for name in _WALKS]
        return [
            WalkView(
                name=name, looked=one.looked, found=one.found, began_at=one.began_at, ended_at=one.ended_at,
                moved_at=one.moved_at,
            )
            for name, one in stands
        ]  # fmt: skip

    async def audit(self, by: Principal) -> Audited:
        await self._database.commit(Unit().record(Event("audit.ordered", by.actor, (), {})))
        walked = await self._auditor.run_whole()
        return Audited(walked.looked, walked.found)


def _view(key: BlockedKey) -> BlockedKeyView:
    return BlockedKeyView(
        spki_sha256=key.spki_sha256.hex(), reason=key.reason, source=key.source, note=key.note, at=key.at,
        actor=key.actor,
    )  # fmt: skip
