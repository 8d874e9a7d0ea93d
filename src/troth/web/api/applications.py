"""Applications over the API: who may ask whether to let somebody in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from litestar import delete, get, post
from litestar.params import FromPath, JSONBody
from msgspec import Meta, Struct

from troth.access.roles import Permission
from troth.connect.authz.applications import Wanted
from troth.web.api.trust import SecretCommand
from troth.web.application_views import ApplicationView, NewApplication
from troth.web.guard import asker, needs
from troth.web.render import Req, services_of

_TAGS = ["Applications"]


class AddApplication(Struct, frozen=True, forbid_unknown_fields=True):
    """An application to register; see docs/applications.md for the fields."""

    name: Annotated[str, Meta(max_length=63)]
    profile: Annotated[str, Meta(max_length=63)] | None = None
    profiles: Annotated[tuple[str, ...], Meta(max_length=50)] = ()
    least: Literal["allow", "restrict"] = "restrict"
    per_second: Annotated[int, Meta(ge=0, le=1_000_000)] = 0
    certificate_sha256: Annotated[str, Meta(pattern=r"\A[0-9a-fA-F]{64}\Z")] | None = None


class NewToken(Struct, frozen=True):
    """A fresh token, shown this once."""

    token: str


def wanted(data: AddApplication) -> Wanted:
    """What is asked for, as the room takes it."""
    certificate = bytes.fromhex(data.certificate_sha256) if data.certificate_sha256 else None
    return Wanted(data.name, data.profile or None, data.profiles, data.least, data.per_second, certificate)


@get("/applications", opt=needs(Permission.APPLICATION_READ), operation_id="listApplications", tags=_TAGS)
async def list_applications(request: Req) -> Sequence[ApplicationView]:
    """All applications that may ask."""
    return await services_of(request).applications.list()


@post("/applications", opt=needs(Permission.APPLICATION_MANAGE), operation_id="addApplication", tags=_TAGS)
async def add_application(request: Req, data: JSONBody[AddApplication]) -> NewApplication:
    """Register an application; its token is in the answer, and nowhere else."""
    return await services_of(request).applications.add(wanted(data), asker(request))


@post("/applications/{name:str}/token", opt=needs(Permission.APPLICATION_MANAGE), operation_id="changeApplicationToken",
      tags=_TAGS, status_code=200)  # fmt: skip
async def change_token(request: Req, name: FromPath[str], data: JSONBody[SecretCommand]) -> NewToken:
    """A new token; the former one is good for a day more, unless it leaked."""
    book = services_of(request).applications
    return NewToken(await book.change_token(name[:80], asker(request), leaked=data.leaked))


@delete("/applications/{name:str}", opt=needs(Permission.APPLICATION_MANAGE), operation_id="removeApplication",
        tags=_TAGS)  # fmt: skip
async def remove_application(request: Req, name: FromPath[str]) -> None:
    """Answer it no more."""
    await services_of(request).applications.remove(name[:80], asker(request))


HANDLERS = (list_applications, add_application, change_token, remove_application)
