"""How the trust table is filled and kept true: the tasks of one RADIUS worker.

1. The head of the log is read, then the ground (networks, anchors, policies), then every certificate that could be
   admitted, page by page. What is committed meanwhile comes by the stream, from that head on.
2. Each batch of the stream is applied, and what it says of networks, anchors and policies is read again; only then is
   it acknowledged. What cannot be read is not acknowledged: the lease lapses, and nobody is let in on it.
3. Behind the answers: what is unsettled is read in batches, what somebody waits for first; every row is read again
   within the hour, for what no event tells; certificates that have expired are forgotten.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import TypeAlias
from uuid import UUID

from troth.audit.lull import Lull
from troth.audit.store import LedgerStore
from troth.audit.stream import LEASE_POLL, Batch, Stream, StreamPoint, Vouching
from troth.kit.clock import Clock
from troth.kit.errors import TrothError
from troth.kit.log import get_logger
from troth.kit.rhythm import Rhythm
from troth.pki.anchor_store import AnchorStore
from troth.pki.authority_store import AuthorityStore
from troth.pki.fence_store import read_fence
from troth.radius.admission import network_store, source_store
from troth.radius.admission.breaker import Opened
from troth.radius.admission.calling import call
from troth.radius.admission.chains import Anchors
from troth.radius.admission.crls import loaded
from troth.radius.admission.document import network_of
from troth.radius.admission.foreign import ForeignCrl
from troth.radius.admission.model import Networks
from troth.radius.admission.reading import TableReader
from troth.radius.admission.service import Decider, Lease
from troth.radius.admission.table import ROOMS, TrustTable
from troth.store.errors import StoreError
from troth.store.pool import Database
from troth.store.unit import Unit
from troth.trust.decision.decide import Judge
from troth.trust.places import Places
from troth.trust.vocabulary import GATHERED_ROOTS

log = get_logger("radius")

#: First words of the events after which the ground is read again.
_GROUND = frozenset({"network", "policy", "authority", "trust_anchor", "recovery"})
#: Seconds: after a failure; between two looks at which feeds are late; between two pages that are read again for age.
_RETRY, _FEEDS, _AGING = 1.0, 2.0, 5.0
#: Rows of one read of what is unsettled, and of one page that is read again for age.
_SETTLED, _AGED = 500, 500
_SWEEP = 3_600.0
_RELOOK = timedelta(hours=1)
#: While nothing happens.
_QUIET = Rhythm("admission.feeds_quiet", 60.0, "radius")
Listener: TypeAlias = "Callable[[], Awaitable[None]]"


class Follower:
    """Fills the table of one worker and keeps it true. ``ready`` once the lease runs for the first time.

    Args:
        point: this process's id (``troth.store.lease.Instance.id``).
        pulse: what says that nothing has come (``troth.audit.pulse``); without it the stream is polled.
        listeners: others of this process, by the first word of the events: called when there was one, before it is
            acknowledged. One that raises a TrothError keeps it from being so, and is called again.
    """

    def __init__(
        self,
        database: Database,
        judge: Judge,
        clock: Clock,
        point: UUID,
        *,
        places: Places | None = None,
        listeners: Mapping[str, Listener] | None = None,
        pulse: Vouching | None = None,
        poll_seconds: float = LEASE_POLL,
    ) -> None:
        self._database = database
        self._judge = judge
        self._clock = clock
        self._ledger = LedgerStore(database)
        self._point = StreamPoint(self._ledger, clock, point, "radius", pulse=pulse)
        self._stream = Stream(database, clock, poll=lambda: self._poll(poll_seconds), spared=lambda: self._spared)
        self._listeners = dict(listeners or {})
        self.table = TrustTable(clock)
        self.decider = Decider(self.table, judge.policies, self._point, clock)
        self.decider.ground = replace(self.decider.ground, places=places or Places())
        self._reader = TableReader(database, judge, self.table, clock)
        self._index = 0
        self._epoch = 0
        #: What was told of and is not taken up yet: the ground, and first words of the events of others.
        self._ground_due = False
        self._due: set[str] = set()
        self._loading: asyncio.Task[None] | None = None
        #: Told when a person has closed a breaker: network, and for how many seconds.
        self.on_closed: Callable[[str, float], None] | None = None
        self._calls: asyncio.Queue[Opened] = asyncio.Queue(maxsize=100)

    @property
    def lease(self) -> Lease:
        """Whether this worker may vouch for what it holds."""
        return self._point

    @property
    def index(self) -> int:
        """The index of the stream that is to be applied next."""
        return self._index

    async def run(self, stop: asyncio.Event, ready: Callable[[], None]) -> None:
        """Follow until ``stop`` is set. Raises what none of its tasks may raise."""
        if not await self._start(stop):
            return
        tasks = {
            asyncio.create_task(self._follow(stop, ready)),
            asyncio.create_task(self._settle()),
            asyncio.create_task(self._watch_feeds()),
            asyncio.create_task(self._renew()),
            asyncio.create_task(self._call()),
            asyncio.create_task(self._write_down()),
            asyncio.create_task(stop.wait()),
        }
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            everything = [*tasks, *([self._loading] if self._loading is not None else [])]
            for task in everything:
                task.cancel()
            await asyncio.gather(*everything, return_exceptions=True)
            try:
                await self._point.leave()
            except StoreError as error:
                log.warning("admission.leave_failed", error=str(error))  # the lease lapses by itself

    async def _start(self, stop: asyncio.Event) -> bool:
        """Take the ground and a snapshot; False when told to stop before they were to be had."""
        while not stop.is_set():
            try:
                # The head first: what is committed while the rows are read comes again by the stream.
                self._index = (await self._ledger.head()).size
                await self._take_ground()
                if self._loading is not None:
                    await self._loading
                if self.table.complete:
                    log.info("admission.loaded", index=self._index, certificates=len(self.table))
                    return True
            except TrothError as error:
                log.warning("admission.load_failed", error=str(error))
            await _sleep(stop, _RETRY)
        return False

    # --- the stream --------------------------------------------------------------------------------------------

    async def _follow(self, stop: asyncio.Event, ready: Callable[[], None]) -> None:
        rooms = ROOMS | _GROUND | self._listeners.keys()
        said = False
        async for batch in self._stream.follow(self._index, stop, lambda: rooms):
            self.table.apply(batch.events)
            for event in batch.events:
                if event.kind == "network.breaker_closed" and self.on_closed is not None:
                    self.on_closed(str(event.data["network"]), float(event.data["seconds"]))
            self._index = batch.next
            if not await self._taken_up(batch):
                continue
            try:
                await self._point.applied(batch)
            except StoreError as error:
                # Not acknowledged: the lease lapses, and the networks' stale policies hold until it is back.
                log.warning("admission.acknowledge_failed", error=str(error))
                continue
            if self._point.live and not said:
                said = True
                ready()

    def _poll(self, seconds: float) -> float:
        """What could not be read just now is tried again soon."""
        return min(seconds, LEASE_POLL) if self._behind else self._point.poll(seconds)

    @property
    def _behind(self) -> bool:
        return self._ground_due or bool(self._due)

    @property
    def _spared(self) -> bool:
        return not self._behind and self._point.spared

    async def _taken_up(self, batch: Batch) -> bool:
        """Take up what the batch says of the ground and of others' things; False: that could not be read just now."""
        rooms = {event.kind.partition(".")[0] for event in batch.events}
        self._ground_due = self._ground_due or not rooms.isdisjoint(_GROUND)
        self._due |= rooms & self._listeners.keys()
        try:
            if self._ground_due:
                await self._take_ground()
                self._ground_due = False
            for room in sorted(self._due):
                await self._listeners[room]()
                self._due.discard(room)
        except TrothError as error:
            log.warning("admission.ground_unreadable", error=str(error))
            return False
        return True

    async def _take_ground(self) -> None:
        """Read networks, anchors, lists, policies and the fence, and have the table hold what they need."""
        reader = self._database
        fence = await read_fence(reader)
        authorities = {one.slug: one for one in await AuthorityStore(reader).authorities()}
        foreign = {one.name: one for one in await AnchorStore(reader).all()}
        stored = await network_store.networks(reader)
        lists = await self._lists()
        await self._judge.policies.refresh()
        # From here on nothing is awaited: policies, the wish for what they read, and the ground change together.
        networks = Networks.of([network_of(one.definition, one.version) for one in stored])
        policies = [self._judge.policies.governing(profile) for profile in networks.policies]
        paths = frozenset[str]().union(*(one.wants(*GATHERED_ROOTS) for one in policies if one is not None))
        fresh = self.table.want(networks.profiles, paths)
        before = self.decider.ground
        self._epoch += authorities != before.anchors.authorities or foreign != before.anchors.foreign
        self.decider.ground = replace(
            before, networks=networks, anchors=Anchors(authorities, foreign, self._epoch), lists=lists,
            fenced=fence.closed,
        )  # fmt: skip
        if fresh or not self.table.complete:
            self._load()

    async def _lists(self) -> dict[bytes, ForeignCrl]:
        """Others' revocation lists; only such as have changed are read and parsed."""
        known, found = self.decider.ground.lists, dict[bytes, ForeignCrl]()
        for issuer, this_update in await network_store.crl_heads(self._database):
            present = known.get(issuer)
            if present is not None and present.this_update == this_update:
                found[issuer] = present
            elif (der := await network_store.crl_der(self._database, issuer)) is not None:
                found[issuer] = await asyncio.to_thread(loaded, issuer, der)
        return found

    def _load(self) -> None:
        if self._loading is not None and not self._loading.done():
            self._loading.cancel()
        self._loading = asyncio.create_task(self._load_all())

    async def _load_all(self) -> None:
        """Until every certificate of the profiles that are wanted is there."""
        while True:
            try:
                await self._reader.load(self.table.profiles)
            except TrothError as error:
                log.warning("admission.load_failed", error=str(error))
                await asyncio.sleep(_RETRY)
                continue
            self.table.loaded()
            return

    # --- behind the answers ------------------------------------------------------------------------------------

    async def _settle(self) -> None:
        """Read what is unsettled, at once and in batches."""
        while True:
            await self.table.doubts.wanted.wait()
            self.table.doubts.wanted.clear()
            while (keys := self.table.doubts.first(_SETTLED)) or self.table.names.asked(1):
                try:
                    await self._reader.names(self.table.names.asked(_SETTLED))
                    await self._reader.settle(keys)
                except TrothError as error:
                    log.warning("admission.unsettled", error=str(error), waiting=len(keys))
                    await asyncio.sleep(_RETRY / 4)

    async def _watch_feeds(self) -> None:
        """Which feeds are late: the worker says so in the ledger, and what it says of is looked at in a moment."""
        never = asyncio.Event()
        async with Lull(_QUIET, self._database).noticed(never) as lull:
            await self._look_at_feeds(lull, never)

    async def _look_at_feeds(self, lull: Lull, never: asyncio.Event) -> None:
        while True:
            try:
                feeds = await self._judge.feeds_down()
                if feeds != self.decider.ground.feeds:
                    self.decider.ground = replace(self.decider.ground, feeds=feeds)
            except TrothError as error:
                log.warning("admission.feeds_unknown", error=str(error))
            await lull.rest(_FEEDS, never)

    async def _renew(self) -> None:
        """Read everything again, little by little, and forget what has ended."""
        swept = self._clock.monotonic()
        while True:
            async for _ in self._pages():
                await asyncio.sleep(_AGING)
                if self._clock.monotonic() - swept >= _SWEEP:
                    swept = self._clock.monotonic()
                    for _ in self.table.sweep():
                        await asyncio.sleep(0)

    async def _pages(self) -> AsyncIterator[None]:
        ids = self.table.subject_ids()
        for start in range(0, len(ids) or 1, _AGED):
            try:
                await self._reader.settle(ids[start : start + _AGED])
            except TrothError as error:
                log.warning("admission.renewal_failed", error=str(error))
            yield

    async def _write_down(self) -> None:
        """Where strangers' certificates say that their revocation lists lie: the worker fetches them."""
        while True:
            await asyncio.sleep(_FEEDS)
            learned = self.decider.paths.learned.take()
            if not learned:
                continue
            unit, now, networks = Unit(), self._clock.now(), self.decider.ground.networks.all
            every = {name: one.foreign.every for one in networks if one.foreign is not None for name in one.anchors}
            for (anchor, url), issuers in learned.items():
                source_store.learn(unit, anchor, url, issuers, every=every.get(anchor, _RELOOK), at=now)
            try:
                await self._database.commit(unit)
            except StoreError as error:
                log.warning("admission.sources_unwritten", error=str(error))
                self.decider.paths.learned.put_back(learned)

    # --- people ------------------------------------------------------------------------------------------------

    def call(self, opened: Opened) -> None:
        """Have people called: the breaker has opened (:class:`~troth.radius.admission.admissions.Admissions`)."""
        if not self._calls.full():
            self._calls.put_nowait(opened)

    async def _call(self) -> None:
        while True:
            opened = await self._calls.get()
            seconds = max(0, int(opened.until - self._clock.monotonic()))
            network = self.decider.ground.networks.by_name.get(opened.network)
            try:
                await self._database.commit(call(opened, network, seconds=seconds, at=self._clock.now()))
            except StoreError as error:
                log.error("admission.call_failed", error=str(error))
                self.call(opened)
                await asyncio.sleep(_RETRY)


async def _sleep(stop: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await stop.wait()
    except TimeoutError:
        pass
