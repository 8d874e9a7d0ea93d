"""From a proved request to a certificate: the one path that every door takes.

A door (ACME now, SCEP and EST later, an operator's command) proves what can be proved and hands over an
:class:`Ask`. Then, always in this order:

1. whose names are these: the subjects they belong to, or a workload made for them;
2. the judge decides for each subject, on facts of this moment; the strictest outcome counts;
3. a refusal is recorded and told;
4. the gate issues, from the authority of the profile's class, in units that carry the decision, the door's own rows
   and a guard on each subject's standing; if a standing moved meanwhile, the decision is made anew.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import NoReturn

from troth.enroll.errors import REFUSED, IssuanceRefused
from troth.kit.ids import new_id
from troth.pki.catalogue import Catalogue
from troth.pki.gate import Gate
from troth.pki.model import Binding, IssuanceRequest, IssuedCertificate
from troth.pki.names import GeneralNames
from troth.store.pool import Database
from troth.store.unit import Unit
from troth.trust.decide import Given, Judge, Question, Verdict
from troth.trust.enforce import QUARANTINE_PROFILES
from troth.trust.errors import Retryable
from troth.trust.model import Moment, Outcome, Subject
from troth.trust.subjects import Subjects

#: How often a decision is made anew because a subject's standing moved under it.
_DECISIONS = 3


@dataclass(frozen=True, slots=True)
class Ask:
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
        actor: who asks, for the ledger: ``acme:<account id>``, ``admin:alice``.
        lifetime: the longest wanted; None leaves it to profile and decision.
        not_after: the exact end wanted; profile and decision may only shorten it.
    """

    request_id: str
    profile: str
    spki: bytes
    names: GeneralNames
    actor: str
    evidence: Mapping[str, Given] = field(default_factory=dict)
    request: Mapping[str, Given] = field(default_factory=dict)
    origin: str = "acme"
    refs: tuple[str, ...] = ()
    subject: Subject | None = None
    common_name: str | None = None
    lifetime: timedelta | None = None
    not_after: datetime | None = None
    moment: Moment = Moment.ISSUE


class Issuance:
    """The path, over the rooms below."""

    def __init__(self, database: Database, subjects: Subjects, judge: Judge, gate: Gate, catalogue: Catalogue) -> None:
        self._database = database
        self._subjects = subjects
        self._judge = judge
        self._gate = gate
        self._catalogue = catalogue

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
            subjects = await self._subjects_of(ask)
            verdict = await self._judge.decide(
                Question(
                    moment=ask.moment,
                    profile=ask.profile,
                    subjects=subjects,
                    evidence=ask.evidence,
                    request={**ask.request, "names": [value for _, value in ask.names]},
                )
            )
            try:
                if not _permits(verdict):
                    await self._refuse(ask, verdict, on_refusal())
                return await self._gate.issue(
                    self._request(ask, verdict),
                    with_reserve=verdict.bind(with_reserve(), actor=ask.actor, refs=ask.refs),
                    with_store=with_store,
                )
            except Retryable:
                if attempt == _DECISIONS - 1:
                    raise
        raise AssertionError("the loop above returns or raises")

    async def _subjects_of(self, ask: Ask) -> tuple[Subject, ...]:
        if ask.subject is not None:
            return (ask.subject,)
        return await self._subjects.resolve([value for _, value in ask.names], origin=ask.origin)

    async def _refuse(self, ask: Ask, verdict: Verdict, unit: Unit) -> NoReturn:
        await self._database.commit(verdict.bind(unit, actor=ask.actor, refs=ask.refs))
        decision = verdict.deciding
        raise IssuanceRefused(
            REFUSED,
            decision.obligations.say or f"not authorized, reference {str(decision.id)[-12:]}",
            decision_id=str(decision.id),
            outcome=verdict.outcome.value,
        )

    def _request(self, ask: Ask, verdict: Verdict) -> IssuanceRequest:
        lifetimes = [limit for limit in (ask.lifetime, verdict.obligations.lifetime) if limit is not None]
        bindings = [Binding(subject_id, role) for subject_id, role in verdict.bindings]
        return IssuanceRequest(
            request_id=ask.request_id,
            # The profile that was decided on, not the one asked for: it may belong to another class.
            authority=self._catalogue.issuer_for(verdict.profile).slug,
            profile=verdict.profile,
            spki=ask.spki,
            names=ask.names,
            common_name=ask.common_name,
            lifetime=min(lifetimes, default=None),
            not_after=ask.not_after,
            subjects=tuple(dict.fromkeys(bindings)),
            decision_id=verdict.deciding.id,
            actor=ask.actor,
        )


def _permits(verdict: Verdict) -> bool:
    """Whether anything may be issued. Quarantine lets only a quarantine profile through, so that the subject can heal:
    an outcome of quarantine that names no other profile than the one asked for would issue the full certificate."""
    if verdict.outcome is not Outcome.QUARANTINE:
        return verdict.permits
    return verdict.profile in QUARANTINE_PROFILES


def operator_request_id() -> str:
    """A request id for a request that has no order behind it."""
    return f"operator:{new_id()}"
