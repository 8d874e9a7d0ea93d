"""OCSP bytes (RFC 6960): requests read by hand, answers written from a template.

Reading bounds everything first (size, number of CertIDs, nonce) and takes only what an answer needs. Writing is one
concatenation and one signature; cryptography's builder makes the same bytes (tests hold that) at four times the cost,
and would answer one CertID only.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from cryptography import x509

from troth.kit.clock import to_seconds
from troth.pki import algorithms, der
from troth.pki.errors import OCSP_MALFORMED, OcspMalformed
from troth.pki.model import SerialStatus

MAX_REQUEST = 4096
MAX_CERT_IDS = 16
_NONCE = "1.3.6.1.5.5.7.48.1.2"
_ARCHIVE_CUTOFF = der.oid("1.3.6.1.5.5.7.48.1.6")
_BASIC = der.oid("1.3.6.1.5.5.7.48.1.1")
_HASHES = {"1.3.14.3.2.26": "sha1", "2.16.840.1.101.3.4.2.1": "sha256"}

#: Answers without a signature (RFC 6960, 2.3): OCSPResponse with a status and nothing else.
MALFORMED_REQUEST = der.sequence(der.enumerated(1))
INTERNAL_ERROR = der.sequence(der.enumerated(2))
TRY_LATER = der.sequence(der.enumerated(3))
UNAUTHORIZED = der.sequence(der.enumerated(6))


@dataclass(frozen=True, slots=True)
class CertId:
    """Which certificate is asked about.

    Attributes:
        encoded: DER CertID as it came: it is echoed as it is.
        algorithm: ``sha1`` or ``sha256``; anything else is answered ``unknown``.
        serial: content octets of the INTEGER.
    """

    encoded: bytes
    algorithm: str
    issuer_name_hash: bytes
    issuer_key_hash: bytes
    serial: bytes


@dataclass(frozen=True, slots=True)
class OcspRequest:
    """A request, as far as an answer depends on it. ``nonce`` is the extension's inner OCTET STRING content."""

    cert_ids: tuple[CertId, ...]
    nonce: bytes | None


def parse_request(data: bytes) -> OcspRequest:
    """Read an OCSPRequest of at most :data:`MAX_REQUEST` bytes. A signature on it is passed over (RFC 6960, 4.1.2).

    Raises OcspMalformed for everything that is not one with 1 to :data:`MAX_CERT_IDS` CertIDs, for a critical
    extension that is not known, and for a nonce that is not 1 to 32 octets long (RFC 8954, 2.1; RFC 9654 lets a
    responder ignore longer ones, but a client that sends them wants an answer bound to all of it).
    """
    if len(data) > MAX_REQUEST:
        raise OcspMalformed(OCSP_MALFORMED, f"longer than {MAX_REQUEST} bytes")
    try:
        return _parse(data)
    except der.DerError as error:
        raise OcspMalformed(OCSP_MALFORMED, str(error)) from error


def _parse(data: bytes) -> OcspRequest:
    outer = der.Reader(data)
    body = outer.enter(der.SEQUENCE)
    outer.close()
    tbs = body.enter(der.SEQUENCE)
    if body.peek() == 0xA0:
        body.whole()
    body.close()
    if tbs.peek() == 0xA0:
        version = tbs.enter(0xA0)
        if der.read_integer(version.read(der.INTEGER)) != 0:
            raise der.DerError("version is not v1")
        version.close()
    if tbs.peek() == 0xA1:
        tbs.whole()
    requests = tbs.enter(der.SEQUENCE)
    cert_ids: list[CertId] = []
    while not requests.empty:
        if len(cert_ids) == MAX_CERT_IDS:
            raise der.DerError(f"more than {MAX_CERT_IDS} certificates asked about")
        request = requests.enter(der.SEQUENCE)
        cert_ids.append(_cert_id(request.whole()))
        if request.peek() == 0xA0:
            _extensions(request.enter(0xA0))
        request.close()
    if not cert_ids:
        raise der.DerError("no certificate asked about")
    nonce = _extensions(tbs.enter(0xA2)) if tbs.peek() == 0xA2 else None
    tbs.close()
    return OcspRequest(tuple(cert_ids), nonce)


def _cert_id(encoded: bytes) -> CertId:
    reader = der.Reader(encoded).enter(der.SEQUENCE)
    algorithm = reader.enter(der.SEQUENCE)
    oid = der.read_oid(algorithm.read(der.OID))
    # The answer repeats these octets under our signature: what is no CertID to a strict reader goes no further.
    if not algorithm.empty:
        parameters = algorithm.whole()
        if oid in _HASHES and parameters != der.NULL_VALUE:
            raise der.DerError("a hash has no parameters (RFC 5754, 2)")
    algorithm.close()
    name_hash, key_hash = reader.read(der.OCTET_STRING), reader.read(der.OCTET_STRING)
    serial = reader.read(der.INTEGER)
    reader.close()
    der.read_integer(serial)
    if len(serial) > 21:
        raise der.DerError("serial number of more than 20 octets")
    return CertId(encoded, _HASHES.get(oid, ""), name_hash, key_hash, serial)


def _extensions(tagged: der.Reader) -> bytes | None:
    """The nonce among the extensions, if it is there."""
    extensions = tagged.enter(der.SEQUENCE)
    tagged.close()
    nonce: bytes | None = None
    count = 0
    while not extensions.empty:
        count += 1
        extension = extensions.enter(der.SEQUENCE)
        oid = der.read_oid(extension.read(der.OID))
        critical = extension.take(der.BOOLEAN) == b"\xff"
        value = extension.read(der.OCTET_STRING)
        extension.close()
        if oid == _NONCE:
            inner = der.Reader(value)
            found = inner.read(der.OCTET_STRING)
            inner.close()
            if nonce is not None or not 1 <= len(found) <= 32:
                raise der.DerError("nonce doubled or not of 1 to 32 octets")
            nonce = found
        elif critical or count > 16:
            raise der.DerError("unknown critical extension")
    return nonce


class IssuerIds:
    """Recognises an authority in CertIDs, in both hashes."""

    __slots__ = ("_ids",)

    def __init__(self, certificate: x509.Certificate) -> None:
        name = certificate.subject.public_bytes()
        key = certificate.public_key()
        if not isinstance(key, algorithms.PublicKey):
            raise ValueError("an authority's key of this kind is not supported")
        bits = algorithms.key_bits(algorithms.spki_of(key))
        self._ids = {
            ("sha1", _sha1(name), _sha1(bits)),
            ("sha256", hashlib.sha256(name).digest(), hashlib.sha256(bits).digest()),
        }

    def match(self, cert_id: CertId) -> bool:
        """Whether ``cert_id`` asks about a certificate of this authority."""
        return (cert_id.algorithm, cert_id.issuer_name_hash, cert_id.issuer_key_hash) in self._ids


def _sha1(data: bytes) -> bytes:
    # RFC 5019 and RFC 6960 name parties by SHA-1; nothing rests on its strength.
    return hashlib.sha1(data, usedforsecurity=False).digest()


@dataclass(frozen=True, slots=True)
class Verdict:
    """The status told for one CertID. ``revoked`` has a time, and a reason unless it is 0 (unspecified).

    ``archive``, for a certificate that has expired: since when status is kept (RFC 6960, 4.4.4).
    """

    status: Literal["good", "revoked", "unknown"]
    at: datetime | None = None
    reason: int | None = None
    archive: datetime | None = None


UNKNOWN = Verdict("unknown")
GOOD = Verdict("good")


def verdict_of(found: SerialStatus | None) -> Verdict:
    """What to tell of a row. Never ``good`` for a serial number that was not issued."""
    if found is None:
        return UNKNOWN
    if found.status != "good":
        return Verdict("revoked", found.status_at, found.reason)
    return GOOD if found.state == "issued" else UNKNOWN


class ResponseWriter:
    """Writes signed answers of one delegated responder.

    Args:
        certificate: DER of the responder's certificate; it goes into every answer.
        sign: signature of the responder's key over bytes, as it goes into the BIT STRING.
    """

    __slots__ = ("_certificates", "_responder_id", "_sign", "_signature_algorithm")

    def __init__(self, certificate: bytes, sign: Callable[[bytes], bytes]) -> None:
        key = x509.load_der_x509_certificate(certificate).public_key()
        if not isinstance(key, algorithms.PublicKey):
            raise ValueError("a responder's key of this kind is not supported")
        self._sign = sign
        # byKey [2] EXPLICIT KeyHash: the SHA-1 of the key's bits (RFC 6960, 4.2.1).
        self._responder_id = der.explicit(2, der.octets(_sha1(algorithms.key_bits(algorithms.spki_of(key)))))
        self._signature_algorithm = algorithms.algorithm_identifier(key)
        self._certificates = der.explicit(0, der.sequence(certificate))

    def response(
        self,
        answers: Sequence[tuple[CertId, Verdict]],
        *,
        nonce: bytes | None,
        produced_at: datetime,
        this_update: datetime,
        next_update: datetime,
    ) -> bytes:
        """DER OCSPResponse. Times are cut to seconds; ``nonce`` is echoed (RFC 8954, 2.1)."""
        window = der.generalized_time(to_seconds(this_update)) + der.explicit(
            0, der.generalized_time(to_seconds(next_update))
        )
        singles = b"".join(
            der.sequence(cert_id.encoded, _status(verdict), window, _archive(verdict)) for cert_id, verdict in answers
        )
        extensions = b""
        if nonce is not None:
            value = der.octets(der.octets(nonce))
            extensions = der.explicit(1, der.sequence(der.sequence(der.oid(_NONCE), value)))
        data = der.sequence(
            self._responder_id, der.generalized_time(to_seconds(produced_at)), der.sequence(singles), extensions
        )
        basic = der.sequence(data, self._signature_algorithm, der.bits(self._sign(data)), self._certificates)
        return der.sequence(der.enumerated(0), der.explicit(0, der.sequence(_BASIC, der.octets(basic))))


def _status(verdict: Verdict) -> bytes:
    if verdict.status == "good":
        return b"\x80\x00"
    if verdict.status == "unknown" or verdict.at is None:
        return b"\x82\x00"
    reason = der.explicit(0, der.enumerated(verdict.reason)) if verdict.reason else b""
    return der.explicit(1, der.generalized_time(to_seconds(verdict.at)) + reason)


def _archive(verdict: Verdict) -> bytes:
    """singleExtensions [1] with the archive cut-off, where there is something to say."""
    if verdict.archive is None:
        return b""
    value = der.octets(der.generalized_time(to_seconds(verdict.archive)))
    return der.explicit(1, der.sequence(der.sequence(_ARCHIVE_CUTOFF, value)))


def answer(
    writer: ResponseWriter,
    request: OcspRequest,
    issuer: IssuerIds,
    statuses: Mapping[bytes, SerialStatus],
    *,
    now: datetime,
    next_update: datetime,
) -> bytes:
    """The signed answer to ``request`` by one authority's responder; UNAUTHORIZED if it asks about others only.

    Args:
        statuses: by serial number (content octets), read *now*: a missing one is answered ``unknown``.
    """
    if not any(issuer.match(cert_id) for cert_id in request.cert_ids):
        return UNAUTHORIZED
    answers = [
        (cert_id, verdict_of(statuses.get(cert_id.serial)) if issuer.match(cert_id) else UNKNOWN)
        for cert_id in request.cert_ids
    ]
    return writer.response(answers, nonce=request.nonce, produced_at=now, this_update=now, next_update=next_update)


def build_request(certificate_serial: bytes, issuer: x509.Certificate, *, nonce: bytes | None = None) -> bytes:
    """A DER OCSPRequest (SHA-256 CertID): for probes of our own responder."""
    key = issuer.public_key()
    if not isinstance(key, algorithms.PublicKey):
        raise ValueError("an authority's key of this kind is not supported")
    cert_id = der.sequence(
        der.sequence(der.oid("2.16.840.1.101.3.4.2.1"), der.NULL_VALUE),
        der.octets(hashlib.sha256(issuer.subject.public_bytes()).digest()),
        der.octets(hashlib.sha256(algorithms.key_bits(algorithms.spki_of(key))).digest()),
        der.tlv(der.INTEGER, certificate_serial),
    )
    extensions = b""
    if nonce is not None:
        extensions = der.explicit(2, der.sequence(der.sequence(der.oid(_NONCE), der.octets(der.octets(nonce)))))
    return der.sequence(der.sequence(der.sequence(der.sequence(cert_id)), extensions))
