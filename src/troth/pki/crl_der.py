"""CRL bytes: entries, encoded once when a certificate's status changes, and the list around them (RFC 5280, 5).

The entry is stored with the certificate, so that building a CRL is one concatenation: a hundred thousand entries
cost a few milliseconds, where encoding each anew costs seconds.
"""

from __future__ import annotations

from datetime import datetime

from troth.pki import algorithms, der
from troth.pki.serial import SerialNumber
from troth.pki.template import extension

_VERSION_2 = der.integer(1)
_REASON = der.oid("2.5.29.21")
_NUMBER = der.oid("2.5.29.20")
_AKI = der.oid("2.5.29.35")


def crl_entry(serial: SerialNumber, at: datetime, reason: int) -> bytes:
    """One element of revokedCertificates. Reason 0 leaves the extension out (RFC 5280, 5.3.1: SHOULD be absent)."""
    extensions = der.sequence(extension(_REASON, der.enumerated(reason))) if reason else b""
    return der.sequence(der.tlv(der.INTEGER, serial), der.time(at), extensions)


def crl_tbs(
    *,
    issuer_name: bytes,
    issuer_key: algorithms.PublicKey,
    issuer_key_id: bytes,
    number: int,
    this_update: datetime,
    next_update: datetime,
    entries: bytes,
) -> bytes:
    """DER TBSCertList of a full CRL.

    Args:
        issuer_name: DER Name.
        issuer_key_id: subject key identifier of the authority.
        number: of this CRL, at most 20 octets (5.2.3).
        entries: concatenated :func:`crl_entry`; empty leaves revokedCertificates out (5.1.2.6).
    """
    return der.sequence(
        _VERSION_2,
        algorithms.algorithm_identifier(issuer_key),
        issuer_name,
        der.time(this_update),
        der.time(next_update),
        der.sequence(entries) if entries else b"",
        der.explicit(
            0,
            der.sequence(
                extension(_AKI, der.sequence(der.implicit(0, issuer_key_id))),
                extension(_NUMBER, der.integer(number)),
            ),
        ),
    )


def crl_der(tbs: bytes, issuer_key: algorithms.PublicKey, signature: bytes) -> bytes:
    """DER CertificateList from its parts."""
    return der.sequence(tbs, algorithms.algorithm_identifier(issuer_key), der.bits(signature))
