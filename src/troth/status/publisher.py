"""CRLs on change: a duty of the worker role, held by one process at a time.

It follows the trust stream; when a certificate of an authority is held, released, revoked or burnt, it gathers for a
moment and then has a new CRL made (``troth.pki.crl``). Without any change a CRL is made every so often all the same,
long before the last one's nextUpdate. Two publishers would do no harm (numbers are reserved, and only grow), but
double work; the lease keeps it to one. Whoever takes the duty over looks in the ledger for what its predecessor may
have left undone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from troth.audit.event import StreamEvent
from troth.audit.store import LedgerStore
from troth.audit.stream import Stream
from troth.kit.clock import Clock
from troth.kit.log import get_logger
from troth.kit.settings import CrlSettings
from troth.pki.authorities import Authority
from troth.pki.authority_store import AuthorityStore
from troth.pki.catalogue import Catalogue
from troth.pki.crl import CrlPublisher
from troth.pki.errors import CRL_OVERTAKEN, CrlRefused
from troth.pki.model import Crl
from troth.pki.ports import CrlSigner, Interlock
from troth.status.model import CrlHead
from troth.status.store import StatusReader
from troth.store.errors import StoreError
from troth.store.lease import Held, Lease
from troth.store.pool import Database

log = get_logger("status")

LEASE_NAME = "crl-publisher"

#: Events after which a CRL lists something else than before.
_CHANGES = frozenset({"certificate.held", "certificate.released", "certificate.revoked", "certificate.burnt"})
_LEASE_SECONDS = 6.0
#: How often age is looked at, and the lease renewed.
_BEAT_SECONDS = 1.0
_LONGEST_BACK_OFF = 60.0
#: A CRL that takes a second to make is made every five at most: of its time the publisher works a fifth.
_REST = 4.0
#: How far the clocks of two nodes may be apart when a change is held against a CRL's time, and how many events back
#: that is looked for.
_SLACK = timedelta(seconds=60)
_LOOK_BACK = 500

Publish = Callable[[str], Awaitable[Crl]]


@dataclass(slots=True)
class _Duty:
    """One authority. ``due`` is monotonic seconds, None while nothing is to be done."""

    due: float | None = None
    rested_at: float = 0.0
    failures: int = 0


class CrlDuty:
    """See the module.

    Args:
        publish: ``troth.pki.crl.CrlPublisher.publish``.
        holder: this process's id.
    """

    def __init__(
        self,
        database: Database,
        clock: Clock,
        holder: UUID,
        publish: Publish,
        settings: CrlSettings,
        *,
        poll_seconds: float = 0.2,
    ) -> None:
        self._clock = clock
        self._publish = publish
        self._settings = settings
        self._ledger = LedgerStore(database)
        self._stream = Stream(database, clock, poll_seconds=poll_seconds)
        self._authorities = AuthorityStore(database)
        self._reader = StatusReader(database)
        self._lease = Lease(database, clock, LEASE_NAME, holder, seconds=_LEASE_SECONDS)
        self._duties: dict[str, _Duty] = {}
        self._wake = asyncio.Event()
        self._held: Held | None = None

    async def run(self, stop: asyncio.Event) -> None:
        """Publish until ``stop`` is set. A database or a signer that is away is waited for."""
        start = await self._start(stop)
        if start is None:
            return
        follower = asyncio.create_task(self._follow(start, stop))
        beat_at = 0.0
        try:
            while not stop.is_set() and not follower.done():
                try:
                    if self._clock.monotonic() >= beat_at:
                        beat_at = self._clock.monotonic() + _BEAT_SECONDS
                        await self._beat()
                    await self._publish_due()
                except StoreError as error:
                    log.warning("crl.duty_interrupted", error=str(error))
                await self._idle(stop, beat_at)
            if follower.done():
                follower.result()
        finally:
            follower.cancel()
            await asyncio.gather(follower, return_exceptions=True)
            await self._let_go()

    async def ensure(self) -> None:
        """See that each authority has a CRL at all: at a first start. Raises what publishing raises."""
        have = {head.authority for head in await self._reader.newest_crls()}
        for slug in (await self._signing()).keys() - have:
            try:
                await self._publish(slug)
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

    async def _follow(self, start: int, stop: asyncio.Event) -> None:
        async for batch in self._stream.follow(start, stop):
            self._notice(batch.events)

    def _notice(self, events: Iterable[StreamEvent]) -> None:
        for event in events:
            if event.kind in _CHANGES:
                self._want(event.data["authority"], self._clock.monotonic() + self._settings.gather_seconds)

    def _want(self, slug: str, at: float) -> None:
        duty = self._duties.setdefault(slug, _Duty())
        at = max(at, duty.rested_at)
        if duty.due is None or at < duty.due:
            duty.due = at
            self._wake.set()

    async def _beat(self) -> None:
        """Renew the lease, and see which CRLs have come of age."""
        before, self._held = self._held, None
        self._held = await self._lease.acquire()
        if self._held is None:
            return
        authorities = await self._signing()
        heads = {head.authority: head for head in await self._reader.newest_crls()}
        took_over = before is None or before.epoch != self._held.epoch
        now = self._clock.monotonic()
        for slug in authorities:
            head = heads.get(slug)
            if head is None or self._of_age(head) or (took_over and await self._overdue(head)):
                self._want(slug, now)
        for slug in self._duties.keys() - authorities.keys():
            del self._duties[slug]

    async def _signing(self) -> Mapping[str, Authority]:
        return {one.slug: one for one in await self._authorities.authorities() if _signs_crls(one)}

    def _of_age(self, head: CrlHead) -> bool:
        age = (self._clock.now() - head.this_update).total_seconds()
        life = (head.next_update - head.this_update).total_seconds()
        # Half of its life at most, so that a failure has as long again to be mended.
        return age >= min(self._settings.interval_seconds, life / 2)

    async def _overdue(self, head: CrlHead) -> bool:
        """Whether something may have changed that the CRL does not show yet. What is not in the log is followed."""
        events = await self._ledger.about(f"authority:{head.authority}", _LOOK_BACK)
        recent = [event for event in events if event.recorded_at > head.this_update - _SLACK]
        return len(recent) == _LOOK_BACK or any(event.kind in _CHANGES for event in recent)

    async def _publish_due(self) -> None:
        for slug, duty in list(self._duties.items()):
            held = self._held
            now = self._clock.monotonic()
            if held is None or now >= held.until:
                return
            if duty.due is None or now < duty.due:
                continue
            # Cleared before, not after: a change that comes while the CRL is made belongs into the next one.
            duty.due = None
            await self._publish_one(slug, duty, now)

    async def _publish_one(self, slug: str, duty: _Duty, began: float) -> None:
        try:
            await self._publish(slug)
        except Exception as error:  # noqa: BLE001 -- whatever it is, the next CRL must be tried
            duty.failures += 1
            pause = min(_LONGEST_BACK_OFF, 2.0 ** (duty.failures - 1))
            log.warning("crl.publish_failed", authority=slug, failures=duty.failures, error=str(error))
            duty.rested_at = 0.0
            self._want(slug, self._clock.monotonic() + pause)
            return
        duty.failures = 0
        ended = self._clock.monotonic()
        duty.rested_at = ended + (ended - began) * _REST

    async def _idle(self, stop: asyncio.Event, beat_at: float) -> None:
        """Wait for the next thing to do."""
        times = [duty.due for duty in self._duties.values() if duty.due is not None and self._held is not None]
        pause = min([beat_at, *times]) - self._clock.monotonic()
        stopping = asyncio.create_task(stop.wait())
        waking = asyncio.create_task(self._wake.wait())
        try:
            await asyncio.wait({stopping, waking}, timeout=max(pause, 0.01), return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopping.cancel()
            waking.cancel()
        self._wake.clear()

    async def _let_go(self) -> None:
        if self._held is None:
            return
        try:
            await self._lease.release()
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
    return CrlDuty(database, clock, holder, mint.publish, settings)


def _signs_crls(authority: Authority) -> bool:
    return authority.key_id is not None and authority.state != "planned"
