"""Keeping others' revocation lists: handed over by people, or fetched (:mod:`troth.radius.admission.fetching`)."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from decimal import Decimal

from troth.audit.event import Event
from troth.kit.clock import Clock
from troth.pki.anchor_store import AnchorStore
from troth.radius.admission import network_store, source_store
from troth.radius.admission.crls import ReadCrl, read_crl
from troth.radius.admission.errors import CRL_REFUSED, NetworkError
from troth.radius.admission.network_store import PUT_CRL, StoredCrl
from troth.radius.admission.source_store import Source
from troth.store.pool import Database
from troth.store.unit import Unit


class ForeignLists:
    """The lists of this installation, the newest of each issuer."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def all(self) -> Sequence[StoredCrl]:
        """By anchor and issuer."""
        return await network_store.crls(self._database)

    async def sources(self) -> Sequence[Source]:
        """Where lists are fetched from, and how that goes."""
        return await source_store.sources(self._database)

    async def hurry(self) -> None:
        """Have the worker look at every source now."""
        unit = Unit()
        source_store.hurry(unit, self._clock.now())
        await self._database.commit(unit)

    async def read(self, anchor: str, der: bytes, issuers: Sequence[bytes] = ()) -> ReadCrl:
        """A complete revocation list (DER) of ``anchor``, or of an authority below it, verified and in force.

        ``issuers``: DER of the authority that signed it and of those between it and the anchor, in that order; empty:
        the anchor signed it itself. Raises NetworkError.
        """
        now = self._clock.now()
        last = NetworkError(CRL_REFUSED, f"there is no trust anchor {anchor[:80]!r}")
        for top in await AnchorStore(self._database).all():
            if top.name != anchor:
                continue
            try:
                made = await asyncio.to_thread(read_crl, top, der, issuers, now)
                if made.next_update <= now:
                    raise NetworkError(CRL_REFUSED, f"it has ended at {made.next_update.isoformat()}")
            except NetworkError as error:
                last = error
                continue
            return made
        raise last

    async def take(self, anchor: str, der: bytes, issuers: Sequence[bytes] = (), *, actor: str) -> StoredCrl:
        """Take a list (see :meth:`read`) that is newer than the one there is. Raises NetworkError."""
        return await self.keep(await self.read(anchor, der, issuers), anchor, der, actor=actor)

    async def keep(
        self, made: ReadCrl, anchor: str, der: bytes, *, actor: str, joined: Unit | None = None
    ) -> StoredCrl:
        """Put a list that was read in force, with ``joined``. Raises NetworkError if it is not newer."""
        now = self._clock.now()
        unit = Unit().claim(
            PUT_CRL, made.issuer, made.name, anchor, Decimal(made.number), made.this_update, made.next_update,
            made.entries, der, now, actor, refuse=NetworkError(CRL_REFUSED, "a list as new as this is here"),
        )  # fmt: skip
        unit.record(
            Event(
                "network.crl_taken", actor, (),
                {"anchor": anchor, "issuer": made.name, "number": str(made.number), "entries": made.entries,
                 "this_update": made.this_update.isoformat(), "next_update": made.next_update.isoformat()},
            )
        )  # fmt: skip
        await self._database.commit(unit if joined is None else unit.absorb(joined))
        return StoredCrl(
            made.issuer, made.name, anchor, made.number, made.this_update, made.next_update, made.entries, now, actor
        )
