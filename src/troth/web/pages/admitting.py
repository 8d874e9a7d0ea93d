"""Pages on which an authority comes in: a ceremony's results, or a certificate that another CA has made.

Two steps, as everywhere: what was chosen is shown with what it would do, then it is done or proposed. What stands on
the second page in hidden fields is what its button sends; it is read anew as if it had come from anywhere.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from typing import Any

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from litestar import Response, get, post
from litestar.params import FromPath
from litestar.response import Redirect

from troth.access.roles import Permission
from troth.kit.canonical import Json
from troth.kit.errors import TrothError
from troth.pki.issuer_classes import IssuerClass
from troth.pki.keys.model import KeyPurpose
from troth.pki.unreadable import UNREADABLE
from troth.web.asking import ask
from troth.web.errors import MALFORMED, NotFound, WebError
from troth.web.forms import chosen, fields, uploads
from troth.web.guard import asker, needs
from troth.web.problems import shown
from troth.web.render import Req, page, services_of

#: Way in → the act, and what the button says.
_WAYS = {"ceremony": ("ceremony.import", "Take it in"), "certificate": ("authority.add", "Add it")}
_LONGEST = 3 * 1024 * 1024


async def _form(request: Req, *, problem: TrothError | None = None) -> Response[str]:
    services = services_of(request)
    try:
        found = (await services.keys.list()).keys
    except TrothError:
        found = ()  # the form says so; a ceremony's results need no key that is here
    return await page(
        request, "authority_add.html", area="authorities", status=problem.reason.status if problem else 200,
        keys=[one for one in found if one.purpose == KeyPurpose.ISSUING.value],
        classes=[one.value for one in IssuerClass], problem=shown(problem) if problem else None,
    )  # fmt: skip


@get("/authorities/add", opt=needs(Permission.ACCESS_MANAGE), include_in_schema=False)
async def add(request: Req) -> Response[str]:
    """Choose what is taken in."""
    return await _form(request)


@post("/authorities/add/{way:str}", opt=needs(Permission.ACCESS_MANAGE), include_in_schema=False, status_code=200)
async def preview(request: Req, way: FromPath[str]) -> Response[str]:
    """What it would do."""
    try:
        match way:
            case "ceremony":
                payload = await _ceremony(request)
            case "certificate":
                payload = await _certificate(request)
            case _:
                raise NotFound("authorities come from a ceremony, or with a certificate")
        return await _confirm(request, way, payload)
    except TrothError as error:
        return await _form(request, problem=error)


@post("/authorities/add/{way:str}/done", opt=needs(Permission.ACCESS_MANAGE), include_in_schema=False)
async def done(request: Req, way: FromPath[str]) -> Response[Any]:
    """Do it, or propose it."""
    if way not in _WAYS:
        raise NotFound("authorities come from a ceremony, or with a certificate")
    kind, _ = _WAYS[way]
    (carried,) = await fields(request, "carried", longest=_LONGEST)
    (note,) = await fields(request, "note")
    try:
        payload = msgspec.json.decode(carried, type=dict[str, Any])
    except msgspec.MsgspecError as error:
        raise WebError(MALFORMED, "the page's hidden field is not what it was") from error
    try:
        outcome = await ask(request, kind, payload, comment=note)
    except TrothError as error:
        return await _form(request, problem=error)
    slug = outcome.get("authority")
    return Redirect(f"/authorities/{slug}?done=taken" if slug else "/authorities?done=taken", status_code=303)


async def _confirm(request: Req, way: str, payload: Mapping[str, Json]) -> Response[str]:
    kind, verb = _WAYS[way]
    told, demand = await services_of(request).approvals.preview(kind, payload, asker(request))
    hits = [*told.lines]
    if demand.approvals:
        hits.append(f"It is proposed first: {demand.approvals} more persons must approve it.")
    return await page(
        request, "confirm.html", area="authorities", title=told.words,
        text="Read it against the paper before you go on: what is trusted here is trusted by everybody.", hits=hits,
        action=f"/authorities/add/{way}/done", back="/authorities/add", verb=verb, tone="primary", typed="", reasons=[],
        note_required=False, line="", problem=None, carried=msgspec.json.encode(payload).decode(),
        note_label="Note for who approves it" if demand.approvals else "",
    )  # fmt: skip


async def _ceremony(request: Req) -> dict[str, Json]:
    transcript, result, made = await uploads(request, "transcript", "result", "made")
    session_key, slug = await fields(request, "session_key", "slug")
    if not transcript or not result:
        raise WebError(MALFORMED, "choose transcript.jsonl and result.json of the ceremony")
    return {
        "transcript": _text(transcript, "transcript.jsonl"), "result": _text(result, "result.json"),
        "made": b64encode(made).decode(), "session_key": "".join(session_key.split()).lower(), "slug": slug.strip(),
    }  # fmt: skip


async def _certificate(request: Req) -> dict[str, Json]:
    certificate, chain, crl = await uploads(request, "certificate", "chain", "crl")
    slug, key_id = await fields(request, "slug", "key_id")
    if not certificate:
        raise WebError(MALFORMED, "choose the authority's certificate")
    return {
        "authority": slug.strip(), "key_id": key_id, "issuer_classes": [*await chosen(request, "issuer_class")],
        "certificate": certificates_in(certificate, "certificate")[0],
        "chain": [*certificates_in(chain, "chain")] if chain else [], "crl": crl_in(crl) if crl else "",
    }  # fmt: skip


def _text(content: bytes, name: str) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise WebError(MALFORMED, f"{name} is no text in UTF-8") from error


def certificates_in(content: bytes, name: str) -> list[str]:
    """PEM (one or more) or DER, as DER in base64. Raises WebError."""
    try:
        if b"-----BEGIN" in content:
            found = x509.load_pem_x509_certificates(content)
        else:
            found = [x509.load_der_x509_certificate(content)]
    except UNREADABLE as error:
        raise WebError(MALFORMED, f"the file of the {name} holds no certificate, PEM or DER") from error
    return [b64encode(one.public_bytes(Encoding.DER)).decode() for one in found]


def crl_in(content: bytes) -> str:
    """PEM or DER, as DER in base64. Raises WebError."""
    try:
        pem = b"-----BEGIN" in content
        found = x509.load_pem_x509_crl(content) if pem else x509.load_der_x509_crl(content)
    except UNREADABLE as error:
        raise WebError(MALFORMED, "the file of the CRL holds none, PEM or DER") from error
    return b64encode(found.public_bytes(Encoding.DER)).decode()


HANDLERS = (add, preview, done)
