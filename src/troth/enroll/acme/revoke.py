"""Revocation by the account that ordered, by one that holds all the names, or by the key (RFC 8555, section 7.6)."""

from __future__ import annotations

import hashlib
from typing import Any

from cryptography import x509

from troth.client.jose import VerifyingKey, b64url_decode
from troth.enroll.acme import errors
from troth.enroll.acme.model import Account
from troth.enroll.acme.problems import AcmeProblem
from troth.enroll.acme.store import AcmeStore
from troth.kit.clock import Clock
from troth.kit.errors import TrothError
from troth.pki.blocked import block
from troth.pki.blocked_store import BlockedKey
from troth.pki.errors import ALREADY_REVOKED, RevocationRefused
from troth.pki.model import CertificateRecord
from troth.pki.revocation import KEY_COMPROMISE, REASONS, OfCertificate, revoke
from troth.pki.store import CertificateStore
from troth.pki.unreadable import UNREADABLE
from troth.store.pool import Database
from troth.store.unit import Unit

_MAX_DER = 65_536


class RevocationDesk:
    """Takes revocation requests."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._store = AcmeStore(database.lookups)
        self._certificates = CertificateStore(database)
        self._clock = clock

    async def revoke(self, account: Account | None, key: VerifyingKey, payload: dict[str, Any]) -> None:
        """Revoke the certificate in ``payload``; ``account`` is None when the request was signed by ``jwk``."""
        record = await self._named(payload)
        reason = payload.get("reason", 0)
        if isinstance(reason, bool) or not isinstance(reason, int) or reason not in REASONS:
            raise AcmeProblem(errors.BAD_REVOCATION_REASON, f"reason {str(reason)[:20]} is not one of 0, 1, 3, 4, 5, 9")
        if account is None:
            await self._by_key(record, key)
            return
        if not await self._may_revoke(account, record):
            raise AcmeProblem(errors.ACCOUNT_FOREIGN, "the account neither ordered nor controls these names")
        actor = f"acme:{account.id}"
        try:
            await self._database.commit(
                revoke(Unit(), OfCertificate(record.id), reason=reason, actor=actor, at=self._clock.now())
            )
        except RevocationRefused as refusal:
            if refusal.reason is not ALREADY_REVOKED:
                raise
            raise AcmeProblem(errors.ALREADY_REVOKED) from refusal

    async def _by_key(self, record: CertificateRecord, key: VerifyingKey) -> None:
        """Whoever proves to hold the key shows that it is not its owner's alone: it is blocked, everywhere, even where
        this certificate was revoked long ago (Boulder does the same)."""
        spki = key.spki()
        digest = hashlib.sha256(spki).digest()
        if record.spki_sha256 != digest:
            raise AcmeProblem(errors.ACCOUNT_FOREIGN, "the key is not the certificate's")
        blocked = BlockedKey(digest, spki, "compromised", "acme", "", self._clock.now(), "acme:key-holder")
        await self._database.commit(block(Unit(), blocked))
        if record.status == "revoked" and record.revocation_reason == KEY_COMPROMISE:
            raise AcmeProblem(errors.ALREADY_REVOKED)
        present = await self._certificates.by_id(record.id)
        if present is not None and present.revocation_reason != KEY_COMPROMISE:
            # Expired, or one of very many: a block revokes the living, and the first of them at once.
            unit = revoke(Unit(), OfCertificate(record.id), reason=KEY_COMPROMISE, actor=blocked.actor, at=blocked.at)
            try:
                await self._database.commit(unit)
            except RevocationRefused:
                pass  # the job was faster

    async def _named(self, payload: dict[str, Any]) -> CertificateRecord:
        der, serial = read_certificate(payload.get("certificate"))
        record = await self._certificates.by_serial(serial)
        if record is None or record.der != der:
            raise AcmeProblem(errors.NOT_FOUND, "Troth did not issue this certificate")
        return record

    async def _may_revoke(self, account: Account, record: CertificateRecord) -> bool:
        order = await self._store.order_of_certificate(record.id)
        if order is not None and order.account_id == account.id:
            return True
        if any(kind not in ("dns", "ip") for kind, _ in record.names):
            return False  # what is no host is controlled by no proof that stands in an authorization for later
        wanted = {value for _, value in record.names}
        held = await self._store.held(account.id, wanted, self._clock.now())
        return bool(wanted) and wanted <= held.keys()


def read_certificate(value: object) -> tuple[bytes, bytes]:
    """The certificate that a revocation names, and the octets of its serial number. Raises AcmeProblem."""
    try:
        if not isinstance(value, str) or len(value) > _MAX_DER:
            raise ValueError
        der = b64url_decode(value)
        serial = x509.load_der_x509_certificate(der).serial_number
        if serial < 1:
            raise ValueError  # RFC 5280, 4.1.2.2: no such certificate is of anybody's making here
    except (TrothError, *UNREADABLE):
        raise AcmeProblem(errors.MALFORMED, "certificate is not a base64url DER certificate") from None
    return der, serial.to_bytes(serial.bit_length() // 8 + 1, "big")
