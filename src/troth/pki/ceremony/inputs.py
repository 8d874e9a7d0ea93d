"""What a plan names, read and understood: certificates, public keys, CRLs."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TypeVar

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from troth.pki.algorithms import PublicKey, load_public, spki_of
from troth.pki.ceremony.errors import INPUT, PlanRefused
from troth.pki.ceremony.plan import Plan
from troth.pki.errors import KeyRefused
from troth.pki.keycheck import check_key
from troth.pki.unreadable import UNREADABLE

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Inputs:
    """The inputs of a ceremony, parsed. ``digests`` are of the files, by what they are."""

    issuer: x509.Certificate | None
    public_key: PublicKey | None
    certificate: x509.Certificate | None
    previous_crl: x509.CertificateRevocationList | None
    digests: tuple[tuple[str, str], ...]


def read_inputs(plan: Plan) -> Inputs:
    """Read every input that the plan names. Raises PlanRefused."""
    named = plan.document.inputs
    digests: list[tuple[str, str]] = []

    def file(path: str, what: str) -> bytes:
        content = plan.read(path, what)
        digests.append((path, hashlib.sha256(content).hexdigest()))
        return content

    issuer = _certificate(file(named.issuer, "the issuer"), named.issuer) if named.issuer else None
    certificate = (
        _certificate(file(named.certificate, "the certificate"), named.certificate) if named.certificate else None
    )
    public_key = None
    if named.public_key:
        public_key = _public_key(file(named.public_key, "the public key"), named.public_key)
        digest = hashlib.sha256(spki_of(public_key)).hexdigest()
        if named.public_key_sha256 != digest:
            told = f"{named.public_key} has the SHA-256 {digest}, the plan says {named.public_key_sha256}"
            raise PlanRefused(INPUT, told)
    previous = None
    if named.previous_crl:
        content = file(named.previous_crl, "the previous CRL")
        pem = content.lstrip().startswith(b"-----")
        load = x509.load_pem_x509_crl if pem else x509.load_der_x509_crl
        try:
            previous = load(content)
        except UNREADABLE as error:
            raise PlanRefused(INPUT, f"{named.previous_crl} is no CRL") from error
    return Inputs(issuer, public_key, certificate, previous, tuple(digests))


def public_key_of(certificate: x509.Certificate, name: str) -> PublicKey:
    """The key in a certificate, of a kind that is supported. Raises PlanRefused."""
    try:
        key = certificate.public_key()
    except UNREADABLE as error:
        raise PlanRefused(INPUT, f"{name} has a key of no supported kind") from error
    if not isinstance(key, PublicKey):
        raise PlanRefused(INPUT, f"{name} has a key of no supported kind")
    return key


def _certificate(content: bytes, name: str) -> x509.Certificate:
    pem = b"-----BEGIN" in content[:4096]
    load = x509.load_pem_x509_certificate if pem else x509.load_der_x509_certificate
    try:
        found = load(content)
        _ = found.extensions, found.subject, found.not_valid_after_utc
    except UNREADABLE as error:
        raise PlanRefused(INPUT, f"{name} is no certificate") from error
    return found


def _public_key(content: bytes, name: str) -> PublicKey:
    try:
        if content.lstrip().startswith(b"-----"):
            loaded = serialization.load_pem_public_key(content)
            content = loaded.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        key = load_public(content)
        check_key(key)
    except KeyRefused as error:
        raise PlanRefused(INPUT, f"{name}: {error.detail}") from error
    except UNREADABLE as error:
        raise PlanRefused(INPUT, f"{name} is no public key of a supported kind") from error
    return key
