"""Foreign trust anchors over the API."""

from __future__ import annotations

from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Sequence
from typing import Annotated

from cryptography import x509
from litestar import get, post
from litestar.params import FromPath, JSONBody
from msgspec import Meta, Struct

from troth.access.approvals.errors import PAYLOAD_INVALID, ApprovalRefused
from troth.access.roles import Permission
from troth.pki.unreadable import UNREADABLE
from troth.web.asking import ask
from troth.web.books.anchors import AnchorView
from troth.web.guard import needs
from troth.web.render import Req, services_of


class AnchorCommand(Struct, frozen=True, forbid_unknown_fields=True):
    """A root of somebody else: DER in base64, and extended key usages by name or dotted."""

    certificate: str
    purposes: Annotated[tuple[str, ...], Meta(min_length=1, max_length=20)]


class ChainCommand(Struct, frozen=True, forbid_unknown_fields=True):
    """A certificate and what is above it (DER in base64), to be judged for a purpose."""

    chain: Annotated[tuple[str, ...], Meta(min_length=1, max_length=10)]
    purpose: str


class AnchorDone(Struct, frozen=True):
    """Which one."""

    sha256: str


@get("/trust-anchors", opt=needs(Permission.AUTHORITY_READ), operation_id="listTrustAnchors", tags=["Authorities"])
async def list_anchors(request: Req) -> Sequence[AnchorView]:
    """Roots of others, and the purposes for which they are believed."""
    return await services_of(request).anchors.list()


@post("/trust-anchors", opt=needs(Permission.ACCESS_MANAGE), operation_id="addTrustAnchor", tags=["Authorities"],
      status_code=200)  # fmt: skip
async def add_anchor(request: Req, data: JSONBody[AnchorCommand]) -> AnchorDone:
    """Believe somebody else's root for some purposes. It is never handed out as ours."""
    payload = {"certificate": data.certificate, "purposes": list(data.purposes)}
    done = await ask(request, "trust_anchor.add", payload)
    return AnchorDone(str(done["sha256"]))


@post("/trust-anchors/{sha256:str}/remove", opt=needs(Permission.ACCESS_MANAGE), operation_id="removeTrustAnchor",
      tags=["Authorities"], status_code=200)  # fmt: skip
async def remove_anchor(request: Req, sha256: FromPath[str]) -> AnchorDone:
    """Believe it no more."""
    done = await ask(request, "trust_anchor.remove", {"sha256": sha256[:100]})
    return AnchorDone(str(done["sha256"]))


@post("/trust-anchors/judge", opt=needs(Permission.AUTHORITY_READ), operation_id="judgeChain", tags=["Authorities"],
      status_code=200)  # fmt: skip
async def judge(request: Req, data: JSONBody[ChainCommand]) -> AnchorView:
    """Which anchor vouches for a chain. Revocation is not asked."""
    try:
        chain = [x509.load_der_x509_certificate(b64decode(one, validate=True)) for one in data.chain]
    except (Base64Error, *UNREADABLE) as error:
        raise ApprovalRefused(PAYLOAD_INVALID, "certificates are DER in base64") from error
    return await services_of(request).anchors.judge(chain, data.purpose)


HANDLERS = [list_anchors, add_anchor, remove_anchor, judge]
