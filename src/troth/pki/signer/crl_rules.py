"""The limits of an issuing key, held against the CRL it is about to sign, and the numbers it signed before.

The header is read by hand, so that a million entries cost nothing here but the hash; the extensions are read by
cryptography from a copy of the header without entries. Which certificates are listed is the worker's word.

A CRL that is limited to a distribution point says so critically and names one address, one of the authority's own:
who swaps the CRL of one shard for another's is found out (RFC 5280, 5.2.5 and 6.3.3 b 2).
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
from troth.pki.crl_der import CrlFrame, split_tbs
from troth.pki.keys.algorithm import KeyAlgorithm
from troth.pki.keys.files import write_private
from troth.pki.keys.model import IssuingLimits
from troth.pki.reading import value_of
from troth.pki.signer.certificate_rules import MAX_AHEAD
from troth.pki.signer.errors import (
    CRL_NUMBER,
    LIMIT_ALGORITHM,
    LIMIT_AUTHORITY_KEY,
    LIMIT_CRL,
    LIMIT_ISSUER,
    MALFORMED,
    SignerRefused,
)
from troth.pki.template import StatusUrls
from troth.pki.unreadable import UNREADABLE

#: How old thisUpdate may be: as long as a large CRL may take to build.
_MAX_AGE = timedelta(hours=1)
_MAX_SCOPES = 4096
_MAX_SHARDS = 256
_MAX_HEADER = 16_384
_COMPLETE = frozenset(
    {
        ExtensionOID.AUTHORITY_KEY_IDENTIFIER,
        ExtensionOID.CRL_NUMBER,
        ExtensionOID.ISSUING_DISTRIBUTION_POINT,
        ExtensionOID.AUTHORITY_INFORMATION_ACCESS,
        ExtensionOID.FRESHEST_CRL,
    }
)
#: A delta never points to another delta (RFC 5280, 5.2.6).
_DELTA = _COMPLETE - {ExtensionOID.FRESHEST_CRL} | {ExtensionOID.DELTA_CRL_INDICATOR}


class CrlHeader(msgspec.Struct, frozen=True):
    """What the signer remembers of a CRL.

    Attributes:
        number: cRLNumber.
        scope: digest of the issuing distribution point; numbers run separately in each scope (RFC 5280, 5.2.3).
        base: BaseCRLNumber of a delta.
    """

    number: int
    scope: str
    base: int | None = None


def check_crl(tbs: bytes, algorithm: KeyAlgorithm, limits: IssuingLimits, now: datetime) -> CrlHeader:
    """:func:`check_frame` for a TBSCertList in one piece. Raises SignerRefused."""
    try:
        frame, _entries = split_tbs(tbs)
    except der.DerError as error:
        raise SignerRefused(MALFORMED, f"TBSCertList: {error}") from error
    return check_frame(frame, algorithm, limits, now)


def check_frame(frame: CrlFrame, algorithm: KeyAlgorithm, limits: IssuingLimits, now: datetime) -> CrlHeader:
    """The CRL's number and scope, if all but its entries keeps every limit at ``now``. Raises SignerRefused."""
    found_algorithm, issuer, bare = _header(frame)
    if found_algorithm != algorithm.signature_algorithm:
        raise SignerRefused(LIMIT_ALGORITHM)
    if issuer != limits.subject:
        raise SignerRefused(LIMIT_ISSUER)
    try:
        crl = x509.load_der_x509_crl(der.sequence(bare, found_algorithm, der.bits(bytes(64))))
        extensions, this_update, next_update = crl.extensions, crl.last_update_utc, crl.next_update_utc
    except UNREADABLE as error:
        raise SignerRefused(MALFORMED, "the TBSCertList cannot be read") from error
    if next_update is None or not this_update < next_update:
        raise SignerRefused(LIMIT_CRL, "nextUpdate is missing or not after thisUpdate")
    if next_update - this_update > timedelta(seconds=limits.max_crl_validity_seconds):
        raise SignerRefused(LIMIT_CRL, f"nextUpdate is more than {limits.max_crl_validity_seconds} s after thisUpdate")
    if not now - _MAX_AGE <= this_update <= now + MAX_AHEAD:
        raise SignerRefused(LIMIT_CRL, "thisUpdate is not the present")
    authority = value_of(extensions, x509.AuthorityKeyIdentifier)
    if authority is None or authority.key_identifier != limits.key_identifier or authority.authority_cert_issuer:
        raise SignerRefused(LIMIT_AUTHORITY_KEY)
    number = value_of(extensions, x509.CRLNumber)
    if number is None or not 0 <= number.crl_number < 2**63:
        raise SignerRefused(LIMIT_CRL, "the CRL number is missing or above 63 bits")
    base = _check_delta(extensions, number.crl_number)
    point = _check_point(extensions, limits.crl_url)
    return CrlHeader(number.crl_number, "" if point is None else sha256(point.public_bytes()).hexdigest(), base)


def _check_delta(extensions: x509.Extensions, number: int) -> int | None:
    """BaseCRLNumber of a delta; None for a complete CRL."""
    base = value_of(extensions, x509.DeltaCRLIndicator)
    surplus = {extension.oid for extension in extensions} - (_COMPLETE if base is None else _DELTA)
    if surplus:
        raise SignerRefused(LIMIT_CRL, f"extension {min(oid.dotted_string for oid in surplus)} is not allowed")
    if base is None:
        return None
    if not extensions.get_extension_for_class(x509.DeltaCRLIndicator).critical:
        raise SignerRefused(LIMIT_CRL, "who does not know deltas would take this one for a complete CRL")
    if not 0 <= base.crl_number < number:
        raise SignerRefused(LIMIT_CRL, "a delta comes after its base")
    return base.crl_number


def _check_point(extensions: x509.Extensions, crl_url: str | None) -> x509.IssuingDistributionPoint | None:
    freshest = value_of(extensions, x509.FreshestCRL)
    point = value_of(extensions, x509.IssuingDistributionPoint)
    urls = StatusUrls(crl=crl_url)
    deltas = {urls.delta_of(shard) for shard in range(_MAX_SHARDS)}
    if freshest is not None and crl_url is not None:
        named = {_one_url(found.full_name) for found in freshest}
        if not named <= deltas:
            raise SignerRefused(LIMIT_CRL, "the freshest CRL is not at an address of this authority")
    if point is None:
        return None
    if not extensions.get_extension_for_class(x509.IssuingDistributionPoint).critical:
        raise SignerRefused(LIMIT_CRL, "who passes over the distribution point takes a part for the whole")
    if point.indirect_crl:
        raise SignerRefused(LIMIT_CRL, "an authority lists its own certificates only")
    if (
        point.only_contains_user_certs
        or point.only_contains_ca_certs
        or point.only_contains_attribute_certs
        or point.only_some_reasons
        or point.relative_name
    ):
        raise SignerRefused(LIMIT_CRL, "a CRL is limited by its distribution point and by nothing else")
    url = _one_url(point.full_name)
    if crl_url is not None and url not in {urls.crl_of(shard) for shard in range(_MAX_SHARDS)}:
        raise SignerRefused(LIMIT_CRL, f"{url} is not an address of this authority's CRLs")
    return point


def _one_url(names: list[x509.GeneralName] | None) -> str:
    if names is None or len(names) != 1 or not isinstance(names[0], x509.UniformResourceIdentifier):
        raise SignerRefused(LIMIT_CRL, "a distribution point has one address")
    return names[0].value


def _header(frame: CrlFrame) -> tuple[bytes, bytes, bytes]:
    """(algorithm, issuer, the TBSCertList without its entries). Raises SignerRefused."""
    if len(frame.head) + len(frame.tail) > _MAX_HEADER or frame.size < 0:
        raise SignerRefused(MALFORMED, "the header of a CRL has 16 KiB at most")
    try:
        # The fields alone, under a length that holds: then the true lengths are made anew and compared.
        whole = len(frame.head) + frame.size + len(frame.tail)
        start = next(count for count in range(2, 7) if der.header(der.SEQUENCE, whole - count) == frame.head[:count])
        reader = der.Reader(frame.head, start)
        if reader.read(der.INTEGER) != b"\x01":
            raise der.DerError("not version 2")
        algorithm, issuer, this_update = reader.whole(), reader.whole(), reader.whole()
        next_update = reader.whole() if reader.peek() in (der.UTC_TIME, der.GENERALIZED_TIME) else b""
        fields = b"".join((der.integer(1), algorithm, issuer, this_update, next_update))
        # An empty list is left out altogether (RFC 5280, 5.1.2.6).
        expected = fields + (der.header(der.SEQUENCE, frame.size) if frame.size else b"")
        if frame.head[start:] != expected:
            raise der.DerError("something else stands before the entries")
        last = der.Reader(frame.tail)
        if last.peek() is not None:
            last.enter(0xA0)
        last.close()
    except StopIteration:
        raise SignerRefused(MALFORMED, "TBSCertList: its length is wrong") from None
    except der.DerError as error:
        raise SignerRefused(MALFORMED, f"TBSCertList: {error}") from error
    return algorithm, issuer, der.sequence(fields, frame.tail)


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
        """Note that this number is being signed.

        Raises SignerRefused unless it comes after the last of its scope. A complete CRL and a delta may share one
        number, since they then say the same (RFC 5280, 5.2.4); each kind uses it once.
        """
        scopes = dict(self._numbers.get(key_id, {}))
        delta = f"{header.scope}:delta"
        full, last = scopes.get(header.scope), scopes.get(delta)
        if header.base is not None and (full is None or header.base > full):
            raise SignerRefused(LIMIT_CRL, "the base of this delta was not signed here")
        own, other = (full, last) if header.base is None else (last, full)
        if own is not None and header.number <= own:
            raise SignerRefused(CRL_NUMBER, f"{header.number} does not come after {own}", last=own)
        if other is not None and header.number < other:
            raise SignerRefused(CRL_NUMBER, f"{header.number} comes before {other}", last=other)
        if own is None and len(scopes) >= _MAX_SCOPES:
            raise SignerRefused(LIMIT_CRL, f"more than {_MAX_SCOPES} distribution points")
        scopes[header.scope if header.base is None else delta] = header.number
        numbers = {**self._numbers, key_id: scopes}
        # Kept in memory even if the write fails: a number that may be on disk is used up.
        self._numbers = numbers
        self._write(self._path, msgspec.json.encode(numbers))
