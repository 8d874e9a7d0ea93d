"""From a proved request to a certificate: the one path that every door takes.

A door (ACME now, SCEP and EST later, an operator's command) proves what can be proved and hands over an
:class:`Ask`. Then, always in this order:

1. whose names are these: the subjects they belong to, or a workload made for them; where the door knows the subject,
   whoever else holds one of the host names stands beside it: his standing counts too, and reaches the certificate;
2. the judge decides for each subject, on facts of this moment; the strictest outcome counts;
3. a refusal is recorded and told;
4. the profile makes the certificate's names of the same facts: what the decision rests on is what it says;
5. the gate issues, from the authority of the profile's class, in units that carry the decision, the door's own rows
   and a guard on each subject's standing; if a standing moved meanwhile, the decision is made anew.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import NoReturn
from uuid import UUID

import msgspec
from msgspec.structs import replace

from troth.enroll.awaiting import IssuanceApprovals
from troth.enroll.errors import REFUSED, UNDECIDED, IssuanceRefused, Undecided
from troth.kit.ids import new_id
from troth.pki.catalogue import Catalogue
from troth.pki.errors import PROFILE_REFUSES, ProfileRefused
from troth.pki.gate import Gate
from troth.pki.model import Binding, IssuanceRequest, IssuedCertificate
from troth.pki.names import GeneralNames
from troth.pki.profile import KeyAssurance
from troth.pki.rendering import Rendered, render
from troth.store.pool import Database
from troth.store.unit import Unit
from troth.trust.decision.decide import Judge, Verdict, subject_key
from troth.trust.decision.judge import floor
from troth.trust.decision.question import Given, Question
from troth.trust.enforcement.enforce import QUARANTINE_PROFILES
from troth.trust.errors import POLICY_CONDITION_UNKNOWN, STANDING_CHANGED, Retryable, StandingChanged
from troth.trust.model import Moment, Outcome, Subject, Truth
from troth.trust.subjects.store import STANDING_UNCHANGED
from troth.trust.subjects.whom import Subjects
from troth.trust.vocabulary import FACT_ROOTS

#: Kinds of name that belong to whoever the directory, or an earlier order, says.
HOST_NAMES = frozenset({"dns", "ip"})
#: How often a decision is made anew because a subject's standing moved under it.
_DECISIONS = 3


class Ask(msgspec.Struct, frozen=True):
    """What a door asks for.

    Attributes:
        request_id: unique for ever; at most one certificate comes from it.
        profile: the profile asked for; an obligation of the decision may put another in its place.
        spki: DER SubjectPublicKeyInfo whose possession was proved.
        names: canonical names that the evidence covers, all of them.
        evidence: what was proved and how: ``{"controlled_names": […], "methods": ["http-01"]}``.
        request: facts of the request itself: protocol, account, address.
        origin: the door, remembered with a workload that is made for a name.
        refs: further references for the decision's ledger event: ``order:<id>``.
        subject: the subject, where the door knows it; else it is found by the names.
        carrier: who asks for the subject and stands behind it: the node that a workload runs on. The certificate is
            bound to its standing too, which must not change meanwhile.
        actor: who asks, for the ledger: ``acme:<account id>``, ``admin:alice``.
        lifetime: the longest wanted; None leaves it to profile and decision.
        not_after: the exact end wanted; profile and decision may only shorten it.
        key_assurance: how well the door knows where the key lives.
        by_account: of the person who asks; he is not the one who approves what policy leaves to a person.
        waits: facts that are not known now are no refusal: the asker is told to come again (Undecided).
    """

    request_id: str
    profile: str
    spki: bytes
    names: GeneralNames
    actor: str
    evidence: Mapping[str, Given] = msgspec.field(default_factory=dict)
    request: Mapping[str, Given] = msgspec.field(default_factory=dict)
    origin: str = "acme"
    refs: tuple[str, ...] = ()
    subject: Subject | None = None
    carrier: Subject | None = None
    common_name: str | None = None
    lifetime: timedelta | None = None
    not_after: datetime | None = None
    moment: Moment = Moment.ISSUE
    key_assurance: KeyAssurance = "unproven"
    waits: bool = False
    by_account: UUID | None = None


class Issuance:
    """The path, over the rooms below."""

    def __init__(self, database: Database, subjects: Subjects, judge: Judge, gate: Gate, catalogue: Catalogue) -> None:
        self._database = database
        self._subjects = subjects
        self.judge = judge
        self._gate = gate
        self._catalogue = catalogue
        self._approvals = IssuanceApprovals(database)

    async def issue(
        self,
        ask: Ask,
        *,
        with_reserve: Callable[[], Unit],
        with_store: Callable[[IssuedCertificate], Unit],
        on_refusal: Callable[[], Unit] = Unit,
    ) -> IssuedCertificate:
        """The certificate for ``ask``.

        ``with_reserve`` and ``with_store`` make the units of the door's own rows (called anew for each try);
        ``on_refusal`` that which is written beside a refusing decision.

        Raises IssuanceRefused, whose facts name the decision, or whatever the gate raises.
        """
        for attempt in range(_DECISIONS):
            subjects, beside = await self._about(ask)
            question = self._question(ask, subjects)
            verdict = await self.judge.decide(question)
            try:
                if not permits(verdict):
                    await self._refuse(ask, verdict, on_refusal())
                within = verdict.obligations.approval
                if within is not None:
                    await self._approvals.require(
                        verdict, ask.names, actor=ask.actor, account=ask.by_account, within=within, refs=ask.refs
                    )
                rendered = await self._rendered(ask, question, verdict)
                return await self._gate.issue(
                    self._request(ask, verdict, rendered, beside),
                    with_reserve=verdict.bind(_beside(beside, with_reserve()), actor=ask.actor, refs=ask.refs),
                    with_store=with_store,
                )
            except Retryable:
                if attempt == _DECISIONS - 1:
                    raise
        raise AssertionError("the loop above returns or raises")

    async def judged(self, ask: Ask, *, with_unit: Callable[[Verdict, Rendered], Unit]) -> tuple[Verdict, Rendered]:
        """``ask`` judged and written down as an issuance of exactly its profile would be, without a certificate.

        ``with_unit`` makes what is committed with the decision, anew for each try. Raises IssuanceRefused,
        ProfileRefused.
        """
        for attempt in range(_DECISIONS):
            subjects, beside = await self._about(ask)
            question = self._question(ask, subjects)
            verdict = await self.judge.decide(question)
            try:
                if not permits(verdict) or verdict.profile != ask.profile:
                    await self._refuse(ask, verdict, Unit())
                rendered = await self._rendered(ask, question, verdict)
                unit = _beside(beside, with_unit(verdict, rendered))
                await self._database.commit(verdict.bind(unit, actor=ask.actor, refs=ask.refs))
            except Retryable:
                if attempt == _DECISIONS - 1:
                    raise
            else:
                return verdict, rendered
        raise AssertionError("the loop above returns or raises")

    def _question(self, ask: Ask, subjects: tuple[Subject, ...]) -> Question:
        applied = self._catalogue.profiles.get(ask.profile)
        return Question(
            moment=ask.moment,
            profile=ask.profile,
            subjects=subjects,
            evidence={**ask.evidence, "key_assurance": ask.key_assurance},
            request={**ask.request, "names": [value for _, value in ask.names]},
            certificate={"key_assurance": ask.key_assurance},
            wants=applied.profile.variables if applied is not None else frozenset(),
        )

    async def _rendered(self, ask: Ask, question: Question, verdict: Verdict) -> Rendered:
        """The names that the profile makes. Raises ProfileRefused, naming what is missing and of whom."""
        profile = self._catalogue.profile(verdict.profile)
        if not profile.templated:
            return render(profile, {}, ask.names, ask.common_name)
        if len(verdict.subjects) != 1:
            names = ", ".join(subject.name for subject in verdict.subjects[:5])
            raise ProfileRefused(
                PROFILE_REFUSES, f"profile {profile.name} describes one subject, and these names have several: {names}"
            )
        facts = verdict.facts
        if verdict.profile != question.profile:
            # The decision put another profile in its place, which may say more than the one asked for.
            facts = await self.judge.facts(replace(question, wants=profile.variables))
        subject = verdict.subjects[0]
        try:
            return render(profile, facts, ask.names, ask.common_name)
        except ProfileRefused as refusal:
            who = f"{subject.kind.value} {subject.name}"
            raise ProfileRefused(
                refusal.reason, f"profile {profile.name} for {who}: {refusal.detail}", **refusal.facts
            ) from refusal

    async def preview(self, ask: Ask) -> tuple[Verdict, Rendered | ProfileRefused]:
        """What policy would say now, and what the certificate would be named or why not. Nothing is written."""
        subjects, _ = await self._about(ask)
        question = self._question(ask, subjects)
        verdict = await self.judge.decide(question)
        try:
            return verdict, await self._rendered(ask, question, verdict)
        except ProfileRefused as refusal:
            return verdict, refusal

    async def _about(self, ask: Ask) -> tuple[tuple[Subject, ...], tuple[Subject, ...]]:
        """(who is judged, who stands beside): the latter's standing must not change meanwhile and reaches the
        certificate, but policy is not asked about them.

        A device whose account proves control of a server's name gets no more than the server would: of the holders of
        names those are judged as well whose standing would stop an issuance of their own.
        """
        if ask.subject is None:
            return await self._subjects.resolve([value for _, value in ask.names], origin=ask.origin), ()
        carrier = () if ask.carrier is None else (ask.carrier,)
        hosts = [value for kind, value in ask.names if kind in HOST_NAMES]
        holders = await self._subjects.resolve(hosts, origin=ask.origin) if hosts else ()
        own = {one.id for one in (ask.subject, ask.subject.keeper, ask.carrier) if one is not None}
        others = [one for one in holders if not one.fresh and one.id not in own]
        barred = tuple(one for one in others if floor(one.standing, ask.moment) > Outcome.RESTRICT)
        return (ask.subject, *barred), (*carrier, *(one for one in others if one not in barred))

    async def _refuse(self, ask: Ask, verdict: Verdict, unit: Unit) -> NoReturn:
        await self._database.commit(verdict.bind(unit, actor=ask.actor, refs=ask.refs))
        decision = verdict.deciding
        if ask.waits and undecided(verdict):
            raise Undecided(
                UNDECIDED,
                f"try again later, reference {str(decision.id)[-12:]}",
                decision_id=str(decision.id),
                outcome=verdict.outcome.value,
            )
        raise IssuanceRefused(
            REFUSED,
            decision.obligations.say or f"not authorized, reference {str(decision.id)[-12:]}",
            decision_id=str(decision.id),
            outcome=verdict.outcome.value,
        )

    def _request(self, ask: Ask, verdict: Verdict, rendered: Rendered, beside: Sequence[Subject]) -> IssuanceRequest:
        lifetimes = [limit for limit in (ask.lifetime, verdict.obligations.lifetime) if limit is not None]
        bindings = [Binding(subject_id, role) for subject_id, role in verdict.bindings]
        bound = {one.subject_id for one in bindings}
        bindings += [
            Binding(one.id, "carrier" if one is ask.carrier else "name") for one in beside if one.id not in bound
        ]
        return IssuanceRequest(
            request_id=ask.request_id,
            # The profile that was decided on, not the one asked for: it may belong to another class.
            authority=self._catalogue.issuer_for(verdict.profile, ask.spki).slug,
            profile=verdict.profile,
            spki=ask.spki,
            names=rendered.names,
            subject=rendered.subject,
            common_name=rendered.common_name,
            sid=rendered.sid,
            key_assurance=ask.key_assurance,
            lifetime=min(lifetimes, default=None),
            not_after=ask.not_after,
            subjects=tuple(dict.fromkeys(bindings)),
            decision_id=verdict.deciding.id,
            actor=ask.actor,
        )


def permits(verdict: Verdict) -> bool:
    """Whether anything may be issued. Quarantine lets only a quarantine profile through, so that the subject can heal:
    an outcome of quarantine that names no other profile than the one asked for would issue the full certificate."""
    if verdict.outcome is not Outcome.QUARANTINE:
        return verdict.permits
    return verdict.profile in QUARANTINE_PROFILES


def _beside(subjects: Sequence[Subject], unit: Unit) -> Unit:
    """``unit`` with a guard on the standing of each, which is what it was when it was looked at."""
    for one in subjects:
        changed = StandingChanged(STANDING_CHANGED, f"the standing of {one.name} changed meanwhile")
        unit.guard(STANDING_UNCHANGED, one.id, one.standing_version, refuse=changed, key=subject_key(one))
    return unit


def undecided(verdict: Verdict) -> bool:
    """Whether a refusing verdict rests on nothing but facts that others report and that are not known now.

    What the evidence leaves out does not come by waiting; a fact may.
    """
    conditions = [one for one in verdict.deciding.conditions if one.result is Truth.UNKNOWN]
    if verdict.deciding.reason != POLICY_CONDITION_UNKNOWN.code or not conditions:
        return False
    causes = [cause for one in conditions for cause in one.causes]
    return all(cause.path.partition(".")[0] in FACT_ROOTS for cause in causes)


def operator_request_id() -> str:
    """A request id for a request that has no order behind it."""
    return f"operator:{new_id()}"
