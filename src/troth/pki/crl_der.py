"""CRL bytes: entries, encoded once when a certificate's status changes, and the list around them (RFC 5280, 5).

The entry is stored with the certificate, so that building a CRL is one concatenation: a hundred thousand entries
cost a few milliseconds, where encoding each anew costs seconds. A list of a million entries is never put together in
one piece: it is a head, runs of entries and a tail, which are hashed, sent and stored one after the other.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from troth.pki import algorithms, der
from troth.pki.serial import SerialNumber
from troth.pki.template import extension

#: Only in deltas: this certificate is not on hold any more (RFC 5280, 5.3.1).
REMOVE_FROM_CRL = 8

_VERSION_2 = der.integer(1)
_REASON = der.oid("2.5.29.21")
_NUMBER = der.oid("2.5.29.20")
_DELTA_INDICATOR = der.oid("2.5.29.27")
_POINT = der.oid("2.5.29.28")
_AKI = der.oid("2.5.29.35")
_FRESHEST = der.oid("2.5.29.46")


def crl_entry(serial: SerialNumber, at: datetime, reason: int) -> bytes:
    """One element of revokedCertificates. Reason 0 leaves the extension out (RFC 5280, 5.3.1: SHOULD be absent)."""
    extensions = der.sequence(extension(_REASON, der.enumerated(reason))) if reason else b""
    return der.sequence(der.tlv(der.INTEGER, serial), der.time(at), extensions)


def entries_of(run: bytes) -> Iterator[tuple[bytes, bytes]]:
    """(serial number, entry) of each of our own concatenated entries; they have under 128 octets each."""
    at = 0
    while at < len(run):
        end = at + 2 + run[at + 1]
        yield run[at + 4 : at + 4 + run[at + 3]], run[at:end]
        at = end


@dataclass(frozen=True, slots=True)
class CrlScope:
    """What a CRL is about, as far as its extensions say.

    Attributes:
        point: URL of the distribution point that it is limited to (5.2.5); None covers all that the authority issued.
        base_number: of the complete CRL that this delta starts from (5.2.4); None in a complete one.
        freshest: where the delta to this complete CRL lies (5.2.6).
    """

    point: str | None = None
    base_number: int | None = None
    freshest: str | None = None


@dataclass(frozen=True, slots=True)
class CrlFrame:
    """A TBSCertList around ``size`` octets of entries."""

    head: bytes
    size: int
    tail: bytes

    def envelope(self, issuer_key: algorithms.PublicKey, signature: bytes) -> tuple[bytes, bytes]:
        """(what comes before, what comes after) the entries in the DER CertificateList."""
        after = algorithms.algorithm_identifier(issuer_key) + der.bits(signature)
        whole = len(self.head) + self.size + len(self.tail) + len(after)
        return der.header(der.SEQUENCE, whole) + self.head, self.tail + after


def crl_frame(
    *,
    issuer_name: bytes,
    issuer_key: algorithms.PublicKey,
    issuer_key_id: bytes,
    number: int,
    this_update: datetime,
    next_update: datetime,
    size: int,
    scope: CrlScope = CrlScope(),
) -> CrlFrame:
    """The frame of a CRL.

    Args:
        issuer_name: DER Name.
        issuer_key_id: subject key identifier of the authority.
        number: of this CRL, at most 20 octets (5.2.3).
        size: octets of concatenated :func:`crl_entry`; 0 leaves revokedCertificates out (5.1.2.6).
    """
    parts = [
        extension(_AKI, der.sequence(der.implicit(0, issuer_key_id))),
        extension(_NUMBER, der.integer(number)),
    ]
    if scope.base_number is not None:
        parts.append(extension(_DELTA_INDICATOR, der.integer(scope.base_number), critical=True))
    if scope.point is not None:
        parts.append(extension(_POINT, der.sequence(_full_name(scope.point)), critical=True))
    if scope.freshest is not None:
        parts.append(extension(_FRESHEST, der.sequence(der.sequence(_full_name(scope.freshest)))))
    before = b"".join(
        (
            _VERSION_2,
            algorithms.algorithm_identifier(issuer_key),
            issuer_name,
            der.time(this_update),
            der.time(next_update),
            der.header(der.SEQUENCE, size) if size else b"",
        )
    )
    tail = der.explicit(0, der.sequence(*parts))
    return CrlFrame(der.header(der.SEQUENCE, len(before) + size + len(tail)) + before, size, tail)


def _full_name(url: str) -> bytes:
    """DistributionPointName with one URI, under its explicit tag (it is a CHOICE)."""
    return der.explicit(0, der.explicit(0, der.implicit(6, url.encode("ascii"))))


def crl_tbs(
    *,
    issuer_name: bytes,
    issuer_key: algorithms.PublicKey,
    issuer_key_id: bytes,
    number: int,
    this_update: datetime,
    next_update: datetime,
    entries: bytes,
    scope: CrlScope = CrlScope(),
) -> bytes:
    """DER TBSCertList in one piece; arguments as of :func:`crl_frame`, ``entries`` concatenated."""
    frame = crl_frame(
        issuer_name=issuer_name,
        issuer_key=issuer_key,
        issuer_key_id=issuer_key_id,
        number=number,
        this_update=this_update,
        next_update=next_update,
        size=len(entries),
        scope=scope,
    )
    return frame.head + entries + frame.tail


def crl_der(tbs: bytes, issuer_key: algorithms.PublicKey, signature: bytes) -> bytes:
    """DER CertificateList from its parts."""
    return der.sequence(tbs, algorithms.algorithm_identifier(issuer_key), der.bits(signature))


def split_tbs(tbs: bytes) -> tuple[CrlFrame, bytes]:
    """(frame, entries) of a TBSCertList in one piece. Raises DerError."""
    outer = der.Reader(tbs)
    body = outer.enter(der.SEQUENCE)
    outer.close()
    entries, last = b"", None
    while body.peek() not in (None, 0xA0):
        if last in (der.UTC_TIME, der.GENERALIZED_TIME) and body.peek() == der.SEQUENCE:
            # The list is the one SEQUENCE that follows a time.
            entries = body.read(der.SEQUENCE)
            if not entries:
                raise der.DerError("revokedCertificates is empty")
            break
        last = body.peek()
        body.whole()
    tail = b"" if body.peek() is None else body.whole()
    body.close()
    return CrlFrame(tbs[: len(tbs) - len(entries) - len(tail)], len(entries), tail), entries
