"""Reading others' revocation lists: verified when they are handed over, parsed again when a worker takes them up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from troth.pki import algorithms
from troth.pki.anchor_store import TrustAnchor
from troth.pki.errors import PathRefused
from troth.pki.path import validate_path
from troth.pki.unreadable import UNREADABLE
from troth.radius.admission.errors import CRL_REFUSED, NetworkError
from troth.radius.admission.foreign import ForeignCrl, issuer_id

#: Octets and entries of a list: it lies in the memory of every worker.
MAX_CRL: Final = 8 * 1024 * 1024
MAX_ENTRIES: Final = 200_000
_MOST_ISSUERS: Final = 6


@dataclass(frozen=True, slots=True)
class ReadCrl:
    """A complete list that its issuer has signed and the anchor vouches for.

    Attributes:
        issuer: see :func:`troth.radius.admission.foreign.issuer_id`.
    """

    issuer: bytes
    name: str
    number: int
    this_update: datetime
    next_update: datetime
    entries: int


def read_crl(anchor: TrustAnchor, der: bytes, issuers: Sequence[bytes], at: datetime) -> ReadCrl:
    """``der``, verified. ``issuers``: DER of who signed it, and of those between that one and the anchor.

    A list that covers only some certificates (a delta, one distribution point, one kind) is refused: it would be
    believed about the others (RFC 5280, 5.2.4 and 5.2.5). Raises NetworkError.
    """
    if len(der) > MAX_CRL or len(issuers) > _MOST_ISSUERS:
        raise _refused(f"at most {MAX_CRL} octets, and {_MOST_ISSUERS} issuers")
    try:
        chain = [x509.load_der_x509_certificate(one) for one in issuers]
        crl = x509.load_der_x509_crl(der)
        extensions = crl.extensions
        number = extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
    except x509.ExtensionNotFound as error:
        raise _refused("it has no number (RFC 5280, 5.2.3)") from error
    except UNREADABLE as error:
        raise _refused("it is no revocation list in DER") from error
    chain = [one for one in chain if one != anchor.x509]
    try:
        if chain:
            validate_path(chain, anchor.x509, at=at)
    except PathRefused as error:
        raise _refused(error.detail) from error
    issuer = chain[0] if chain else anchor.x509
    _signed(issuer, crl)
    critical = {one.oid.dotted_string for one in extensions if one.critical}
    kinds = {type(one.value) for one in extensions}
    if critical or x509.DeltaCRLIndicator in kinds or x509.IssuingDistributionPoint in kinds:
        raise _refused("it covers only some of what its issuer has issued")
    if crl.next_update_utc is None or crl.last_update_utc > at or len(crl) > MAX_ENTRIES or not 0 <= number < 1 << 160:
        raise _refused(f"it is not in force yet, never ends, or has more than {MAX_ENTRIES:,} entries")
    return ReadCrl(
        issuer_id(issuer), issuer.subject.rfc4514_string()[:300], number, crl.last_update_utc, crl.next_update_utc,
        len(crl),
    )  # fmt: skip


def _signed(issuer: x509.Certificate, crl: x509.CertificateRevocationList) -> None:
    """Raise NetworkError unless ``issuer`` may sign lists and has signed this one."""
    try:
        usage = issuer.extensions.get_extension_for_class(x509.KeyUsage).value
        constraints = issuer.extensions.get_extension_for_class(x509.BasicConstraints).value
    except x509.ExtensionNotFound:
        usage, constraints = None, None
    if (usage is not None and not usage.crl_sign) or (constraints is not None and not constraints.ca):
        raise _refused("its issuer may sign no lists")
    if crl.issuer.public_bytes() != issuer.subject.public_bytes():
        raise _refused(f"it was issued by {crl.issuer.rfc4514_string()[:150]}")
    try:
        key = issuer.public_key()
        if not isinstance(key, algorithms.PublicKey):
            raise _refused("its issuer's key is of no kind that Troth knows")
        if not algorithms.verifies(key, crl.signature, crl.tbs_certlist_bytes) and not _otherwise(issuer, crl):
            raise _refused("its issuer has not signed it")
    except (InvalidSignature, UnsupportedAlgorithm, ValueError, TypeError) as error:
        raise _refused("its signature cannot be verified") from error


def _otherwise(issuer: x509.Certificate, crl: x509.CertificateRevocationList) -> bool:
    """With the hash that the list names, where that is not ours for the kind of key."""
    key = issuer.public_key()
    return isinstance(key, rsa.RSAPublicKey | ec.EllipticCurvePublicKey) and crl.is_signature_valid(key)


def loaded(issuer: bytes, der: bytes) -> ForeignCrl:
    """A list that was verified when it was taken, for a worker's memory. Raises ValueError."""
    crl = x509.load_der_x509_crl(der)
    if crl.next_update_utc is None:
        raise ValueError("the list never ends")
    return ForeignCrl(issuer, crl.last_update_utc, crl.next_update_utc, frozenset(one.serial_number for one in crl))


def _refused(what: str) -> NetworkError:
    return NetworkError(CRL_REFUSED, what)
