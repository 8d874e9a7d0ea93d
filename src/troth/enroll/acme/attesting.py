"""The challenge ``device-attest-01`` (draft-ietf-acme-device-attest-09, section 5), answered at once.

1. Read what the device sent. A word of its own that it cannot attest, nothing at all, or what cannot be read: the
   challenge is invalid, whatever the mode.
2. Hold the statement against every rule (``attest.examine``) and against the device that the order names.
3. Ask the judge about the attested device, as finalize will: who is not let have a certificate hears it now, and facts
   that are not known now leave the challenge pending (503), so that the attestation is not lost.
4. Write the statement, the key's device, the decision and the challenge's end in one unit. A statement that was seen
   before, and a key that belongs to another device, end it there.

The device is told little (a reason and a reference); the ledger, the decision and the stored report have all of it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from troth.audit.event import Event
from troth.enroll.acme import errors
from troth.enroll.acme.attested import ENFORCE, WARN, Attesting, Devices, Wanted, told, whom
from troth.enroll.acme.authorizations import replace_challenge, with_challenge
from troth.enroll.acme.device_admission import reference
from troth.enroll.acme.devices import DEVICE_TYPES, certified_name
from troth.enroll.acme.directories import Directory
from troth.enroll.acme.model import DEVICE_ATTEST_01, Account, Authorization, Challenge, Order
from troth.enroll.acme.orders import OrderDesk
from troth.enroll.acme.problems import AcmeProblem, Identifier
from troth.enroll.acme.store import AcmeStore
from troth.enroll.acme.views import rfc3339
from troth.enroll.attest.errors import (
    DEVICE_REPORTS,
    EMPTY,
    IDENTIFIER,
    KEY_ELSEWHERE,
    REPLAYED,
    AttestationRefused,
    Unreadable,
)
from troth.enroll.attest.examine import examine
from troth.enroll.attest.model import APPLE, Known, Report, fingerprint
from troth.enroll.attest.service import Attestations
from troth.enroll.attest.statement import Statement, read_encoded
from troth.enroll.attest.store import ADD_ATTESTATION, SEE_ONCE, TAKE_KEY, Attestation
from troth.enroll.attest.told import attestation_report
from troth.enroll.errors import UNDECIDED
from troth.enroll.issuance import Ask, Issuance, permits, undecided
from troth.kit.clock import Clock
from troth.kit.ids import new_id
from troth.kit.log import get_logger
from troth.pki.names import canonical_names
from troth.store.pool import Database
from troth.store.unit import Unit
from troth.trust.decision.decide import Verdict

log = get_logger("acme")

#: The largest request with a statement: 128 KiB of CBOR, in base64url twice, and its envelope.
MAX_ANSWER = 256 * 1024
_LATER = ((b"retry-after", b"60"),)


@dataclass(frozen=True, slots=True)
class Judged:
    """A statement, as far as it was judged. ``refusal`` is what enforcing says, whether this directory does or not."""

    statement: Statement
    report: Report
    wanted: Wanted
    refusal: AttestationRefused | None
    attestation: Attestation


class AttestationDesk:
    """Answers of devices."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        orders: OrderDesk,
        attestations: Attestations,
        devices: Devices,
        issuance: Issuance,
    ) -> None:
        self._database = database
        self._clock = clock
        self._orders = orders
        self._store = AcmeStore(database.lookups)
        self._attestations = attestations
        self._devices = devices
        self._issuance = issuance

    async def answer(
        self, account: Account, authz: Authorization, directory: Directory, payload: dict[str, Any], thumbprint: str
    ) -> Authorization:
        """The authorization, decided by what the device sent. Idempotent. Raises AcmeProblem (503) for later."""
        challenge = authz.challenge(DEVICE_ATTEST_01)
        if challenge is None:
            raise AcmeProblem(errors.NOT_FOUND, "there is no such challenge")
        if authz.status != "pending" or challenge.status != "pending":
            return authz
        order = await self._store.order(authz.order_id)
        if order is None:
            raise AcmeProblem(errors.NOT_FOUND, "there is no such order")
        try:
            statement = _sent(payload)
        except AttestationRefused as refusal:
            said = payload.get("error")
            data = {"device": str(said)[:200]} if said is not None else {}
            return await self._refused(authz, challenge, _problem(refusal, authz), {**data, "detail": refusal.detail})
        rule = directory.attesting
        known_key = f"{challenge.token}.{thumbprint}"
        judged = await self._judge(account, authz, order, statement, known_key, rule)
        return await self._decide(account, authz, challenge, order, judged, rule)

    async def _judge(
        self,
        account: Account,
        authz: Authorization,
        order: Order,
        statement: Statement,
        known_key: str,
        rule: Attesting,
    ) -> Judged:
        now, identifier = self._clock.now(), authz.identifier
        wanted = await self._devices.wanted(identifier)
        known = Known(
            at=now,
            key_authorization=known_key,
            challenged_at=authz.expires - self._orders.rules.order_lifetime,
            identifiers=wanted.identifiers,
            statuses=await self._attestations.statuses(),
            most_age=self._attestations.most_age,
            rules=rule.rules,
        )
        report = examine(statement, known, await self._attestations.roots(), rule.formats)
        report = await self._attestations.held_against_own(statement, report)
        key = report.evidence.attested_by
        if not report.evidence.identifiers and key is not None:
            # A certificate that names nobody (Microsoft's): somebody must have recorded whose attestation key it is.
            holder = await self._devices.by_key(key)
            if holder is not None and holder.id == wanted.device.id:
                report = report.identified(wanted.identifiers, f"attestation key {key[:16]}… of {holder.name}")
        refusal: AttestationRefused | None = None
        try:
            report.require()
        except AttestationRefused as error:
            refusal = error
        mode = rule.mode_of(order.profile)
        if refusal is not None and refusal.reason.status == 503 and mode == ENFORCE:
            raise AcmeProblem(refusal.reason, headers=_LATER) from refusal
        spki, named = report.evidence.spki_sha256, wanted.named(report.evidence.identifiers, identifier)
        attestation = Attestation(
            id=new_id(),
            authz_id=authz.id,
            order_id=order.id,
            account_id=account.id,
            subject_id=wanted.device.id,
            at=now,
            format=report.format,
            sha256=bytes.fromhex(report.sha256),
            spki_sha256=None if spki is None else bytes.fromhex(spki),
            identifier_type=identifier.type,
            identifier=identifier.value,
            named_type=named.type,
            named=named.value,
            mode=mode,
            attested=refusal is None,
            accepted=refusal is None or (mode != ENFORCE and spki is not None),
            reason=None if refusal is None else refusal.reason.code,
            detail=None if refusal is None else refusal.detail,
            facts=dict(report.evidence.facts),
            report=attestation_report(report),
        )
        return Judged(statement, report, wanted, refusal, attestation)

    async def _decide(
        self,
        account: Account,
        authz: Authorization,
        challenge: Challenge,
        order: Order,
        judged: Judged,
        rule: Attesting,
    ) -> Authorization:
        one = judged.attestation
        if judged.refusal is not None:
            if one.mode == WARN:
                log.warning("attestation.would_refuse", attestation=str(one.id), reason=one.reason, detail=one.detail)
            if not one.accepted:
                return await self._refused(authz, challenge, _problem(judged.refusal, authz, one), _data(one),
                                           Unit().write(ADD_ATTESTATION, *one.row()))  # fmt: skip
        verdict = await self._verdict(account, order, judged, rule)
        actor, refs = f"acme:{account.id}", (f"order:{order.id}", f"account:{account.id}", f"attestation:{one.id}")
        if not permits(verdict):
            if undecided(verdict):
                await self._database.commit(verdict.bind(Unit(), actor=actor, refs=refs))
                raise AcmeProblem(UNDECIDED, headers=_LATER)
            unit = verdict.bind(Unit().write(ADD_ATTESTATION, *_not_accepted(one).row()), actor=actor, refs=refs)
            problem = AcmeProblem(errors.DECISION_REFUSED, reference(verdict))
            return await self._refused(authz, challenge, problem, _data(one), unit)
        unit = verdict.bind(Unit().write(ADD_ATTESTATION, *one.row()), actor=actor, refs=refs)
        unit.claim(SEE_ONCE, _once(judged.statement), one.at, refuse=AttestationRefused(REPLAYED))
        if one.attested:
            unit.claim(TAKE_KEY, one.spki_sha256, one.subject_id, one.format, one.at,
                       refuse=AttestationRefused(KEY_ELSEWHERE))  # fmt: skip
        done = replace_challenge(challenge, status="valid", validated=rfc3339(one.at), error=None)
        try:
            await self._orders.settle(authz, done, "valid", _data(one), with_job=_as_it_is, joined=unit)
        except AttestationRefused as refusal:
            return await self._elsewhere(authz, challenge, judged, refusal)
        return await self._present(authz)

    async def _elsewhere(
        self, authz: Authorization, challenge: Challenge, judged: Judged, refusal: AttestationRefused
    ) -> Authorization:
        """The statement was shown before, or its key is another device's: refused in every mode."""
        one = _not_accepted(judged.attestation, refusal)
        unit = Unit().write(ADD_ATTESTATION, *one.row())
        holder = None
        if refusal.reason is KEY_ELSEWHERE and one.spki_sha256 is not None:
            holder = await self._attestations.store.key_holder(one.spki_sha256)
            refs = (f"subject:{one.subject_id}", f"subject:{holder}", f"attestation:{one.id}")
            data = {"key_sha256": one.spki_sha256.hex(), "device": str(one.subject_id), "holder": str(holder)}
            unit.record(Event("attestation.clone_suspected", f"acme:{one.account_id}", refs, data))
        log.warning("attestation.refused", attestation=str(one.id), reason=refusal.reason.code, holder=str(holder))
        return await self._refused(authz, challenge, _problem(refusal, authz, one), _data(one), unit)

    async def _verdict(self, account: Account, order: Order, judged: Judged, rule: Attesting) -> Verdict:
        """What finalize would be told now, of the attested device."""
        one = judged.attestation
        identifier = Identifier(one.named_type, one.named)
        subject, carrier = whom(judged.wanted.device, rule.about)
        evidence = told(judged.report.evidence, identifier, one.sha256.hex(), one.at, attested=one.attested)
        verdict, _ = await self._issuance.preview(
            Ask(
                request_id="preview",
                profile=order.profile,
                spki=judged.report.evidence.spki or b"",
                names=canonical_names(
                    certified_name(identifier if name.type in DEVICE_TYPES else name) for name in order.identifiers
                ),
                actor=f"acme:{account.id}",
                evidence={"methods": [DEVICE_ATTEST_01], **evidence},
                request={"protocol": "acme", "account": str(account.id)},
                subject=subject,
                carrier=carrier,
                key_assurance="attested" if one.attested else "unproven",
            )
        )
        return verdict

    async def _refused(
        self,
        authz: Authorization,
        challenge: Challenge,
        problem: AcmeProblem,
        data: dict[str, str],
        unit: Unit | None = None,
    ) -> Authorization:
        """The challenge is over (draft, section 5: any failure makes it invalid)."""
        failed = replace_challenge(challenge, status="invalid", error=problem.document())
        told_ = {**data, "reason": problem.reason.code, "method": DEVICE_ATTEST_01}
        log.info("attestation.refused", authz=str(authz.id), reason=problem.reason.code)
        await self._orders.settle(authz, failed, "invalid", told_, with_job=_as_it_is, joined=unit)
        return await self._present(authz, failed)

    async def _present(self, authz: Authorization, changed: Challenge | None = None) -> Authorization:
        found = await self._store.authorization(authz.id)
        return found or with_challenge(authz, changed or authz.challenges[0])


def _sent(payload: dict[str, Any]) -> Statement:
    """The statement. Raises AttestationRefused."""
    if "error" in payload:
        raise Unreadable(DEVICE_REPORTS)
    if "attObj" not in payload:
        raise Unreadable(EMPTY, "the answer has no attObj")
    return read_encoded(payload["attObj"])


def _problem(refusal: AttestationRefused, authz: Authorization, one: Attestation | None = None) -> AcmeProblem:
    """What the device is told: the reason, a reference, and of an identifier that is another's a subproblem for it.

    Not what was expected and got: that would teach whoever forges statements (draft, section 8, privacy).
    """
    reason = refusal.reason
    detail = reason.summary if one is None else f"{reason.summary} (reference {str(one.id)[-12:]})"
    if isinstance(refusal, Unreadable):
        detail = refusal.detail  # of its own making, and the client's to mend
    named = [AcmeProblem(errors.IDENTIFIER_REJECTED, identifier=authz.identifier)] if reason is IDENTIFIER else []
    return AcmeProblem(reason, detail, subproblems=named)


def _once(statement: Statement) -> bytes:
    """What may be presented once. Apple's certificate is the statement, in whatever wrapping it comes."""
    if statement.format == APPLE:
        return bytes.fromhex(fingerprint(statement.leaf))
    return bytes.fromhex(statement.sha256)


def _data(one: Attestation) -> dict[str, str]:
    found = {
        "method": DEVICE_ATTEST_01,
        "attestation": str(one.id),
        "format": one.format,
        "statement_sha256": one.sha256.hex(),
        "mode": one.mode,
        "attested": "yes" if one.attested else "no",
    }
    if one.spki_sha256 is not None:
        found["key_sha256"] = one.spki_sha256.hex()
    if one.reason is not None:
        found |= {"attest_reason": one.reason, "detail": one.detail or ""}
    return found


def _not_accepted(one: Attestation, refusal: AttestationRefused | None = None) -> Attestation:
    if refusal is None:
        return replace(one, accepted=False)
    return replace(one, accepted=False, attested=False, reason=refusal.reason.code, detail=refusal.detail)


def _as_it_is(unit: Unit) -> Unit:
    return unit
