"""Pages of TPMs: the list, and registering or forgetting that of a device."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from litestar import Response, get, post
from litestar.params import FromPath, FromQuery
from litestar.response import Redirect

from troth.access.roles import Permission
from troth.kit.errors import TrothError
from troth.web.asking import ask
from troth.web.errors import NotFound
from troth.web.forms import fields
from troth.web.guard import needs
from troth.web.pages.looking import link
from troth.web.problems import shown
from troth.web.render import Req, page, services_of

_LIMIT = 50


@get("/tpms", opt=needs(Permission.SUBJECT_READ), include_in_schema=False)
async def tpms(request: Req, cursor: FromQuery[str] = "") -> Response[str]:
    """All that are registered."""
    found = await services_of(request).tpms.page(cursor=cursor, limit=_LIMIT)
    return await page(
        request, "tpms.html", area="subjects", page=found, cursor=cursor, next_url=link("/tpms", cursor=found.next)
    )


async def _form(
    request: Req, subject_id: UUID, *, ek: str = "", identifier: str = "", problem: TrothError | None = None
) -> Response[str]:
    found = await services_of(request).subjects.get(subject_id)
    if found is None or found.kind != "device":
        raise NotFound("there is no such device")
    return await page(
        request, "tpm_add.html", area="subjects", status=problem.reason.status if problem else 200, subject=found,
        ek=ek, identifier=identifier, problem=shown(problem) if problem else None,
    )  # fmt: skip


@get("/subjects/{subject_id:uuid}/tpm", opt=needs(Permission.CONFIGURATION_APPLY), include_in_schema=False)
async def form(request: Req, subject_id: FromPath[UUID]) -> Response[str]:
    """What is to be known of a device's TPM."""
    return await _form(request, subject_id)


@post("/subjects/{subject_id:uuid}/tpm", opt=needs(Permission.CONFIGURATION_APPLY), include_in_schema=False)
async def register(request: Req, subject_id: FromPath[UUID]) -> Response[Any]:
    """Register it, or propose to."""
    ek, identifier = await fields(request, "ek", "identifier", longest=16_384)
    ek, identifier = ek.strip(), identifier.strip()
    try:
        one = {"device": str(subject_id), "ek": ek, "identifier": identifier}
        await ask(request, "tpm.register", {"tpms": [dict(one)]})
    except TrothError as error:
        return await _form(request, subject_id, ek=ek, identifier=identifier, problem=error)
    return Redirect(f"/subjects/{subject_id}?done=tpm_registered", status_code=303)


async def _confirm(request: Req, ek: str, problem: TrothError | None = None) -> Response[str]:
    found = await services_of(request).tpms.get(ek[:100])
    hits = [
        f"{found.device}: {found.manufacturer} {found.model}, identifier {found.identifier}.",
        "No attestation key of it is certified any more. Those that were are good until they end or are revoked.",
    ]
    return await page(
        request, "confirm.html", area="subjects", status=problem.reason.status if problem else 200,
        title=f"Forget the TPM of {found.device}", text="It can be registered again.", hits=hits,
        action=f"/tpms/{found.ek_sha256}/remove", back=f"/subjects/{found.device_id}", verb="Forget it", tone="danger",
        typed="", note_required=False, note_label="", reasons=[], line=f"troth tpm remove {found.ek_sha256}",
        problem=shown(problem) if problem else None,
    )  # fmt: skip


@get("/tpms/{ek:str}/remove", opt=needs(Permission.CONFIGURATION_APPLY), include_in_schema=False)
async def remove_preview(request: Req, ek: FromPath[str]) -> Response[str]:
    """What it would mean."""
    return await _confirm(request, ek)


@post("/tpms/{ek:str}/remove", opt=needs(Permission.CONFIGURATION_APPLY), include_in_schema=False)
async def remove(request: Req, ek: FromPath[str]) -> Response[Any]:
    """Forget it, or propose to."""
    found = await services_of(request).tpms.get(ek[:100])
    try:
        await ask(request, "tpm.remove", {"ek": found.ek_sha256})
    except TrothError as error:
        return await _confirm(request, ek, error)
    return Redirect(f"/subjects/{found.device_id}?done=tpm_removed", status_code=303)


HANDLERS = (tpms, form, register, remove_preview, remove)
