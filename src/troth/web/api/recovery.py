"""The recovery fence over the API."""

from __future__ import annotations

from typing import Annotated, Literal

from litestar import get, post
from litestar.params import JSONBody
from msgspec import Meta, Struct

from troth.access.roles import Permission
from troth.web.asking import ask
from troth.web.guard import needs
from troth.web.health import RecoveryView
from troth.web.render import Req, services_of


class DecideCommand(Struct, frozen=True, forbid_unknown_fields=True):
    """How to go on after a restore that may have lost something."""

    resume: Literal["accept-loss", "revoke-unknown"]
    reason: Annotated[str, Meta(min_length=1, max_length=1000)]


@get("/recovery", opt=needs(Permission.STATUS_READ), operation_id="recovery", tags=["System"])
async def recovery(request: Req) -> RecoveryView:
    """Whether a person has yet to decide what a restore may have lost."""
    return await services_of(request).recovery.state()


@post("/recovery/decide", opt=needs(Permission.ACCESS_MANAGE), operation_id="decideRecovery", tags=["System"],
      status_code=200)  # fmt: skip
async def decide(request: Req, data: JSONBody[DecideCommand]) -> RecoveryView:
    """Open the fence. `revoke-unknown`: OCSP says revoked of every unknown serial number of the interval."""
    await ask(request, "recovery.decide", {"resume": data.resume, "reason": data.reason})
    return await services_of(request).recovery.state()


HANDLERS = (recovery, decide)
