"""Lint of what a ceremony signs: the whole of pkilint, and the rules that are ours.

Applied to the bytes under a dummy signature before the key is touched, and once more to what was signed.
"""

from __future__ import annotations

from datetime import UTC, datetime

from cryptography import x509

from troth.pki import der
from troth.pki.algorithms import PublicKey, algorithm_identifier, dummy_signature
from troth.pki.ceremony.certificates import certificate_der, key_id_of
from troth.pki.ceremony.errors import LINT, CeremonyFailed
from troth.pki.crl_lint import pkilint_findings
from troth.pki.errors import LintRefused
from troth.pki.lint_full import STOPPING, lint_full
from troth.pki.reading import value_of
from troth.pki.signer.certificate_rules import TbsFields, read_tbs
from troth.pki.signer.errors import SignerRefused
from troth.pki.unreadable import UNREADABLE
from troth.pki.usages import AUTHORITY_USAGES, named_usages

_CRITICAL = (x509.BasicConstraints, x509.KeyUsage, x509.NameConstraints)


def lint_certificate_tbs(tbs: bytes, issuer: x509.Certificate | None, issuer_key: PublicKey) -> x509.Certificate:
    """Lint a TBSCertificate; answers what it says, under a dummy signature. Raises CeremonyFailed."""
    dummy = certificate_der(tbs, issuer_key, dummy_signature(issuer_key))
    return lint_certificate(dummy, issuer, issuer_key)


def lint_certificate(encoded: bytes, issuer: x509.Certificate | None, issuer_key: PublicKey) -> x509.Certificate:
    """Lint a whole certificate. Raises CeremonyFailed with every finding."""
    try:
        lint_full(encoded)
        certificate = x509.load_der_x509_certificate(encoded)
        fields = read_tbs(certificate.tbs_certificate_bytes)
        broken = _own_rules(certificate, fields, issuer, issuer_key)
    except (LintRefused, SignerRefused) as refusal:
        raise CeremonyFailed(LINT, refusal.detail) from refusal
    except UNREADABLE as error:
        raise CeremonyFailed(LINT, f"unreadable: {error}") from error
    if broken:
        raise CeremonyFailed(LINT, "; ".join(broken), findings=broken)
    return certificate


def lint_crl_tbs(tbs: bytes, issuer_key: PublicKey) -> None:
    """Lint a TBSCertList. Raises CeremonyFailed."""
    lint_crl(der.sequence(tbs, algorithm_identifier(issuer_key), der.bits(dummy_signature(issuer_key))))


def lint_crl(encoded: bytes) -> None:
    """Lint a whole CRL with pkilint. Raises CeremonyFailed."""
    codes = sorted({finding.code for finding in pkilint_findings(encoded) if finding.severity in STOPPING})
    if codes:
        raise CeremonyFailed(LINT, "; ".join(codes), findings=codes)


def _own_rules(
    certificate: x509.Certificate, fields: TbsFields, issuer: x509.Certificate | None, issuer_key: PublicKey
) -> list[str]:
    above = fields.subject if issuer is None else read_tbs(issuer.tbs_certificate_bytes).subject
    above_key = key_id_of(certificate if issuer is None else issuer)
    authority = value_of(certificate.extensions, x509.AuthorityKeyIdentifier)
    usage = value_of(certificate.extensions, x509.KeyUsage)
    constraints = value_of(certificate.extensions, x509.BasicConstraints)
    critical = {type(one.value): one.critical for one in certificate.extensions}
    rules = {
        "own.issuer_name": fields.issuer == above,
        "own.subject_empty": bool(list(certificate.subject)),
        "own.algorithm": fields.algorithm == algorithm_identifier(issuer_key),
        # 16 octets with 80 random bits: serial.new_serial (RFC 5280, 4.1.2.2 allows 20).
        "own.serial": len(fields.serial) == 16 and fields.serial[0] == 0x40,
        "own.authority_key": authority is not None and authority.key_identifier == above_key is not None,
        "own.subject_key": key_id_of(certificate) is not None,
        "own.ca": constraints is not None and constraints.ca,
        "own.key_usage": usage is not None and usage == named_usages(AUTHORITY_USAGES),
        "own.critical": all(critical.get(kind, True) for kind in _CRITICAL),
        "own.year": certificate.not_valid_after_utc < datetime(2100, 1, 1, tzinfo=UTC),
    }
    return [code for code, kept in rules.items() if not kept]
