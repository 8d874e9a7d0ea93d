"""The files that a ceremony leaves behind, beside its key and shares."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import msgspec
from cryptography.hazmat.primitives.hashes import SHA256

from troth.pki.algorithms import spki_of
from troth.pki.ceremony.body import Body
from troth.pki.ceremony.custody import OpenKey
from troth.pki.ceremony.desk import DRY_MARK
from troth.pki.ceremony.inputs import Inputs
from troth.pki.ceremony.plan import Plan
from troth.pki.issuer_classes import IssuerClass
from troth.pki.pem import pem

RESULT_FILE = "result.json"
_DRY_TEXT = b"DRY RUN: signed by a throw-away key. Not a certificate or CRL of anybody.\n"


class Result(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What was made, for the machine that takes it in; nothing here is trusted there that the bytes do not say.

    Attributes:
        public_key_sha256: of the key that signed, or was made.
        issuer_sha256: of the issuer's certificate.
        key_label: in its token: for plans that use the key.
    """

    format: str
    ceremony: str
    title: str
    dry_run: bool
    plan_sha256: str
    public_key_sha256: str
    issuer_sha256: str | None
    issuer_classes: tuple[IssuerClass, ...]
    ca_issuers_url: str | None
    ocsp_url: str | None
    crl_url: str | None
    key_label: str | None

    @classmethod
    def parse(cls, content: bytes) -> Result:
        """Raises ValueError."""
        return msgspec.json.decode(content, type=cls)


def files_of(body: Body, encoded: bytes, *, dry_run: bool) -> Mapping[str, bytes]:
    """The signed thing as PEM and DER."""
    text = (_DRY_TEXT if dry_run else b"") + pem(encoded, body.label)
    return {f"{body.name}.der": encoded, f"{body.name}.pem": text}


def about(plan: Plan, inputs: Inputs, key: OpenKey, *, dry_run: bool) -> Mapping[str, bytes]:
    """Public key, result, and the mark of a dry run."""
    spki = spki_of(key.public_key)
    certificate = plan.document.certificate
    issuer = inputs.issuer
    result = Result(
        format="troth-ceremony-1",
        ceremony=str(plan.kind),
        title=plan.document.title,
        dry_run=dry_run,
        plan_sha256=plan.digest.hex(),
        public_key_sha256=hashlib.sha256(spki).hexdigest(),
        issuer_sha256=None if issuer is None else issuer.fingerprint(SHA256()).hex(),
        issuer_classes=() if certificate is None else certificate.issuer_classes,
        ca_issuers_url=None if certificate is None else certificate.ca_issuers_url,
        ocsp_url=None if certificate is None else certificate.ocsp_url,
        crl_url=None if certificate is None else certificate.crl_url,
        key_label=key.label,
    )
    files = {
        "public-key.pem": pem(spki, "PUBLIC KEY"),
        RESULT_FILE: msgspec.json.format(msgspec.json.encode(result), indent=2) + b"\n",
    }
    return {**files, DRY_MARK: _DRY_TEXT} if dry_run else files
