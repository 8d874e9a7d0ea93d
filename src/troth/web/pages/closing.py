"""Pages that end an enrolment or close an ACME account: what it would hit, and doing or proposing it."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from litestar import Response, get, post
from litestar.params import FromPath
from litestar.response import Redirect

from troth.access.roles import Permission
from troth.kit.canonical import Json
from troth.kit.errors import TrothError
from troth.web.asking import ask
from troth.web.errors import MALFORMED, WebError
from troth.web.forms import fields
from troth.web.guard import needs
from troth.web.problems import shown
from troth.web.render import Req, page, services_of

_CHOICES = [("", "Leave the certificates"), ("certificates", "Revoke the certificates, too")]
_CHOSEN = "revoked only if you choose so."


async def _confirm(request: Req, problem: TrothError | None, **words: Any) -> Response[str]:
    return await page(
        request, "confirm.html", area="enrolments", status=problem.reason.status if problem else 200, tone="danger",
        note_required=False, reasons=_CHOICES, problem=shown(problem) if problem else None, **words,
    )  # fmt: skip


async def _of_enrolment(request: Req, enrolment_id: UUID, problem: TrothError | None = None) -> Response[str]:
    found = await services_of(request).enrolments.get(enrolment_id)
    hits = [
        f"{found.name}: {found.kind}, {found.state}. It opens nothing any more.",
        "Every account that it has opened is shut out on its next call; orders under way end, and renewals by EST.",
        f"{found.certificates} living certificates that it brought: {_CHOSEN}",
    ]
    return await _confirm(
        request, problem, title=f"End {found.name}", hits=hits, typed=found.name, verb="End it",
        text="This is final: an enrolment that has ended is not taken up again.",
        action=f"/enrolments/{found.id}/revoke", back=f"/enrolments/{found.id}",
        line=f"troth enrolment revoke {found.id} --yes",
    )  # fmt: skip


async def _of_account(request: Req, account_id: UUID, problem: TrothError | None = None) -> Response[str]:
    found = await services_of(request).acme_accounts.get(account_id)
    hits = [
        f"An account of the directory {found.directory}, {found.status}, key {found.thumbprint}.",
        "It is shut out on its next call; orders under way end. Its key can open no other account there.",
        f"{found.certificates} living certificates: {_CHOSEN}",
    ]
    return await _confirm(
        request, problem, title="Close this account", hits=hits, typed="", verb="Close it",
        text="This is final: a closed account is not opened again.",
        action=f"/acme/accounts/{found.id}/revoke", back=f"/acme/accounts/{found.id}",
        line=f"troth account revoke {found.id} --yes",
    )  # fmt: skip


@get("/enrolments/{enrolment_id:uuid}/revoke", opt=needs(Permission.ENROLMENT_MANAGE), include_in_schema=False)
async def enrolment_preview(request: Req, enrolment_id: FromPath[UUID]) -> Response[str]:
    """What ending it would hit."""
    return await _of_enrolment(request, enrolment_id)


@post("/enrolments/{enrolment_id:uuid}/revoke", opt=needs(Permission.ENROLMENT_MANAGE), include_in_schema=False)
async def enrolment(request: Req, enrolment_id: FromPath[UUID]) -> Response[Any]:
    """End it, or propose to; its name must be typed."""
    typed, reason = await fields(request, "typed", "reason")
    try:
        if typed.strip() != (await services_of(request).enrolments.get(enrolment_id)).name:
            raise WebError(MALFORMED, "the name typed is not the enrolment's")
        payload: dict[str, Json] = {"enrolment": str(enrolment_id), "certificates": reason == "certificates"}
        await ask(request, "enrolment.revoke", payload)
    except TrothError as error:
        return await _of_enrolment(request, enrolment_id, error)
    return Redirect(f"/enrolments/{enrolment_id}?done=enrolment_revoked", status_code=303)


@get("/acme/accounts/{account_id:uuid}/revoke", opt=needs(Permission.ENROLMENT_MANAGE), include_in_schema=False)
async def account_preview(request: Req, account_id: FromPath[UUID]) -> Response[str]:
    """What closing it would hit."""
    return await _of_account(request, account_id)


@post("/acme/accounts/{account_id:uuid}/revoke", opt=needs(Permission.ENROLMENT_MANAGE), include_in_schema=False)
async def account(request: Req, account_id: FromPath[UUID]) -> Response[Any]:
    """Close it, or propose to."""
    (reason,) = await fields(request, "reason")
    try:
        payload: dict[str, Json] = {"account": str(account_id), "certificates": reason == "certificates"}
        await ask(request, "acme_account.revoke", payload)
    except TrothError as error:
        return await _of_account(request, account_id, error)
    return Redirect(f"/acme/accounts/{account_id}?done=acme_closed", status_code=303)


HANDLERS = (enrolment_preview, enrolment, account_preview, account)
