"""From a TPM's evidence to the certificate of its attestation key: two requests, and between them one secret.

:meth:`AttestationDesk.challenge`
    1. The endorsement key is one that an operator registered with a device; its maker's certificate is believed if a
       root for that vouches for it.
    2. The attestation key is one (restricted, of this kind of TPM only), and attests its own creation.
    3. A secret is encrypted for this TPM and this key; its hash is kept for some minutes, and nothing else of it.

:meth:`AttestationDesk.certify`
    4. Whoever brings the secret has opened it: the attestation key lives in the registered TPM.
    5. The registration still stands, and policy decides about the device, as for every issuance.
    6. The gate issues; the secret is used up in the unit that reserves the serial number.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from troth.audit.event import Event
from troth.enroll.issuance import Ask, Issuance
from troth.enroll.tpm.attestation_key import AttestationKey, check_creation, read_attestation_key
from troth.enroll.tpm.credential import Credential, make_credential
from troth.enroll.tpm.endorsement import EK_PURPOSE, Endorsement, endorse, read_certificates, read_endorsement_key
from troth.enroll.tpm.errors import ENDORSEMENT_CERTIFICATE, ENDORSEMENT_KEY, SECRET, UNREGISTERED, TpmRefused
from troth.enroll.tpm.model import Challenge, RegisteredTpm
from troth.enroll.tpm.store import (
    ADD_CHALLENGE,
    ATTESTED,
    CHALLENGE_OPEN,
    CLOSE_CHALLENGE,
    SWEEP_CHALLENGES,
    TPM_THERE,
    TpmStore,
)
from troth.kit.clock import Clock
from troth.kit.ids import new_id
from troth.kit.log import get_logger
from troth.pki.anchor_store import AnchorStore
from troth.pki.attributes import attributes_text
from troth.pki.model import IssuedCertificate
from troth.pki.names import canonical_names
from troth.store.pool import Database
from troth.store.unit import Unit
from troth.trust.subjects.store import SubjectStore

log = get_logger("enroll")

PROFILE = "tpm-attestation-key"
#: Octets: as long as the digest of every endorsement key's nameAlg allows (Part 2, 10.12.5 and 12.2.3).
SECRET_SIZE = 32


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a TPM sent.

    Attributes:
        ek: DER SubjectPublicKeyInfo of the endorsement key; empty where a certificate has it.
        certificates: DER, that of the endorsement key first, then authorities above it.
        public, creation_data, attestation, signature: of the attestation key, as the TPM encodes them.
    """

    ek: bytes
    certificates: Sequence[bytes]
    public: bytes
    creation_data: bytes
    attestation: bytes
    signature: bytes


class AttestationDesk:
    """See the module.

    Args:
        lifetime: how long a secret may take to come back.
        require_certificate: a registered TPM must show its maker's certificate besides.
    """

    def __init__(
        self,
        database: Database,
        clock: Clock,
        issuance: Issuance,
        *,
        lifetime: timedelta,
        require_certificate: bool = False,
        secret: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        self._database = database
        self._clock = clock
        self._issuance = issuance
        self._lifetime = lifetime
        self._require_certificate = require_certificate
        self._secret = secret
        self._store = TpmStore(database)
        self._anchors = AnchorStore(database)
        self._subjects = SubjectStore(database)

    async def challenge(self, evidence: Evidence) -> Credential:
        """A secret for the TPM to open. Raises TpmRefused, KeyRefused."""
        endorsement = await self._endorsement(evidence)
        registered = await self._store.tpm(endorsement.sha256)
        if registered is None:
            raise TpmRefused(UNREGISTERED, endorsement.sha256.hex())
        key = read_attestation_key(evidence.public)
        check_creation(key, evidence.creation_data, evidence.attestation, evidence.signature)
        secret = self._secret(SECRET_SIZE)
        credential = make_credential(endorsement.key, key.name, secret)
        await self._database.commit(self._kept(endorsement, key, secret))
        return credential

    async def certify(self, secret: bytes, *, address: str | None) -> IssuedCertificate:
        """The certificate for whoever opened ``secret``.

        Raises TpmRefused, IssuanceRefused, or what the gate raises.
        """
        challenge = await self._store.challenge(hashlib.sha256(secret).digest())
        if challenge is None or challenge.expires_at <= self._clock.now():
            raise TpmRefused(SECRET)
        registered = await self._store.tpm(challenge.ek_sha256)
        device = None if registered is None else await self._subjects.by_id(registered.device_id)
        if registered is None or device is None:
            raise TpmRefused(UNREGISTERED, challenge.ek_sha256.hex())
        make = challenge.make or registered.make
        endorsed = "registered" if challenge.make is None else "certificate"
        directory = attributes_text(
            (("tpmManufacturer", make.manufacturer), ("tpmModel", make.model), ("tpmVersion", make.version))
        )
        ek = base64.b64encode(challenge.ek_sha256).decode()
        ask = Ask(
            request_id=f"tpm:{challenge.id}",
            profile=PROFILE,
            spki=challenge.spki,
            names=canonical_names(
                [
                    ("directory", directory),
                    ("permanent-identifier", registered.identifier),
                    ("uri", f"urn:ek:sha256:{ek}"),
                ]
            ),
            actor=f"tpm:{challenge.ek_sha256.hex()}",
            evidence={
                "possession": True,
                "attested": True,
                "hardware_key": True,
                "endorsement": endorsed,
                "permanent_identifier": registered.identifier,
            },
            request={"protocol": "tpm", "address": address or ""},
            origin="tpm",
            subject=device,
            key_assurance="attested",
        )

        def stored(certificate: IssuedCertificate) -> Unit:
            data = {
                "ek_sha256": challenge.ek_sha256.hex(), "name": challenge.name.hex(), "endorsement": endorsed,
                "certificate_id": str(certificate.id), "device": device.name,
            }  # fmt: skip
            refs = (device.ref, f"certificate:{certificate.id}")
            unit = Unit().record(Event("tpm.attested", ask.actor, refs, data))
            return unit.write(ATTESTED, challenge.ek_sha256, self._clock.now())

        return await self._issuance.issue(
            ask,
            with_reserve=lambda: self._used(challenge, registered),
            with_store=stored,
            on_refusal=lambda: Unit().write(CLOSE_CHALLENGE, challenge.secret_sha256),
        )

    async def _endorsement(self, evidence: Evidence) -> Endorsement:
        """The endorsement key, with what its maker says where that is believed."""
        chain = read_certificates(evidence.certificates)
        plain = read_endorsement_key(evidence.ek) if evidence.ek else None
        if chain:
            anchors = [one for one in await self._anchors.all() if EK_PURPOSE in one.purposes]
            try:
                found = endorse(chain, anchors, self._clock.now())
            except TpmRefused as refusal:
                if self._require_certificate or plain is None:
                    raise
                log.info("tpm.certificate_not_believed", detail=refusal.detail, ek=plain.sha256.hex())
            else:
                if plain is not None and plain.sha256 != found.sha256:
                    raise TpmRefused(ENDORSEMENT_KEY, "the endorsement key is not that of the certificate")
                return found
        if plain is None:
            raise TpmRefused(ENDORSEMENT_KEY, "neither an endorsement key nor a certificate of one was sent")
        if self._require_certificate:
            raise TpmRefused(ENDORSEMENT_CERTIFICATE, "a certificate of the endorsement key is required here")
        return plain

    def _kept(self, endorsement: Endorsement, key: AttestationKey, secret: bytes) -> Unit:
        now, make = self._clock.now(), endorsement.make
        made = (None, None, None) if make is None else (make.manufacturer, make.model, make.version)
        return (
            Unit()
            .write(SWEEP_CHALLENGES, now)
            .write(
                ADD_CHALLENGE, hashlib.sha256(secret).digest(), new_id(), endorsement.sha256, key.spki, key.name, *made,
                now + self._lifetime,
            )
        )  # fmt: skip

    def _used(self, challenge: Challenge, registered: RegisteredTpm) -> Unit:
        """Use the secret up, once, while the registration stands."""
        unit = Unit()
        unit.guard(
            TPM_THERE, challenge.ek_sha256, registered.device_id,
            refuse=TpmRefused(UNREGISTERED, challenge.ek_sha256.hex()), key=("tpm", challenge.ek_sha256),
        )  # fmt: skip
        unit.guard(
            CHALLENGE_OPEN, challenge.secret_sha256, self._clock.now(),
            refuse=TpmRefused(SECRET), key=("tpm_challenge", challenge.secret_sha256),
        )  # fmt: skip
        return unit.write(CLOSE_CHALLENGE, challenge.secret_sha256)
