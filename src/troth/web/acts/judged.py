"""Acts that the signer judges itself: who its approvers are, and which keys issue.

The payload of each is exactly what the signer hashes (``troth.pki.signer.acts``), and the state that approvals stand
on is the signer's. What was approved is first written down here, then done by the signer with the approvers'
answers; how that went is an event of its own.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from base64 import b64decode
from collections.abc import Mapping
from typing import Any, ClassVar

import msgspec
from cryptography import x509

from troth.access import passkeys
from troth.access.approvals.acts import text
from troth.access.approvals.demand import Demand
from troth.access.approvals.errors import NOBODY_PINNED, PAYLOAD_INVALID, ApprovalRefused
from troth.access.approvals.model import Act, Approval, Order, Preview
from troth.access.approvals.store import SET_STATE, ApprovalStore
from troth.access.model import Principal
from troth.access.roles import Permission
from troth.audit.event import Event
from troth.kit.canonical import Json
from troth.kit.clock import Clock
from troth.kit.errors import TrothError
from troth.pki.keys.algorithm import KeyAlgorithm
from troth.pki.keys.model import KeyPurpose
from troth.pki.signer import acts
from troth.pki.signer.errors import SignerLost
from troth.pki.signer.protocol import Bounds
from troth.store.pool import Database
from troth.store.unit import Unit
from troth.web.judging import JudgeSigner, proofs


class Judged(ABC):
    """What all of them have in common."""

    permission: ClassVar = Permission.ACCESS_MANAGE
    secret: ClassVar = False
    kind: ClassVar[str]
    done: ClassVar[str]

    def __init__(self, database: Database, clock: Clock, signer: JudgeSigner) -> None:
        self._database = database
        self._clock = clock
        self._signer = signer

    async def execute(self, payload: Mapping[str, Any], order: Order) -> Json:
        """See :class:`~troth.access.approvals.model.Executor`."""
        await self._database.commit(Unit().absorb(order.unit))
        refs = () if order.proposal_id is None else (f"proposal:{order.proposal_id}",)
        try:
            done = await self._do(payload, order.approvals)
        except TrothError as error:
            why: dict[str, Json] = {"kind": self.kind, "code": error.code, "reason": error.detail}
            unit = Unit().record(Event("approval.not_carried_out", order.by.actor, refs, why))
            if order.proposal_id is not None:
                # Asked and not answered: it may have been done, and is never asked for twice.
                words = "no answer came, so look" if isinstance(error, SignerLost) else "the signer did not do it"
                told = f"{words}: {error.detail} [{error.code}]"[:500]
                unit.write(SET_STATE, order.proposal_id, "failed", self._clock.now(), order.by.actor, told)
            await self._database.commit(unit)
            raise
        await self._database.commit(Unit().record(Event(self.done, order.by.actor, refs, done)))
        return done

    @abstractmethod
    async def _do(self, payload: Mapping[str, Any], approvals: tuple[Approval, ...]) -> dict[str, Json]:
        """Have the signer do it; what the event tells."""

    async def _previewed(
        self, words: str, lines: tuple[str, ...], payload: Mapping[str, Any], *, founding: bool = False
    ) -> Preview:
        pinned = {one.person for one in (await self._signer.approvers()).approvers}
        if len(pinned) < 2 and not founding:
            raise ApprovalRefused(NOBODY_PINNED, f"pinned: {', '.join(sorted(pinned)) or 'nobody'}")
        asked = await self._signer.ask_approval(Act.of(self.kind, payload))
        return Preview(words, lines, {}, demand=Demand(asked.needed), judged=asked.state_digest)


class ApproverAdd(Judged):
    """``approver.add``: pin a passkey of one's own in the signer. Payload: as the browser's answer makes it."""

    # Whose approvals may count asks for it himself; those who are pinned already decide.
    permission: ClassVar = Permission.APPROVAL_DECIDE
    kind, done = acts.ADD, "approver.added"

    def __init__(self, database: Database, clock: Clock, signer: JudgeSigner, party: passkeys.RelyingParty) -> None:
        super().__init__(database, clock, signer)
        self._store = ApprovalStore(database)
        self._party = party

    async def preview(self, payload: Mapping[str, Any], by: Principal) -> Preview:
        """See :class:`~troth.access.approvals.model.Executor`."""
        person, response = text(payload, "person"), text(payload, "response")
        if by.id is None or await self._store.person(by.id) != person:
            raise ApprovalRefused(PAYLOAD_INVALID, "a passkey is pinned for the person who made it, in a browser")
        act, public_key = answered(self._party, person, text(payload, "label", empty=True), response.encode())
        if act != Act.of(self.kind, payload):
            raise ApprovalRefused(PAYLOAD_INVALID, "the payload is not what the browser's answer says")
        pinned = await self._signer.approvers()
        persons = sorted({one.person for one in pinned.approvers})
        founding = len(persons) < 2
        lines = (
            f"Passkey {acts.fingerprint(public_key)}, made by {person}.",
            f"Pinned until now: {', '.join(persons) or 'nobody'}; {pinned.needed} of them must approve.",
            "It is one of the first two persons': whoever owns the signer's machine confirms it there."
            if founding
            else f"From then on {person} can approve what the signer judges.",
        )
        return await self._previewed(f"Pin a passkey of {person} in the signer", lines, payload, founding=True)

    async def _do(self, payload: Mapping[str, Any], approvals: tuple[Approval, ...]) -> dict[str, Json]:
        person, label = text(payload, "person"), text(payload, "label", empty=True)
        await self._signer.register_approver(person, label, text(payload, "response").encode(), proofs(approvals))
        return {"person": person, "credential": text(payload, "credential_id")}


class ApproverRemove(Judged):
    """``approver.remove``: unpin a passkey. Payload: ``credential_id`` (hexadecimal)."""

    kind, done = acts.REMOVE, "approver.removed"

    async def preview(self, payload: Mapping[str, Any], by: Principal) -> Preview:
        """See :class:`~troth.access.approvals.model.Executor`."""
        credential = _credential(payload)
        pinned = await self._signer.approvers()
        found = next((one for one in pinned.approvers if one.credential_id == credential), None)
        if found is None:
            raise ApprovalRefused(PAYLOAD_INVALID, "no passkey of this id is pinned")
        left = {one.person for one in pinned.approvers if one is not found}
        if len(left) < max(2, pinned.needed):
            raise ApprovalRefused(PAYLOAD_INVALID, f"{len(left)} persons would stay; {max(2, pinned.needed)} must")
        lines = (f"Persons who stay: {', '.join(sorted(left))}; {pinned.needed} of them must approve.",)
        return await self._previewed(
            f"Unpin the passkey {acts.fingerprint(found.public_key)} of {found.person} from the signer", lines, payload
        )

    async def _do(self, payload: Mapping[str, Any], approvals: tuple[Approval, ...]) -> dict[str, Json]:
        await self._signer.remove_approver(_credential(payload), proofs(approvals))
        return {"credential": text(payload, "credential_id")}


class ApproverNumber(Judged):
    """``approver.number``: how many pinned persons must approve. Payload: ``needed``."""

    kind, done = acts.NUMBER, "approver.number_set"

    async def preview(self, payload: Mapping[str, Any], by: Principal) -> Preview:
        """See :class:`~troth.access.approvals.model.Executor`."""
        needed, pinned = payload.get("needed"), await self._signer.approvers()
        persons = {one.person for one in pinned.approvers}
        if not isinstance(needed, int) or isinstance(needed, bool) or not 1 <= needed <= len(persons):
            raise ApprovalRefused(PAYLOAD_INVALID, f"needed is between 1 and {len(persons)}, who are pinned")
        lines = (f"Until now it is {pinned.needed}, of {', '.join(sorted(persons))}.",)
        return await self._previewed(f"{needed} pinned persons must approve what the signer judges", lines, payload)

    async def _do(self, payload: Mapping[str, Any], approvals: tuple[Approval, ...]) -> dict[str, Json]:
        needed = payload["needed"]
        await self._signer.set_approvals(needed, proofs(approvals))
        return {"needed": needed}


class KeyGenerate(Judged):
    """``key.generate``: make an issuing key. Payload: ``purpose`` (``issuing``), ``algorithm``, ``custodian``."""

    kind, done = acts.GENERATE, "key.generated"

    async def preview(self, payload: Mapping[str, Any], by: Principal) -> Preview:
        """See :class:`~troth.access.approvals.model.Executor`."""
        algorithm, custodian = self._read(payload)
        count = sum(key.purpose is KeyPurpose.ISSUING for key in await self._signer.list_keys())
        lines = (
            f"{custodian} makes and holds it; the signer has {count} issuing keys.",
            "It signs nothing until it is bound to an authority.",
        )
        return await self._previewed(f"Make an issuing key ({algorithm.value}) with {custodian}", lines, payload)

    async def _do(self, payload: Mapping[str, Any], approvals: tuple[Approval, ...]) -> dict[str, Json]:
        algorithm, custodian = self._read(payload)
        made = await self._signer.generate_key(KeyPurpose.ISSUING, algorithm, custodian, proofs=proofs(approvals))
        return {"key_id": made.key_id, "algorithm": algorithm.value, "custodian": made.custodian}

    def _read(self, payload: Mapping[str, Any]) -> tuple[KeyAlgorithm, str]:
        try:
            algorithm = KeyAlgorithm(text(payload, "algorithm"))
        except ValueError as error:
            raise ApprovalRefused(PAYLOAD_INVALID, "algorithm is none of the kinds of key there are") from error
        custodian = text(payload, "custodian")
        if payload != json.loads(acts.generate(KeyPurpose.ISSUING.value, algorithm.value, custodian).payload):
            raise ApprovalRefused(PAYLOAD_INVALID, "purpose is issuing; there is nothing else but algorithm, custodian")
        return algorithm, custodian


class KeyAttach(Judged):
    """``key.attach``: bind an issuing key to its authority. Payload: ``key_id``, ``certificate``, ``bounds``."""

    kind, done = acts.ATTACH, "key.attached"

    async def preview(self, payload: Mapping[str, Any], by: Principal) -> Preview:
        """See :class:`~troth.access.approvals.model.Executor`."""
        key_id, certificate, bounds = self._read(payload)
        try:
            subject = x509.load_der_x509_certificate(certificate).subject.rfc4514_string()
        except ValueError as error:
            raise ApprovalRefused(PAYLOAD_INVALID, "certificate is a certificate: DER in base64") from error
        known = {key.key_id: key for key in await self._signer.list_keys(KeyPurpose.ISSUING)}
        if key_id not in known or known[key_id].certificate is not None:
            raise ApprovalRefused(PAYLOAD_INVALID, f"{key_id[:80]!r} is no issuing key that is still to be bound")
        lines = (
            f"It signs for {subject} from then on; classes: {', '.join(bounds.issuer_classes)}.",
            "It may sign CA certificates." if bounds.allow_ca else "It signs no CA certificate.",
            f"Certificates of at most {bounds.max_validity_seconds // 86_400} days, backdated at most "
            f"{bounds.max_backdate_seconds // 3600} hours; CRLs of {bounds.max_crl_validity_seconds // 86_400} days.",
            f"Usages: {', '.join(bounds.extended_key_usages)}.",
        )
        return await self._previewed(f"Bind {key_id} to {subject}", lines, payload)

    async def _do(self, payload: Mapping[str, Any], approvals: tuple[Approval, ...]) -> dict[str, Json]:
        key_id, certificate, bounds = self._read(payload)
        await self._signer.attach_authority(key_id, certificate, bounds, proofs=proofs(approvals))
        return {"key_id": key_id, "allow_ca": bounds.allow_ca, "issuer_classes": list(bounds.issuer_classes)}

    def _read(self, payload: Mapping[str, Any]) -> tuple[str, bytes, Bounds]:
        try:
            certificate = b64decode(text(payload, "certificate"), validate=True)
            bounds = msgspec.convert(payload.get("bounds"), Bounds)
        except (ValueError, msgspec.ValidationError) as error:
            raise ApprovalRefused(PAYLOAD_INVALID, f"certificate is base64, bounds are limits: {error}") from error
        key_id = text(payload, "key_id")
        # Missing bounds would have defaults here and none in what approvers see.
        if Act.of(self.kind, payload) != acts.attach(key_id, certificate, bounds):
            raise ApprovalRefused(PAYLOAD_INVALID, "all bounds are named, and nothing else")
        return key_id, certificate, bounds


def answered(party: passkeys.RelyingParty, person: str, label: str, response: bytes) -> tuple[Act, bytes]:
    """The act that a browser's answer to a registration asks for, and the passkey (COSE). Raises AccessError."""
    try:
        raw = msgspec.json.decode(response)
    except msgspec.MsgspecError as error:
        raise ApprovalRefused(PAYLOAD_INVALID, "the browser's answer is no JSON") from error
    fresh = passkeys.verify_registration(party, passkeys.parse(raw))
    return acts.add(person, label, response, fresh.credential_id, fresh.public_key), fresh.public_key


def _credential(payload: Mapping[str, Any]) -> bytes:
    try:
        return bytes.fromhex(text(payload, "credential_id"))
    except ValueError as error:
        raise ApprovalRefused(PAYLOAD_INVALID, "credential_id is hexadecimal") from error
