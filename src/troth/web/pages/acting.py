"""Pages that change something: each first shows what it would hit, then does it and goes back to the object."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from litestar import Response, get, post
from litestar.params import FromPath
from litestar.response import Redirect

from troth.access.roles import Permission
from troth.kit.errors import TrothError
from troth.web.asking import ask
from troth.web.errors import MALFORMED, NotFound, WebError
from troth.web.forms import fields
from troth.web.guard import asker, needs
from troth.web.problems import shown
from troth.web.render import Req, page, services_of
from troth.web.views import Certificate
from troth.web.words import REVOCATION_REASONS, absolute


async def _certificate(request: Req, certificate_id: UUID) -> Certificate:
    found = await services_of(request).certificates.get(certificate_id)
    if found is None:
        raise NotFound("there is no such certificate")
    return found


def _hits(certificate: Certificate) -> list[str]:
    lines = [f"{certificate.title}, serial number {certificate.serial}, profile {certificate.profile}"]
    lines += [f"{link.kind} {link.name}, now {link.standing}" for link in certificate.subjects]
    lines.append(f"It would otherwise end {absolute(certificate.not_after)}.")
    if certificate.holds:
        lines.append("Already on hold for: " + ", ".join(hold.cause for hold in certificate.holds))
    return lines


async def _confirm(
    request: Req, verb: str, certificate: Certificate, *, status: int = 200, problem: TrothError | None = None
) -> Response[str]:
    titles = {
        "hold": ("Hold", "OCSP and CRL say “certificateHold” until you release it. Other causes are not touched."),
        "release": ("Release", "Clears your own cause. The certificate is good again when no other cause remains."),
        "revoke": ("Revoke", "This is final: a revoked certificate never comes back."),
    }
    word, text = titles[verb]
    final = verb == "revoke"
    reasons = [(str(code), name.capitalize()) for code, name in REVOCATION_REASONS.items()] if final else []
    return await page(
        request, "confirm.html", area="certificates", status=status, title=f"{word} {certificate.title}", text=text,
        hits=_hits(certificate), action=f"/certificates/{certificate.id}/{verb}",
        back=f"/certificates/{certificate.id}", verb=f"{word} it", tone="danger" if final else "primary",
        typed=certificate.title if final else "", note_required=final, reasons=reasons,
        line=f"troth cert {verb} {certificate.serial}", problem=shown(problem) if problem else None,
    )  # fmt: skip


@get("/certificates/{certificate_id:uuid}/hold", opt=needs(Permission.CERTIFICATE_HOLD), include_in_schema=False)
async def hold_preview(request: Req, certificate_id: FromPath[UUID]) -> Response[str]:
    """What a hold would hit."""
    return await _confirm(request, "hold", await _certificate(request, certificate_id))


@post("/certificates/{certificate_id:uuid}/hold", opt=needs(Permission.CERTIFICATE_HOLD), include_in_schema=False)
async def hold(request: Req, certificate_id: FromPath[UUID]) -> Response[Any]:
    """Put on hold."""
    found = await _certificate(request, certificate_id)
    (note,) = await fields(request, "note")
    try:
        await services_of(request).certificates.hold(found.id, asker(request), note)
    except TrothError as error:
        return await _confirm(request, "hold", found, status=error.reason.status, problem=error)
    return Redirect(f"/certificates/{found.id}?done=held", status_code=303)


@get("/certificates/{certificate_id:uuid}/release", opt=needs(Permission.CERTIFICATE_HOLD), include_in_schema=False)
async def release_preview(request: Req, certificate_id: FromPath[UUID]) -> Response[str]:
    """What a release would do."""
    return await _confirm(request, "release", await _certificate(request, certificate_id))


@post("/certificates/{certificate_id:uuid}/release", opt=needs(Permission.CERTIFICATE_HOLD), include_in_schema=False)
async def release(request: Req, certificate_id: FromPath[UUID]) -> Response[Any]:
    """Clear one's own cause."""
    found = await _certificate(request, certificate_id)
    (note,) = await fields(request, "note")
    try:
        await services_of(request).certificates.release(found.id, asker(request), note)
    except TrothError as error:
        return await _confirm(request, "release", found, status=error.reason.status, problem=error)
    return Redirect(f"/certificates/{found.id}?done=released", status_code=303)


@get("/certificates/{certificate_id:uuid}/revoke", opt=needs(Permission.CERTIFICATE_REVOKE), include_in_schema=False)
async def revoke_preview(request: Req, certificate_id: FromPath[UUID]) -> Response[str]:
    """What a revocation would hit."""
    return await _confirm(request, "revoke", await _certificate(request, certificate_id))


@post("/certificates/{certificate_id:uuid}/revoke", opt=needs(Permission.CERTIFICATE_REVOKE), include_in_schema=False)
async def revoke(request: Req, certificate_id: FromPath[UUID]) -> Response[Any]:
    """Revoke for good; the name must be typed."""
    found = await _certificate(request, certificate_id)
    note, typed, reason = await fields(request, "note", "typed", "reason")
    try:
        if typed.strip() != found.title:
            raise WebError(MALFORMED, "the name typed is not the certificate's")
        if not reason.isdigit() or int(reason) not in REVOCATION_REASONS:
            raise WebError(MALFORMED, "there is no such reason")
        await services_of(request).certificates.revoke(found.id, asker(request), int(reason), note)
    except TrothError as error:
        return await _confirm(request, "revoke", found, status=error.reason.status, problem=error)
    return Redirect(f"/certificates/{found.id}?done=revoked", status_code=303)


@get("/staged", opt=needs(Permission.STAGED_READ), include_in_schema=False)
async def staged(request: Req) -> Response[str]:
    """What waits for a person."""
    return await page(request, "staged.html", area="staged", actions=await services_of(request).staged.list())


async def _staged_page(
    request: Req, staged_id: UUID, *, status: int = 200, problem: TrothError | None = None
) -> Response[str]:
    found = await services_of(request).staged.get(staged_id)
    if found is None:
        raise NotFound("there is no such staged action")
    return await page(
        request,
        "staged_one.html",
        area="staged",
        status=status,
        action=found,
        problem=shown(problem) if problem else None,
    )


@get("/staged/{staged_id:uuid}", opt=needs(Permission.STAGED_READ), include_in_schema=False)
async def staged_one(request: Req, staged_id: FromPath[UUID]) -> Response[str]:
    """What approval would hit."""
    return await _staged_page(request, staged_id)


@post("/staged/{staged_id:uuid}", opt=needs(Permission.STAGED_DECIDE), include_in_schema=False)
async def staged_decide(request: Req, staged_id: FromPath[UUID]) -> Response[Any]:
    """Approve or reject."""
    verdict, note = await fields(request, "verdict", "note")
    book = services_of(request).staged
    try:
        if verdict == "approve":
            await ask(request, "staged.approve", {"action": str(staged_id), "note": note}, comment=note)
            return Redirect("/staged?done=approved", status_code=303)
        if verdict == "reject":
            await book.reject(staged_id, asker(request), note)
            return Redirect("/staged?done=rejected", status_code=303)
        raise WebError(MALFORMED, "the verdict is approve or reject")
    except TrothError as error:
        return await _staged_page(request, staged_id, status=error.reason.status, problem=error)


@get("/enforcement/freeze", opt=needs(Permission.ENFORCEMENT_FREEZE), include_in_schema=False)
async def freeze_preview(request: Req) -> Response[str]:
    """What a freeze stops."""
    by_standing = await services_of(request).subjects.counts()
    return await page(
        request, "confirm.html", area="overview", title="Freeze enforcement", reasons=[], typed="", problem=None,
        text="One switch that stops automation. People can still hold, release and revoke.",
        hits=[
            "No signal changes a standing, puts a certificate on hold or releases one.",
            f"{sum(by_standing.values())} subjects stay where they are, "
            f"{by_standing.get('quarantined', 0)} of them quarantined.",
            "Issuing goes on by policy; signals are still recorded.",
        ],
        action="/enforcement/freeze", back="/", verb="Freeze", tone="danger", note_required=True,
        line="troth freeze --reason 'why'",
    )  # fmt: skip


@post("/enforcement/freeze", opt=needs(Permission.ENFORCEMENT_FREEZE), include_in_schema=False)
async def freeze(request: Req) -> Redirect:
    """Stop automation."""
    (note,) = await fields(request, "note")
    await services_of(request).enforcement.freeze(asker(request), note)
    return Redirect("/?done=frozen", status_code=303)


@post("/enforcement/unfreeze", opt=needs(Permission.ENFORCEMENT_FREEZE), include_in_schema=False)
async def unfreeze(request: Req) -> Redirect:
    """Let automation go on."""
    await ask(request, "enforcement.unfreeze", {})
    return Redirect("/?done=unfrozen", status_code=303)


HANDLERS = (
    hold_preview, hold, release_preview, release, revoke_preview, revoke, staged, staged_one, staged_decide,
    freeze_preview, freeze, unfreeze,
)  # fmt: skip
