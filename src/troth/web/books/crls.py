"""CRLs as operators see them: what is published, and what may be asked for."""

from __future__ import annotations

from collections.abc import Sequence

from troth.access.model import Principal
from troth.kit.clock import Clock
from troth.pki.catalogue import Catalogue
from troth.pki.crl_settings import want_crl
from troth.pki.crl_store import CrlStore
from troth.store.pool import Database
from troth.web.crl_views import CrlView


class Crls:
    """See :class:`troth.web.services.CrlBook`."""

    def __init__(self, database: Database, clock: Clock, catalogue: Catalogue) -> None:
        self._database = database
        self._clock = clock
        self._catalogue = catalogue
        self._store = CrlStore(database)

    async def list(self, authority: str = "") -> Sequence[CrlView]:
        await self._catalogue.refresh()
        waiting = {(one.authority, one.shard): one.changes for one in await self._store.waiting()}
        now, found = self._clock.now(), []
        for crl in await self._store.published():
            if authority not in {"", crl.authority}:
                continue
            urls = self._catalogue.authority(crl.authority).urls
            found.append(
                CrlView(
                    authority=crl.authority,
                    shard=crl.shard,
                    kind=crl.kind,
                    number=crl.number,
                    base_number=crl.base_number,
                    this_update=crl.this_update,
                    next_update=crl.next_update,
                    entries=crl.entries,
                    size=crl.size,
                    age_seconds=(now - crl.this_update).total_seconds(),
                    build_seconds=crl.build_seconds,
                    waiting=waiting.get((crl.authority, crl.shard), 0),
                    url=urls.crl_of(crl.shard) if crl.kind == "full" else urls.delta_of(crl.shard),
                )
            )
        return found

    async def want(self, authority: str, shard: int, by: Principal) -> None:
        await want_crl(self._database, self._catalogue, authority, shard, actor=by.actor)
