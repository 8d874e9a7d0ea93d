"""Access servers over the API."""

from __future__ import annotations

from collections.abc import Sequence

from litestar import delete, get, post
from litestar.params import FromPath, JSONBody

from troth.access.roles import Permission
from troth.kit.canonical import Json
from troth.radius.nas.errors import NAS_SECRET_PROPOSED, NasError
from troth.web.api.certificates import Note
from troth.web.asking import ask
from troth.web.guard import asker, needs
from troth.web.nas_views import Finishing, NasAddressView, NasView, SecretMade, SecretWanted
from troth.web.render import Req, services_of

_TAGS = ["Network"]


@get("/network/nas", opt=needs(Permission.NETWORK_READ), operation_id="listNas", tags=_TAGS)
async def list_nas(request: Req) -> Sequence[NasView]:
    """All access servers: how each is, what was seen of it, what is to be looked at."""
    return await services_of(request).access_servers.list()


@get("/network/nas/{name:str}", opt=needs(Permission.NETWORK_READ), operation_id="getNas", tags=_TAGS)
async def get_nas(request: Req, name: FromPath[str]) -> NasView:
    """One access server."""
    return await services_of(request).access_servers.get(name)


@get(
    "/network/nas/{name:str}/addresses", opt=needs(Permission.NETWORK_READ), operation_id="listNasAddresses", tags=_TAGS
)
async def list_addresses(request: Req, name: FromPath[str]) -> Sequence[NasAddressView]:
    """The addresses that have asked within 30 days, and with which secret; the latest first, at most 500."""
    return await services_of(request).access_servers.addresses(name)


@post("/network/nas/{name:str}/secret", opt=needs(Permission.NETWORK_WRITE), operation_id="setNasSecret", tags=_TAGS,
      status_code=200)  # fmt: skip
async def set_secret(request: Req, name: FromPath[str], data: JSONBody[SecretWanted]) -> SecretMade:
    """Make a secret, shown this once, or hand one over. Where that takes approval, Troth makes it."""
    return await secret_of(request, name, data)


@post("/network/nas/{name:str}/finish", opt=needs(Permission.NETWORK_WRITE), operation_id="finishNasRotation",
      tags=_TAGS, status_code=200)  # fmt: skip
async def finish(request: Req, name: FromPath[str], data: JSONBody[Finishing]) -> NasView:
    """Make the next secret the present one; the former one is good no longer."""
    book = services_of(request).access_servers
    await book.finish(name, asker(request), force=data.force)
    return await book.get(name)


@post("/network/nas/{name:str}/abandon", opt=needs(Permission.NETWORK_WRITE), operation_id="abandonNasRotation",
      tags=_TAGS, status_code=200)  # fmt: skip
async def abandon(request: Req, name: FromPath[str]) -> NasView:
    """Forget the next secret; the present one stays."""
    book = services_of(request).access_servers
    await book.abandon(name, asker(request))
    return await book.get(name)


@post("/network/nas/{name:str}/retire", opt=needs(Permission.NETWORK_WRITE), operation_id="retireNas", tags=_TAGS,
      status_code=200)  # fmt: skip
async def retire(request: Req, name: FromPath[str], data: JSONBody[Note]) -> NasView:
    """Answer it no longer, and forget its secrets."""
    book = services_of(request).access_servers
    await book.retire(name, data.note, asker(request))
    return await book.get(name)


@delete("/network/nas/{name:str}", opt=needs(Permission.NETWORK_WRITE), operation_id="removeNas", tags=_TAGS)
async def remove(request: Req, name: FromPath[str]) -> None:
    """Forget it altogether; the ledger keeps what was done with it."""
    await services_of(request).access_servers.remove(name, asker(request))


async def secret_of(request: Req, name: str, wanted: SecretWanted) -> SecretMade:
    """The secret that was made or brought. Raises Proposed, NasError."""
    act: dict[str, Json] = {"nas": name, "how": wanted.how, "coa": wanted.coa}
    if not wanted.secret:
        made = await ask(request, "nas.secret", act)
        return SecretMade(name, str(made["secret"]))
    services, by = services_of(request), asker(request)
    _, demand = await services.approvals.preview("nas.secret", act, by)
    if demand.approvals:
        # It would lie in the proposal, for everybody who reads proposals.
        raise NasError(NAS_SECRET_PROPOSED, nas=name)
    await services.access_servers.bring(name, wanted.secret, by, how=wanted.how, coa=wanted.coa)
    return SecretMade(name, "")


HANDLERS = (list_nas, get_nas, list_addresses, set_secret, finish, abandon, retire, remove)
