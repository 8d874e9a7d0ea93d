"""Authorities, ledger, health and access over the API."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Literal
from uuid import UUID

import msgspec
from litestar import delete, get, post, put
from litestar.params import FromPath, FromQuery, JSONBody
from litestar.response import Stream
from msgspec import Meta, Struct

from troth.access.model import Account, ApiToken
from troth.access.roles import Permission, Role
from troth.web.asking import ask
from troth.web.guard import asker, needs
from troth.web.health import Health
from troth.web.parameters import Index, Limit
from troth.web.render import Req, services_of
from troth.web.views import CheckpointView, EventFilter, EventView, Page


class Me(Struct, frozen=True):
    """Who the caller is to Troth."""

    name: str
    role: str
    via: str
    permissions: tuple[str, ...]


class AccountView(Struct, frozen=True):
    """An account, without its secrets."""

    id: UUID
    name: str
    role: str
    state: str
    log_in: Literal["password", "passkey"]
    created_at: datetime
    created_by: str
    person: str
    passkeys: int


class TokenView(Struct, frozen=True):
    """An API token, without its secret."""

    id: UUID
    name: str
    role: str
    created_by: str
    created_at: datetime
    expires_at: datetime
    used_at: datetime | None


class TokenCommand(Struct, frozen=True, forbid_unknown_fields=True):
    """A token to be made."""

    name: Annotated[str, Meta(min_length=1, max_length=64)]
    role: Role
    lifetime_seconds: Annotated[int, Meta(ge=3600, le=366 * 86_400)] = 30 * 86_400


class NewToken(Struct, frozen=True):
    """A fresh token; ``secret`` is shown this once."""

    secret: str
    token: TokenView


class InviteCommand(Struct, frozen=True, forbid_unknown_fields=True):
    """Whom to invite. ``person``: whose account it will be, if that person has another one."""

    role: Role
    name: str | None = None
    person: str | None = None


class PersonCommand(Struct, frozen=True, forbid_unknown_fields=True):
    """Whose account it is; empty: a person's of its own."""

    person: Annotated[str, Meta(max_length=64)] = ""


class Invited(Struct, frozen=True):
    """A fresh set-up token; ``secret`` is shown this once and used at ``/setup``."""

    secret: str
    role: str
    name: str | None
    expires_at: datetime


def _token(token: ApiToken) -> TokenView:
    return TokenView(
        token.id, token.name, token.role.value, token.created_by, token.created_at, token.expires_at, token.used_at
    )


def _account(account: Account) -> AccountView:
    return AccountView(
        account.id,
        account.name,
        account.role.value,
        account.state,
        "password" if account.password_hash is not None else "passkey",
        account.created_at,
        account.created_by,
        account.person,
        account.passkeys,
    )


@get("/me", opt=needs(Permission.ACCOUNT_OWN), operation_id="me", tags=["Access"])
async def me(request: Req) -> Me:
    """Who the caller is, and what he may do."""
    who = asker(request)
    return Me(who.name, who.role.value, who.via, tuple(sorted(who.permissions)))


@get("/tokens", opt=needs(Permission.ACCOUNT_OWN), operation_id="listTokens", tags=["Access"])
async def list_tokens(request: Req) -> list[TokenView]:
    """API tokens in force: one's own, or all for administrators."""
    return [_token(token) for token in await services_of(request).access.tokens.list(asker(request))]


@post("/tokens", opt=needs(Permission.ACCOUNT_OWN), operation_id="createToken", tags=["Access"])
async def create_token(request: Req, data: JSONBody[TokenCommand]) -> NewToken:
    """A new API token, of a role that may do no more than one's own."""
    secret, token = await services_of(request).access.tokens.create(
        asker(request), name=data.name, role=data.role, lifetime=timedelta(seconds=data.lifetime_seconds)
    )
    return NewToken(secret, _token(token))


@delete("/tokens/{token_id:uuid}", opt=needs(Permission.ACCOUNT_OWN), operation_id="revokeToken", tags=["Access"])
async def revoke_token(request: Req, token_id: FromPath[UUID]) -> None:
    """Take a token back."""
    await services_of(request).access.tokens.revoke(asker(request), token_id)


@get("/accounts", opt=needs(Permission.ACCESS_MANAGE), operation_id="listAccounts", tags=["Access"])
async def list_accounts(request: Req) -> list[AccountView]:
    """All accounts."""
    return [_account(account) for account in await services_of(request).access.accounts.list()]


@post("/accounts/invite", opt=needs(Permission.ACCESS_MANAGE), operation_id="invite", tags=["Access"])
async def invite(request: Req, data: JSONBody[InviteCommand]) -> Invited:
    """A set-up token for one more account."""
    payload = {"role": data.role.value, "name": data.name or "", "person": data.person or ""}
    return msgspec.convert(await ask(request, "role.grant", payload), Invited)


@post("/accounts/{account_id:uuid}/{action:str}", opt=needs(Permission.ACCESS_MANAGE), operation_id="setAccountState",
      tags=["Access"], status_code=200)  # fmt: skip
async def set_account_state(
    request: Req, account_id: FromPath[UUID], action: FromPath[Literal["disable", "enable"]]
) -> list[AccountView]:
    """Turn an account off or on."""
    await ask(request, f"account.{action}", {"account": str(account_id)})
    return [_account(account) for account in await services_of(request).access.accounts.list()]


@delete("/accounts/{account_id:uuid}", opt=needs(Permission.ACCESS_MANAGE), operation_id="removeAccount",
        tags=["Access"])  # fmt: skip
async def remove_account(request: Req, account_id: FromPath[UUID]) -> None:
    """Remove an account with its log-ins, tokens and passkeys."""
    await ask(request, "account.remove", {"account": str(account_id)})


@put("/accounts/{account_id:uuid}/person", opt=needs(Permission.ACCESS_MANAGE), operation_id="setAccountPerson",
     tags=["Access"])  # fmt: skip
async def set_person(request: Req, account_id: FromPath[UUID], data: JSONBody[PersonCommand]) -> list[AccountView]:
    """Say whose account it is: accounts of one person count once among approvals."""
    await ask(request, "person.change", {"account": str(account_id), "person": data.person})
    return [_account(account) for account in await services_of(request).access.accounts.list()]


@get("/events", opt=needs(Permission.EVENT_READ), operation_id="listEvents", tags=["Ledger"])
async def list_events(
    request: Req,
    kind: FromQuery[str] = "",
    ref: FromQuery[str] = "",
    before: Index = None,
    limit: Limit = 50,
) -> Page[EventView]:
    """Ledger events, latest first. ``kind``: a prefix; ``ref``: ``certificate:<id>`` or ``subject:<id>``."""
    return await services_of(request).events.list(EventFilter(kind=kind, ref=ref, before=before, limit=limit))


@get("/status", opt=needs(Permission.STATUS_READ), operation_id="status", tags=["System"])
async def status(request: Req) -> Health:
    """How this installation is."""
    return await services_of(request).health.check()


@get("/audit/checkpoint", opt=needs(Permission.LEDGER_READ), operation_id="checkpoint", tags=["Ledger"])
async def checkpoint(request: Req) -> CheckpointView:
    """The latest signed checkpoint."""
    return await services_of(request).events.checkpoint()


@get("/audit/export", opt=needs(Permission.LEDGER_EXPORT), operation_id="exportLedger", tags=["Ledger"])
async def export(request: Req) -> Stream:
    """The whole ledger, one JSON object a line, as ``troth audit verify`` reads it."""
    name = 'attachment; filename="troth-ledger.jsonl"'
    return Stream(
        services_of(request).events.export(), media_type="application/jsonl", headers={"content-disposition": name}
    )


HANDLERS = (
    me, list_tokens, create_token, revoke_token, list_accounts, invite, set_account_state, remove_account,
    set_person, list_events, status, checkpoint, export,
)  # fmt: skip
