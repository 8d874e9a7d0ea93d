"""CRLs on change and on schedule: a duty of the worker role, each shard held by one process at a time.

Every change of status leaves a row until a CRL has shown it (``crl_change``), so what is to be done is in the
database; the trust stream only says when to look. After a change the duty gathers for a moment and then has a CRL
made (``troth.pki.crl``): a delta for authorities that have them, else a complete one. On schedule, a little earlier
than the interval and at a different moment for each shard, a complete CRL is made from all entries anew.

All leases are renewed by one statement and all changes found by one more, so an authority with nothing to do costs
next to nothing. A lease says who works; what may be published is decided by the commit itself (its epoch, the number,
the swap of the pointer).
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Protocol
from uuid import UUID

from troth.audit.event import StreamEvent
from troth.audit.store import LedgerStore
from troth.audit.stream import Stream
from troth.kit.clock import Clock
from troth.kit.log import get_logger
from troth.kit.status_settings import CrlSettings
from troth.pki.authorities import Authority
from troth.pki.authority_store import AuthorityStore
from troth.pki.catalogue import Catalogue
from troth.pki.crl import CrlPublisher
from troth.pki.crl_store import CrlStore
from troth.pki.errors import CRL_NO_BASE, CRL_OVERTAKEN, CrlRefused
from troth.pki.model import Crl
from troth.pki.ports import CrlSigner, Interlock
from troth.store.errors import StoreError
from troth.store.lease import Held, Leases
from troth.store.pool import Database

log = get_logger("status")

#: Events after which a CRL lists something else than before.
_CHANGES = frozenset({"certificate.held", "certificate.released", "certificate.revoked", "certificate.burnt"})
#: What is taken from the stream; most of it would be certificates that are issued.
_ROOMS = _CHANGES | {"crl.wanted", "authority"}
#: How often leases are renewed (they last four times that), and how often age is looked at.
_BEAT_SECONDS = 2.0
_AGE_SECONDS = 10.0
_LONGEST_BACK_OFF = 60.0
#: A CRL that takes a tenth of a second is made twice a second at most: of its time the publisher works a fifth.
_REST, _LONGEST_REST = 4.0, 2.0
#: Scheduled CRLs of many shards come apart by up to this share of the interval.
_JITTER = 0.1

Shard = tuple[str, int]


class CrlMaker(Protocol):
    """``troth.pki.crl.CrlPublisher``."""

    async def publish(self, slug: str, shard: int = 0, *, scheduled: bool = True, held: Held | None = None) -> Crl:
        """A complete CRL."""
        ...

    async def publish_delta(self, slug: str, shard: int = 0, *, held: Held | None = None) -> Crl:
        """A delta."""
        ...


@dataclass(slots=True)
class _Duty:
    """One shard. ``due`` is monotonic seconds, None while nothing is to be done."""

    due: float | None = None
    scheduled: bool = False
    rested_at: float = 0.0
    failures: int = 0
    early: float = field(default_factory=lambda: random.random() * _JITTER)  # noqa: S311 -- jitter, not a secret


def lease_name(shard: Shard) -> str:
    """The lease under which a shard's CRLs are published."""
    return f"crl:{shard[0]}:{shard[1]}"


class CrlDuty:
    """See the module.

    Args:
        maker: makes and publishes the CRLs.
        catalogue: read again when an authority has changed.
        holder: this process's id.
    """

    def __init__(
        self,
        database: Database,
        clock: Clock,
        holder: UUID,
        maker: CrlMaker,
        settings: CrlSettings,
        *,
        catalogue: Catalogue,
    ) -> None:
        self._clock = clock
        self._maker = maker
        self._settings = settings
        self._catalogue = catalogue
        self._ledger = LedgerStore(database)
        self._stream = Stream(database, clock)
        self._authorities = AuthorityStore(database)
        self._crls = CrlStore(database)
        self._leases = Leases(database, clock, holder, seconds=_BEAT_SECONDS * 4)
        self._duties: dict[Shard, _Duty] = {}
        self._held: Mapping[str, Held] = {}
        self._known: dict[str, Authority] = {}
        self._wake = asyncio.Event()
        self._look_at: float | None = None
        self._age_at = 0.0

    async def run(self, stop: asyncio.Event) -> None:
        """Publish until ``stop`` is set. A database or a signer that is away is waited for."""
        start = await self._start(stop)
        if start is None:
            return
        tasks = {asyncio.create_task(self._follow(start, stop)), asyncio.create_task(self._keep(stop))}
        try:
            while not stop.is_set():
                for task in tasks:
                    if task.done():
                        task.result()
                try:
                    await self._look()
                    await self._publish_due()
                except StoreError as error:
                    log.warning("crl.duty_interrupted", error=str(error))
                await self._idle(stop)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._let_go()

    async def ensure(self) -> None:
        """See that each shard has a complete CRL at all: at a first start. Raises what publishing raises."""
        await self._learn()
        have = {(one.authority, one.shard) for one in await self._crls.published() if one.kind == "full"}
        for slug, shard in self._shards() - have:
            try:
                await self._maker.publish(slug, shard)
            except CrlRefused as error:
                if error.reason is not CRL_OVERTAKEN:
                    raise

    async def _start(self, stop: asyncio.Event) -> int | None:
        """The index to follow from, read before anything is looked at; None when told to stop."""
        while not stop.is_set():
            try:
                return (await self._ledger.head()).size
            except StoreError as error:
                log.warning("crl.duty_interrupted", error=str(error))
                await asyncio.sleep(_BEAT_SECONDS)
        return None

    # --- what there is to do -----------------------------------------------------------------------------------

    async def _follow(self, start: int, stop: asyncio.Event) -> None:
        async for batch in self._stream.follow(start, stop, lambda: _ROOMS):
            self._notice(batch.events)

    def _notice(self, events: Iterable[StreamEvent]) -> None:
        now = self._clock.monotonic()
        for event in events:
            if event.kind in _CHANGES and self._look_at is None:
                self._look_at = now + self._settings.gather_seconds
                self._wake.set()
            elif event.kind == "crl.wanted":
                self._want((event.data["authority"], event.data["shard"]), now, scheduled=True)
            elif event.kind.startswith("authority."):
                self._age_at = now
                if event.kind == "authority.crls_changed":
                    slug = event.data["slug"]
                    for shard in range(event.data["crl_shards"]):
                        self._want((slug, shard), now, scheduled=True)

    async def _keep(self, stop: asyncio.Event) -> None:
        """Renew the leases beside the work, which may take longer than they last."""
        while not stop.is_set():
            try:
                await self._beat()
            except StoreError as error:
                log.warning("crl.duty_interrupted", error=str(error))
            try:
                async with asyncio.timeout(_BEAT_SECONDS):
                    await stop.wait()
            except TimeoutError:
                pass

    async def _beat(self) -> None:
        now = self._clock.monotonic()
        if not self._known or now >= self._age_at:
            self._age_at = now + _AGE_SECONDS
            await self._learn()
            newest = {(one.authority, one.shard): one for one in await self._crls.published() if one.kind == "full"}
            for shard in self._shards():
                crl = newest.get(shard)
                # Another distribution point is another scope: what is published does not cover it.
                if crl is None or crl.point != self._point(shard) or self._of_age(shard, crl):
                    self._want(shard, now, scheduled=True)
            for shard in self._duties.keys() - self._shards():
                del self._duties[shard]
            # What changes is told; this is for what was not.
            self._look_at = self._look_at or now + self._settings.gather_seconds
            self._wake.set()
        if self._known:
            held = await self._leases.keep([lease_name(shard) for shard in self._shards()])
            if held.keys() - self._held.keys():
                self._look_at = now  # taken over: the one before may have left something undone
                self._wake.set()
            self._held = held

    async def _learn(self) -> None:
        found = await self._authorities.authorities()
        self._known = {one.slug: one for one in found if one.key_id is not None and one.state != "planned"}
        if any(self._catalogue.authorities.get(slug) != one for slug, one in self._known.items()):
            await self._catalogue.refresh()

    def _shards(self) -> set[Shard]:
        return {(slug, shard) for slug, one in self._known.items() for shard in range(one.crl_shards)}

    def _point(self, shard: Shard) -> str | None:
        authority = self._known[shard[0]]
        return authority.urls.crl_of(shard[1]) if authority.crl_shards > 1 else None

    def _of_age(self, shard: Shard, crl: Crl) -> bool:
        age = (self._clock.now() - crl.this_update).total_seconds()
        life = (crl.next_update - crl.this_update).total_seconds()
        interval = self._settings.interval_seconds * (1 - self._duties.setdefault(shard, _Duty()).early)
        # Half of its life at most, so that a failure has as long again to be mended.
        return age >= min(interval, life / 2)

    async def _look(self) -> None:
        """Find the shards whose changes no CRL shows yet."""
        now = self._clock.monotonic()
        if self._look_at is None or now < self._look_at:
            return
        self._look_at = None
        for waiting in await self._crls.waiting():
            self._want((waiting.authority, waiting.shard), now, scheduled=False)

    def _want(self, shard: Shard, at: float, *, scheduled: bool) -> None:
        duty = self._duties.setdefault(shard, _Duty())
        duty.scheduled = duty.scheduled or scheduled
        at = max(at, duty.rested_at)
        if duty.due is None or at < duty.due:
            duty.due = at
        self._wake.set()

    # --- doing it ----------------------------------------------------------------------------------------------

    async def _publish_due(self) -> None:
        for shard, duty in list(self._duties.items()):
            held = self._held.get(lease_name(shard))
            now = self._clock.monotonic()
            if duty.due is None or now < duty.due or held is None or now >= held.until:
                continue
            # Cleared before, not after: a change that comes while the CRL is made belongs into the next one.
            duty.due = None
            await self._publish_one(shard, duty, held, now)

    async def _publish_one(self, shard: Shard, duty: _Duty, held: Held, began: float) -> None:
        slug, number = shard
        scheduled, duty.scheduled = duty.scheduled, False
        try:
            if scheduled or not await self._delta(slug, number, held):
                await self._maker.publish(slug, number, scheduled=scheduled, held=held)
        except Exception as error:  # noqa: BLE001 -- whatever it is, the next CRL must be tried
            duty.failures += 1
            pause = min(_LONGEST_BACK_OFF, 2.0 ** (duty.failures - 1))
            log.warning("crl.publish_failed", authority=slug, shard=number, failures=duty.failures, error=str(error))
            duty.rested_at = 0.0
            self._want(shard, self._clock.monotonic() + pause, scheduled=scheduled)
            return
        duty.failures = 0
        duty.early = random.random() * _JITTER  # noqa: S311 -- jitter, not a secret
        ended = self._clock.monotonic()
        duty.rested_at = ended + min((ended - began) * _REST, _LONGEST_REST)

    async def _delta(self, slug: str, number: int, held: Held) -> bool:
        """Publish a delta; False when a complete CRL is called for."""
        authority = self._known.get(slug)
        if authority is None or not authority.crl_deltas:
            return False
        try:
            await self._maker.publish_delta(slug, number, held=held)
        except CrlRefused as error:
            if error.reason is CRL_NO_BASE:
                return False
            raise
        return True

    async def _idle(self, stop: asyncio.Event) -> None:
        """Wait for the next thing to do."""
        now = self._clock.monotonic()
        mine = [duty.due for shard, duty in self._duties.items() if lease_name(shard) in self._held]
        times = [at for at in (*mine, self._look_at) if at is not None]
        stopping, waking = asyncio.create_task(stop.wait()), asyncio.create_task(self._wake.wait())
        try:
            pause = min([now + _BEAT_SECONDS, *times]) - now
            await asyncio.wait({stopping, waking}, timeout=max(pause, 0.01), return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopping.cancel()
            waking.cancel()
        self._wake.clear()

    async def _let_go(self) -> None:
        if not self._held:
            return
        try:
            await self._leases.release(self._held)
        except StoreError as error:
            log.warning("crl.lease_not_released", error=str(error))  # it lapses by itself


def publisher_of(
    database: Database,
    signer: CrlSigner,
    catalogue: Catalogue,
    interlock: Interlock,
    clock: Clock,
    settings: CrlSettings,
    holder: UUID,
) -> CrlDuty:
    """The duty over the mint's own publisher."""
    lifetime = timedelta(seconds=settings.validity_seconds)
    mint = CrlPublisher(database, signer, catalogue, interlock, clock, lifetime=lifetime)
    return CrlDuty(database, clock, holder, mint, settings, catalogue=catalogue)
