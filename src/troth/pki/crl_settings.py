"""How an authority's CRLs are cut: into how many shards, and whether with deltas. And asking for one out of turn."""

from __future__ import annotations

from troth.audit.event import Event
from troth.pki.authorities import Authority
from troth.pki.authority_store import SET_CRLS
from troth.pki.catalogue import Catalogue
from troth.pki.errors import CRL_SHARDS, CrlRefused
from troth.store.pool import Database
from troth.store.unit import Unit

MAX_SHARDS = 256


async def set_crls(
    database: Database,
    catalogue: Catalogue,
    slug: str,
    *,
    shards: int,
    deltas: bool,
    actor: str,
    joined: Unit | None = None,
) -> None:
    """Spread certificates that ``slug`` issues from now on over ``shards`` CRLs; with ``deltas``, deltas on change.

    Shards are only raised: a certificate names its CRL for as long as it lives. Raises CrlRefused for fewer than
    there are or more than 256, AuthorityRefused for an authority that is not there or has no CRL of its own.
    ``joined`` is committed with it.
    """
    await require_cut(catalogue, slug, shards)
    unit = Unit().write(SET_CRLS, slug, shards, deltas)
    unit.record(
        Event(
            "authority.crls_changed",
            actor,
            (f"authority:{slug}",),
            {"slug": slug, "crl_shards": shards, "crl_deltas": deltas},
        )
    )
    await database.commit(unit if joined is None else unit.absorb(joined))
    await catalogue.refresh()


async def require_cut(catalogue: Catalogue, slug: str, shards: int) -> Authority:
    """The authority whose CRLs are to be cut into ``shards``. Raises as :func:`set_crls`."""
    await catalogue.refresh()
    authority = catalogue.authority(slug)
    authority.crl_key()
    if not authority.crl_shards <= shards <= MAX_SHARDS or authority.crl_url is None:
        raise CrlRefused(CRL_SHARDS, f"{slug} has {authority.crl_shards}", shards=shards)
    return authority


async def want_crl(database: Database, catalogue: Catalogue, slug: str, shard: int, *, actor: str) -> None:
    """Have the worker make a complete CRL now, from all entries anew. Raises AuthorityRefused, CrlRefused."""
    await catalogue.refresh()
    authority = catalogue.authority(slug)
    authority.crl_key()
    if not 0 <= shard < authority.crl_shards:
        raise CrlRefused(CRL_SHARDS, f"{slug} has {authority.crl_shards}", shard=shard)
    await database.commit(
        Unit().record(Event("crl.wanted", actor, (f"authority:{slug}",), {"authority": slug, "shard": shard}))
    )
