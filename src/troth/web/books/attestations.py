"""Attestations as API and pages show them, and the inspection of one that somebody has at hand."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from msgspec import Struct

from troth.enroll.attest.examine import examine
from troth.enroll.attest.model import ANDROID_KEY, FORMATS, Known, Root
from troth.enroll.attest.service import Attestations, own_roots
from troth.enroll.attest.statement import read_any
from troth.enroll.attest.store import Attestation
from troth.enroll.attest.told import attestation_report
from troth.kit.canonical import Json
from troth.kit.clock import Clock
from troth.kit.ids import parse_id
from troth.pki.catalogue import Catalogue
from troth.store.pool import Database
from troth.trust.subjects.store import SubjectStore
from troth.web.errors import MALFORMED, NotFound, WebError
from troth.web.views import Page

MAX_LIMIT = 200


class AttestationView(Struct, frozen=True):
    """A statement as it was judged.

    Attributes:
        attested: it passed every check; ``accepted``: the challenge became valid by it, which modes that only look let.
        reason, detail: why it was refused, or would have been.
        report: verdict, checks and decoded fields; None in lists, and once it was forgotten.
    """

    id: UUID
    at: datetime
    format: str
    identifier_type: str
    identifier: str
    device: str
    device_id: UUID | None
    mode: str
    attested: bool
    accepted: bool
    reason: str | None
    detail: str | None
    statement_sha256: str
    key_sha256: str | None
    order_id: UUID
    account_id: UUID
    facts: dict[str, Any]
    report: dict[str, Any] | None = None


class RootView(Struct, frozen=True):
    """A root that is pinned for one format."""

    format: str
    name: str
    sha256: str
    not_after: datetime
    origin: str


class StatusView(Struct, frozen=True):
    """A maker's list of revoked attestation certificates, as we have it."""

    format: str
    sha256: str
    fetched_at: datetime
    source: str
    entries: int


class AttestationBook:
    """Looking at attestations."""

    def __init__(self, database: Database, clock: Clock, catalogue: Catalogue) -> None:
        self.desk = Attestations(database, clock, own=own_roots(catalogue))
        self._subjects = SubjectStore(database)
        self._clock = clock

    async def page(
        self, *, device: UUID | None = None, attested: bool | None = None, cursor: str = "", limit: int = 50
    ) -> Page[AttestationView]:
        """The latest first. Raises WebError for a cursor that is none."""
        below = parse_id(cursor)
        if cursor and below is None:
            raise WebError(MALFORMED, "the cursor is not one of ours")
        limit = max(1, min(limit, MAX_LIMIT))
        found = await self.desk.store.page(below=below, subject=device, attested=attested, limit=limit + 1)
        more = str(found[limit - 1].id) if len(found) > limit else None
        return Page(tuple(await self._viewed(found[:limit])), more)

    async def get(self, attestation: UUID) -> AttestationView:
        """One, with its report. Raises NotFound."""
        found = await self.desk.store.one(attestation)
        if found is None:
            raise NotFound("there is no such attestation")
        return (await self._viewed([found]))[0]

    async def inspect(self, data: bytes, *, key_authorization: str = "", identifier: str = "") -> dict[str, Json]:
        """What every check says of a statement now. Nothing is written. Raises Unreadable, WebError."""
        identifiers = None
        if identifier:
            kind, colon, value = identifier.partition(":")
            if not colon or kind not in ("permanent-identifier", "hardware-module"):
                raise WebError(MALFORMED, "an identifier is written permanent-identifier:VALUE")
            identifiers = frozenset({(kind, value)})
        statement = read_any(data)
        known = Known(
            at=self._clock.now(),
            key_authorization=key_authorization or None,
            identifiers=identifiers,
            statuses=await self.desk.statuses(),
        )
        report = examine(statement, known, await self.desk.roots())
        return attestation_report(await self.desk.held_against_own(statement, report))

    async def roots(self) -> Sequence[RootView]:
        """Those in force, by format."""
        return [root_view(kind, one) for kind, found in sorted((await self.desk.roots()).items()) for one in found]

    async def status(self) -> StatusView | None:
        """Android's list."""
        head, found = await self.desk.store.status_head(ANDROID_KEY), await self.desk.statuses()
        if head is None or found is None:
            return None
        return StatusView(ANDROID_KEY, head[0].hex(), head[1], head[2], len(found.entries))

    async def _viewed(self, found: Sequence[Attestation]) -> list[AttestationView]:
        wanted = {one.subject_id for one in found if one.subject_id is not None}
        names = {one.id: one.name for one in await self._subjects.by_ids(sorted(wanted))}
        return [
            AttestationView(
                one.id, one.at, one.format, one.identifier_type, one.identifier,
                names.get(one.subject_id, "") if one.subject_id is not None else "", one.subject_id, one.mode,
                one.attested, one.accepted, one.reason, one.detail, one.sha256.hex(),
                None if one.spki_sha256 is None else one.spki_sha256.hex(), one.order_id, one.account_id, one.facts,
                one.report,
            )
            for one in found
        ]  # fmt: skip


def root_view(kind: str, one: Root) -> RootView:
    """A root as it is shown."""
    return RootView(kind, one.name, one.sha256, one.certificate.not_valid_after_utc, one.origin)


def known_format(kind: str) -> str:
    """``kind``. Raises NotFound if it is no format."""
    if kind not in FORMATS:
        raise NotFound(f"there is no such format; there are {', '.join(FORMATS)}")
    return kind
