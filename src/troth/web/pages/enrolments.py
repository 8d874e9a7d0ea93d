"""Pages of enrolments and of the ACME accounts that they open."""

from __future__ import annotations

from typing import get_args
from uuid import UUID

from litestar import Response, get, post
from litestar.params import FromPath, FromQuery
from litestar.response import Redirect

from troth.access.roles import Permission
from troth.enroll.credentials.model import KINDS, Kind
from troth.kit.errors import TrothError
from troth.web.enrolment_views import EnrolmentCommand, EnrolmentMade
from troth.web.errors import MALFORMED, WebError
from troth.web.forms import fields
from troth.web.guard import asker, needs
from troth.web.pages.looking import link, one_of
from troth.web.problems import shown
from troth.web.render import Req, page, services_of
from troth.web.views import EventFilter

_KINDS = (
    ("external-account", "External account: key id and HMAC key"),
    ("directory", "Directory: a secret in its URL"),
    ("client-identifier", "Client identifier: a device's, good once"),
)
_LIVES = (("1", "1 day"), ("7", "7 days"), ("30", "30 days"), ("365", "a year"))
_STATUSES = (("", "Any status"), ("valid", "Valid"), ("deactivated", "Deactivated"), ("revoked", "Revoked"))


async def _list(
    request: Req, *, cursor: str = "", made: EnrolmentMade | None = None, problem: TrothError | None = None
) -> Response[str]:
    book = services_of(request).enrolments
    found = await book.page(cursor=cursor)
    return await page(
        request, "enrolments.html", area="enrolments", status=problem.reason.status if problem else 200,
        page=found, made=made, problem=shown(problem) if problem else None, kinds=_KINDS, lives=_LIVES, cursor=cursor,
        directories=[("", "Every ACME directory"), *((name, _directory(name)) for name in book.everywhere)],
        labels=services_of(request).est.labels(),
        next_url=link("/enrolments", cursor=found.next),
    )  # fmt: skip


@get("/enrolments", opt=needs(Permission.ENROLMENT_READ), include_in_schema=False)
async def enrolments(request: Req, cursor: FromQuery[str] = "") -> Response[str]:
    """What lets clients open accounts, and enrol by EST."""
    return await _list(request, cursor=cursor)


@post("/enrolments", opt=needs(Permission.ENROLMENT_MANAGE), include_in_schema=False, status_code=200)
async def create(request: Req) -> Response[str]:
    """Make one; its secret is on the page that answers, and nowhere else."""
    kind, name, directory, names, days, most, vouches = await fields(
        request, "kind", "name", "directory", "names", "days", "most", "vouches"
    )
    try:
        made = await services_of(request).enrolments.create(
            _command(kind, name, directory, names, days, most, vouches), asker(request)
        )
    except TrothError as error:
        return await _list(request, problem=error)
    return await _list(request, made=made)


def _directory(name: str) -> str:
    kind, colon, label = name.partition(":")
    return f"{kind.upper()} {label}" if colon else f"ACME {name}"


def _command(kind: str, name: str, directory: str, names: str, days: str, most: str, vouches: str) -> EnrolmentCommand:
    if kind not in get_args(Kind):
        raise WebError(MALFORMED, f"the kind is one of {', '.join(KINDS)}")
    if not days.isdigit() or len(days) > 4 or (most and (not most.isdigit() or len(most) > 7)):
        raise WebError(MALFORMED, "days and accounts are numbers")
    words = names.split()
    devices = kind == "client-identifier"
    return EnrolmentCommand(
        kind=next(one for one in KINDS if one == kind),
        name=name,
        seconds=int(days) * 86_400,
        directories=(directory,) if directory else (),
        names=() if devices else tuple(one for one in words if not one.startswith(".") and "/" not in one),
        suffixes=() if devices else tuple(one[1:] for one in words if one.startswith(".")),
        networks=() if devices else tuple(one for one in words if "/" in one),
        devices=tuple(words) if devices else (),
        vouches=bool(vouches),
        most_accounts=int(most) if most else None,
    )


@get("/enrolments/{enrolment_id:uuid}", opt=needs(Permission.ENROLMENT_READ), include_in_schema=False)
async def enrolment(request: Req, enrolment_id: FromPath[UUID], cursor: FromQuery[str] = "") -> Response[str]:
    """One enrolment, and what it has opened."""
    services = services_of(request)
    found = await services.enrolments.get(enrolment_id)
    accounts = await services.acme_accounts.page(enrolment=enrolment_id, cursor=cursor)
    return await page(
        request, "enrolment.html", area="enrolments", enrolment=found, accounts=accounts,
        certificates=(await services.est.certificates(enrolment_id, limit=20)).items,
        next_url=link(f"/enrolments/{found.id}", cursor=accounts.next),
        events=(await services.events.list(EventFilter(ref=f"enrolment:{found.id}", limit=20))).items,
    )  # fmt: skip


@get("/acme/accounts", opt=needs(Permission.ENROLMENT_READ), include_in_schema=False)
async def accounts(request: Req, status: FromQuery[str] = "", cursor: FromQuery[str] = "") -> Response[str]:
    """ACME accounts, and clients that are paused."""
    book = services_of(request).acme_accounts
    status = one_of(status, _STATUSES)
    found = await book.page(status=status, cursor=cursor)
    return await page(
        request, "acme_accounts.html", area="enrolments", page=found, chosen=status, statuses=_STATUSES,
        paused=(await book.paused(limit=20)).items, next_url=link("/acme/accounts", status=status, cursor=found.next),
    )  # fmt: skip


@get("/acme/accounts/{account_id:uuid}", opt=needs(Permission.ENROLMENT_READ), include_in_schema=False)
async def account(request: Req, account_id: FromPath[UUID]) -> Response[str]:
    """One account with its orders."""
    services = services_of(request)
    found = await services.acme_accounts.get(account_id)
    return await page(
        request, "acme_account.html", area="enrolments", account=found,
        events=(await services.events.list(EventFilter(ref=f"account:{found.id}", limit=30))).items,
    )  # fmt: skip


@post("/acme/accounts/{account_id:uuid}/unpause", opt=needs(Permission.ENROLMENT_MANAGE), include_in_schema=False)
async def unpause(request: Req, account_id: FromPath[UUID]) -> Redirect:
    """Let it try its paused names again."""
    await services_of(request).acme_accounts.unpause(account_id, asker(request))
    return Redirect(f"/acme/accounts/{account_id}?done=unpaused", status_code=303)


HANDLERS = (enrolments, create, enrolment, accounts, account, unpause)
