"""Which TPM is it: its endorsement key, and what its maker says of it (TCG EK Credential Profile 2.5).

An endorsement key is known by the SHA-256 of its SubjectPublicKeyInfo. Its certificate, where it has one, is believed
if a root for this purpose vouches for it, one of those that come with Troth (``vendors``) or one that an administrator
added (``troth anchor add --purpose 2.23.133.8.1``); an intermediate authority is given either way, or comes along.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from importlib import resources

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from troth.enroll.tpm.credential import EndorsementKey, template_of
from troth.enroll.tpm.errors import ENDORSEMENT_CERTIFICATE, ENDORSEMENT_KEY, TpmRefused
from troth.pki import algorithms
from troth.pki.anchor_store import TrustAnchor
from troth.pki.errors import PathRefused
from troth.pki.keycheck import check_key
from troth.pki.path import validate_path
from troth.pki.unreadable import UNREADABLE

#: tcg-kp-EKCertificate, tcg-kp-AIKCertificate (TCG OID registry).
EK_PURPOSE, AK_PURPOSE = "2.23.133.8.1", "2.23.133.8.3"
#: tcg-at-tpmManufacturer, -Model, -Version.
_ATTRIBUTES = {"2.23.133.2.1": "manufacturer", "2.23.133.2.2": "model", "2.23.133.2.3": "version"}
MAX_CERTIFICATES, MAX_CERTIFICATE = 6, 8192


@dataclass(frozen=True, slots=True)
class Make:
    """What a TPM is: the three attributes of every EK and AK certificate. ``manufacturer`` as ``id:49465800``."""

    manufacturer: str
    model: str
    version: str


@dataclass(frozen=True, slots=True)
class Endorsement:
    """An endorsement key, with its certificate where that is believed.

    Attributes:
        sha256: of its SubjectPublicKeyInfo.
        make: what the certificate says; None without one.
        root: who vouches for the certificate; empty without one.
    """

    key: EndorsementKey
    sha256: bytes
    make: Make | None = None
    root: str = ""

    @property
    def certified(self) -> bool:
        """Whether the TPM's maker vouches for it."""
        return self.make is not None


def read_endorsement_key(spki: bytes) -> Endorsement:
    """The key of a DER SubjectPublicKeyInfo. Raises TpmRefused for what is no EK, KeyRefused for a weak key (ROCA)."""
    try:
        key = algorithms.load_public(spki[:4096])
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise TpmRefused(ENDORSEMENT_KEY, "the endorsement key is no SubjectPublicKeyInfo") from error
    return _endorsement(key)


def _endorsement(key: object) -> Endorsement:
    if not isinstance(key, (rsa.RSAPublicKey, ec.EllipticCurvePublicKey)):
        raise TpmRefused(ENDORSEMENT_KEY, f"expected an RSA or ECC key, got {type(key).__name__}")
    template_of(key)
    return Endorsement(key, check_key(key).sha256)


def read_certificates(encoded: Sequence[bytes]) -> list[x509.Certificate]:
    """The certificates that a TPM brought, the endorsement key's first. Raises TpmRefused."""
    if len(encoded) > MAX_CERTIFICATES or any(len(one) > MAX_CERTIFICATE for one in encoded):
        raise TpmRefused(
            ENDORSEMENT_CERTIFICATE, f"at most {MAX_CERTIFICATES} certificates of {MAX_CERTIFICATE} bytes are read"
        )
    found = []
    for one in encoded:
        try:
            certificate = x509.load_der_x509_certificate(unpadded(one))
            _ = certificate.extensions, certificate.subject, certificate.issuer
            certificate.public_key()
        except UNREADABLE as error:
            raise TpmRefused(ENDORSEMENT_CERTIFICATE, "a certificate of the endorsement key cannot be read") from error
        found.append(certificate)
    return found


def unpadded(certificate: bytes) -> bytes:
    """A certificate without what follows it: makers fill its NV index up with zeros or ones."""
    if len(certificate) > 4 and certificate[:2] == b"\x30\x82":
        end = 4 + int.from_bytes(certificate[2:4])
        if certificate[end:].strip(b"\x00") == b"" or certificate[end:].strip(b"\xff") == b"":
            return certificate[:end]
    return certificate


def endorse(chain: Sequence[x509.Certificate], anchors: Sequence[TrustAnchor], at: datetime) -> Endorsement:
    """The endorsement key of ``chain[0]``, vouched for by a root. Raises TpmRefused, KeyRefused.

    ``chain[1:]``: whatever came along; those that are authorities may lie between it and the root.
    """
    leaf = chain[0]
    found = _endorsement(leaf.public_key())
    make = make_of(leaf)
    above = _above(leaf, chain[1:])
    last = "no root for endorsement keys is known"
    roots = [(one.name, one.x509) for one in anchors if EK_PURPOSE in one.purposes]
    for name, root in [*roots, *vendors()]:
        # The first authority of the path that this root signed ends it; the rest is not looked at.
        links = [leaf, *above]
        for end in range(len(links)):
            if links[end].issuer != root.subject:
                continue
            weak = _weak_digest(links[: end + 1])
            if weak:
                last = f"{name}: {weak}"
                continue
            try:
                validate_path(links[: end + 1], root, at=at, purpose=EK_PURPOSE)
            except PathRefused as refusal:
                last = f"{name}: {refusal.detail}"
                continue
            return Endorsement(found.key, found.sha256, make, name)
    raise TpmRefused(ENDORSEMENT_CERTIFICATE, last)


def _weak_digest(links: Sequence[x509.Certificate]) -> str:
    """Which link is signed over a digest that can be made to collide; empty if none is."""
    for depth, one in enumerate(links):
        try:
            digest = one.signature_hash_algorithm
        except UnsupportedAlgorithm:
            return f"certificate {depth} is signed with an algorithm that is not supported"
        if isinstance(digest, (hashes.MD5, hashes.SHA1)):
            return f"certificate {depth} is signed over {digest.name}"
    return ""


def _above(leaf: x509.Certificate, others: Sequence[x509.Certificate]) -> list[x509.Certificate]:
    """The issuers among ``others``, each above the one before."""
    path: list[x509.Certificate] = []
    current = leaf
    while current.issuer != current.subject and len(path) < len(others):
        above = next((one for one in others if one.subject == current.issuer and one not in path), None)
        if above is None:
            break
        path.append(above)
        current = above
    return path


def make_of(certificate: x509.Certificate) -> Make:
    """The TPM's attributes in the subject alternative name (EK Credential Profile, 3.2.9). Raises TpmRefused."""
    told: dict[str, str] = {}
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        names = x509.SubjectAlternativeName([])
    for directory in names.get_values_for_type(x509.DirectoryName):
        for attribute in directory:
            kind = _ATTRIBUTES.get(attribute.oid.dotted_string)
            if kind is not None and isinstance(attribute.value, str):
                told.setdefault(kind, attribute.value[:64])
    missing = [kind for kind in _ATTRIBUTES.values() if not told.get(kind)]
    if missing:
        raise TpmRefused(
            ENDORSEMENT_CERTIFICATE, f"expected the TPM's {', '.join(_ATTRIBUTES.values())}; without {missing[0]}"
        )
    return Make(**told)


@lru_cache(maxsize=1)
def vendors() -> tuple[tuple[str, x509.Certificate], ...]:
    """(maker, root) of the TPM makers whose roots come with Troth (``vendors/``)."""
    found = []
    for item in sorted(resources.files("troth.enroll.tpm").joinpath("vendors").iterdir(), key=lambda one: one.name):
        if item.name.endswith(".pem"):
            maker = item.name.partition("-")[0]
            found.append((maker, x509.load_pem_x509_certificate(item.read_bytes())))
    return tuple(found)
