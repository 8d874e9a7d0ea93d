"""What an order rests on that a device has attested: whose device it is, what the judge is told of it, the one key.

The device is asked for by its identifier at newOrder, proved by its attestation at the challenge, and looked at once
more at finalize: it may have been retired, or quarantined, since.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from msgspec.structs import replace

from troth.enroll.acme import errors
from troth.enroll.acme.devices import DEVICE_TYPES, HARDWARE_MODULE, PERMANENT_IDENTIFIER, certified_name, device_of
from troth.enroll.acme.model import DEVICE_ATTEST_01, Order
from troth.enroll.acme.problems import AcmeProblem, Identifier
from troth.enroll.attest.errors import DEVICE_AMBIGUOUS, DEVICE_UNKNOWN
from troth.enroll.attest.model import FORMATS, DeviceId, Evidence, Rules
from troth.enroll.attest.store import Attestation, AttestationStore
from troth.enroll.credentials.model import Enrolment
from troth.enroll.credentials.service import Enrolments
from troth.enroll.issuance import Ask
from troth.enroll.tpm.store import TpmStore
from troth.kit.errors import Reason
from troth.pki.names import canonical_names
from troth.trust.decision.judge import floor
from troth.trust.decision.question import Given
from troth.trust.model import Moment, Outcome, Subject
from troth.trust.subjects.store import SubjectStore

ENFORCE, WARN, OBSERVE = "enforce", "warn", "observe"


@dataclass(frozen=True, slots=True)
class Attesting:
    """What a directory makes of attestations.

    Attributes:
        formats: those that it takes.
        mode: ``enforce``: a statement that fails is refused. ``warn`` and ``observe`` let it pass as one that proves
            nothing (``evidence.attested`` is false), and record what would have been refused; ``warn`` says so loudly.
        modes: by profile, in place of ``mode``.
        about: ``device``: the certificates are about the device; ``owner``: about the user to whom it belongs.
    """

    formats: frozenset[str] = frozenset(FORMATS)
    mode: str = ENFORCE
    modes: Mapping[str, str] = field(default_factory=dict)
    about: str = "device"
    rules: Rules = field(default_factory=Rules)

    def mode_of(self, profile: str) -> str:
        """How strict attestations for a profile are."""
        return self.modes.get(profile, self.mode)


#: As directories are that say nothing of it.
USUAL = Attesting()


@dataclass(frozen=True, slots=True)
class Wanted:
    """The device that an order names.

    Attributes:
        device: of the directory.
        identifiers: any of which the hardware must attest. Others than the order's own where that is good once and
            stands for a device that an operator named (Apple's ClientIdentifier).
        once: the order's own is such a one, and is never certified.
    """

    device: Subject
    identifiers: frozenset[DeviceId]
    once: bool = False

    def named(self, attested: frozenset[DeviceId], asked: Identifier) -> Identifier:
        """What the certificate may say: what was asked for, or what the hardware attested in its place."""
        if not self.once:
            return asked
        found = sorted(attested & self.identifiers, key=lambda one: (one[0] != PERMANENT_IDENTIFIER, one[1]))
        return Identifier(*found[0]) if found else Identifier(PERMANENT_IDENTIFIER, self.device.name)


class Devices:
    """Finds the device that an identifier means."""

    def __init__(self, subjects: SubjectStore, enrolments: Enrolments, tpms: TpmStore) -> None:
        self._subjects = subjects
        self._enrolments = enrolments
        self._tpms = tpms

    async def wanted(self, identifier: Identifier) -> Wanted:
        """Raises AcmeProblem (rejectedIdentifier) if the directory knows none, or several."""
        if identifier.type == PERMANENT_IDENTIFIER:
            enrolment = await self._enrolments.of_client_identifier(identifier.value)
            if enrolment is not None:
                return await self._meant(enrolment, identifier)
        text = identifier.value.partition("/")[0]
        found = await self._subjects.devices_known_as(text)
        if not found and identifier.type == PERMANENT_IDENTIFIER:
            # Whoever registered a TPM may have given its device an identifier of his own.
            registered = {one.device_id for one in await self._tpms.of_identifier(identifier.value)}
            found = [one for device in sorted(registered) if (one := await self.present(device)) is not None]
        device = self._only(found, identifier)
        return Wanted(device, frozenset({(identifier.type, identifier.value)}))

    async def by_key(self, sha256: str) -> Subject | None:
        """The device for which a TPM's attestation key is recorded, whose certificate names nobody."""
        found = await self._subjects.devices_with_key(sha256)
        return found[0] if len(found) == 1 else None

    async def present(self, device: UUID) -> Subject | None:
        """The device as it is now; None once it is not in the directory any more."""
        found = await self._subjects.by_id(device)
        if found is None:
            return None
        now = await self._subjects.find(found.kind, found.name)
        return now if now is not None and now.id == device else None

    async def _meant(self, enrolment: Enrolment, identifier: Identifier) -> Wanted:
        """The device for which an identifier that is good once was made."""
        if enrolment.status != "valid":
            raise _unknown(identifier)
        if enrolment.device_id is not None:
            device = await self.present(enrolment.device_id)
            if device is None:
                raise _unknown(identifier)
            known = [device.attributes.get(name) for name in ("serial", "udid")]
            values = [value for value in known if isinstance(value, str)]
        else:
            values = list(enrolment.rules.devices)
            device = self._only(await self._subjects.devices_known_as(values[0].partition("/")[0]), identifier)
        both = (PERMANENT_IDENTIFIER, HARDWARE_MODULE)
        return Wanted(device, frozenset((kind, value) for kind in both for value in values), once=True)

    @staticmethod
    def _only(found: Sequence[Subject], identifier: Identifier) -> Subject:
        if len(found) == 1:
            return found[0]
        raise _unknown(identifier, DEVICE_AMBIGUOUS if found else DEVICE_UNKNOWN)


def _unknown(identifier: Identifier, reason: Reason = DEVICE_UNKNOWN) -> AcmeProblem:
    return AcmeProblem(reason, subproblems=[AcmeProblem(errors.IDENTIFIER_REJECTED, identifier=identifier)])


def told(evidence: Evidence, identifier: Identifier, sha256: str, at: datetime, *, attested: bool) -> dict[str, Given]:
    """What the judge is told of an attestation: ``evidence.*``. Of one that fails: that there was one, and no more."""
    if not attested:
        return {"attested": False, "hardware_key": False, "attestation_digest": sha256}
    named = "permanent_identifier" if identifier.type == PERMANENT_IDENTIFIER else "hardware_module"
    return {
        **evidence.facts,
        "attested": True,
        "hardware_key": evidence.facts.get("security_level") != "software",
        "attestation_format": evidence.format,
        "attestation_digest": sha256,
        "attested_at": at,
        "possession": True,
        named: identifier.value,
    }


def whom(device: Subject, about: str) -> tuple[Subject, Subject | None]:
    """Subject and carrier of a certificate that a device asks for. Raises AcmeProblem (unauthorized)."""
    if about != "owner":
        return device, None
    if device.owner is None:
        raise AcmeProblem(errors.DECISION_REFUSED, "the device belongs to nobody")
    if floor(device.standing, Moment.ISSUE) > Outcome.RESTRICT:
        raise AcmeProblem(errors.DECISION_REFUSED, f"the device is {device.standing.value}")
    return device.owner, device


def opened_for(device: Subject, bound: Subject | None) -> bool:
    """Whether an account that acts in the name of ``bound`` may ask for ``device``: it, or its owner, or nobody."""
    return bound is None or bound.id == device.id or (device.owner is not None and bound.id == device.owner.id)


@dataclass(frozen=True, slots=True)
class Proved:
    """The device behind an order that is being finalized."""

    attestation: Attestation
    device: Subject
    about: str


class AttestedOrders:
    """Adds to what finalize asks: subject, evidence and the one key that may be certified."""

    def __init__(self, store: AttestationStore, devices: Devices) -> None:
        self._store = store
        self._devices = devices

    async def of(self, order: Order, attesting: Attesting) -> Proved | None:
        """What was attested for ``order``; None where it names no device. Raises AcmeProblem."""
        identifier = device_of(order.identifiers)
        if identifier is None:
            return None
        found = [
            one
            for one in await self._store.of_order(order.id)
            if (one.identifier_type, one.identifier) == (identifier.type, identifier.value)
        ]
        if len(found) != 1 or found[0].subject_id is None:
            raise AcmeProblem(errors.ORDER_NOT_READY, "the order's device has not attested")
        if not found[0].attested and attesting.mode_of(order.profile) == ENFORCE:
            # It passed while the directory only looked; since then attestations are enforced.
            raise AcmeProblem(errors.ORDER_NOT_READY, "the order's device has not attested")
        device = await self._devices.present(found[0].subject_id)
        if device is None:
            raise AcmeProblem(errors.DECISION_REFUSED, "the device is not in the directory any more")
        return Proved(found[0], device, attesting.about)

    @staticmethod
    def of_account(proved: Proved, subject: Subject | None) -> None:
        """Raise AcmeProblem unless the account may still have certificates of the device."""
        if not opened_for(proved.device, subject):
            raise AcmeProblem(errors.DECISION_REFUSED, "this account was opened for another device")

    @staticmethod
    def same_key(proved: Proved, spki_sha256: bytes) -> None:
        """Raise AcmeProblem unless the request's key is the attested one, whatever the mode."""
        if proved.attestation.spki_sha256 != spki_sha256:
            raise AcmeProblem(errors.BAD_CSR, "the request's key is not the one that the device attested")

    @staticmethod
    def asked(ask: Ask, order: Order, proved: Proved) -> Ask:
        """``ask`` with what the attestation adds. Raises AcmeProblem."""
        subject, carrier = whom(proved.device, proved.about)
        one = proved.attestation
        identifier = Identifier(one.named_type, one.named)
        evidence = Evidence(one.format, None, frozenset(), one.facts)
        return replace(
            ask,
            subject=subject,
            carrier=carrier,
            names=canonical_names(certified_name(_as_named(name, identifier)) for name in order.identifiers),
            evidence={
                **ask.evidence,
                "controlled_names": [name.value for name in order.identifiers if name.type not in DEVICE_TYPES],
                "methods": sorted({DEVICE_ATTEST_01, *_methods(ask)}),
                **told(evidence, identifier, one.sha256.hex(), one.at, attested=one.attested),
            },
            refs=(*ask.refs, f"attestation:{one.id}"),
            key_assurance="attested" if one.attested else "unproven",
            waits=True,
        )


def _as_named(name: Identifier, device: Identifier) -> Identifier:
    return device if name.type in DEVICE_TYPES else name


def _methods(ask: Ask) -> list[str]:
    found = ask.evidence.get("methods")
    return [str(one) for one in found] if isinstance(found, list) else []
