"""Shipping: the ledger follows its installation to a second place, event by event, with what is needed to go on.

One pass reads, in one snapshot, the next events, the rows they changed and the events that have no index yet, and
writes: the sealed bundle, the tiles, and last ``position``, which says how far all of it is there. A pass that was
cut short is made again from ``position``; what it wrote before is overwritten with what may have grown since.

Two promises hang on ``position``. *No checkpoint is signed over events that are not shipped* (``ceiling``), so what a
restored notary extends is never shorter than what anybody has seen signed. And the shipper is a decision point: a
hold is effective everywhere only when it is shipped, too, or this point's lease has lapsed;
``/metrics`` tells how far it is behind.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta
from uuid import UUID

import msgspec

from troth.audit.event import entry_hash, parse_payload
from troth.audit.store import LedgerStore
from troth.audit.stream import Batch, StreamPoint
from troth.audit.tiles import TileWriter
from troth.kit.clock import Clock
from troth.kit.errors import INTERNAL, TrothError
from troth.kit.log import get_logger
from troth.ops.backup.bundle import BUNDLE_FORMAT, Bundle, Event, Image, Waiting, bundle_name, seal_bundle
from troth.ops.backup.coverage import WHOLE
from troth.ops.backup.errors import SHIPPING_FOREIGN, ShippingFailed
from troth.ops.backup.sealing import Seal
from troth.ops.backup.shipped import SHIPPED, STOPPED, stops
from troth.ops.backup.store import SourceStore
from troth.ops.backup.target import Target
from troth.store.lease import Lease
from troth.store.marks import MARK, UNMARK, read_marks
from troth.store.pool import Database
from troth.store.snapshot import Snapshot, snapshot
from troth.store.unit import Unit

log = get_logger("ops")

_BATCH = 1000
_PAUSE = 0.2
_LEASE_SECONDS = 5.0
_SIZES_KEPT = 8
#: ``position`` is dated anew this often while nothing happens: what may be lost is counted from there.
_SAY_EVERY = timedelta(seconds=5)


class Position(msgspec.Struct, frozen=True, kw_only=True):
    """How far everything is there.

    Attributes:
        at: when that was so.
    """

    origin: str
    size: int
    at: datetime


class Shipper:
    """Ships one ledger to one target."""

    def __init__(self, url: str, target: Target, seal: Seal, clock: Clock, *, origin: str, secret: bytes) -> None:
        self._secret = secret
        self._url = url
        self._target = target
        self._seal = seal
        self._clock = clock
        self._origin = origin
        self._writer: TileWriter | None = None
        self._digests: dict[str, str] = {}
        self._noted = 0
        self._complete_at: datetime | None = None
        self._said_at: datetime | None = None
        self._unfinished: list[list[str]] = []

    @property
    def size(self) -> int:
        """How many events are shipped, as far as this process knows."""
        return 0 if self._writer is None else self._writer.size

    @property
    def complete_at(self) -> datetime | None:
        """When everything that the database held was last shipped."""
        return self._complete_at

    async def ship(self) -> int:
        """One pass; returns how many events it shipped. Raises ShippingFailed, StoreError."""
        writer = self._writer if self._writer is not None else await asyncio.to_thread(self._resume)
        self._writer = None  # until this pass has ended well: a half-written one is read back
        async with snapshot(self._url) as view:
            bundle, complete, digests = await self._read(view, writer.size)
        if bundle.events:
            await asyncio.to_thread(self._put, bundle, writer)
            self._digests |= digests
        if bundle.events or complete:
            await asyncio.to_thread(self._put_position, bundle)
            self._said_at = bundle.made_at
        if bundle.events:
            await asyncio.to_thread(self._drop_unfinished, writer)
        if bundle.note is not None and bundle.note[0] > self._noted:
            await asyncio.to_thread(self._target.put, "checkpoint", bundle.note[1].encode())
            self._noted = bundle.note[0]
        self._writer = writer
        if complete:
            self._complete_at = bundle.made_at
        return len(bundle.events)

    def due(self, *, size: int, noted: int, waiting: bool) -> bool:
        """Whether a pass has anything to do, from what the ledger says of itself; if not, all of it is shipped."""
        now = self._clock.now()
        writer = self._writer
        if writer is None or size != writer.size or noted > self._noted or self._said_at is None:
            return True
        if not waiting:
            self._complete_at = now
        return now - self._said_at > _SAY_EVERY

    def _resume(self) -> TileWriter:
        content = self._target.get("position")
        if content is None:
            return TileWriter()
        try:
            said = msgspec.json.decode(content, type=Position)
        except msgspec.MsgspecError as error:
            raise ShippingFailed(SHIPPING_FOREIGN, "position cannot be read") from error
        if said.origin != self._origin:
            raise ShippingFailed(SHIPPING_FOREIGN, f"they are of {said.origin}, this ledger is {self._origin}")
        return TileWriter.at(said.size, self._target.get)

    async def _read(self, view: Snapshot, start: int) -> tuple[Bundle, bool, dict[str, str]]:
        store = SourceStore(view)
        now = self._clock.now()
        size, _, _ = await store.head()
        if size < start:
            raise ShippingFailed(SHIPPING_FOREIGN, f"{start} events are shipped, the ledger holds {size}")
        events = [Event(*row) for row in await store.events(start, _BATCH)]
        end = start + len(events)
        digests: dict[str, str] = {}
        whole: dict[str, list[dict[str, object]]] = {}
        images = {}
        if events:
            for table in WHOLE:
                digest = await store.digest(table)
                if digest != self._digests.get(table):
                    whole[table], digests[table] = await store.whole(table), digest
            # From the events themselves: the ledger's own index is by reference, and a look by place walks all of it.
            named = (subject for event in events for subject in _subjects(event))
            images = {name: Image(one["keys"], one["rows"]) for name, one in (await store.images(named)).items()}
        bundle = Bundle(
            format=BUNDLE_FORMAT,
            origin=self._origin,
            start=start,
            end=end,
            made_at=now,
            migration=max(await view.schema(), default=0),
            events=events,
            waiting=[Waiting(*row) for row in await store.waiting()] if end == size else [],
            note=await store.note_within(self._noted, end),
            images=images,
            whole=whole,
        )
        return bundle, end == size and not bundle.waiting, digests

    def _put(self, bundle: Bundle, writer: TileWriter) -> None:
        self._target.put(bundle_name(bundle.start), seal_bundle(bundle, self._seal, self._secret))
        rows = []
        for event in bundle.events:
            # An erased payload leaves a leaf whose entry nobody has any more; its place is kept with zeros.
            known = event.payload is not None and event.salt is not None
            rows.append((entry_hash(event.salt or b"", event.payload or b"") if known else bytes(32), event.leaf))
        for tile in writer.append(rows):
            self._target.put(tile.path, tile.content)

    def _drop_unfinished(self, writer: TileWriter) -> None:
        """Remove unfinished tiles that larger ones have replaced; those of the last sizes stay for who reads now."""
        self._unfinished.append(writer.unfinished())
        if len(self._unfinished) > _SIZES_KEPT:
            kept = {name for names in self._unfinished[-_SIZES_KEPT:] for name in names}
            for name in self._unfinished.pop(0):
                if name not in kept:
                    self._target.drop(name)

    def _put_position(self, bundle: Bundle) -> None:
        said = Position(origin=self._origin, size=bundle.end, at=bundle.made_at)
        self._target.put("position", msgspec.json.encode(said))


class ShippingDuty:
    """Ships for as long as this process holds the duty, and answers for how far it has come."""

    def __init__(self, shipper: Shipper, database: Database, clock: Clock, instance: UUID) -> None:
        self._shipper = shipper
        self._ledger = LedgerStore(database)
        self._clock = clock
        self._lease = Lease(database, clock, "shipping", instance, seconds=_LEASE_SECONDS)
        self._instance = instance
        self._database = database
        self._marked_at: datetime | None = None
        self._held = False
        self._told: str | None = None

    async def ceiling(self) -> int:
        """How many events a checkpoint may cover: those that are shipped."""
        return self._shipper.size if self._held else 0

    async def _mark(self) -> None:
        """Have it known when everything was last shipped. Often enough for an alarm, not for each event."""
        at = self._shipper.complete_at
        if at is not None and (self._marked_at is None or at - self._marked_at >= _SAY_EVERY):
            await self._database.commit(Unit().write(MARK, SHIPPED, at))
            self._marked_at = at

    async def _tell(self, code: str) -> None:
        """Have it known that shipping has stopped for the reason ``code``, or, if it is empty, goes on."""
        if code == self._told:
            return
        unit = Unit().write_all(UNMARK, stops(await read_marks(self._database)))
        if code:
            unit.write(MARK, f"{STOPPED}{code}", self._clock.now())
        if unit.writes:
            await self._database.commit(unit)
        self._told = code

    async def _stopped(self, code: str) -> None:
        """Shipping has failed for the reason ``code``."""
        try:
            if self._held:
                await self._tell(code)
        except TrothError as error:
            log.warning("shipping.untold", code=error.code, detail=error.detail)

    async def _news(self) -> bool:
        # What waits first: an event that gets its index between the two questions is then seen by the second.
        waiting = await self._ledger.waiting()
        head, last = await self._ledger.head(), await self._ledger.last_checkpoint()
        noted = 0 if last is None else last.size
        return self._shipper.due(size=head.size, noted=noted, waiting=waiting is not None)

    async def run(self, stop: asyncio.Event, *, told: Callable[[TrothError], None] | None = None) -> None:
        """Ship until ``stop`` is set. A place that is away is tried again; that is told in the log."""
        point = StreamPoint(self._ledger, self._clock, self._instance, "shipping")
        failing = False
        while not stop.is_set():
            moved = 0
            try:
                self._held = await self._lease.acquire() is not None
                if self._held:
                    asked = self._clock.monotonic()
                    moved = await self._shipper.ship() if await self._news() else 0
                    await point.applied(Batch((), self._shipper.size, asked, moved < _BATCH))
                    await self._mark()
                    await self._tell("")
                else:
                    self._told = None  # whoever ships now says how that goes
                failing = False
            except TrothError as error:
                if not failing:
                    log.error("shipping.stopped", code=error.code, detail=error.detail)
                failing = True
                await self._stopped(error.code)
                if told is not None:
                    told(error)
            except Exception:
                failing = True
                log.exception("shipping.stopped")
                await self._stopped(INTERNAL.code)
            if moved < _BATCH:
                try:
                    async with asyncio.timeout(_PAUSE if not failing else 1.0):
                        await stop.wait()
                except TimeoutError:
                    pass
        try:
            if self._held:
                await self._shipper.ship()
            await point.leave()
            await self._lease.release()
        except TrothError as error:
            log.warning("shipping.unfinished", code=error.code, detail=error.detail)


def _subjects(event: Event) -> tuple[str, ...]:
    return () if event.payload is None else parse_payload(event.index, event.payload).subjects
