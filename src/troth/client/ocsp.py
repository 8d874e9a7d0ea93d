"""Asking an OCSP responder (RFC 6960) as a relying party does, and believing nothing that is not signed for it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtendedKeyUsageOID

from troth.client.errors import OCSP_ANSWER
from troth.client.transport import Transport
from troth.kit.errors import TrothError

_HEADERS = {"content-type": "application/ocsp-request", "accept": "application/ocsp-response"}


class OcspError(TrothError):
    """The responder gave no answer that can be believed."""


@dataclass(frozen=True, slots=True)
class OcspAnswer:
    """What a responder says of one certificate.

    Attributes:
        reason: of a revocation, in the words of RFC 5280 (``certificateHold``); None if none is given.
        this_update: since when it is known to be so; ``next_update``: how long the answer may be kept.
    """

    status: Literal["good", "revoked", "unknown"]
    reason: str | None
    revoked_at: datetime | None
    this_update: datetime
    next_update: datetime | None

    def __str__(self) -> str:
        return f"{self.status} ({self.reason})" if self.reason else self.status


class Ocsp:
    """Questions about one certificate, put to the responder that the certificate itself names."""

    def __init__(self, certificate: x509.Certificate, issuer: x509.Certificate, transport: Transport) -> None:
        self._certificate = certificate
        self._issuer = issuer
        self._transport = transport
        self.url = responder_url(certificate)
        builder = ocsp.OCSPRequestBuilder().add_certificate(certificate, issuer, hashes.SHA1())  # noqa: S303 -- a name
        self._request = builder.build().public_bytes(Encoding.DER)

    async def ask(self) -> OcspAnswer:
        """The answer now. Raises OcspError, or TransportError when nobody answers."""
        return (await self.fetch())[1]

    async def fetch(self) -> tuple[bytes, OcspAnswer]:
        """As :meth:`ask`, with the DER of the whole response, for those who hand it on (a stapling server)."""
        answer = await self._transport.request("POST", self.url, body=self._request, headers=_HEADERS)
        if answer.status != 200:
            raise OcspError(OCSP_ANSWER, f"{self.url} answered with HTTP status {answer.status}")
        return answer.body, read_answer(answer.body, self._certificate, self._issuer)


def responder_url(certificate: x509.Certificate) -> str:
    """Where the certificate says that its status is told (AIA). Raises OcspError if it says nothing."""
    try:
        access = certificate.extensions.get_extension_for_class(x509.AuthorityInformationAccess).value
    except x509.ExtensionNotFound:
        raise OcspError(OCSP_ANSWER, "the certificate names no OCSP responder") from None
    for one in access:
        if one.access_method == AuthorityInformationAccessOID.OCSP:
            return str(one.access_location.value)
    raise OcspError(OCSP_ANSWER, "the certificate names no OCSP responder")


def read_answer(der: bytes, certificate: x509.Certificate, issuer: x509.Certificate) -> OcspAnswer:
    """The answer in ``der`` about ``certificate``. Raises OcspError unless the issuer, or a responder that the issuer
    has certified for this (RFC 6960, 4.2.2.2), signed it."""
    try:
        response = ocsp.load_der_ocsp_response(der)
    except ValueError as error:
        raise OcspError(OCSP_ANSWER, f"this is no OCSP response: {error}") from error
    if response.response_status is not ocsp.OCSPResponseStatus.SUCCESSFUL:
        raise OcspError(OCSP_ANSWER, f"the responder says {response.response_status.name.lower()}")
    if response.serial_number != certificate.serial_number:
        raise OcspError(OCSP_ANSWER, "the answer is about another certificate")
    _verify(response, _signer(response, issuer))
    reason = response.revocation_reason
    return OcspAnswer(
        status=_STATUS[response.certificate_status],
        reason=reason.value if reason is not None else None,
        revoked_at=response.revocation_time_utc,
        this_update=response.this_update_utc,
        next_update=response.next_update_utc,
    )


_STATUS: dict[ocsp.OCSPCertStatus, Literal["good", "revoked", "unknown"]] = {
    ocsp.OCSPCertStatus.GOOD: "good",
    ocsp.OCSPCertStatus.REVOKED: "revoked",
    ocsp.OCSPCertStatus.UNKNOWN: "unknown",
}


def _signer(response: ocsp.OCSPResponse, issuer: x509.Certificate) -> x509.Certificate:
    for one in response.certificates:
        try:
            one.verify_directly_issued_by(issuer)
            usage = one.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        except (ValueError, TypeError, InvalidSignature, x509.ExtensionNotFound):
            continue
        if ExtendedKeyUsageOID.OCSP_SIGNING in usage:
            return one
    return issuer


def _verify(response: ocsp.OCSPResponse, signer: x509.Certificate) -> None:
    key, algorithm = signer.public_key(), response.signature_hash_algorithm
    try:
        if isinstance(key, ec.EllipticCurvePublicKey) and algorithm is not None:
            key.verify(response.signature, response.tbs_response_bytes, ec.ECDSA(algorithm))
            return
        if isinstance(key, rsa.RSAPublicKey) and algorithm is not None:
            key.verify(response.signature, response.tbs_response_bytes, padding.PKCS1v15(), algorithm)
            return
        # These have one algorithm each, and it takes the message itself (RFC 8410, RFC 9881).
        if isinstance(
            key,
            ed25519.Ed25519PublicKey | mldsa.MLDSA44PublicKey | mldsa.MLDSA65PublicKey | mldsa.MLDSA87PublicKey,
        ):
            key.verify(response.signature, response.tbs_response_bytes)
            return
    except InvalidSignature:
        raise OcspError(OCSP_ANSWER, "the answer is not signed by the issuer or its responder") from None
    raise OcspError(OCSP_ANSWER, "the answer is signed with an algorithm that is not known here")
