"""The doors before the log-in: log-in, set-up, log-out. Nothing else answers to strangers but static files."""

from __future__ import annotations

from typing import Any

import msgspec
from litestar import Response, get, post
from litestar.datastructures import Cookie
from litestar.response import Redirect

from troth.access.errors import PASSWORD_WEAK, AccessError
from troth.access.model import NewSession, Visitor
from troth.access.roles import Permission
from troth.kit.errors import TrothError
from troth.web.door import COOKIE, session_secret
from troth.web.errors import MALFORMED, WebError
from troth.web.forms import fields
from troth.web.guard import asker, needs, principal_of, public
from troth.web.problems import shown
from troth.web.render import Req, page, services_of

_Any = dict[str, Any]


def _visitor(request: Req) -> Visitor:
    client = request.client
    return Visitor(client.host if client else "local", request.headers.get("user-agent", ""))


def _former(request: Req) -> str | None:
    return session_secret(request.headers.get("cookie", ""))


def _safe(after: str) -> str:
    """Where to go after the log-in: a path of our own, never another site (no ``//host``, no ``/\\host``)."""
    fine = after.startswith("/") and not after.startswith(("//", "/\\")) and after.isprintable() and "\\" not in after
    return after if fine else "/"


def _cookie(session: NewSession) -> Cookie:
    return Cookie(key=COOKIE, value=session.secret, path="/", secure=True, httponly=True, samesite="strict")


async def _json(request: Req) -> _Any:
    try:
        value = msgspec.json.decode(await request.body())
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise WebError(MALFORMED, "the body is not JSON") from error
    if not isinstance(value, dict):
        raise WebError(MALFORMED, "the body is not a JSON object")
    return value


def _text(body: _Any, name: str) -> str:
    value = body.get(name, "")
    if not isinstance(value, str):
        raise WebError(MALFORMED, f"{name} is not a text")
    return value


@get("/login", opt=public(), include_in_schema=False)
async def login_page(request: Req) -> Response[Any]:
    """The form; before the first administrator exists it leads to the set-up."""
    if not await services_of(request).access.accounts.any():
        return Redirect("/setup", status_code=303)
    if principal_of(request) is not None:
        return Redirect("/", status_code=303)
    after = request.query_params.get("next", "/")
    return await page(request, "login.html", problem=None, name="", next=_safe(after))


@post("/login", opt=public(), include_in_schema=False)
async def login(request: Req) -> Response[Any]:
    """Name and password."""
    name, password, after = await fields(request, "name", "password", "next")
    try:
        session = await services_of(request).access.log_ins.by_password(
            name, password, _visitor(request), _former(request)
        )
    except AccessError as error:
        return await page(
            request, "login.html", status=error.reason.status, problem=shown(error), name=name, next=_safe(after)
        )
    return Redirect(_safe(after), status_code=303, cookies=[_cookie(session)])


@post("/login/passkey/options", opt=public(), include_in_schema=False, status_code=200)
async def login_passkey_options(request: Req) -> _Any:
    """A question for a passkey."""
    return await services_of(request).access.log_ins.passkey_options(_visitor(request))


@post("/login/passkey", opt=public(), include_in_schema=False)
async def login_passkey(request: Req) -> Response[_Any]:
    """A passkey's answer."""
    body = await _json(request)
    session = await services_of(request).access.log_ins.by_passkey(
        body.get("credential"), _visitor(request), _former(request)
    )
    return Response({"ok": True}, status_code=200, cookies=[_cookie(session)])


@get("/setup", opt=public(), include_in_schema=False)
async def setup_page(request: Req) -> Response[str]:
    """The form for whoever holds a set-up token."""
    any_account = await services_of(request).access.accounts.any()
    return await page(request, "setup.html", problem=None, name="", token="", any_account=any_account)


@post("/setup", opt=public(), include_in_schema=False)
async def setup(request: Req) -> Response[Any]:
    """Make the account with a password, and log it in."""
    token, name, password, again = await fields(request, "token", "name", "password", "again")
    access = services_of(request).access
    try:
        if password != again:
            raise AccessError(PASSWORD_WEAK, "the two passwords differ")
        session = await access.invitations.redeem_password(token, name, password, _visitor(request))
    except TrothError as error:
        return await page(
            request,
            "setup.html",
            status=error.reason.status,
            problem=shown(error),
            name=name,
            token=token,
            any_account=await access.accounts.any(),
        )
    return Redirect("/", status_code=303, cookies=[_cookie(session)])


@post("/setup/passkey/options", opt=public(), include_in_schema=False, status_code=200)
async def setup_passkey_options(request: Req) -> _Any:
    """What the browser needs to make a passkey."""
    body = await _json(request)
    return await services_of(request).access.invitations.passkey_options(
        _text(body, "token"), _text(body, "name"), _visitor(request)
    )


@post("/setup/passkey", opt=public(), include_in_schema=False)
async def setup_passkey(request: Req) -> Response[_Any]:
    """Make the account with a passkey, and log it in."""
    body = await _json(request)
    session = await services_of(request).access.invitations.redeem_passkey(
        _text(body, "token"), _text(body, "name"), body.get("credential"), _visitor(request)
    )
    return Response({"ok": True}, status_code=200, cookies=[_cookie(session)])


@post("/logout", opt=needs(Permission.ACCOUNT_OWN), include_in_schema=False)
async def logout(request: Req) -> Response[Any]:
    """End this session; the browser is told to forget what it stored."""
    await services_of(request).access.sessions.end(asker(request))
    gone = Cookie(key=COOKIE, value="", path="/", secure=True, httponly=True, samesite="strict", max_age=0)
    return Redirect("/login", status_code=303, cookies=[gone], headers={"clear-site-data": '"cache"'})


HANDLERS = (
    login_page, login, login_passkey_options, login_passkey, setup_page, setup, setup_passkey_options, setup_passkey,
    logout,
)  # fmt: skip
