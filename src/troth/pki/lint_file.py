"""Lint whatever somebody has: a certificate, a request or a CRL, DER or PEM."""

from __future__ import annotations

import base64
import binascii
import re
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from cryptography import x509

from troth.kit.errors import TrothError
from troth.pki.algorithms import PublicKey
from troth.pki.crl_lint import crl_findings
from troth.pki.csr import parse_csr
from troth.pki.der import SEQUENCE, DerError, Reader
from troth.pki.errors import LINT_UNREADABLE, KeyRefused, LintRefused
from troth.pki.keycheck import check_offered
from troth.pki.lint_full import ALLOWED, STOPPING, Finding, findings

MAX_BYTES = 32 << 20
_PEM = re.compile(rb"-----BEGIN ([A-Z0-9 ]{1,40})-----\s+([A-Za-z0-9+/=\s]+?)-----END \1-----")
_LABELS = {
    b"CERTIFICATE": "certificate",
    b"X509 CRL": "crl",
    b"CERTIFICATE REQUEST": "request",
    b"NEW CERTIFICATE REQUEST": "request",
}


@dataclass(frozen=True, slots=True)
class Linted:
    """What was found in one thing. ``kind``: ``certificate``, ``request`` or ``crl``."""

    kind: str
    findings: Sequence[Finding]

    @property
    def bad(self) -> list[Finding]:
        """Such findings as would keep it from being signed here."""
        return [one for one in self.findings if one.severity in STOPPING and one.code not in ALLOWED]


def lint_file(data: bytes) -> list[Linted]:
    """Lint each thing in ``data``: one in DER, or all in PEM. Raises LintRefused when there is none."""
    if len(data) > MAX_BYTES:
        raise LintRefused(LINT_UNREADABLE, "longer than 32 MiB")
    found = [_of(_LABELS[label], _decoded(body)) for label, body in _PEM.findall(data) if label in _LABELS]
    if not found and not data.lstrip().startswith(b"-----"):
        found = [_of(_kind(data), data)]
    if not found:
        raise LintRefused(LINT_UNREADABLE, "no certificate, request or CRL in PEM")
    return found


def _decoded(body: bytes) -> bytes:
    try:
        return base64.b64decode(b"".join(body.split()), validate=True)
    except binascii.Error as error:
        raise LintRefused(LINT_UNREADABLE, "what stands between the PEM lines is not base64") from error


def _kind(data: bytes) -> str:
    """By shape: a request begins with version 0, a v3 certificate with an explicit version, a CRL with neither."""
    try:
        tbs = Reader(data).enter(SEQUENCE).enter(SEQUENCE)
        first = tbs.whole()
        if first == b"\x02\x01\x00":
            return "request"
        if first[0] == 0xA0:
            return "certificate"
        # Serial number and algorithm, as in a v1 certificate; or version 1 (v2) and algorithm, as in a CRL, which is
        # followed by a time where a certificate has its validity.
        tbs.whole()
        tbs.whole()
        return "certificate" if tbs.peek() == SEQUENCE else "crl"
    except (DerError, IndexError) as error:
        raise LintRefused(LINT_UNREADABLE, "neither PEM nor DER") from error


def _of(kind: str, data: bytes) -> Linted:
    makers: dict[str, Callable[[bytes], list[Finding]]] = {
        "certificate": _certificate, "request": _request, "crl": crl_findings,
    }  # fmt: skip
    return Linted(kind, makers[kind](data))


def _certificate(data: bytes) -> list[Finding]:
    found = findings(data)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what is odd is told as a finding
            key = x509.load_der_x509_certificate(data).public_key()
    except Exception:  # noqa: BLE001 -- by version and defect; what pkilint could read of it is told already
        return found or [Finding("FATAL", "lint.unparsable", "certificate")]
    return _key(key) + found


def _key(key: object) -> list[Finding]:
    if not isinstance(key, PublicKey):
        return [Finding("ERROR", "pki.key.unsupported", f"subjectPublicKeyInfo: {type(key).__name__}")]
    try:
        check_offered(key)
    except KeyRefused as refusal:
        return [Finding("ERROR", refusal.code, f"subjectPublicKeyInfo: {refusal.detail}")]
    return []


def _request(data: bytes) -> list[Finding]:
    try:
        parse_csr(data)
    except TrothError as refusal:
        return [Finding("ERROR", refusal.code, refusal.detail)]
    return []
