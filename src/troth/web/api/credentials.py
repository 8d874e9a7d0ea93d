"""One's own ways to log in, over the API that the account page uses."""

from __future__ import annotations

import binascii
from datetime import datetime
from typing import Annotated, Any

from litestar import get, post
from litestar.params import FromPath, JSONBody
from msgspec import Meta, Struct

from troth.access.errors import NOT_FOUND, AccessError
from troth.access.model import Visitor
from troth.access.roles import Permission
from troth.web.guard import asker, needs
from troth.web.render import Req, services_of

_TAGS = ["Access"]


class Proof(Struct, frozen=True, forbid_unknown_fields=True):
    """That it is oneself, once more: the present password, or an answer of a passkey one has already."""

    password: Annotated[str, Meta(max_length=1024)] = ""
    credential: dict[str, Any] | None = None


class AddPasskey(Struct, frozen=True, forbid_unknown_fields=True):
    """What the browser made."""

    credential: dict[str, Any]
    proof: Proof
    label: Annotated[str, Meta(max_length=64)] = ""


class RemovePasskey(Struct, frozen=True, forbid_unknown_fields=True):
    """Proof that it is oneself."""

    proof: Proof


class SetPassword(Struct, frozen=True, forbid_unknown_fields=True):
    """The new password."""

    password: Annotated[str, Meta(max_length=1024)]
    proof: Proof


class PasskeyView(Struct, frozen=True):
    """A passkey, as far as it is not secret."""

    id: str
    label: str
    created_at: datetime
    used_at: datetime | None


def _visitor(request: Req) -> Visitor:
    client = request.client
    return Visitor(client.host if client else "local", request.headers.get("user-agent", ""))


def _proof(proof: Proof) -> dict[str, Any]:
    return {"password": proof.password, "credential": proof.credential}


@get("/me/passkeys", opt=needs(Permission.ACCOUNT_OWN), operation_id="listPasskeys", tags=_TAGS)
async def list_passkeys(request: Req) -> list[PasskeyView]:
    """One's own passkeys."""
    found = await services_of(request).access.credentials.passkeys(asker(request))
    return [PasskeyView(one.credential_id.hex(), one.label, one.created_at, one.used_at) for one in found]


@post("/me/proof", opt=needs(Permission.ACCOUNT_OWN), operation_id="askForProof", tags=_TAGS, status_code=200)
async def ask_proof(request: Req) -> dict[str, Any]:
    """A question for one of one's own passkeys, to prove oneself once more."""
    return await services_of(request).access.credentials.proof_options(asker(request))


@post("/me/passkeys/options", opt=needs(Permission.ACCOUNT_OWN), operation_id="askForPasskey", tags=_TAGS,
      status_code=200)  # fmt: skip
async def passkey_options(request: Req) -> dict[str, Any]:
    """What the browser needs to make one more passkey."""
    return await services_of(request).access.credentials.passkey_options(asker(request))


@post("/me/passkeys", opt=needs(Permission.ACCOUNT_OWN), operation_id="addPasskey", tags=_TAGS)
async def add_passkey(request: Req, data: JSONBody[AddPasskey]) -> list[PasskeyView]:
    """Add a passkey."""
    await services_of(request).access.credentials.add_passkey(
        asker(request), data.credential, label=data.label, proof=_proof(data.proof), visitor=_visitor(request)
    )
    return await list_passkeys.fn(request)  # type: ignore[no-any-return]


@post("/me/passkeys/{passkey:str}/remove", opt=needs(Permission.ACCOUNT_OWN), operation_id="removePasskey",
      tags=_TAGS, status_code=200)  # fmt: skip
async def remove_passkey(request: Req, passkey: FromPath[str], data: JSONBody[RemovePasskey]) -> list[PasskeyView]:
    """Remove a passkey; other log-ins end."""
    try:
        credential_id = binascii.unhexlify(passkey)
    except ValueError:
        raise AccessError(NOT_FOUND) from None
    await services_of(request).access.credentials.remove_passkey(
        asker(request), credential_id, proof=_proof(data.proof), visitor=_visitor(request)
    )
    return await list_passkeys.fn(request)  # type: ignore[no-any-return]


@post("/me/password", opt=needs(Permission.ACCOUNT_OWN), operation_id="setPassword", tags=_TAGS, status_code=204)
async def set_password(request: Req, data: JSONBody[SetPassword]) -> None:
    """Set or change one's password; other log-ins end."""
    await services_of(request).access.credentials.set_password(
        asker(request), data.password, proof=_proof(data.proof), visitor=_visitor(request)
    )


HANDLERS = (list_passkeys, ask_proof, passkey_options, add_passkey, remove_passkey, set_password)
