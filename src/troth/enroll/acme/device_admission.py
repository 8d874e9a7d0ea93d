"""newOrder for a device: fail early, where no attestation could help.

Apple's servers attest a device only so often; an order that is bound to fail must not cost it one.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from troth.enroll.acme import errors
from troth.enroll.acme.attested import Attesting, Devices, opened_for, whom
from troth.enroll.acme.devices import certified_name, device_of
from troth.enroll.acme.model import DEVICE_ATTEST_01, Account
from troth.enroll.acme.problems import AcmeProblem, Identifier
from troth.enroll.issuance import Ask, Issuance, permits
from troth.pki.names import canonical_names
from troth.store.pool import Database
from troth.store.unit import Unit
from troth.trust.decision.decide import Verdict
from troth.trust.errors import POLICY_STANDING
from troth.trust.model import Subject, Truth


class DeviceAdmission:
    """Asks the directory and the judge of a device before it is asked to attest."""

    def __init__(self, database: Database, devices: Devices, issuance: Issuance) -> None:
        self._database = database
        self._devices = devices
        self._issuance = issuance

    async def admit(
        self,
        account: Account,
        identifiers: tuple[Identifier, ...],
        profile: str,
        rule: Attesting,
        bound: Callable[[Account], Awaitable[Subject | None]],
    ) -> None:
        """Refuse a device that is not known, that is another than the account was opened for, or for which no
        attestation could get a certificate.

        Conditions that look at the evidence are left open, and so is what is not known now. ``bound``: in whose name
        the account acts. Raises AcmeProblem.
        """
        identifier = device_of(identifiers)
        if identifier is None:
            return
        wanted = await self._devices.wanted(identifier)
        if not opened_for(wanted.device, await bound(account)):
            raise AcmeProblem(
                errors.IDENTIFIER_REJECTED,
                "this account was opened for another device",
                subproblems=[AcmeProblem(errors.IDENTIFIER_REJECTED, identifier=identifier)],
            )
        subject, carrier = whom(wanted.device, rule.about)
        verdict, _ = await self._issuance.preview(
            Ask(
                request_id="preview",
                profile=profile,
                spki=b"",
                names=canonical_names(map(certified_name, identifiers)),
                actor=f"acme:{account.id}",
                evidence={"methods": [DEVICE_ATTEST_01]},
                request={"protocol": "acme", "account": str(account.id)},
                subject=subject,
                carrier=carrier,
                key_assurance="attested",
            )
        )
        if permits(verdict) or not _settled(verdict):
            return
        await self._database.commit(verdict.bind(Unit(), actor=f"acme:{account.id}", refs=(f"account:{account.id}",)))
        problem = AcmeProblem(errors.IDENTIFIER_REJECTED, identifier=identifier)
        raise AcmeProblem(errors.IDENTIFIER_REJECTED, reference(verdict), subproblems=[problem])


def _settled(verdict: Verdict) -> bool:
    """Whether a refusal at newOrder stands, whatever the device will attest and whatever becomes known."""
    decision = verdict.deciding
    if decision.reason == POLICY_STANDING.code:
        return True
    no = [one.expression for one in decision.conditions if one.result is Truth.FALSE]
    return any("evidence." not in text and "certificate." not in text for text in no)


def reference(verdict: Verdict) -> str:
    """What is told of a refusal: the policy's own words, or where to find the decision."""
    decision = verdict.deciding
    return decision.obligations.say or f"device not authorized, reference {str(decision.id)[-12:]}"
