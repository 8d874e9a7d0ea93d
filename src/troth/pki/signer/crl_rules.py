"""The limits of an issuing key, held against the CRL it is about to sign, and the numbers it signed before.

The header is read by hand, so that a million entries cost nothing here but the hash; the extensions are read by
cryptography from a copy of the header without entries. Which certificates are listed is the worker's word.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from hashlib import sha256
from pathlib import Path

import msgspec
from cryptography import x509
from cryptography.x509.oid import ExtensionOID

from troth.pki import der
from troth.pki.keys.algorithm import KeyAlgorithm
from troth.pki.keys.files import write_private
from troth.pki.keys.model import IssuingLimits
from troth.pki.signer.certificate_rules import MAX_AHEAD, value_of
from troth.pki.signer.errors import (
    CRL_NUMBER,
    LIMIT_ALGORITHM,
    LIMIT_AUTHORITY_KEY,
    LIMIT_CRL,
    LIMIT_ISSUER,
    MALFORMED,
    SignerRefused,
)

#: How old thisUpdate may be: as long as a large CRL may take to build.
_MAX_AGE = timedelta(hours=1)
_MAX_SCOPES = 4096
#: A complete CRL's extensions (RFC 5280, 5.2); a delta CRL's indicator is not among them.
_EXTENSIONS = frozenset(
    {
        ExtensionOID.AUTHORITY_KEY_IDENTIFIER,
        ExtensionOID.CRL_NUMBER,
        ExtensionOID.ISSUING_DISTRIBUTION_POINT,
        ExtensionOID.AUTHORITY_INFORMATION_ACCESS,
        ExtensionOID.FRESHEST_CRL,
    }
)


class CrlHeader(msgspec.Struct, frozen=True):
    """What the signer remembers of a CRL.

    Attributes:
        number: cRLNumber.
        scope: digest of the issuing distribution point; numbers run separately in each scope (RFC 5280, 5.2.3).
    """

    number: int
    scope: str


def check_crl(tbs: bytes, algorithm: KeyAlgorithm, limits: IssuingLimits, now: datetime) -> CrlHeader:
    """The CRL's number and scope, if its header keeps every limit at ``now``. Raises SignerRefused."""
    found_algorithm, issuer, bare = _header(tbs)
    if found_algorithm != algorithm.signature_algorithm:
        raise SignerRefused(LIMIT_ALGORITHM)
    if issuer != limits.subject:
        raise SignerRefused(LIMIT_ISSUER)
    try:
        crl = x509.load_der_x509_crl(der.sequence(bare, found_algorithm, der.bits(bytes(64))))
        extensions, this_update, next_update = crl.extensions, crl.last_update_utc, crl.next_update_utc
    except (ValueError, TypeError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType) as error:
        raise SignerRefused(MALFORMED, "the TBSCertList cannot be read") from error
    if next_update is None or not this_update < next_update:
        raise SignerRefused(LIMIT_CRL, "nextUpdate is missing or not after thisUpdate")
    if next_update - this_update > timedelta(seconds=limits.max_crl_validity_seconds):
        raise SignerRefused(LIMIT_CRL, f"nextUpdate is more than {limits.max_crl_validity_seconds} s after thisUpdate")
    if not now - _MAX_AGE <= this_update <= now + MAX_AHEAD:
        raise SignerRefused(LIMIT_CRL, "thisUpdate is not the present")
    surplus = {extension.oid for extension in extensions} - _EXTENSIONS
    if surplus:
        raise SignerRefused(LIMIT_CRL, f"extension {min(oid.dotted_string for oid in surplus)} is not allowed")
    authority = value_of(extensions, x509.AuthorityKeyIdentifier)
    if authority is None or authority.key_identifier != limits.key_identifier or authority.authority_cert_issuer:
        raise SignerRefused(LIMIT_AUTHORITY_KEY)
    number = value_of(extensions, x509.CRLNumber)
    if number is None or not 0 <= number.crl_number < 2**63:
        raise SignerRefused(LIMIT_CRL, "the CRL number is missing or above 63 bits")
    point = value_of(extensions, x509.IssuingDistributionPoint)
    if point is not None and point.indirect_crl:
        raise SignerRefused(LIMIT_CRL, "an authority lists its own certificates only")
    return CrlHeader(number.crl_number, "" if point is None else sha256(point.public_bytes()).hexdigest())


def _header(tbs: bytes) -> tuple[bytes, bytes, bytes]:
    """(algorithm, issuer, the TBSCertList without its entries). Raises SignerRefused."""
    try:
        outer = der.Reader(tbs)
        reader = outer.enter(der.SEQUENCE)
        outer.close()
        if reader.read(der.INTEGER) != b"\x01":
            raise der.DerError("not version 2")
        algorithm, issuer, this_update = reader.whole(), reader.whole(), reader.whole()
        next_update = reader.whole() if reader.peek() in (der.UTC_TIME, der.GENERALIZED_TIME) else b""
        if reader.peek() == der.SEQUENCE:
            entries = reader.enter(der.SEQUENCE)
            if entries.peek() != der.SEQUENCE:
                # An empty list is left out altogether (RFC 5280, 5.1.2.6).
                raise der.DerError("revokedCertificates is empty or no list of entries")
        extensions = reader.whole() if reader.peek() == 0xA0 else b""
        reader.close()
    except der.DerError as error:
        raise SignerRefused(MALFORMED, f"TBSCertList: {error}") from error
    version = der.integer(1)
    return algorithm, issuer, der.sequence(version, algorithm, issuer, this_update, next_update, extensions)


class CrlNumbers:
    """The highest CRL number signed for each key and scope, kept over restarts in one small file.

    A number is durable here before its signature leaves. Losing the file loses a second line of defence: the
    database hands numbers out in order on its own.
    """

    def __init__(self, path: Path, write: Callable[[Path, bytes], None] = write_private) -> None:
        self._path = path
        self._write = write
        self._numbers: dict[str, dict[str, int]] = {}
        if path.exists():
            try:
                self._numbers = msgspec.json.decode(path.read_bytes(), type=dict[str, dict[str, int]])
            except msgspec.MsgspecError as error:
                raise SignerRefused(CRL_NUMBER, f"{path.name} cannot be read") from error

    def advance(self, key_id: str, header: CrlHeader) -> None:
        """Note that this number is being signed. Raises SignerRefused unless it is above the last of its scope."""
        scopes = dict(self._numbers.get(key_id, {}))
        last = scopes.get(header.scope)
        if last is not None and header.number <= last:
            raise SignerRefused(CRL_NUMBER, f"{header.number} does not come after {last}", last=last)
        if last is None and len(scopes) >= _MAX_SCOPES:
            raise SignerRefused(LIMIT_CRL, f"more than {_MAX_SCOPES} distribution points")
        scopes[header.scope] = header.number
        numbers = {**self._numbers, key_id: scopes}
        # Kept in memory even if the write fails: a number that may be on disk is used up.
        self._numbers = numbers
        self._write(self._path, msgspec.json.encode(numbers))
