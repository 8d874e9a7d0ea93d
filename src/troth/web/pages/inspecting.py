"""Pages of blocked keys and of findings."""

from __future__ import annotations

from typing import Any

from litestar import Response, get, post
from litestar.params import FromPath
from litestar.response import Redirect

from troth.access.roles import Permission
from troth.kit.errors import TrothError
from troth.web.api.inspecting import blocked, key_hash
from troth.web.errors import MALFORMED, WebError
from troth.web.forms import fields
from troth.web.guard import needs
from troth.web.inspecting import BlockCommand, KeyView
from troth.web.problems import shown
from troth.web.render import Req, page, services_of

_LIMIT = 100


@get("/keys/blocked", opt=needs(Permission.CERTIFICATE_READ), include_in_schema=False)
async def blocked_keys(request: Req) -> Response[str]:
    """Keys that are never certified again."""
    found = await services_of(request).inspections.blocked(_LIMIT)
    return await page(request, "blocked.html", area="certificates", keys=found)


@get("/keys/blocked/{spki_sha256:str}", opt=needs(Permission.CERTIFICATE_READ), include_in_schema=False)
async def one_key(request: Req, spki_sha256: FromPath[str]) -> Response[str]:
    """One key and where it is used."""
    found = await services_of(request).inspections.key(key_hash(spki_sha256))
    return await page(request, "blocked_key.html", area="certificates", key=found)


async def _confirm(
    request: Req, found: KeyView, *, status: int = 200, problem: TrothError | None = None
) -> Response[str]:
    hits = [f"Key {found.spki_sha256}", f"{found.live} live certificates are revoked (keyCompromise)."]
    hits += [f"{one.title}, serial number {one.serial}, {one.status}" for one in found.certificates[:20]]
    hits.append("ACME accounts that sign with it are revoked. It is never certified again.")
    return await page(
        request, "confirm.html", area="certificates", status=status, title="Block this key",
        text="This is final: the key stays blocked for ever, everywhere.", hits=hits,
        action=f"/keys/blocked/{found.spki_sha256}/block", back=f"/keys/blocked/{found.spki_sha256}", verb="Block it",
        tone="danger", typed=str(found.live), note_required=True,
        reasons=[("compromised", "Compromised"), ("weak", "Weak")],
        line=f"troth key block {found.spki_sha256} --yes", problem=shown(problem) if problem else None,
    )  # fmt: skip


@get("/keys/blocked/{spki_sha256:str}/block", opt=needs(Permission.CERTIFICATE_REVOKE), include_in_schema=False)
async def block_preview(request: Req, spki_sha256: FromPath[str]) -> Response[str]:
    """What a block would hit."""
    return await _confirm(request, await services_of(request).inspections.key(key_hash(spki_sha256)))


@post("/keys/blocked/{spki_sha256:str}/block", opt=needs(Permission.CERTIFICATE_REVOKE), include_in_schema=False)
async def block(request: Req, spki_sha256: FromPath[str]) -> Response[Any]:
    """Block; the number of live certificates must be typed."""
    book = services_of(request).inspections
    found = await book.key(key_hash(spki_sha256))
    note, typed, reason = await fields(request, "note", "typed", "reason")
    try:
        if not typed.strip().isdigit() or int(typed) != found.live:
            raise WebError(MALFORMED, f"type the number of live certificates, {found.live}")
        if reason not in ("compromised", "weak"):
            raise WebError(MALFORMED, "there is no such reason")
        command = BlockCommand(
            key=found.spki_sha256, reason="weak" if reason == "weak" else "compromised", note=note, confirmed=found.live
        )
        await blocked(request, command)
    except TrothError as error:
        return await _confirm(request, found, status=error.reason.status, problem=error)
    return Redirect(f"/keys/blocked/{found.spki_sha256}?done=blocked", status_code=303)


@get("/findings", opt=needs(Permission.CERTIFICATE_READ), include_in_schema=False)
async def findings(request: Req) -> Response[str]:
    """What lint and audit have found."""
    book = services_of(request).inspections
    found = await book.findings(source="", cleared=True, limit=_LIMIT)
    return await page(request, "findings.html", area="certificates", findings=found, walks=await book.walks())


HANDLERS = (blocked_keys, one_key, block_preview, block, findings)
