"""The two-person rule on a real PostgreSQL: distinct persons, one execution, the previewed state."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from typing import Any

import pytest
from argon2 import PasswordHasher

from tests.support.approving import ORIGIN, Counter, Person, person
from tests.support.authenticator import Authenticator
from troth.access.approvals.acts import PersonChange, RoleGrant, RuleChange
from troth.access.approvals.errors import ApprovalRefused
from troth.access.approvals.model import Proposal
from troth.access.approvals.rule import OPEN, REGULATED
from troth.access.approvals.service import Approvals
from troth.access.errors import AccessError, Forbidden
from troth.access.model import Principal
from troth.access.passkeys import RelyingParty
from troth.access.passwords import Passwords
from troth.access.roles import Role
from troth.access.service import Access
from troth.kit.clock import FakeClock
from troth.store.errors import UNAVAILABLE, Unavailable
from troth.store.pool import Database

PARTY = RelyingParty("localhost", (ORIGIN,))
RULE = "approvals: {rules: [{kinds: [count], approvals: 2}, {kinds: ['*'], approvals: 1}]}"


@pytest.fixture
def access(database: Database, clock: FakeClock) -> Access:
    return Access.build(database, clock, PARTY, Passwords(PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)))


@pytest.fixture
def counter(database: Database) -> Counter:
    return Counter(database)


def wired(database: Database, clock: FakeClock, access: Access, counter: Counter) -> Approvals:
    executors: dict[str, Any] = {"count": counter}
    executors["role.grant"] = RoleGrant(access.invitations, access.accounts)
    executors["person.change"] = PersonChange(access.accounts)
    executors["rule.change"] = RuleChange(database, clock, lambda: tuple(sorted(executors)))
    return Approvals(database, clock, PARTY, executors)


@pytest.fixture
def approvals(database: Database, clock: FakeClock, access: Access, counter: Counter) -> Approvals:
    return wired(database, clock, access, counter)


@pytest.fixture
async def people(access: Access) -> dict[str, Person]:
    roles = {"ann": Role.ADMINISTRATOR, "ben": Role.APPROVER, "cat": Role.APPROVER, "dan": Role.ADMINISTRATOR}
    return {name: await person(access, name, role) for name, role in roles.items()}


@pytest.fixture
async def ruled(approvals: Approvals, people: dict[str, Person]) -> Approvals:
    """The rule in force, set by two persons besides the proposer."""
    made = await approvals.submit("rule.change", {"document": RULE}, people["ann"].principal)
    assert made.proposal is not None
    for name in ("ben", "cat"):
        await people[name].approve(approvals, made.proposal.id)
    assert (await approvals.rule()).version == 1
    return approvals


async def proposed(approvals: Approvals, by: Person, n: int = 1) -> Proposal:
    made = await approvals.submit("count", {"n": n}, by.principal, comment="why not")
    assert made.proposal is not None
    return made.proposal


def codes(error: pytest.ExceptionInfo[AccessError]) -> str:
    return error.value.code


async def kinds(database: Database) -> list[str]:
    rows = await database.fetch("SELECT payload FROM ledger_inbox ORDER BY id")
    return [json.loads(row["payload"])["kind"] for row in rows]


# --- without a rule ----------------------------------------------------------------------------------------------


async def test_without_a_rule_an_act_is_done_at_once_and_leaves_no_proposal(
    approvals: Approvals, people: dict[str, Person], counter: Counter
) -> None:
    made = await approvals.submit("count", {"n": 1}, people["ann"].principal)
    assert (made.proposal, made.outcome) == (None, {"counted": True})
    assert (await counter.done(), await approvals.counts()) == (1, {})


async def test_one_administrator_alone_can_work_but_cannot_set_a_rule_that_nobody_could_meet(
    access: Access, approvals: Approvals, counter: Counter
) -> None:
    ann = await person(access, "ann", Role.ADMINISTRATOR)
    await approvals.submit("count", {"n": 1}, ann.principal)
    with pytest.raises(ApprovalRefused) as refused:
        await approvals.submit("rule.change", {"document": REGULATED}, ann.principal)
    assert codes(refused) == "approval.rule_invalid"  # kinds that this little installation does not have
    everything = "approvals: {rules: [{kinds: ['*'], approvals: 2}]}"
    with pytest.raises(ApprovalRefused) as refused:
        await approvals.submit("rule.change", {"document": everything}, ann.principal)
    assert codes(refused) == "approval.rule_unmet"
    assert "take 3 persons" in refused.value.detail
    assert "ann" in refused.value.detail


async def test_an_act_can_be_proposed_though_nothing_is_asked(
    approvals: Approvals, people: dict[str, Person], counter: Counter
) -> None:
    made = await approvals.submit("count", {"n": 1}, people["ann"].principal, propose=True)
    assert made.proposal is not None
    assert (made.proposal.needed, await counter.done()) == (1, 0)
    assert (await people["ben"].approve(approvals, made.proposal.id)).state == "executed"
    assert await counter.done() == 1


# --- who counts --------------------------------------------------------------------------------------------------


async def test_two_other_persons_have_an_act_done_once_and_the_ledger_tells_all_of_it(
    ruled: Approvals, people: dict[str, Person], counter: Counter, database: Database
) -> None:
    proposal = await proposed(ruled, people["ann"])
    assert (proposal.needed, proposal.words) == (2, "Count one up")
    assert (await people["ben"].approve(ruled, proposal.id)).state == "waiting"
    assert await counter.done() == 0
    done = await people["cat"].approve(ruled, proposal.id, "fine")
    assert (done.state, await counter.done()) == ("executed", 1)
    assert [one.person for one in done.approvals] == ["ben", "cat"]
    told = [kind for kind in await kinds(database) if kind.startswith(("approval.", "test."))][-5:]
    assert told == ["approval.proposed", "approval.approved", "approval.approved", "test.counted",
                    "approval.executed"]  # fmt: skip
    with pytest.raises(ApprovalRefused) as refused:
        await ruled.execute(proposal.id, people["ann"].principal)
    assert codes(refused) == "approval.settled"
    assert await counter.done() == 1


async def test_the_proposer_never_counts_with_whatever_account(
    access: Access, ruled: Approvals, people: dict[str, Person]
) -> None:
    second = await person(access, "ann-2", Role.APPROVER, of="ann")
    proposal = await proposed(ruled, people["ann"])
    for one in (people["ann"], second):
        with pytest.raises(ApprovalRefused) as refused:
            await one.approve(ruled, proposal.id)
        assert codes(refused) == "approval.own_proposal"


async def test_two_accounts_of_one_person_count_once(
    access: Access, ruled: Approvals, people: dict[str, Person], counter: Counter
) -> None:
    second = await person(access, "ben-2", Role.ADMINISTRATOR, of="Ben")
    proposal = await proposed(ruled, people["ann"])
    await people["ben"].approve(ruled, proposal.id)
    with pytest.raises(ApprovalRefused) as refused:
        await second.approve(ruled, proposal.id)
    assert (codes(refused), await counter.done()) == ("approval.twice", 0)


async def test_accounts_that_turn_out_to_be_one_person_before_the_act_is_done_do_not_suffice(
    access: Access, ruled: Approvals, people: dict[str, Person], counter: Counter
) -> None:
    counter.fail = Unavailable(UNAVAILABLE, "away")
    proposal = await proposed(ruled, people["ann"])
    for name in ("ben", "cat"):
        await people[name].approve(ruled, proposal.id)
    assert (await ruled.proposals.get(proposal.id)).state == "approved"
    counter.fail = None
    cat = people["cat"].principal
    assert cat.id is not None
    await access.accounts.set_person(people["ann"].principal, cat.id, "ben")
    with pytest.raises(ApprovalRefused) as refused:
        await ruled.execute(proposal.id, people["ann"].principal)
    assert (codes(refused), await counter.done()) == ("approval.not_enough", 0)
    assert (await ruled.proposals.get(proposal.id)).state == "failed"


async def test_an_approver_who_was_turned_off_counts_no_more(
    access: Access, ruled: Approvals, people: dict[str, Person], counter: Counter
) -> None:
    proposal = await proposed(ruled, people["ann"])
    await people["ben"].approve(ruled, proposal.id)
    ben = people["ben"].principal
    assert ben.id is not None
    await access.accounts.set_state(people["dan"].principal, ben.id, "disabled")
    assert (await people["cat"].approve(ruled, proposal.id)).state == "waiting"
    assert (await people["dan"].approve(ruled, proposal.id)).state == "executed"
    assert await counter.done() == 1


async def test_tokens_and_the_local_socket_propose_but_never_approve_and_count_for_nobody(
    access: Access, ruled: Approvals, people: dict[str, Person], counter: Counter
) -> None:
    local = access.local(os.getuid(), os.getuid())
    assert local is not None
    made = await ruled.submit("count", {"n": 1}, local)
    assert made.proposal is not None
    assert made.proposal.needed == 3, "whoever is at the socket may be one of the approvers"
    ben = people["ben"].principal
    token = Principal("token x", Role.ADMINISTRATOR, "token:1", ben.id, "token")
    for by in (local, token):
        with pytest.raises(ApprovalRefused) as refused:
            await ruled.proposals.question(made.proposal.id, by)
        assert codes(refused) == "approval.not_a_person"
    for name in ("ben", "cat"):
        assert (await people[name].approve(ruled, made.proposal.id)).state == "waiting"
    assert (await people["ann"].approve(ruled, made.proposal.id)).state == "executed"
    assert await counter.done() == 1


async def test_a_role_that_the_rule_does_not_name_does_not_approve(
    access: Access, ruled: Approvals, people: dict[str, Person]
) -> None:
    olga = await person(access, "olga", Role.OPERATOR)
    proposal = await proposed(ruled, people["ann"])
    with pytest.raises(ApprovalRefused) as refused:
        await olga.approve(ruled, proposal.id)
    assert codes(refused) == "approval.role"


async def test_nobody_proposes_what_he_may_not_do_and_a_lost_role_ends_it(
    access: Access, ruled: Approvals, people: dict[str, Person], database: Database, counter: Counter
) -> None:
    with pytest.raises(Forbidden):
        await ruled.submit("count", {"n": 1}, people["ben"].principal)
    proposal = await proposed(ruled, people["ann"])
    await people["ben"].approve(ruled, proposal.id)
    await database.fetchval("UPDATE account SET role = 'auditor' WHERE name = 'ann' RETURNING 1")
    done = await people["cat"].approve(ruled, proposal.id)
    assert (done.state, "approval.proposer_lost_role" in done.settled_why) == ("failed", True)
    assert await counter.done() == 0


# --- the passkey -------------------------------------------------------------------------------------------------


async def test_an_approval_is_a_fresh_assertion_over_this_act_and_nothing_else(
    ruled: Approvals, people: dict[str, Person], clock: FakeClock, counter: Counter
) -> None:
    one, other = await proposed(ruled, people["ann"], 1), await proposed(ruled, people["ann"], 2)
    ben = people["ben"]

    async def tried(proposal: Proposal, change: Callable[[dict[str, Any], bytes], Any]) -> str:
        asked = await ruled.proposals.question(one.id, ben.principal)
        nonce = bytes.fromhex(asked["nonce"])
        answer = change(asked["options"], nonce)
        with pytest.raises(ApprovalRefused) as refused:
            await ruled.approve(proposal.id, ben.principal, nonce=nonce, answer=answer)
        return codes(refused)

    wrong_user = Authenticator(verifies_user=False)
    wrong_user.key, wrong_user.credential_id = ben.passkey.key, ben.passkey.credential_id
    assert await tried(other, lambda options, _: ben.passkey.get(options, ORIGIN)) == "approval.passkey"
    assert await tried(one, lambda options, _: people["cat"].passkey.get(options, ORIGIN)) == "approval.passkey"
    assert await tried(one, lambda options, _: Authenticator().get(options, ORIGIN)) == "approval.passkey"
    assert await tried(one, lambda options, _: ben.passkey.get(options, "https://evil.example")) == "approval.passkey"
    assert await tried(one, lambda options, _: wrong_user.get(options, ORIGIN)) == "approval.passkey"
    assert await tried(one, lambda *_: {"nonsense": True}) == "approval.passkey"

    def late(options: dict[str, Any], _: bytes) -> Any:
        clock.advance(timedelta(minutes=6))
        return ben.passkey.get(options, ORIGIN)

    assert await tried(one, late) == "approval.passkey"
    asked = await ruled.proposals.question(one.id, ben.principal)
    answer, nonce = ben.passkey.get(asked["options"], ORIGIN), bytes.fromhex(asked["nonce"])
    await ruled.approve(one.id, ben.principal, nonce=nonce, answer=answer)
    with pytest.raises(ApprovalRefused):
        await ruled.approve(one.id, ben.principal, nonce=nonce, answer=answer)
    assert await counter.done() == 0


# --- the state ---------------------------------------------------------------------------------------------------


async def test_an_act_on_a_state_that_nobody_previewed_is_refused_as_stale(
    ruled: Approvals, people: dict[str, Person], counter: Counter
) -> None:
    proposal = await proposed(ruled, people["ann"])
    await people["ben"].approve(ruled, proposal.id)
    counter.state = 7
    done = await people["cat"].approve(ruled, proposal.id)
    assert (done.state, "approval.stale" in done.settled_why, await counter.done()) == ("failed", True, 0)


async def test_a_stricter_rule_also_governs_what_was_proposed_before_it(
    approvals: Approvals, people: dict[str, Person], counter: Counter
) -> None:
    first = await approvals.submit("count", {"n": 1}, people["ann"].principal, propose=True)
    assert first.proposal is not None
    made = await approvals.submit("rule.change", {"document": RULE}, people["dan"].principal)
    assert made.proposal is not None
    for name in ("ben", "cat"):
        await people[name].approve(approvals, made.proposal.id)
    done = await people["ben"].approve(approvals, first.proposal.id)
    assert (done.state, "approval.not_enough" in done.settled_why, await counter.done()) == ("failed", True, 0)


# --- the rule ----------------------------------------------------------------------------------------------------


async def test_nobody_lowers_the_rule_alone(ruled: Approvals, people: dict[str, Person]) -> None:
    made = await ruled.submit("rule.change", {"document": OPEN}, people["ann"].principal)
    assert made.proposal is not None
    assert made.proposal.needed == 2, "the strictest entry, not the one that names rule.change"
    await people["ben"].approve(ruled, made.proposal.id)
    assert (await ruled.rule()).version == 1
    await people["dan"].approve(ruled, made.proposal.id)
    assert (await ruled.rule()).version == 2
    assert (await ruled.rule()).demand("count").approvals == 0


async def test_of_two_changes_of_the_rule_the_second_is_stale(ruled: Approvals, people: dict[str, Person]) -> None:
    one = await ruled.submit("rule.change", {"document": OPEN}, people["ann"].principal)
    other = await ruled.submit("rule.change", {"document": RULE + "\n"}, people["ann"].principal)
    assert one.proposal is not None
    assert other.proposal is not None
    for proposal in (one.proposal, other.proposal):
        for name in ("ben", "cat"):
            await people[name].approve(ruled, proposal.id)
    assert (await ruled.proposals.get(one.proposal.id)).state == "executed"
    assert (await ruled.proposals.get(other.proposal.id)).state == "failed"


async def test_a_second_account_for_oneself_is_made_by_others_only(ruled: Approvals, people: dict[str, Person]) -> None:
    ann = people["ann"].principal
    grant = await ruled.submit("role.grant", {"role": "approver", "name": "annie", "person": ""}, ann)
    owner = await ruled.submit("person.change", {"account": str(ann.id), "person": "someone"}, ann)
    for made in (grant, owner):
        assert made.proposal is not None
        assert made.proposal.needed == 2


async def test_an_outcome_with_a_secret_is_told_to_the_proposer_alone(
    ruled: Approvals, people: dict[str, Person], access: Access
) -> None:
    payload = {"role": "auditor", "name": "iris", "person": ""}
    made = await ruled.submit("role.grant", payload, people["ann"].principal)
    assert made.proposal is not None
    for name in ("ben", "cat"):
        done = await people[name].approve(ruled, made.proposal.id)
    assert done.state == "approved"
    await ruled.resume()
    with pytest.raises(ApprovalRefused) as refused:
        await ruled.execute(made.proposal.id, people["ben"].principal)
    assert codes(refused) == "approval.not_proposer"
    done, outcome = await ruled.execute(made.proposal.id, people["ann"].principal)
    assert done.state == "executed"
    assert isinstance(outcome, dict)
    assert str(outcome["secret"]).startswith("troth-setup-")


# --- ends --------------------------------------------------------------------------------------------------------


async def test_a_rejection_a_withdrawal_and_time_end_a_proposal(
    ruled: Approvals, people: dict[str, Person], clock: FakeClock, counter: Counter
) -> None:
    rejected, withdrawn, lapsed = [await proposed(ruled, people["ann"], n) for n in range(3)]
    await ruled.proposals.reject(rejected.id, people["ben"].principal, why="not today")
    with pytest.raises(ApprovalRefused) as refused:
        await ruled.proposals.withdraw(withdrawn.id, people["ben"].principal)
    assert codes(refused) == "approval.not_proposer"
    await ruled.proposals.withdraw(withdrawn.id, people["ann"].principal)
    await people["ben"].approve(ruled, lapsed.id)
    clock.advance(timedelta(hours=72))
    with pytest.raises(ApprovalRefused) as refused:
        await people["cat"].approve(ruled, lapsed.id)
    assert codes(refused) == "approval.expired"
    await ruled.resume()
    states = [(await ruled.proposals.get(one.id)).state for one in (rejected, withdrawn, lapsed)]
    assert states == ["rejected", "withdrawn", "expired"]
    for one in (rejected, withdrawn, lapsed):
        with pytest.raises(ApprovalRefused):
            await people["cat"].approve(ruled, one.id)
    assert await counter.done() == 0


# --- races and crashes -------------------------------------------------------------------------------------------


@pytest.fixture
async def other(database_url: str, clock: FakeClock, counter: Counter) -> AsyncIterator[tuple[Approvals, Counter]]:
    """A second process on the same database."""
    opened = await Database.open(database_url, clock=clock)
    access = Access.build(opened, clock, PARTY)
    mine = Counter(opened)
    yield wired(opened, clock, access, mine), mine
    await opened.close()


async def test_two_last_approvals_at_once_have_it_done_once(
    ruled: Approvals, people: dict[str, Person], counter: Counter, other: tuple[Approvals, Counter]
) -> None:
    for n in range(4):
        proposal = await proposed(ruled, people["ann"], n)
        await people["ben"].approve(ruled, proposal.id)
        await asyncio.gather(
            people["cat"].approve(ruled, proposal.id), people["dan"].approve(other[0], proposal.id),
            return_exceptions=True,
        )  # fmt: skip
        assert (await ruled.proposals.get(proposal.id)).state == "executed"
        assert await counter.done() == n + 1


async def test_two_first_approvals_at_once_are_both_counted(
    ruled: Approvals, people: dict[str, Person], counter: Counter, other: tuple[Approvals, Counter]
) -> None:
    proposal = await proposed(ruled, people["ann"])
    await asyncio.gather(people["ben"].approve(ruled, proposal.id), people["cat"].approve(other[0], proposal.id))
    assert (await ruled.proposals.get(proposal.id)).state == "executed"
    assert await counter.done() == 1


async def test_two_executions_at_once_do_it_once(
    ruled: Approvals, people: dict[str, Person], counter: Counter, other: tuple[Approvals, Counter]
) -> None:
    counter.fail = Unavailable(UNAVAILABLE, "away")
    proposal = await proposed(ruled, people["ann"])
    for name in ("ben", "cat"):
        await people[name].approve(ruled, proposal.id)
    counter.fail = None
    ann = people["ann"].principal
    outcomes = await asyncio.gather(
        *(one.execute(proposal.id, ann) for one in (ruled, other[0]) for _ in range(3)), return_exceptions=True
    )
    assert sum(not isinstance(one, BaseException) for one in outcomes) == 1
    assert await counter.done() == 1


async def test_a_process_that_dies_after_the_last_approval_is_made_up_for_by_another(
    ruled: Approvals, people: dict[str, Person], counter: Counter, other: tuple[Approvals, Counter]
) -> None:
    counter.fail = Unavailable(UNAVAILABLE, "died here")
    proposal = await proposed(ruled, people["ann"])
    for name in ("ben", "cat"):
        await people[name].approve(ruled, proposal.id)
    assert (await ruled.proposals.get(proposal.id)).state == "approved"
    await asyncio.gather(other[0].resume(), other[0].resume())
    assert (await ruled.proposals.get(proposal.id)).state == "executed"
    await ruled.resume()
    assert await counter.done() == 1


async def test_an_executor_that_forgets_its_order_is_found_out(
    ruled: Approvals, people: dict[str, Person], counter: Counter
) -> None:
    counter.forgets = True
    proposal = await proposed(ruled, people["ann"])
    await people["ben"].approve(ruled, proposal.id)
    with pytest.raises(RuntimeError, match="did not commit the unit"):
        await people["cat"].approve(ruled, proposal.id)
