"""The delegated responders (RFC 6960, 4.2.2.2): for each authority the newest certificate in force, and its key.

The worker has them made and renewed; here they are only found and used. The key comes from the signer, sealed to the
status role, and lives in this process's memory alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Protocol

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization

from troth.kit.clock import Clock
from troth.kit.errors import TrothError
from troth.kit.log import get_logger
from troth.pki import algorithms
from troth.pki.authorities import Authority
from troth.pki.model import Responder
from troth.pki.ocsp import ResponseWriter
from troth.pki.serial import SerialNumber
from troth.status.store import StatusReader

log = get_logger("status")


class KeyRelease(Protocol):
    """The one thing that this role may ask of the signer (``troth.pki.signer.client.SignerClient``)."""

    async def release_key(self, key_id: str) -> bytes:
        """The private key of an OCSP responder: PKCS#8, DER."""
        ...


@dataclass(frozen=True, slots=True)
class ActiveResponder:
    """A responder that can sign here and now.

    Attributes:
        serial: of its own certificate.
        not_before, not_after: of its certificate; outside of them it signs nothing.
    """

    record: Responder
    writer: ResponseWriter
    serial: SerialNumber
    not_before: datetime
    not_after: datetime

    def in_force(self, now: datetime) -> bool:
        """Whether clients would accept its answers."""
        return self.not_before <= now < self.not_after


class ActiveResponders:
    """The responders of all authorities, by slug."""

    def __init__(self, reader: StatusReader, keys: KeyRelease, clock: Clock) -> None:
        self._reader = reader
        self._keys = keys
        self._clock = clock
        self._active: dict[str, ActiveResponder] = {}

    def current(self, authority: str, now: datetime) -> ActiveResponder | None:
        """The responder of ``authority``, or None while there is none in force."""
        found = self._active.get(authority)
        return found if found is not None and found.in_force(now) else None

    async def refresh(self, authorities: Mapping[str, Authority]) -> None:
        """Take newer certificates over. Raises StoreError; a key that cannot be had leaves the present one in use."""
        for record in await self._reader.responders(self._clock.now()):
            present = self._active.get(record.authority)
            if present is not None and present.record.certificate_id == record.certificate_id:
                continue
            authority = authorities.get(record.authority)
            if authority is None:
                continue
            try:
                private = await self._keys.release_key(record.key_id)
                self._active[record.authority] = _activate(record, authority, private)
            except (TrothError, ValueError, TypeError, InvalidSignature) as error:
                log.warning("status.responder_unusable", authority=record.authority, error=str(error))
                continue
            log.info(
                "status.responder_taken",
                authority=record.authority,
                key_id=record.key_id,
                not_after=record.not_after.isoformat(),
            )


def _activate(record: Responder, authority: Authority, private: bytes) -> ActiveResponder:
    """Raises ValueError or InvalidSignature unless key, certificate and authority belong together."""
    certificate = x509.load_der_x509_certificate(record.certificate)
    certificate.verify_directly_issued_by(authority.x509)
    key = serialization.load_der_private_key(private, password=None)
    if not isinstance(key, algorithms.PrivateKey):
        raise ValueError("the responder's key is of a kind that Troth does not use")
    if algorithms.spki_of(key.public_key()) != algorithms.spki_of(_public(certificate)):
        raise ValueError("the released key is not the certificate's")
    serial = certificate.serial_number
    return ActiveResponder(
        record=record,
        writer=ResponseWriter(record.certificate, partial(algorithms.sign_with, key)),
        serial=SerialNumber(serial.to_bytes(serial.bit_length() // 8 + 1, "big")),
        not_before=certificate.not_valid_before_utc,
        not_after=certificate.not_valid_after_utc,
    )


def _public(certificate: x509.Certificate) -> algorithms.PublicKey:
    key = certificate.public_key()
    if not isinstance(key, algorithms.PublicKey):
        raise ValueError("the responder's certificate has a key of a kind that Troth does not use")
    return key
