"""Certificates that agents found on their hosts, as API, pages and command line show them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

from msgspec import Struct

from troth.inventory.errors import CURSOR, ReportRefused
from troth.inventory.model import HostReport, Sighting
from troth.inventory.store import InventoryStore
from troth.kit.clock import Clock
from troth.kit.ids import parse_id
from troth.pki.pem import pem
from troth.store.pool import Database
from troth.web.views import Page

_BEGIN = (datetime(1, 1, 1, tzinfo=UTC), b"", UUID(int=0), "")
#: What *expiring* means without a number of days.
SOON_DAYS = 30


class FoundView(Struct, frozen=True, kw_only=True):
    """One certificate at one place of one host.

    Attributes:
        sha256: of the certificate, in hexadecimal.
        has_key: its private key lies there too.
        present: the host's latest report shows it.
        certificate_id: if it was issued here.
        key_known: a certificate for the same key was issued here.
    """

    sha256: str
    subject: str
    issuer: str
    serial: str
    names: tuple[str, ...]
    not_before: datetime
    not_after: datetime
    expired: bool
    host_id: UUID
    host: str
    place: str
    kind: str
    has_key: bool
    first_seen_at: datetime
    last_seen_at: datetime
    present: bool
    certificate_id: UUID | None
    key_known: bool
    pem: str


class StoreView(Struct, frozen=True):
    """A trust store of a host. ``roots`` is None where it was not read."""

    name: str
    place: str
    roots: int | None


class HostView(Struct, frozen=True, kw_only=True):
    """The latest report of a host."""

    host_id: UUID
    host: str
    received_at: datetime
    agent: str
    certificates: int
    unreadable: int
    stores: tuple[StoreView, ...]
    not_looked_at: tuple[str, ...]


class FoundCounts(Struct, frozen=True):
    """How much is found now, each certificate once."""

    found: int
    elsewhere: int
    expiring: int
    expired: int
    hosts: int


class FoundFilter(Struct, frozen=True, kw_only=True):
    """Which.

    Attributes:
        days: that end within so many days, or have ended; None: all.
        elsewhere: not issued here.
        unknown_key: for whose key nothing was issued here.
        host: of one host.
        gone: what is there no more as well.
    """

    days: int | None = None
    elsewhere: bool = False
    unknown_key: bool = False
    host: UUID | None = None
    gone: bool = False
    cursor: str = ""
    limit: int = 50


class Found:
    """Looking at what was found."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._store = InventoryStore(database)
        self._clock = clock

    async def search(self, wanted: FoundFilter) -> Page[FoundView]:
        """In the order of expiry. Raises ReportRefused for a cursor that is not ours."""
        now = self._clock.now()
        found = await self._store.sightings(
            _cursor(wanted.cursor) if wanted.cursor else _BEGIN,
            expires_by=None if wanted.days is None else now + timedelta(days=wanted.days),
            elsewhere=wanted.elsewhere,
            unknown_key=wanted.unknown_key,
            host=wanted.host,
            gone=wanted.gone,
            limit=wanted.limit + 1,
        )
        shown = found[: wanted.limit]
        return Page([_view(one, now) for one in shown], _next(shown[-1]) if len(found) > wanted.limit else None)

    async def hosts(self, host: UUID | None = None) -> Sequence[HostView]:
        """Who has reported, the one that was silent longest first."""
        return [_host(one) for one in await self._store.hosts(host)]

    async def counts(self) -> FoundCounts:
        """How much there is."""
        now = self._clock.now()
        return FoundCounts(**await self._store.counts(now, now + timedelta(days=SOON_DAYS)))


def _next(one: Sighting) -> str:
    certificate = one.certificate
    at = certificate.not_after.isoformat()
    return f"{at}.{certificate.sha256.hex()}.{one.subject_id}.{one.place.encode().hex()}"


def _cursor(text: str) -> tuple[datetime, bytes, UUID, str]:
    parts = text.split(".")
    try:
        at, digest, host, place = parts
        moment, subject = datetime.fromisoformat(at), parse_id(host)
        if moment.tzinfo is None or subject is None:
            raise ValueError
        return moment, bytes.fromhex(digest), subject, bytes.fromhex(place).decode()
    except ValueError as error:
        raise ReportRefused(CURSOR) from error


def _view(one: Sighting, now: datetime) -> FoundView:
    certificate = one.certificate
    return FoundView(
        sha256=certificate.sha256.hex(),
        subject=certificate.subject,
        issuer=certificate.issuer,
        serial=certificate.serial,
        names=certificate.names,
        not_before=certificate.not_before,
        not_after=certificate.not_after,
        expired=certificate.not_after <= now,
        host_id=one.subject_id,
        host=one.host,
        place=one.place,
        kind=one.kind,
        has_key=one.has_key,
        first_seen_at=one.first_seen_at,
        last_seen_at=one.last_seen_at,
        present=one.present,
        certificate_id=one.own,
        key_known=one.key_known,
        pem=pem(certificate.der).decode(),
    )


def _host(one: HostReport) -> HostView:
    return HostView(
        host_id=one.subject_id,
        host=one.host,
        received_at=one.received_at,
        agent=one.agent,
        certificates=one.certificates,
        unreadable=one.unreadable,
        stores=tuple(StoreView(*store) for store in one.stores),
        not_looked_at=one.cut,
    )
