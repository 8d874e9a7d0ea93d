"""CRLs over the API."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from litestar import get, post
from litestar.params import FromPath, FromQuery, JSONBody
from msgspec import Meta, Struct

from troth.access.roles import Permission
from troth.web.asking import ask
from troth.web.crl_views import CrlView
from troth.web.guard import asker, needs
from troth.web.render import Req, services_of


class CrlCut(Struct, frozen=True, forbid_unknown_fields=True):
    """How an authority's CRLs are cut."""

    shards: Annotated[int, Meta(ge=1, le=256)]
    deltas: bool = False


class CrlWanted(Struct, frozen=True):
    """A CRL is asked for; the worker makes it within a few seconds."""

    authority: str
    shard: int


@get("/crls", opt=needs(Permission.AUTHORITY_READ), operation_id="listCrls", tags=["System"])
async def list_crls(request: Req, authority: FromQuery[str] = "") -> Sequence[CrlView]:
    """Every CRL that is published now, of all authorities or of one."""
    return await services_of(request).crls.list(authority)


@post(
    "/crls/{authority:str}/{shard:int}/publish",
    status_code=202,
    opt=needs(Permission.CERTIFICATE_REVOKE),
    operation_id="publishCrl",
    tags=["System"],
)
async def publish_crl(request: Req, authority: FromPath[str], shard: FromPath[int]) -> CrlWanted:
    """Have a complete CRL made now, from all entries anew. It is published by the worker."""
    await services_of(request).crls.want(authority, shard, asker(request))
    return CrlWanted(authority, shard)


@post(
    "/crls/{authority:str}/cut",
    status_code=200,
    opt=needs(Permission.POLICY_WRITE),
    operation_id="cutCrls",
    tags=["System"],
)
async def cut_crls(request: Req, authority: FromPath[str], data: JSONBody[CrlCut]) -> CrlCut:
    """Spread certificates issued from now on over so many CRLs (never fewer than before), with or without deltas."""
    await ask(request, "authority.crls", {"authority": authority, "shards": data.shards, "deltas": data.deltas})
    return data


HANDLERS = (list_crls, publish_crl, cut_crls)
