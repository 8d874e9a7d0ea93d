"""What a ceremony signs, certificate or CRL, seen alike by the one who has it signed."""

from __future__ import annotations

from typing import Protocol

from cryptography import x509

from troth.pki.algorithms import PublicKey
from troth.pki.ceremony.certificates import (
    certificate_der,
    certificate_tbs,
    key_id_of,
    subject_name,
)
from troth.pki.ceremony.crls import root_crl_tbs
from troth.pki.ceremony.errors import PLAN_REFUSED, SIGNED_OTHER, CeremonyFailed, PlanRefused
from troth.pki.ceremony.inputs import Inputs, public_key_of
from troth.pki.ceremony.lints import lint_certificate, lint_certificate_tbs, lint_crl, lint_crl_tbs
from troth.pki.ceremony.parents import check_below, check_issuer
from troth.pki.ceremony.plan import Ceremony, Plan
from troth.pki.crl_der import crl_der
from troth.pki.serial import SerialNumber


class Body(Protocol):
    """The to-be-signed bytes and what can be asked of them."""

    #: ``certificate`` or ``crl``.
    name: str
    #: Of the PEM block.
    label: str
    tbs: bytes

    def check(self) -> None:
        """Lint, and hold against the issuer. Raises CeremonyFailed, PlanRefused."""
        ...

    def encode(self, signature: bytes) -> bytes:
        """The whole, DER."""
        ...

    def read(self, encoded: bytes) -> tuple[bytes, bytes]:
        """(to-be-signed bytes, signature) as somebody else's parser sees them. Raises CeremonyFailed."""
        ...

    def check_signed(self, encoded: bytes) -> None:
        """Lint what was signed. Raises CeremonyFailed."""
        ...


class CertificateBody:
    """A certificate, to be signed by ``key``."""

    name, label = "certificate", "CERTIFICATE"

    def __init__(self, tbs: bytes, issuer: x509.Certificate | None, key: PublicKey) -> None:
        self.tbs = tbs
        self._issuer = issuer
        self._key = key

    def check(self) -> None:
        certificate = lint_certificate_tbs(self.tbs, self._issuer, self._key)
        if self._issuer is not None:
            check_below(self._issuer, certificate)

    def encode(self, signature: bytes) -> bytes:
        return certificate_der(self.tbs, self._key, signature)

    def read(self, encoded: bytes) -> tuple[bytes, bytes]:
        try:
            found = x509.load_der_x509_certificate(encoded)
        except ValueError as error:
            raise CeremonyFailed(SIGNED_OTHER, "what was signed cannot be read") from error
        return found.tbs_certificate_bytes, found.signature

    def check_signed(self, encoded: bytes) -> None:
        lint_certificate(encoded, self._issuer, self._key)


class CrlBody:
    """A CRL, to be signed by ``key``."""

    name, label = "crl", "X509 CRL"

    def __init__(self, tbs: bytes, key: PublicKey) -> None:
        self.tbs = tbs
        self._key = key

    def check(self) -> None:
        lint_crl_tbs(self.tbs, self._key)

    def encode(self, signature: bytes) -> bytes:
        return crl_der(self.tbs, self._key, signature)

    def read(self, encoded: bytes) -> tuple[bytes, bytes]:
        try:
            found = x509.load_der_x509_crl(encoded)
        except ValueError as error:
            raise CeremonyFailed(SIGNED_OTHER, "what was signed cannot be read") from error
        return found.tbs_certlist_bytes, found.signature

    def check_signed(self, encoded: bytes) -> None:
        lint_crl(encoded)


def body_of(plan: Plan, inputs: Inputs, key: PublicKey | None, serial: SerialNumber) -> Body:
    """What the plan has signed.

    Args:
        key: that signs; None before it is there, when the issuer's certificate tells its kind.

    Raises PlanRefused.
    """
    if plan.kind is Ceremony.ROOT_CRL:
        issuer = _needed(inputs.issuer)
        crl = plan.document.crl
        if crl is None:
            raise PlanRefused(PLAN_REFUSED, "no crl")
        return CrlBody(root_crl_tbs(crl, issuer, inputs.previous_crl), key or public_key_of(issuer, "the issuer"))
    certificate = plan.document.certificate
    if certificate is None:
        raise PlanRefused(PLAN_REFUSED, "no certificate")
    if inputs.issuer is not None:
        check_issuer(inputs.issuer)
        key = key or public_key_of(inputs.issuer, "the issuer")
    if key is None:
        raise PlanRefused(PLAN_REFUSED, "no key")
    subject, subject_key, key_id = _subject(plan, inputs, key)
    tbs = certificate_tbs(
        certificate,
        subject=subject,
        subject_key=subject_key,
        subject_key_id=key_id,
        issuer=inputs.issuer,
        issuer_key=key,
        serial=serial,
    )
    return CertificateBody(tbs, inputs.issuer, key)


def _subject(plan: Plan, inputs: Inputs, key: PublicKey) -> tuple[x509.Name, PublicKey, bytes | None]:
    certificate = plan.document.certificate
    named = None if certificate is None or certificate.subject is None else subject_name(certificate.subject)
    if plan.kind is Ceremony.ROOT and named is not None:
        return named, key, None
    if plan.kind is Ceremony.INTERMEDIATE and named is not None and inputs.public_key is not None:
        return named, inputs.public_key, None
    crossed = _needed(inputs.certificate)
    check_issuer(crossed)
    if certificate is not None and certificate.validity.end > crossed.not_valid_after_utc:
        raise PlanRefused(PLAN_REFUSED, "a cross-certificate does not outlive the certificate that it stands beside")
    return crossed.subject, public_key_of(crossed, "the certificate"), key_id_of(crossed)


def _needed(certificate: x509.Certificate | None) -> x509.Certificate:
    if certificate is None:
        raise PlanRefused(PLAN_REFUSED, "an input is missing")
    return certificate
