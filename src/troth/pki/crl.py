"""CRLs, complete and delta, of each shard: built from stored entries, numbered, signed, verified, stored, published.

The rule of the gate holds here, too: number and digest are committed before the signature is asked for, and what is
stored is what was reserved. A number is the time in milliseconds, or one above the highest ever taken if that is
more: it only grows, even when a database is restored from an older backup. A CRL whose build was cut short leaves a
gap in the numbers, which RFC 5280 (5.2.3) allows; a number used twice it does not. Complete CRLs and deltas of a shard
share one sequence (5.2.4).

Entries: every certificate that is held (certificateHold) or revoked, burnt serial numbers included, until one
scheduled CRL issued after its expiry has shown it (3.3). A delta lists what changed since its base; what is good
again is ``removeFromCRL`` there if the base, or any CRL since, listed it. A certificate with noRevAvail is in none.

Who publishes holds the shard's lease; its epoch is checked in the commits that reserve and that publish, and the
latter swaps the pointer to what is published only if that is what the builder started from.
"""

from __future__ import annotations

import asyncio
import functools
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from cryptography import x509

from troth.kit.clock import Clock, to_seconds
from troth.kit.log import get_logger
from troth.pki import algorithms
from troth.pki.authorities import Authority
from troth.pki.catalogue import Catalogue
from troth.pki.crl_buffer import CrlBuffer, bodies
from troth.pki.crl_der import REMOVE_FROM_CRL, CrlFrame, CrlScope, crl_der, crl_entry, crl_frame
from troth.pki.crl_digest import CrlDigests, digests_of
from troth.pki.crl_lint import PKILINT_ON_CHANGE, SAMPLE, CrlExpected, lint_crl, sample
from troth.pki.crl_store import (
    ADD_CHUNK,
    DROP_CHANGES_TO,
    PUBLISH_CHUNKS,
    SET_CHUNK_GONE,
    Change,
    Chunk,
    CrlStore,
    Shown,
    Standing,
)
from troth.pki.crl_units import fenced, note_shown, publish_unit, reserve_unit
from troth.pki.errors import CRL_NO_BASE, CRL_WRONG, CrlRefused
from troth.pki.model import Crl, CrlKind
from troth.pki.ports import CrlSigner, Interlock
from troth.pki.serial import SerialNumber
from troth.store.errors import CommitUnknown
from troth.store.lease import Held
from troth.store.pool import Database
from troth.store.unit import Unit

log = get_logger("pki")

#: nextUpdate minus thisUpdate. CRLs are published on every change and at a quarter of this besides.
LIFETIME = timedelta(hours=24)
#: Changes that one CRL takes note of; the others stay for the next (their entries may be in this one already).
_CHANGES = 20_000
#: Octets of runs that are stored in one commit.
_STORED_AT_ONCE = 4 << 20
#: A delta larger than this is no relief any more: a complete CRL takes its place.
_LARGEST_DELTA = 4 << 20


@dataclass(frozen=True, slots=True)
class _Build:
    """One CRL between its reading and its publication."""

    authority: Authority
    crl: Crl
    frame: CrlFrame
    runs: tuple[bytes, ...]
    scope: CrlScope
    standing: Standing
    alive_at: datetime
    scheduled: bool
    #: Header and a sample of the entries as one small CRL, for lint.
    sample: bytes


class CrlPublisher:
    """Builds and publishes CRLs: a duty of the worker. Belongs to one event loop.

    Keeps the entries of every shard that it has published (``crl_buffer``): of a million revoked certificates 49 MB.
    """

    def __init__(
        self,
        database: Database,
        signer: CrlSigner,
        catalogue: Catalogue,
        interlock: Interlock,
        clock: Clock,
        *,
        lifetime: timedelta = LIFETIME,
    ) -> None:
        self._database = database
        self._signer = signer
        self._catalogue = catalogue
        self._interlock = interlock
        self._clock = clock
        self._lifetime = lifetime
        self._store = CrlStore(database)
        self._buffers: dict[tuple[str, int], CrlBuffer] = {}
        self._locks: dict[tuple[str, int], asyncio.Lock] = {}

    async def due(self, authority: str, shard: int = 0) -> bool:
        """Whether the newest complete CRL is missing or a quarter of its life has passed."""
        newest = {(one.authority, one.shard): one for one in await self._store.published() if one.kind == "full"}
        found = newest.get((authority, shard))
        if found is None:
            return True
        return self._clock.now() >= found.this_update + (found.next_update - found.this_update) / 4

    def forget(self) -> None:
        """Let go of all entries; the next CRL reads them again from where they are stored."""
        self._buffers.clear()

    async def publish(self, slug: str, shard: int = 0, *, scheduled: bool = True, held: Held | None = None) -> Crl:
        """Build and publish the next complete CRL of one shard; with deltas, a delta to the one before as well.

        Args:
            scheduled: read all entries again, and leave out those whose certificates had expired when the last
                scheduled CRL showed them. Otherwise only what has changed is read.
            held: the lease under which this is done.

        Raises CrlRefused (another build was faster; the signature is wrong), AuthorityRefused, ClockRefused,
        LeaseLost, StoreError, or what the signer raises. Whatever it raises, the last CRL stays the published one.
        """
        async with self._lock(slug, shard):
            made, base = await self._publish_full(slug, shard, scheduled, held)
            if base:
                # The same number and the same news (RFC 5280, 5.2.4), for those who still have the one before.
                await self._publish_delta(slug, shard, held, base=base, number=made.number)
            return made

    async def publish_delta(self, slug: str, shard: int = 0, *, held: Held | None = None) -> Crl:
        """Build and publish the next delta to the complete CRL that is published. Raises as :meth:`publish`.

        CrlRefused (``pki.crl.no_base``) when there is no such CRL of the shard's present scope, or when so much has
        changed that only a complete one helps.
        """
        async with self._lock(slug, shard):
            return await self._publish_delta(slug, shard, held, base=None, number=None)

    def _lock(self, slug: str, shard: int) -> asyncio.Lock:
        return self._locks.setdefault((slug, shard), asyncio.Lock())

    # --- complete CRLs -----------------------------------------------------------------------------------------

    async def _publish_full(self, slug: str, shard: int, scheduled: bool, held: Held | None) -> tuple[Crl, int]:
        """The CRL, and the number of the one before if a delta can lead from there to here."""
        began = self._clock.monotonic()
        await self._interlock.ensure()
        authority = self._catalogue.authority(slug)
        # 1. Read what has changed.
        buffer, standing, anew = await self._buffer(slug, shard)
        pending = await self._store.pending(slug, shard, _CHANGES)
        before = buffer.lookup(change.serial for change in pending) if authority.crl_deltas else {}
        now = to_seconds(self._clock.now())
        if scheduled or anew:
            # What had expired before the last scheduled CRL's thisUpdate was shown, expired, in that one.
            alive = buffer.alive_at or now
            if scheduled:
                alive = min(standing.scheduled_at or now, now)
            await buffer.refresh_all(self._store, alive)
        else:
            await buffer.refresh(self._store, (change.serial for change in pending))
        urls = authority.urls
        scope = CrlScope(_point(authority, shard), None, urls.delta_of(shard) if authority.crl_deltas else None)
        number = max(standing.last + 1, int(self._clock.now().timestamp() * 1000))
        chunks = buffer.chunks
        build = self._frame(
            authority, shard, "full", number, scope, tuple(bodies(chunks)), buffer.entries, standing,
            alive_at=buffer.alive_at or now, scheduled=scheduled or anew,
        )  # fmt: skip
        # 2. Lint, reserve, 3. sign, 4. verify.
        head, tail, digests = await self._sign(build, held)
        # 5. Store; only then is it there for readers.
        early = await self._store_early(build, buffer.fresh(), held)
        crl = _signed(build.crl, head, tail, build.runs, digests, self._clock.monotonic() - began)
        unit = publish_unit(crl, digests.tbs_sha256, standing, held)
        for place, chunk in enumerate(chunks):
            unit.write(PUBLISH_CHUNKS, slug, shard, crl.number, place, chunk.id)
        for chunk in buffer.fresh():
            if chunk.id in early:
                unit.write(SET_CHUNK_GONE, chunk.id, None)
            else:
                unit.write(ADD_CHUNK, *_chunk_row(build, chunk), None)
        for chunk_id in buffer.gone():
            unit.write(SET_CHUNK_GONE, chunk_id, crl.number)
        note_shown(unit, authority, crl, pending, before, buffer)
        # A delta of this very number may start from the CRL before; from further back none does.
        unit.write(DROP_CHANGES_TO, slug, shard, standing.full_number if authority.crl_deltas else crl.number)
        await self._publish(unit, slug, shard)
        buffer.published(crl.number)
        log.info(
            "crl.published", authority=slug, shard=shard, number=crl.number, entries=crl.entries, bytes=crl.size,
            seconds=round(crl.build_seconds or 0.0, 3), scheduled=scheduled,
        )  # fmt: skip
        followed = authority.crl_deltas and not anew and standing.point == scope.point
        return crl, standing.full_number if followed else 0

    async def _buffer(self, slug: str, shard: int) -> tuple[CrlBuffer, Standing, bool]:
        """The shard's entries as of what is published, and whether all must be read anew."""
        standing = await self._store.standing(slug, shard)
        buffer = self._buffers.get((slug, shard))
        if buffer is not None and buffer.number == standing.full_number and buffer.alive_at is not None:
            return buffer, standing, False
        buffer = self._buffers[slug, shard] = CrlBuffer(slug, shard)
        # One from before there were chunks has entries and no chunk.
        loaded = (bool(standing.chunks) or standing.entries == 0) and await buffer.load(
            self._store, standing.chunks, standing.full_number, standing.alive_at
        )
        if not loaded:
            buffer.number = standing.full_number
            buffer.alive_at = to_seconds(self._clock.now()) if standing.alive_at is None else standing.alive_at
            return buffer, standing, True
        # Deltas may have shown changes that the complete CRL does not have.
        since = await self._store.shown_since(slug, shard, standing.full_number)
        await buffer.refresh(self._store, (one.serial for one in since))
        return buffer, standing, False

    async def _store_early(self, build: _Build, fresh: list[Chunk], held: Held | None) -> set[object]:
        """Store many runs in commits of their own; until they are published they count as gone."""
        early: set[object] = set()
        if sum(len(chunk.body) for chunk in fresh) <= _STORED_AT_ONCE:
            return early
        unit, size = Unit(), 0
        for chunk in fresh:
            unit.write(ADD_CHUNK, *_chunk_row(build, chunk), build.crl.number)
            early.add(chunk.id)
            size += len(chunk.body)
            if size >= _STORED_AT_ONCE:
                await self._database.commit(fenced(unit, held))
                unit, size = Unit(), 0
        await self._database.commit(fenced(unit, held))
        return early

    # --- deltas ------------------------------------------------------------------------------------------------

    async def _publish_delta(
        self, slug: str, shard: int, held: Held | None, *, base: int | None, number: int | None
    ) -> Crl:
        """With ``base`` and ``number``: beside a complete CRL just published. Without: on its own, for what is new."""
        began = self._clock.monotonic()
        await self._interlock.ensure()
        authority = self._catalogue.authority(slug)
        buffer, standing, anew = await self._buffer(slug, shard)
        scope = CrlScope(_point(authority, shard), base or standing.full_number)
        if standing.full_number == 0 or standing.point != scope.point or anew:
            raise CrlRefused(CRL_NO_BASE, f"shard {shard} of {slug}")
        pending: list[Change] = []
        before: dict[bytes, bytes] = {}
        if number is None:
            pending = await self._store.pending(slug, shard, _CHANGES)
            before = buffer.lookup(change.serial for change in pending)
            await buffer.refresh(self._store, (change.serial for change in pending))
            number = max(standing.last + 1, int(self._clock.now().timestamp() * 1000))
        since = await self._store.shown_since(slug, shard, scope.base_number or 0)
        entries = self._delta_entries(since, pending, before, buffer)
        body = b"".join(entries)
        if len(body) > _LARGEST_DELTA:
            raise CrlRefused(CRL_NO_BASE, f"the delta of shard {shard} of {slug} would have {len(entries)} entries")
        build = self._frame(
            authority, shard, "delta", number, scope, (body,) if body else (), len(entries), standing,
            alive_at=buffer.alive_at or self._clock.now(), scheduled=False,
        )  # fmt: skip
        head, tail, digests = await self._sign(build, held)
        # Small and new each time, so it is stored in one piece.
        crl = _signed(build.crl, head + body, tail, (), digests, self._clock.monotonic() - began)
        unit = publish_unit(crl, digests.tbs_sha256, standing, held)
        note_shown(unit, authority, crl, pending, before, buffer)
        await self._publish(unit, slug, shard)
        log.info("crl.delta_published", authority=slug, shard=shard, number=number, entries=len(entries))
        return crl

    def _delta_entries(
        self, since: list[Shown], pending: list[Change], before: dict[bytes, bytes], buffer: CrlBuffer
    ) -> list[bytes]:
        changed = {one.serial: one for one in since}
        now = self._clock.now()
        for change in pending:
            known = changed.get(change.serial)
            listed = change.serial in before or (known is not None and known.listed)
            changed[change.serial] = Shown(change.serial, listed, now)
        present = buffer.lookup(changed)
        entries = []
        for serial, one in sorted(changed.items()):
            if serial in present:
                entries.append(present[serial])
            elif one.listed:
                entries.append(crl_entry(SerialNumber(serial), to_seconds(one.changed_at), REMOVE_FROM_CRL))
        return entries

    # --- what both share ---------------------------------------------------------------------------------------

    def _frame(
        self,
        authority: Authority,
        shard: int,
        kind: CrlKind,
        number: int,
        scope: CrlScope,
        runs: tuple[bytes, ...],
        entries: int,
        standing: Standing,
        *,
        alive_at: datetime,
        scheduled: bool,
    ) -> _Build:
        this_update = to_seconds(self._clock.now())
        next_update = min(this_update + self._lifetime, authority.not_after)
        size = sum(map(len, runs))
        key = authority.public_key
        make = functools.partial(
            crl_frame,
            issuer_name=authority.x509.subject.public_bytes(),
            issuer_key=key,
            issuer_key_id=authority.x509.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest,
            number=number,
            this_update=this_update,
            next_update=next_update,
            scope=scope,
        )
        crl = Crl(
            authority.slug,
            shard,
            kind,
            number,
            scope.base_number,
            this_update,
            next_update,
            entries,
            size,
            b"",
            point=scope.point,
        )
        frame = make(size=size)
        some = sample(runs, entries)
        small = make(size=len(some))
        linted = crl_der(small.head + some + small.tail, key, algorithms.dummy_signature(key))
        return _Build(authority, crl, frame, runs, scope, standing, alive_at, scheduled, linted)

    async def _sign(self, build: _Build, held: Held | None) -> tuple[bytes, bytes, CrlDigests]:
        """(head, tail, digests) of the signed CRL: the entries go to the signer while they are hashed here."""
        key = build.authority.public_key
        expected = CrlExpected(build.crl.kind == "delta", build.scope.point)
        looked_at = SAMPLE if build.scheduled else PKILINT_ON_CHANGE
        await asyncio.to_thread(lint_crl, build.sample, expected, pkilint_entries=looked_at)
        hashing = asyncio.ensure_future(digests_of(key, build.frame, build.runs))

        async def reserve() -> None:
            await self._reserve(build, (await hashing).tbs_sha256, held)

        try:
            signature = await self._signer.sign_crl_stream(build.authority.crl_key(), build.frame, build.runs, reserve)
            digests = await hashing
        finally:
            if not hashing.done():
                hashing.cancel()
            await asyncio.gather(hashing, return_exceptions=True)
        if not digests.verifies(key, signature, build.frame, build.runs):
            raise CrlRefused(CRL_WRONG, f"CRL {build.crl.number} of {build.crl.authority}")
        head, tail = build.frame.envelope(key, signature)
        return head, tail, digests.signed(signature)

    async def _reserve(self, build: _Build, digest: bytes, held: Held | None) -> None:
        unit = reserve_unit(build.crl, digest, build.scope.point, build.alive_at, build.scheduled, self._clock.now())
        await self._database.commit(fenced(unit, held))

    async def _publish(self, unit: Unit, slug: str, shard: int) -> None:
        try:
            await self._database.commit(unit)
        except (CommitUnknown, CrlRefused):
            # What is published is not what this buffer was built on, or nobody knows: it is read again.
            self._buffers.pop((slug, shard), None)
            raise


def _point(authority: Authority, shard: int) -> str | None:
    """The distribution point of a shard; None while the authority has one CRL for everything."""
    return authority.urls.crl_of(shard) if authority.crl_shards > 1 else None


def _chunk_row(build: _Build, chunk: Chunk) -> tuple[object, ...]:
    return (chunk.id, build.crl.authority, build.crl.shard, chunk.starts, chunk.entries, chunk.body)


def _signed(crl: Crl, head: bytes, tail: bytes, runs: tuple[bytes, ...], digests: CrlDigests, seconds: float) -> Crl:
    size = len(head) + sum(map(len, runs)) + len(tail)
    return replace(crl, size=size, sha256=digests.identity, parts=(head, *runs, tail), build_seconds=seconds)
