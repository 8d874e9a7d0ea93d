"""What every verifier reads of the certificate that attests."""

from __future__ import annotations

from cryptography import x509

from troth.enroll.attest.errors import KEY
from troth.enroll.attest.model import Checks
from troth.enroll.attest.statement import Statement
from troth.pki.algorithms import PublicKey, spki_of
from troth.pki.errors import KeyRefused
from troth.pki.keycheck import check_offered


def extensions(certificate: x509.Certificate) -> dict[str, bytes]:
    """The extensions that cryptography does not know, by object identifier: the octets of extnValue."""
    return {
        one.oid.dotted_string: one.value.value
        for one in certificate.extensions
        if isinstance(one.value, x509.UnrecognizedExtension)
    }


def attested_key(statement: Statement, checks: Checks) -> bytes | None:
    """The key of the first certificate (DER), where that is the attested one, with the check that it is sound."""
    key = statement.leaf.public_key() if statement.certificates else None
    return sound_key(key, checks)


def sound_key(key: object, checks: Checks) -> bytes | None:
    """Note whether the attested key is of a kind that is certified, and not a weak or published one; its DER."""
    expected = "an RSA, ECDSA, Ed25519 or ML-DSA key without a known weakness"
    if not isinstance(key, PublicKey):
        checks.hold("key.sound", False, expected, type(key).__name__ if key is not None else "no key", KEY)
        return None
    try:
        checked = check_offered(key)
    except KeyRefused as refusal:
        checks.hold("key.sound", False, expected, refusal.detail, KEY)
        return spki_of(key)
    checks.hold("key.sound", True, expected, checked.kind, KEY)
    return checked.spki
