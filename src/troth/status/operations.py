"""What an operator would be woken for, looked at now and then for ``/metrics``; nothing that is served waits for it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from troth.kit.clock import Clock
from troth.kit.rhythm import Rhythm
from troth.pki.finding_store import FindingStore
from troth.status.feed_metrics import Feeds
from troth.status.foreign_metrics import ForeignFigures
from troth.status.foreign_store import foreign_figures
from troth.status.model import OutFigures
from troth.status.nas_metrics import AccessServers
from troth.status.nas_store import access_servers
from troth.status.session_metrics import Sessions
from troth.status.session_store import sessions
from troth.status.standing_metrics import Standings
from troth.status.standing_store import standings
from troth.status.store import StatusReader
from troth.store.errors import StoreError
from troth.store.marks import read_marks
from troth.store.pool import Database
from troth.trust.feeds.health import FeedHealthBook
from troth.trust.intake import inbox_store, unresolved_store
from troth.trust.outbox.document_store import Bucket, DocumentStore, Queue

_EVERY_SECONDS = 10.0
#: And this rarely while nobody asks for it.
_QUIET = Rhythm("operations.look", 120.0, "status", statements=35)
_AN_HOUR = timedelta(hours=1)
_SOON = timedelta(days=30)
_FOUND_EVERY_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class FoundOnHosts:
    """What agents report.

    Attributes:
        certificates: (``ended``, ``ending`` within 30 days or ``good``; issued here) → how many are there now.
        hosts: that report. oldest: when the one that is silent longest last did.
    """

    certificates: Mapping[tuple[str, bool], int] = field(default_factory=dict)
    hosts: int = 0
    oldest: datetime | None = None


@dataclass(frozen=True, slots=True)
class SharedSignals:
    """Streams of shared signals.

    Attributes:
        streams: name → (status, when it was heard). tokens: (stream, outcome) → how many ever.
        waiting: events about many at once that wait for a person.
    """

    streams: Mapping[str, tuple[str, datetime | None]] = field(default_factory=dict)
    tokens: Mapping[tuple[str, str], int] = field(default_factory=dict)
    waiting: int = 0


@dataclass(frozen=True, slots=True)
class Told:
    """Streams to receivers, and tokens by (receiver, outcome)."""

    streams: Sequence[OutFigures] = ()
    tokens: Mapping[tuple[str, str], int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Operations:
    """What was seen.

    Attributes:
        findings: (severity, code) → how many are open.
        marks: duty → when it last did its work; one that nobody has is not there.
        enrolments: (kind, status) → how many there are.
        refusals: limit → how often it has refused an ACME client.
        paused: names of ACME clients that are paused, since their validation never succeeds.
        failed_validations: reason code → how many tries failed for it within the last hour.
        incidents: early renewals that have not ended.
        attestations: (format, ``attested`` or the reason of the refusal) → judged in the last day.
        est: (label, operation, result) → what EST clients have asked so far.
        tpms: registered TPMs, by whether an attestation key of theirs was ever certified.
        shared: streams of shared signals.
        effects: what changes of standing set going elsewhere, by target and state.
        effect_latencies: from the signal accepted to the effect done, of all that was ever done.
        standings: who does not stand trusted, what waits for a person, who is exempt, which feed is suspended.
        feeds: who is silent, what waits in the inbox, what means nobody, how connectors are.
        sessions: who is on the network, and what waits to be done about them.
        access_servers: how they are, which do not sign, how far new secrets have come.
        found: what agents found on their hosts; looked at every few minutes, since it is counted anew each time.
    """

    findings: Mapping[tuple[str, str], int] = field(default_factory=dict)
    marks: Mapping[str, datetime] = field(default_factory=dict)
    enrolments: Mapping[tuple[str, str], int] = field(default_factory=dict)
    paused: int = 0
    refusals: Mapping[str, int] = field(default_factory=dict)
    failed_validations: Mapping[str, int] = field(default_factory=dict)
    incidents: int = 0
    tpms: Mapping[bool, int] = field(default_factory=dict)
    attestations: Mapping[tuple[str, str], int] = field(default_factory=dict)
    est: Mapping[tuple[str, str, str], int] = field(default_factory=dict)
    found: FoundOnHosts = field(default_factory=FoundOnHosts)
    shared: SharedSignals = field(default_factory=SharedSignals)
    effects: tuple[Queue, ...] = ()
    effect_latencies: tuple[Bucket, ...] = ()
    feeds: Feeds = field(default_factory=Feeds)
    standings: Standings = field(default_factory=Standings)
    told: Told = field(default_factory=Told)
    sessions: Sessions = field(default_factory=Sessions)
    access_servers: AccessServers = field(default_factory=AccessServers)
    foreign_lists: ForeignFigures = field(default_factory=ForeignFigures)


class OperationsWatch:
    """Reads and remembers; None while the database does not answer."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._findings = FindingStore(database)
        self._doors = StatusReader(database)
        self._effects = DocumentStore(database)
        self._health = FeedHealthBook(database, clock)
        self.last: Operations | None = None
        self._found = FoundOnHosts()
        self._found_at = float("-inf")
        self._looked_at = float("-inf")
        self._asked = asyncio.Event()

    async def look(self) -> None:
        """Look once."""
        self._looked_at = self._clock.monotonic()
        try:
            self.last = Operations(
                await self._findings.severities(),
                await read_marks(self._database),
                await self._doors.enrolments(self._clock.now()),
                await self._doors.paused(),
                await self._doors.refusals(),
                await self._doors.failed_validations(self._clock.now() - _AN_HOUR),
                await self._doors.incidents(),
                await self._doors.tpms(),
                await self._doors.attestations(self._clock.now() - timedelta(days=1)),
                await self._doors.est(),
                await self._hosts(),
                SharedSignals(*await self._doors.streams()),
                tuple(await self._effects.queues(self._clock.now() - timedelta(days=1))),
                tuple(await self._effects.latencies()),
                await self._look_at_feeds(),
                await standings(self._database, self._clock.now()),
                Told(*await self._doors.told()),
                await sessions(self._database),
                await access_servers(self._database, self._clock.now()),
                await foreign_figures(self._database),
            )
        except StoreError:
            self.last = None

    async def _look_at_feeds(self) -> Feeds:
        return Feeds(
            tuple(await self._health.all()),
            tuple(await inbox_store.counts(self._database)),
            await unresolved_store.counts(self._database),
            tuple(await self._doors.connector_reads()),
        )

    async def _hosts(self) -> FoundOnHosts:
        if self._clock.monotonic() - self._found_at >= _FOUND_EVERY_SECONDS:
            now = self._clock.now()
            certificates = await self._doors.found(now, now + _SOON)
            self._found = FoundOnHosts(certificates, *await self._doors.reports())
            self._found_at = self._clock.monotonic()
        return self._found

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            self._asked.clear()
            await self.look()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_QUIET.pause()):
                    await self._asked.wait()
                    await asyncio.sleep(max(0.0, self._looked_at + _EVERY_SECONDS - self._clock.monotonic()))

    def read(self) -> Operations | None:
        """What was read last; somebody wants to know, and it is kept fresh for him."""
        self._asked.set()
        return self.last
