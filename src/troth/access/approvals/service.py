"""The two-person rule as the faces hold it: hand in an act, and it is done or proposed.

Doing is one write unit: the claim that it is done once, the check that enough distinct persons still stand behind it
and that the state is still the previewed one, and the act itself. A process that dies before that commit has done
nothing, and the act is taken up again; one that dies after it finds the claim taken.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any
from uuid import UUID

import msgspec

from troth.access import passkeys
from troth.access.approvals.demand import Demand
from troth.access.approvals.errors import (
    EXPIRED,
    FORBIDDEN_SINCE,
    KIND_UNKNOWN,
    NOT_ENOUGH,
    NOT_PROPOSER,
    RULE_CHANGED,
    SETTLED,
    STALE,
    ApprovalRefused,
)
from troth.access.approvals.model import SETTLED as SETTLED_STATES
from troth.access.approvals.model import Act, Executor, Judging, Order, Preview, Proposal, Submitted
from troth.access.approvals.proposals import Proposals, persons
from troth.access.approvals.rule import ALWAYS, GUARDIANS, Rule, parse_rule
from troth.access.approvals.store import CLAIM_EXECUTION, LOCK_APPROVED, SET_STATE, TAKE_TURN, TURN, ApprovalStore
from troth.access.errors import Forbidden
from troth.access.model import Principal
from troth.access.roles import Permission, Role
from troth.access.store import AccessStore
from troth.audit.event import Event
from troth.kit.canonical import Json
from troth.kit.clock import Clock
from troth.kit.errors import TrothError
from troth.kit.ids import new_id
from troth.kit.log import get_logger
from troth.store.pool import Database
from troth.store.unit import Reader, Unit

log = get_logger("access")

_SYSTEM = "system:approvals"


class Approvals:
    """See the module.

    Args:
        executors: kind of act → who previews and does it. There may be more kinds than the rule names, not fewer.
        judging: who judges some kinds apart from this database; these are always proposed, and how many must approve
            is the judge's to say, not the rule's.
    """

    def __init__(
        self,
        database: Database,
        clock: Clock,
        party: passkeys.RelyingParty,
        executors: Mapping[str, Executor],
        judging: Judging | None = None,
    ) -> None:
        self.database = self._database = database
        self._clock = clock
        self._executors = executors
        self._store = ApprovalStore(database)
        self._access = AccessStore(database)
        self.judged = frozenset() if judging is None else judging.kinds
        self.proposals = Proposals(database, clock, party, judging)

    @property
    def kinds(self) -> tuple[str, ...]:
        """Every kind of act there is."""
        return tuple(sorted(self._executors))

    async def rule(self, reader: Reader | None = None) -> Rule:
        """The rule in force; while there never was one, nothing asks for approval."""
        found = await (ApprovalStore(reader) if reader else self._store).rule()
        return Rule() if found is None else _parsed(found[1], found[0], self.kinds)

    async def preview(self, kind: str, payload: Mapping[str, Any], by: Principal) -> tuple[Preview, Demand]:
        """What the act would do now, and what it asks for. Raises whatever is wrong with it."""
        executor = self._executor(kind)
        if not by.may(executor.permission):
            raise Forbidden(executor.permission.value)
        preview = await executor.preview(payload, by)
        return preview, preview.demand if kind in self.judged else _asked(await self.rule(), kind, preview)

    async def submit(
        self, kind: str, payload: Mapping[str, Json], by: Principal, *, comment: str = "", propose: bool = False
    ) -> Submitted:
        """Do the act at once if the rule asks for nothing, else propose it. Raises whatever is wrong with it.

        ``propose``: propose it even where nothing is asked; one approval is then asked for.
        """
        act = Act.of(kind, payload)
        told = msgspec.json.decode(act.payload)
        rule = await self.rule()
        judged = kind in self.judged
        if not rule.entries and not propose and not judged and kind not in GUARDIANS | ALWAYS:
            return Submitted(None, await self._do_freely(kind, told, by, rule))
        preview, demand = await self.preview(kind, told, by)
        if not demand.approvals and not propose and not judged:
            return Submitted(None, await self._do_freely(kind, told, by, rule))
        person = await self._store.person(by.id) if by.id is not None else None
        needed = max(1, self._needed(kind, rule, preview, person))
        now = self._clock.now()
        proposal = Proposal(
            id=new_id(), act=act, act_hash=act.hash, state_digest=preview.digest, words=preview.words,
            lines=preview.lines, size=preview.size, needed=needed, roles=demand.roles, comment=comment[:500],
            actor=by.actor, account_id=by.id, person=person, role=by.role, proposed_at=now,
            expires_at=now + rule.expiry, state="waiting",
        )  # fmt: skip
        await self.proposals.add(proposal)
        return Submitted(proposal)

    async def approve(
        self, proposal_id: UUID, by: Principal, *, nonce: bytes, answer: object, comment: str = ""
    ) -> tuple[Proposal, Json]:
        """Count this person's yes, and do the act when it was the last one missing: the proposal then, the outcome."""
        proposal = await self.proposals.approve(proposal_id, by, nonce=nonce, answer=answer, comment=comment)
        if proposal.state != "approved" or self._executor(proposal.act.kind).secret:
            return proposal, None
        try:
            outcome = await self._do(proposal, by.actor)
        except TrothError as error:
            log.warning("approval.not_done", proposal=str(proposal.id), code=error.code, detail=error.detail)
            outcome = None
        return await self.proposals.get(proposal_id), outcome

    async def execute(self, proposal_id: UUID, by: Principal) -> tuple[Proposal, Json]:
        """Do what was approved. One whose outcome is a secret is done by its proposer alone. Raises ApprovalRefused."""
        proposal = await self.proposals.get(proposal_id)
        secret = self._executor(proposal.act.kind).secret
        if by.actor != proposal.actor and (secret or not by.may(Permission.APPROVAL_DECIDE)):
            raise ApprovalRefused(NOT_PROPOSER, "its outcome is a secret for whoever proposed it" if secret else "")
        outcome = await self._do(proposal, by.actor)
        return await self.proposals.get(proposal_id), outcome

    async def resume(self) -> None:
        """Do what was approved and is still undone (a process died between), and end what has lapsed."""
        await self.proposals.expire()
        for proposal in await self._store.proposals(["approved"]):
            executor = self._executors.get(proposal.act.kind)
            if executor is None or executor.secret:
                continue
            try:
                await self._do(proposal, _SYSTEM)
            except TrothError as error:
                log.warning("approval.not_done", proposal=str(proposal.id), code=error.code, detail=error.detail)

    async def listed(self, *, waiting: bool, limit: int = 200) -> list[Proposal]:
        """What waits (approved ones that are not done included), or what is settled; latest first."""
        states = ("waiting", "approved") if waiting else ("executed", "rejected", "withdrawn", "expired", "failed")
        return await self._store.proposals(states, limit=limit)

    async def counts(self) -> dict[str, int]:
        """How many proposals there are of each state."""
        return await self._store.counts()

    async def waiting(self) -> int:
        """How many proposals wait for somebody."""
        return await self._store.open()

    def secret(self, kind: str) -> bool:
        """Whether the proposer alone has acts of ``kind`` done, since their outcome is a secret."""
        executor = self._executors.get(kind)
        return executor is not None and executor.secret

    async def eligible(self, demand: Demand) -> list[str]:
        """Persons who could satisfy ``demand`` now."""
        return await self._store.eligible([role.value for role in demand.roles])

    # --- doing -------------------------------------------------------------------------------------------------------

    async def _do_freely(self, kind: str, payload: Mapping[str, Any], by: Principal, rule: Rule) -> Json:
        executor = self._executor(kind)
        if not by.may(executor.permission):
            raise Forbidden(executor.permission.value)

        async def still_free(reader: Reader, _: Unit) -> None:
            if (await self.rule(reader)).version != rule.version:
                raise ApprovalRefused(RULE_CHANGED)

        unit = Unit().guard(TAKE_TURN, True, refuse=RuntimeError("no approval turn"), key=TURN).then(still_free)
        return await executor.execute(payload, Order(by, unit))

    async def _do(self, proposal: Proposal, actor: str) -> Json:
        """Do it once; what cannot be done any more is written down as failed. Raises TrothError."""
        executor = self._executor(proposal.act.kind)
        payload = msgspec.json.decode(proposal.act.payload)
        try:
            by = await self._proposer(proposal, executor)
            unit = self._closing(proposal, executor, payload, by, actor)
            order = Order(by, unit, proposal.approvals, proposal.id)
            outcome = await executor.execute(payload, order)
        except TrothError as error:
            # A database or signer that is away is tried again; whatever speaks against the act itself is final.
            final = error.reason.status < 500 and error.reason is not SETTLED
            # What goes wrong after it was committed is for its own executor to tell.
            if final and (await self.proposals.get(proposal.id)).state not in SETTLED_STATES:
                await self.proposals.fail(proposal, f"{error.detail} [{error.code}]")
            raise
        if (await self.proposals.get(proposal.id)).state != "executed":
            raise RuntimeError(f"the executor of {proposal.act.kind} did not commit the unit it was handed")
        return outcome

    def _closing(
        self, proposal: Proposal, executor: Executor, payload: Mapping[str, Any], by: Principal, actor: str
    ) -> Unit:
        """What every execution commits together with its act."""
        settled = ApprovalRefused(SETTLED, f"proposal {proposal.id} is not waiting to be done")
        now = self._clock.now()
        unit = Unit().guard(TAKE_TURN, True, refuse=RuntimeError("no approval turn"), key=TURN)
        unit.guard(LOCK_APPROVED, proposal.id, refuse=settled, key=("proposal", proposal.id))
        unit.claim(CLAIM_EXECUTION, proposal.id, now, actor, refuse=settled)
        unit.write(SET_STATE, proposal.id, "executed", now, actor, "")

        async def still_so(reader: Reader, inner: Unit) -> None:
            store = ApprovalStore(reader)
            if proposal.expires_at <= now:
                raise ApprovalRefused(EXPIRED)
            preview = await executor.preview(payload, by)
            if preview.digest != proposal.state_digest:
                raise ApprovalRefused(STALE)
            judged = proposal.act.kind in self.judged
            approved = await persons(store, proposal, await store.approvals(proposal.id), judged=judged)
            rule = await self.rule(reader)
            needed = max(proposal.needed, self._needed(proposal.act.kind, rule, preview, proposal.person))
            if len(approved) < needed:
                raise ApprovalRefused(NOT_ENOUGH, f"{len(approved)} of {needed} persons")
            inner.record(
                Event(
                    "approval.executed",
                    actor,
                    (f"proposal:{proposal.id}",),
                    {
                        "proposal": str(proposal.id), "kind": proposal.act.kind, "act_hash": proposal.act_hash.hex(),
                        "state_digest": proposal.state_digest.hex(), "persons": sorted(approved),
                        "words": proposal.words,
                    },
                )
            )  # fmt: skip

        return unit.then(still_so)

    async def _proposer(self, proposal: Proposal, executor: Executor) -> Principal:
        """Who wanted it, with the role of today. Raises ApprovalRefused if he may not do it any more."""
        role = proposal.role
        name, via_token = proposal.actor.partition(":")[2], proposal.actor.startswith("token:")
        if proposal.account_id is not None:
            account = await self._access.account(proposal.account_id)
            if account is None or account.state != "active":
                raise ApprovalRefused(FORBIDDEN_SINCE, "its account is gone or turned off")
            name, role = account.name, role if via_token else account.role
            if not Principal(name, account.role, proposal.actor, account.id, "session").may(executor.permission):
                raise ApprovalRefused(FORBIDDEN_SINCE)
        elif not via_token:
            role = Role.ADMINISTRATOR
        by = Principal(name, role, proposal.actor, proposal.account_id, "token" if via_token else "session")
        if not by.may(executor.permission):
            raise ApprovalRefused(FORBIDDEN_SINCE)
        return by

    def _needed(self, kind: str, rule: Rule, preview: Preview, person: str | None) -> int:
        """How many persons must approve. The rule counts others; a judge counts all, the proposer too, by itself."""
        if kind in self.judged:
            return preview.demand.approvals
        asked = _asked(rule, kind, preview).approvals
        # Whoever cannot be told from an approver counts for nobody, so one approval more stands in for him.
        return max(asked, 1) + 1 if person is None else asked

    def _executor(self, kind: str) -> Executor:
        found = self._executors.get(kind)
        if found is None:
            raise ApprovalRefused(KIND_UNKNOWN, f"there is no kind of act {kind[:80]!r}")
        return found


def _asked(rule: Rule, kind: str, preview: Preview) -> Demand:
    return rule.demand(kind, preview.size).stricter(preview.demand)


@functools.lru_cache(maxsize=16)
def _parsed(document: str, version: int, kinds: tuple[str, ...]) -> Rule:
    return parse_rule(document, kinds, version=version)
