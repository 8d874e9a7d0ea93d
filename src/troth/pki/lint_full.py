"""The whole of pkilint, in process: for profiles at apply time, CA certificates, responders and samples of leaves.

A certificate takes about 5 ms, so this is not for every leaf (``lint`` is). What is linted wears a constant dummy
signature: no key is needed to find out what would be wrong. Every finding has pkilint's own code; a finding that we
accept stands in :data:`ALLOWED` with the reason, and nothing else of severity notice or above passes.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa, rsa

from troth.pki import algorithms
from troth.pki.errors import LINT_REFUSED, LintRefused
from troth.pki.extremes import extremes
from troth.pki.lint import Expected, findings_of, unsigned
from troth.pki.serial import new_serial
from troth.pki.template import TbsBytes, Template

#: Finding code → why it does not stop us.
ALLOWED: Mapping[str, str] = {
    "pkix.invalid_uri_syntax": "pkilint knows web schemes only and calls SPIFFE IDs malformed; names.canonical_uri "
    "holds every URI to RFC 3986 before it comes here",
    "pkix.certificate_policies_policy_has_qualifier": "RFC 5280, 4.2.1.4 would rather have identifiers alone, yet "
    "defines the CPS pointer; it stands only where a profile's author wrote one, and regulators ask for it",
    "pkix.invalid_domain_name_syntax": "pkilint wants public names: no wildcard, no single label such as localhost; "
    "names.canonical_dns holds every name to RFC 1123 and RFC 5890 before it comes here",
}
_MLDSA: Mapping[str, type[algorithms.MldsaPrivateKey]] = {
    "mldsa44": mldsa.MLDSA44PrivateKey,
    "mldsa65": mldsa.MLDSA65PrivateKey,
    "mldsa87": mldsa.MLDSA87PrivateKey,
}
#: Severities of findings that keep a thing from being signed.
STOPPING = frozenset({"FATAL", "ERROR", "WARNING", "NOTICE"})


@dataclass(frozen=True, slots=True)
class Finding:
    """One finding of pkilint.

    Attributes:
        severity: ``FATAL``, ``ERROR``, ``WARNING``, ``NOTICE``, ``INFO`` or ``DEBUG``.
        code: dotted, pkilint's own.
        where: path of the field in the certificate.
    """

    severity: str
    code: str
    where: str


@lru_cache(maxsize=1)
def _linter() -> tuple[Any, Any]:
    """pkilint's document loader and validators. Imported here: web workers never pay its 40 MB."""
    from pkilint import loader
    from pkilint.pkix import certificate, extension, name

    validators = certificate.create_pkix_certificate_validator_container(
        certificate.create_decoding_validators(name.ATTRIBUTE_TYPE_MAPPINGS, extension.EXTENSION_MAPPINGS),
        [
            certificate.create_issuer_validator_container([]),
            certificate.create_validity_validator_container(),
            certificate.create_subject_validator_container([]),
            certificate.create_extensions_validator_container([]),
            certificate.create_spki_validator_container([]),
        ],
    )
    return loader, validators


def findings(certificate: bytes) -> list[Finding]:
    """Everything that pkilint says of a DER certificate, allowed or not, worst first."""
    loader, validators = _linter()
    try:
        document = loader.load_certificate(certificate, "certificate")
    except ValueError:
        return [Finding("FATAL", "lint.unparsable", "certificate")]
    found = [
        (
            int(description.finding.severity),
            Finding(str(description.finding.severity), description.finding.code, str(result.node.path)),
        )
        for result in validators.validate(document.root)
        for description in result.finding_descriptions
    ]
    return _nameless(certificate) + [
        finding for _, finding in sorted(found, key=lambda item: (item[0], item[1].code, item[1].where))
    ]


def _nameless(certificate: bytes) -> list[Finding]:
    """What pkilint does not ask: whether a certificate says whose it is at all (RFC 5280, 4.1.2.6)."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what is odd is told as a finding
            parsed = x509.load_der_x509_certificate(certificate)
            named = bool(parsed.subject.rdns)
            present = {one.oid.dotted_string: one.value for one in parsed.extensions}
    except Exception:  # noqa: BLE001 -- by version and defect; pkilint has told what is wrong with it
        return []
    constraints = present.get("2.5.29.19")
    if named:
        return []
    if isinstance(constraints, x509.BasicConstraints) and constraints.ca:
        return [Finding("ERROR", "lint.authority_nameless", "subject")]
    return [] if "2.5.29.17" in present else [Finding("ERROR", "lint.nameless", "subject")]


def lint_full(certificate: bytes) -> list[Finding]:
    """Raise LintRefused for findings of severity notice or above that are not allowed; return the rest."""
    found = findings(certificate)
    bad = [finding for finding in found if finding.severity in STOPPING and finding.code not in ALLOWED]
    if bad:
        listed = [f"{finding.code} at {finding.where}" for finding in bad]
        raise LintRefused(LINT_REFUSED, "; ".join(listed[:10]), findings=sorted({finding.code for finding in bad}))
    return found


def lint_tbs(tbs: TbsBytes, template: Template) -> list[Finding]:
    """:func:`lint_full` of a TBSCertificate under a dummy signature of the issuer's kind."""
    return lint_full(unsigned(tbs, template))


def lint_profile(template: Template, now: datetime) -> None:
    """Lint what ``template`` makes at its extremes: each kind of key once, and each extreme of names and subject once.

    Raises LintRefused.
    """
    profile = template.profile
    samples = extremes(profile)
    cases = [(kind, samples[0]) for kind in profile.keys[1:]] + [(profile.keys[0], sample) for sample in samples]
    for kind, sample in cases:
        spki = sample_spki(kind)
        begin, end = template.validity(now, profile.max_lifetime)
        serial = new_serial(now)
        tbs = template.tbs(
            serial=serial,
            spki=spki,
            names=sample.names,
            subject=sample.subject,
            sid=sample.sid,
            not_before=begin,
            not_after=end,
        )
        expected = Expected(serial, spki, sample.names, sample.common_name, begin, end, now, sample.subject, sample.sid)
        codes = findings_of(tbs, template, expected)
        if codes:
            raise LintRefused(LINT_REFUSED, ", ".join(codes), findings=codes)
        lint_tbs(tbs, template)


@lru_cache(maxsize=16)
def sample_spki(kind: str) -> bytes:
    """DER of a well-known public key of ``kind``: made from constants, so that no time goes into making keys."""
    curves: dict[str, ec.EllipticCurve] = {"p256": ec.SECP256R1(), "p384": ec.SECP384R1(), "p521": ec.SECP521R1()}
    if kind in curves:
        return algorithms.spki_of(ec.derive_private_key(7, curves[kind]).public_key())
    if kind == "ed25519":
        return algorithms.spki_of(ed25519.Ed25519PrivateKey.from_private_bytes(b"\x07" * 32).public_key())
    if kind in _MLDSA:
        return algorithms.spki_of(_MLDSA[kind].from_seed_bytes(b"\x07" * 32).public_key())
    return algorithms.spki_of(rsa.RSAPublicNumbers(65537, _sample_modulus(int(kind[3:]))).public_key())


def _sample_modulus(size: int) -> int:
    """An odd number of ``size`` bits without small factors. Nobody knows its factors, nor needs to."""
    stream = b"".join(hashlib.sha256(b"troth sample modulus %d" % i).digest() for i in range(size // 256))
    n = int.from_bytes(stream, "big") | 1 << (size - 1) | 1
    while any(n % odd == 0 for odd in range(3, 752, 2)):
        n += 2
    return n
