"""Keys and custodians over the API.

Issuing keys are made on the machine itself (``troth key generate``), or by the signer when its pinned approvers have
approved just that.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from litestar import get, post
from litestar.params import FromPath, JSONBody
from msgspec import Meta, Struct, structs

from troth.access.roles import Permission
from troth.pki.issuer_classes import IssuerClass, issuer_classes
from troth.pki.keys.algorithm import KeyAlgorithm
from troth.pki.keys.model import KeyPurpose
from troth.pki.signer import acts
from troth.pki.signer.class_rules import bounds_of
from troth.pki.unreadable import UNREADABLE
from troth.web.asking import ask
from troth.web.errors import MALFORMED, WebError
from troth.web.guard import asker, needs
from troth.web.key_views import CustodianView, KeysView, KeyTest, KeyView
from troth.web.render import Req, services_of


@get("/keys", opt=needs(Permission.KEY_READ), operation_id="listKeys", tags=["System"])
async def list_keys(request: Req) -> KeysView:
    """Who holds keys, how they are, and every key of the signer with the evidence of its making."""
    return await services_of(request).keys.list()


@get("/keys/{key_id:str}", opt=needs(Permission.KEY_READ), operation_id="getKey", tags=["System"])
async def get_key(request: Req, key_id: FromPath[str]) -> KeyView:
    """One key by its id."""
    return await services_of(request).keys.get(key_id[:100])


@post("/keys/{key_id:str}/test", opt=needs(Permission.KEY_MANAGE), operation_id="testKey", tags=["System"],
      status_code=200)  # fmt: skip
async def test_key(request: Req, key_id: FromPath[str]) -> KeyTest:
    """Have the key sign a nonce now, and verify the signature."""
    return await services_of(request).keys.test(key_id[:100])


class OrderKey(Struct, frozen=True, forbid_unknown_fields=True):
    """An issuing key."""

    algorithm: KeyAlgorithm
    custodian: Annotated[str, Meta(max_length=100)]


class AttachKey(Struct, frozen=True, forbid_unknown_fields=True):
    """What a key is bound to: the authority's certificate (PEM), and how far it may go."""

    certificate: Annotated[str, Meta(max_length=65_536)]
    issuer_classes: list[IssuerClass]
    allow_ca: bool = False
    max_validity_days: Annotated[int, Meta(ge=1, le=36_600)] | None = None


@post("/keys", opt=needs(Permission.ACCESS_MANAGE), operation_id="generateKey", tags=["System"], status_code=202)
async def generate_key(request: Req, data: JSONBody[OrderKey]) -> None:
    """Propose an issuing key: the signer makes it with the approval of its pinned approvers."""
    purpose = KeyPurpose.ISSUING.value
    await ask(
        request, acts.GENERATE, {"purpose": purpose, "algorithm": data.algorithm.value, "custodian": data.custodian}
    )


@post("/keys/{key_id:str}/attach", opt=needs(Permission.ACCESS_MANAGE), operation_id="attachKey", tags=["System"],
      status_code=202)  # fmt: skip
async def attach_key(request: Req, key_id: FromPath[str], data: JSONBody[AttachKey]) -> None:
    """Propose to bind an issuing key to its authority: the signer does with the approval of its pinned approvers."""
    try:
        certificate = x509.load_pem_x509_certificate(data.certificate.encode()).public_bytes(Encoding.DER)
    except UNREADABLE as error:
        raise WebError(MALFORMED, "the certificate is PEM") from error
    bounds = structs.replace(bounds_of(issuer_classes(data.issuer_classes)), allow_ca=data.allow_ca)
    if data.max_validity_days is not None:
        bounds = structs.replace(bounds, max_validity_seconds=data.max_validity_days * 86_400)
    act = acts.attach(key_id[:100], certificate, bounds)
    await ask(request, act.kind, msgspec.json.decode(act.payload))


@post("/keys/orders", opt=needs(Permission.ACCESS_MANAGE), operation_id="orderKey", tags=["System"], status_code=200)
async def order_key(request: Req, data: JSONBody[OrderKey]) -> OrderKey:
    """Write down that the machine's owner is about to make an issuing key; he makes it with the signer himself."""
    await services_of(request).keys.ordered(data.algorithm.value, data.custodian, asker(request))
    return data


@post("/keys/{key_id:str}/recorded", opt=needs(Permission.ACCESS_MANAGE), operation_id="recordKey", tags=["System"],
      status_code=200)  # fmt: skip
async def record_key(request: Req, key_id: FromPath[str]) -> KeyView:
    """Write down that a key was made on the machine. The signer is asked whether it has it."""
    return await services_of(request).keys.recorded(key_id[:100], asker(request))


@post("/custodians/{custodian:str}/unsealed", opt=needs(Permission.ACCESS_MANAGE), operation_id="recordUnseal",
      tags=["System"], status_code=200)  # fmt: skip
async def record_unseal(request: Req, custodian: FromPath[str]) -> CustodianView:
    """Write down that a custodian was unsealed on the machine. The signer is asked whether it was."""
    return await services_of(request).keys.unsealed(custodian[:100], asker(request))


HANDLERS = (record_unseal, generate_key, attach_key, order_key, record_key, list_keys, get_key, test_key)
