"""One's own account: log-ins and API tokens; and, for administrators, everybody's."""

from __future__ import annotations

import binascii
from datetime import timedelta
from typing import Any
from uuid import UUID

from litestar import Response, get, post
from litestar.params import FromPath
from litestar.response import Redirect

from troth.access.errors import NOT_FOUND, OWN_ACCOUNT, ROLE_UNKNOWN, AccessError
from troth.access.roles import ROLE_WORDS, ROLES, Permission, Role
from troth.kit.errors import TrothError
from troth.web.asking import ask
from troth.web.errors import MALFORMED, WebError
from troth.web.forms import fields
from troth.web.guard import asker, needs
from troth.web.problems import shown
from troth.web.render import Req, page, services_of


def role_named(text: str) -> Role:
    """A role by its name. Raises AccessError(ROLE_UNKNOWN)."""
    try:
        return Role(text)
    except ValueError:
        raise AccessError(ROLE_UNKNOWN) from None


async def _page(
    request: Req, *, secret: str = "", secret_title: str = "", problem: TrothError | None = None
) -> Response[str]:
    me, access = asker(request), services_of(request).access
    given = [(role.value, f"{role.value}: {ROLE_WORDS[role]}") for role in Role if ROLES[role] <= me.permissions]
    return await page(
        request, "account.html", area="account", status=problem.reason.status if problem else 200,
        sessions=await access.sessions.of(me), tokens=await access.tokens.list(me), roles=given, role_words=ROLE_WORDS,
        accounts=await access.accounts.list() if me.may(Permission.ACCESS_MANAGE) else None,
        passkeys=await access.credentials.passkeys(me),
        has_password=me.id is not None and (await access.accounts.get(me.id)).password_hash is not None,
        secret=secret, secret_title=secret_title, problem=shown(problem) if problem else None,
    )  # fmt: skip


@get("/account", opt=needs(Permission.ACCOUNT_OWN), include_in_schema=False)
async def account(request: Req) -> Response[str]:
    """Log-ins, tokens, accounts."""
    return await _page(request)


@post("/account/tokens", opt=needs(Permission.ACCOUNT_OWN), include_in_schema=False, status_code=200)
async def token_create(request: Req) -> Response[str]:
    """A new API token, shown once."""
    name, role, days = await fields(request, "name", "role", "days")
    try:
        if not days.isdigit() or len(days) > 3:
            raise WebError(MALFORMED, "the number of days is not one")
        secret, _ = await services_of(request).access.tokens.create(
            asker(request), name=name, role=role_named(role), lifetime=timedelta(days=int(days))
        )
    except TrothError as error:
        return await _page(request, problem=error)
    return await _page(request, secret=secret, secret_title="Your new API token")  # noqa: S106


@post("/account/tokens/{token_id:uuid}/revoke", opt=needs(Permission.ACCOUNT_OWN), include_in_schema=False)
async def token_revoke(request: Req, token_id: FromPath[UUID]) -> Redirect:
    """Take a token back."""
    await services_of(request).access.tokens.revoke(asker(request), token_id)
    return Redirect("/account?done=token_revoked", status_code=303)


@post("/account/sessions/{session:str}/end", opt=needs(Permission.ACCOUNT_OWN), include_in_schema=False)
async def session_end(request: Req, session: FromPath[str]) -> Redirect:
    """End another of one's own log-ins."""
    try:
        id_hash = binascii.unhexlify(session)
    except ValueError:
        raise AccessError(NOT_FOUND) from None
    await services_of(request).access.sessions.revoke(asker(request), id_hash)
    return Redirect("/account?done=ended", status_code=303)


@post("/account/invite", opt=needs(Permission.ACCESS_MANAGE), include_in_schema=False, status_code=200)
async def invite(request: Req) -> Response[str]:
    """A set-up token for one more account, shown once."""
    name, role, person = await fields(request, "name", "role", "person")
    try:
        payload = {"role": role_named(role).value, "name": name.strip(), "person": person.strip()}
        made = await ask(request, "role.grant", payload)
    except TrothError as error:
        return await _page(request, problem=error)
    title = f"Set-up token for {made['name'] or 'one person'} ({made['role']}), good for 24 hours at /setup"
    return await _page(request, secret=str(made["secret"]), secret_title=title)


async def _on_account(request: Req, kind: str, account_id: UUID, done: str, **more: str) -> Response[Any]:
    if asker(request).id == account_id and kind != "person.change":
        return await _page(request, problem=AccessError(OWN_ACCOUNT))
    try:
        await ask(request, kind, {"account": str(account_id), **more})
    except TrothError as error:
        return await _page(request, problem=error)
    return Redirect(f"/account?done={done}", status_code=303)


@post("/account/accounts/{account_id:uuid}/disable", opt=needs(Permission.ACCESS_MANAGE), include_in_schema=False)
async def account_disable(request: Req, account_id: FromPath[UUID]) -> Response[Any]:
    """Turn an account off; its log-ins and tokens end."""
    return await _on_account(request, "account.disable", account_id, "disabled")


@post("/account/accounts/{account_id:uuid}/enable", opt=needs(Permission.ACCESS_MANAGE), include_in_schema=False)
async def account_enable(request: Req, account_id: FromPath[UUID]) -> Response[Any]:
    """Turn an account on again."""
    return await _on_account(request, "account.enable", account_id, "enabled")


@post("/account/accounts/{account_id:uuid}/remove", opt=needs(Permission.ACCESS_MANAGE), include_in_schema=False)
async def account_remove(request: Req, account_id: FromPath[UUID]) -> Response[Any]:
    """Remove an account with its log-ins, tokens and passkeys."""
    return await _on_account(request, "account.remove", account_id, "account_removed")


@post("/account/accounts/{account_id:uuid}/person", opt=needs(Permission.ACCESS_MANAGE), include_in_schema=False)
async def account_person(request: Req, account_id: FromPath[UUID]) -> Response[Any]:
    """Say whose account it is."""
    (person,) = await fields(request, "person")
    return await _on_account(request, "person.change", account_id, "person_set", person=person.strip())


HANDLERS = (
    account, token_create, token_revoke, session_end, invite, account_disable, account_enable, account_remove,
    account_person,
)  # fmt: skip
