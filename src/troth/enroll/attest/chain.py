"""The path from the certificate that attests to a root that is pinned for the format.

``troth.pki.path`` judges the links (RFC 5280, 6.1): what the library's own verifier refuses in attestation chains, it
takes (no names in the leaf, extensions of the maker's, critical policies, validity from 1970 to 2106). Here stands what
is particular to attestations: the root that a device sends along is replaced by the pinned one with the same name and
key, whatever else differs (Google re-issued its root in 2022 with new dates); no weak digest signs a link.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from troth.enroll.attest.errors import CHAIN
from troth.enroll.attest.model import Checks, Root
from troth.kit.canonical import Json
from troth.pki.algorithms import PublicKey, spki_of
from troth.pki.errors import PathRefused
from troth.pki.path import validate_path

#: Certificates below the root.
MAX_LINKS = 6


def find_root(
    certificates: Sequence[x509.Certificate], roots: Sequence[Root], *, at: datetime, checks: Checks
) -> Root | None:
    """Note the check of the path; the root it leads to, or None."""
    expected = (
        f"a path to {' or '.join(one.name for one in roots) or 'a root (none is pinned)'} at {at:%Y-%m-%dT%H:%MZ}"
    )
    if not certificates:
        checks.hold("chain.path", False, expected, "no certificate in x5c", CHAIN)
        return None
    why = "the last certificate's issuer is none of them"
    for root in roots:
        links = _below(certificates, root.certificate)
        if not links or links[-1].issuer.public_bytes() != root.certificate.subject.public_bytes():
            continue
        try:
            if len(links) > MAX_LINKS:
                raise _Refused(f"{len(links)} certificates below the root, more than {MAX_LINKS}")
            _no_weak_digest(links)
            validate_path(links, root.certificate, at=at)
        except (PathRefused, _Refused) as refusal:
            why = refusal.detail if isinstance(refusal, PathRefused) else str(refusal)
            continue
        checks.hold("chain.path", True, expected, f"{len(links)} links to {root.name}", CHAIN)
        return root
    checks.hold("chain.path", False, expected, why, CHAIN)
    return None


class _Refused(Exception):
    """What this module refuses of itself."""


def _below(certificates: Sequence[x509.Certificate], root: x509.Certificate) -> list[x509.Certificate]:
    """The certificates up to, and without, the first that has the root's name and key."""
    links: list[x509.Certificate] = []
    for one in certificates:
        if one.subject.public_bytes() == root.subject.public_bytes() and _same_key(one, root):
            break
        links.append(one)
    return links


def _same_key(one: x509.Certificate, other: x509.Certificate) -> bool:
    mine, theirs = one.public_key(), other.public_key()
    if not isinstance(mine, PublicKey) or not isinstance(theirs, PublicKey):
        return False
    return spki_of(mine) == spki_of(theirs)


def _no_weak_digest(links: Sequence[x509.Certificate]) -> None:
    for depth, one in enumerate(links):
        try:
            digest = one.signature_hash_algorithm
        except UnsupportedAlgorithm:
            raise _Refused(f"certificate {depth} is signed with an algorithm that is not supported") from None
        if isinstance(digest, (hashes.MD5, hashes.SHA1)):
            raise _Refused(f"certificate {depth} is signed over {digest.name}")


def described(certificates: Sequence[x509.Certificate]) -> list[Json]:
    """The chain for a person: names, dates, keys and fingerprints."""
    return [
        {
            "subject": one.subject.rfc4514_string(),
            "issuer": one.issuer.rfc4514_string(),
            "serial": f"{one.serial_number:x}",
            "not_before": f"{one.not_valid_before_utc:%Y-%m-%dT%H:%M:%SZ}",
            "not_after": f"{one.not_valid_after_utc:%Y-%m-%dT%H:%M:%SZ}",
            "key": _key(one),
            "sha256": one.fingerprint(hashes.SHA256()).hex(),
        }
        for one in certificates
    ]


def _key(certificate: x509.Certificate) -> str:
    key = certificate.public_key()
    if isinstance(key, ec.EllipticCurvePublicKey):
        return key.curve.name
    return f"rsa{key.key_size}" if isinstance(key, rsa.RSAPublicKey) else type(key).__name__.removesuffix("PublicKey")
