"""A status worker: the tasks that fill the trust table, keep it true, and keep everything that is served fresh."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import datetime, timedelta
from uuid import UUID

from troth.audit.event import StreamEvent
from troth.audit.store import LedgerStore
from troth.audit.stream import LEASE_POLL, Stream, StreamPoint, Vouching
from troth.kit.clock import Clock
from troth.kit.errors import TrothError
from troth.kit.log import get_logger
from troth.kit.status_settings import OcspSettings
from troth.pki.fence_store import read_fence
from troth.pki.keys.keyring import CustodianState
from troth.pki.model import Crl
from troth.status.custody import CustodySource, CustodyWatch
from troth.status.lookups import Lookups
from troth.status.operations import Operations, OperationsWatch
from troth.status.published import Published
from troth.status.responders import ActiveResponders, KeyRelease
from troth.status.routes import StatusDoor
from troth.status.service import OcspService
from troth.status.store import StatusReader
from troth.status.table import StatusTable
from troth.store.errors import StoreError
from troth.store.pool import Database

log = get_logger("status")

#: Everything that is served is read again this often, whatever the stream says …
_REFRESH_SECONDS = 60.0
#: … and this often while something is missing.
_RETRY_SECONDS = 1.0
#: A first start has its responder certified while we start; worth waiting for, but not for ever.
_RESPONDER_PATIENCE = 5.0
_NEWS = ("authority.", "crl.published", "ocsp.", "recovery.")
#: What is taken from the stream: status changes, and news.
_ROOMS = frozenset({"certificate", *(kind.partition(".")[0] for kind in _NEWS)})


class StatusWorker:
    """Runs one decision point for status. ``door`` may be served as soon as ``run`` has called ``ready``.

    Args:
        keys: the signer, under the role ``status``.
        point: this process's id (``troth.store.lease.Instance.id``).
        pulse: what says that nothing has come (``troth.audit.pulse``); without it the stream is polled.
        custody: the signer, asked for metrics how its custodians are.
    """

    def __init__(
        self,
        database: Database,
        keys: KeyRelease,
        clock: Clock,
        point: UUID,
        settings: OcspSettings,
        *,
        custody: CustodySource | None = None,
        pulse: Vouching | None = None,
        poll_seconds: float = LEASE_POLL,
    ) -> None:
        reader = StatusReader(database)
        self._reader = reader
        self._reader_of_fence = database
        self._clock = clock
        self._ledger = LedgerStore(database)
        self._point = StreamPoint(self._ledger, clock, point, "status", pulse=pulse)
        self._stream = Stream(
            database, clock, poll=lambda: self._point.poll(poll_seconds), spared=lambda: self._point.spared
        )
        self._table = StatusTable(clock)
        self._lookups = Lookups(reader)
        self._responders = ActiveResponders(reader, keys, clock)
        self._published = Published(database)
        self._service = OcspService(
            table=self._table,
            lookups=self._lookups,
            responders=self._responders,
            point=self._point,
            clock=clock,
            validity=timedelta(seconds=settings.validity_seconds),
            patience=timedelta(milliseconds=settings.patience_milliseconds),
        )
        self._custody = CustodyWatch(custody)
        self._operations = OperationsWatch(database, clock)
        self._index = 0
        self._news = asyncio.Event()
        self._refreshed = asyncio.Event()
        self.door = StatusDoor(self._service, self._published, self)

    async def run(self, stop: asyncio.Event, ready: Callable[[], None]) -> None:
        """Serve until ``stop`` is set; ``ready`` is called once answers are given."""
        if not await self._load(stop):
            return
        started = asyncio.Event()
        watched: set[asyncio.Task[object]] = {
            asyncio.create_task(self._follow(stop, started)),
            asyncio.create_task(self._keep_fresh(stop)),
            asyncio.create_task(stop.wait()),
        }
        tasks = {
            asyncio.create_task(self._announce(started, ready)),
            asyncio.create_task(self._custody.run()),
            asyncio.create_task(self._operations.run()),
            *watched,
        }
        try:
            done, _ = await asyncio.wait(watched, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._lookups.close()
            try:
                await self._point.leave()
            except StoreError as error:
                log.warning("status.leave_failed", error=str(error))  # the lease lapses by itself

    # --- what it holds -----------------------------------------------------------------------------------------

    async def _load(self, stop: asyncio.Event) -> bool:
        """Take a snapshot; False when told to stop before one was to be had."""
        while not stop.is_set():
            try:
                # The head first: what is committed while the rows are read comes again by the stream.
                self._index = (await self._ledger.head()).size
                async for page in self._reader.not_good(self._clock.now()):
                    self._table.load(page)
                await self._refresh()
            except StoreError as error:
                log.warning("status.snapshot_failed", error=str(error))
                await _sleep(stop, _RETRY_SECONDS)
                continue
            log.info("status.snapshot_loaded", index=self._index, not_good=self._table.not_good)
            return True
        return False

    async def _follow(self, stop: asyncio.Event, started: asyncio.Event) -> None:
        async for batch in self._stream.follow(self._index, stop, lambda: _ROOMS):
            self._table.apply(batch.events)
            self._index = batch.next
            self._notice(batch.events)
            try:
                await self._point.applied(batch)
            except StoreError as error:
                # Not acknowledged: the lease lapses, and answers say tryLater until the database is back.
                log.warning("status.acknowledge_failed", error=str(error))
                continue
            if self._point.live:
                started.set()

    def _notice(self, events: Iterable[StreamEvent]) -> None:
        if any(event.kind.startswith(_NEWS) for event in events):
            self._news.set()

    async def _keep_fresh(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            missing = bool(self._service.trouble(self._published.authorities))
            try:
                async with asyncio.timeout(_RETRY_SECONDS if missing else _REFRESH_SECONDS):
                    await self._news.wait()
            except TimeoutError:
                pass
            self._news.clear()
            try:
                await self._refresh()
            except TrothError as error:
                log.warning("status.refresh_failed", error=str(error))

    async def _refresh(self) -> None:
        self._service.fence = await read_fence(self._reader_of_fence)
        await self._published.refresh()
        self._service.serve(self._published.authorities)
        await self._responders.refresh(self._published.authorities)
        self._refreshed.set()

    async def _announce(self, started: asyncio.Event, ready: Callable[[], None]) -> None:
        await started.wait()
        try:
            async with asyncio.timeout(_RESPONDER_PATIENCE):
                while self._service.trouble(self._published.authorities):
                    self._refreshed.clear()
                    await self._refreshed.wait()
        except TimeoutError:
            log.warning("status.ready_without_responder")
        ready()

    # --- what it tells of itself -------------------------------------------------------------------------------

    def gauges(self) -> Mapping[str, float]:
        """See ``troth.status.metrics.Gauges``."""
        now = self._clock.now()
        in_force = sum(self._responders.current(slug, now) is not None for slug in self._published.authorities)
        return {
            "lease_live": float(self._point.live),
            "fence_closed": float(self._service.fence.closed),
            "table_not_good": self._table.not_good,
            "table_seen": self._table.seen,
            "responders": in_force,
            "stream_index": self._index,
        }

    def totals(self) -> Mapping[str, float]:
        """See ``troth.status.metrics.Gauges``."""
        return {"lookup_queries": self._lookups.queries, "lookup_serials": self._lookups.rows}

    def crls(self) -> Collection[Crl]:
        """See ``troth.status.metrics.Gauges``."""
        return self._published.crls

    def custodians(self) -> Collection[CustodianState] | None:
        """See ``troth.status.metrics.Gauges``."""
        return self._custody.last

    def operations(self) -> Operations | None:
        """See ``troth.status.metrics.Gauges``."""
        return self._operations.read()

    def now(self) -> datetime:
        """See ``troth.status.metrics.Gauges``."""
        return self._clock.now()


async def _sleep(stop: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await stop.wait()
    except TimeoutError:
        pass
