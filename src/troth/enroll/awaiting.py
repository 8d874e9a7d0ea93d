"""Issuances that a policy leaves to a person: proposed in the approvals room, done once somebody has approved.

What is approved is *who gets what*: the profile, the subjects, the names and who asks, and not a key, for many clients
make a new one at each try. An approval is good for one certificate and for as long as the policy says; policy is asked
anew when the client comes again, on facts of then, so that an approval never stands against a standing.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from troth.access.approvals.demand import Demand
from troth.access.approvals.model import Act, Proposal, state_digest
from troth.access.approvals.proposals import proposal_unit
from troth.access.approvals.store import ApprovalStore
from troth.access.roles import Role
from troth.enroll.awaiting_store import issued_since, latest_proposal, waiting
from troth.enroll.errors import APPROVAL_CROWDED, AWAITS_APPROVAL, DECLINED, AwaitingApproval, IssuanceRefused
from troth.kit.canonical import Json
from troth.kit.ids import new_id
from troth.pki.names import GeneralNames
from troth.store.pool import Database
from troth.trust.decision.decide import Verdict

#: The kind of act. Its executor does nothing but be done: the client comes again.
KIND = "issuance.approve"
#: What every such proposal stands on: nothing that could change under it, for policy is asked anew.
STATE: Json = {"issuance": "asked anew"}
DEMAND = Demand(1)
#: Proposals of this kind that may wait at once, and those of one client: it shall not crowd the others out.
MOST, MOST_OF_ONE = 500, 20


def words_of(payload: dict[str, Json]) -> str:
    """What is approved, in a sentence."""
    subjects = payload.get("subjects")
    whom = ", ".join(str(one) for one in subjects) if isinstance(subjects, (list, tuple)) else "nobody"
    return f"Issue a {payload.get('profile')} certificate to {whom}"[:300]


class IssuanceApprovals:
    """Finds out whether somebody has approved."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._store = ApprovalStore(database)

    async def require(
        self,
        verdict: Verdict,
        names: GeneralNames,
        *,
        actor: str,
        account: UUID | None,
        within: timedelta,
        refs: Sequence[str] = (),
    ) -> None:
        """Come back if this may be issued now.

        Raises AwaitingApproval, naming the proposal, until it is approved; IssuanceRefused if a person said no.
        """
        at = verdict.deciding.at
        payload = _payload(verdict, names, actor)
        act = Act.of(KIND, payload)
        found = await latest_proposal(self._database, act.hash)
        if found is not None:
            settled = found.settled_at if found.settled_at is not None else at
            if found.state in ("waiting", "approved") and found.expires_at > at:
                raise _awaiting(found.id)
            if found.state == "rejected" and at < settled + within:
                raise IssuanceRefused(
                    DECLINED, found.why[:300] or "a person has declined it", decision_id=str(verdict.deciding.id),
                    outcome=verdict.outcome.value, proposal=str(found.id),
                )  # fmt: skip
            if found.state == "executed" and at < settled + within and not await self._used(verdict, actor, settled):
                return
        raise _awaiting(await self._propose(act, payload, verdict, actor, account, at + within, refs))

    async def _used(self, verdict: Verdict, actor: str, since: datetime) -> bool:
        subjects = [one.id for one in verdict.subjects]
        return await issued_since(self._database, subjects, verdict.profile, actor, since)

    async def _propose(
        self,
        act: Act,
        payload: dict[str, Json],
        verdict: Verdict,
        actor: str,
        account: UUID | None,
        until: datetime,
        refs: Sequence[str],
    ) -> UUID:
        every, own = await waiting(self._database, KIND, actor)
        if every >= MOST or own >= MOST_OF_ONE:
            raise IssuanceRefused(APPROVAL_CROWDED, decision_id=str(verdict.deciding.id), outcome="deny")
        decision = verdict.deciding
        person = await self._store.person(account) if account is not None else f"system:{actor}"
        proposal = Proposal(
            id=new_id(), act=act, act_hash=act.hash, state_digest=state_digest(STATE), words=words_of(payload),
            lines=tuple(_lines(payload, verdict)), size=1, needed=DEMAND.approvals, roles=DEMAND.roles, comment="",
            actor=actor, account_id=account, person=person, role=Role.ADMINISTRATOR, proposed_at=decision.at,
            expires_at=until, state="waiting",
        )  # fmt: skip
        # The decision that was made is recorded with it: it is what the proposal points to.
        await self._database.commit(verdict.bind(proposal_unit(proposal), actor=actor, refs=refs))
        return proposal.id


def _awaiting(proposal: UUID) -> AwaitingApproval:
    return AwaitingApproval(
        AWAITS_APPROVAL, f"a person must approve it first, proposal {str(proposal)[-12:]}", proposal=str(proposal),
        outcome="waiting",
    )  # fmt: skip


def _payload(verdict: Verdict, names: GeneralNames, actor: str) -> dict[str, Json]:
    # A subject that is made for this request has another id at each try; its name is what it is known by.
    return {
        "profile": verdict.profile,
        "subjects": sorted(f"{one.kind.value}:{one.name}" for one in verdict.subjects),
        "names": sorted(f"{kind}:{value}" for kind, value in names),
        "actor": actor,
    }


def _lines(payload: dict[str, Json], verdict: Verdict) -> Sequence[str]:
    decision = verdict.deciding
    names = payload["names"]
    shown = ", ".join(str(one) for one in names) if isinstance(names, (list, tuple)) else ""
    return (
        f"Names: {shown[:500] or 'as the profile makes them'}",
        f"Asked for by {payload['actor']}",
        f"Rule {decision.rule} of policy {decision.policy}, version {decision.policy_version}, would allow it "
        f"({decision.outcome.value}), once a person approves.",
        f"The decision is {decision.id}; policy is asked anew when the client comes again.",
    )
