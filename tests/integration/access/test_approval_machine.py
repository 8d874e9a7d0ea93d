"""Whatever people do in whatever order: an act is never done twice, nor by fewer persons, nor on another state."""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from argon2 import PasswordHasher
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.approving import ORIGIN, Counter, Person, person
from tests.support.postgres import PostgresServer, run_apart
from troth.access.approvals.service import Approvals
from troth.access.errors import AccessError
from troth.access.passkeys import RelyingParty
from troth.access.passwords import Passwords
from troth.access.roles import Role
from troth.access.service import Access
from troth.kit.clock import FakeClock
from troth.store.errors import UNAVAILABLE, Unavailable
from troth.store.pool import Database

PARTY = RelyingParty("localhost", (ORIGIN,))
ACCOUNTS = {"ann": None, "ben": None, "cat": None, "ben-2": "ben", "ann-2": "ann"}
_numbers = itertools.count(1)

_who = st.sampled_from(sorted(ACCOUNTS))
_which = st.integers(0, 2)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("propose"), _who),
        st.tuples(st.just("approve"), _which, _who),
        st.tuples(st.just("approve"), _which, _who),
        st.tuples(st.just("approve"), _which, _who),
        st.tuples(st.just("execute"), _which, _who),
        st.tuples(st.just("reject"), _which, _who),
        st.tuples(st.just("withdraw"), _which, _who),
        st.tuples(st.just("change"), st.just(0)),
        st.tuples(st.just("crash"), st.booleans()),
        st.tuples(st.just("merge"), _who, _who),
        st.tuples(st.just("disable"), _who),
        st.tuples(st.just("wait"), st.integers(1, 80)),
        st.tuples(st.just("resume"), st.just(0)),
    ),
    min_size=4,
    max_size=22,
)


@dataclass
class World:
    """The product, and beside it what must be true of it."""

    approvals: Approvals
    access: Access
    clock: FakeClock
    counter: Counter
    people: dict[str, Person]
    persons: dict[str, str] = field(default_factory=lambda: {name: of or name for name, of in ACCOUNTS.items()})
    disabled: set[str] = field(default_factory=set)
    proposals: list[tuple[UUID, str, int]] = field(default_factory=list)
    approved: dict[UUID, set[str]] = field(default_factory=dict)
    executed: set[UUID] = field(default_factory=set)

    async def do(self, step: tuple[Any, ...]) -> None:
        before = await self.counter.done()
        try:
            await self._do(step)
        except AccessError:
            pass
        except Unavailable:
            pass
        done = await self.counter.done() - before
        if done:
            await self._check(step)

    async def _do(self, step: tuple[Any, ...]) -> None:
        what, *rest = step
        if what == "propose":
            if rest[0] in self.disabled:
                return
            made = await self.approvals.submit("count", {"n": len(self.proposals)}, self.people[rest[0]].principal,
                                               propose=True)  # fmt: skip
            assert made.proposal is not None
            self.proposals.append((made.proposal.id, rest[0], self.counter.state))
            self.approved[made.proposal.id] = set()
        elif what == "change":
            self.counter.state += 1
        elif what == "crash":
            self.counter.fail = Unavailable(UNAVAILABLE, "away") if rest[0] else None
        elif what == "merge":
            account = self.people[rest[0]].principal.id
            assert account is not None
            await self.access.accounts.set_person(self.people["ann"].principal, account, self.persons[rest[1]])
            self.persons[rest[0]] = self.persons[rest[1]]
        elif what == "disable":
            account = self.people[rest[0]].principal.id
            assert account is not None
            await self.access.accounts.set_state(self.people["ann"].principal, account, "disabled")
            self.disabled.add(rest[0])
        elif what == "wait":
            self.clock.advance(timedelta(hours=rest[0]))
        elif what == "resume":
            await self.approvals.resume()
        elif self.proposals:
            proposal = self.proposals[rest[0] % len(self.proposals)][0]
            who = self.people[rest[1]]
            if what == "approve" and rest[1] not in self.disabled:
                before = len((await self.approvals.proposals.get(proposal)).approvals)
                try:
                    await who.approve(self.approvals, proposal)
                finally:
                    if len((await self.approvals.proposals.get(proposal)).approvals) > before:
                        self.approved[proposal].add(rest[1])
            elif what == "execute":
                await self.approvals.execute(proposal, who.principal)
            elif what == "reject":
                await self.approvals.proposals.reject(proposal, who.principal, why="no")
            elif what == "withdraw":
                await self.approvals.proposals.withdraw(proposal, who.principal)

    async def _check(self, step: tuple[Any, ...]) -> None:
        """Every proposal that was done was done rightly; how often all were done is looked at in the end."""
        for proposal_id, proposer, state in self.proposals:
            found = await self.approvals.proposals.get(proposal_id)
            if found.state != "executed" or proposal_id in self.executed:
                continue
            self.executed.add(proposal_id)
            stand = {self.persons[one] for one in self.approved[proposal_id] if one not in self.disabled}
            stand.discard(self.persons[proposer])
            assert len(stand) >= found.needed, (step, found)
            assert state == self.counter.state, (step, found)
            assert proposer not in self.disabled

    async def settle(self) -> None:
        executed = [one for one, _, _ in self.proposals
                    if (await self.approvals.proposals.get(one)).state == "executed"]  # fmt: skip
        assert await self.counter.done() == len(executed)


async def _play(url: str, steps: list[tuple[Any, ...]], needed: int) -> None:
    clock = FakeClock(datetime(2026, 3, 1, tzinfo=UTC))
    database = await Database.open(url, clock=clock)
    try:
        access = Access.build(
            database, clock, PARTY, Passwords(PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
        )
        counter = Counter(database)
        approvals = Approvals(database, clock, PARTY, {"count": counter})
        people = {name: await person(access, name, Role.ADMINISTRATOR, of=of) for name, of in ACCOUNTS.items()}
        if needed > 1:
            rule = f"approvals: {{rules: [{{kinds: [count], approvals: {needed}}}]}}"
            await database.fetchval(
                "INSERT INTO approval_rule VALUES (1, $1, '\\x00', $2, 'test') RETURNING 1", rule, clock.now()
            )
        world = World(approvals, access, clock, counter, people)
        await world.do(("propose", "ann"))
        for step in steps:
            await world.do(step)
        await world.settle()
    finally:
        await database.close()


@pytest.mark.parametrize("needed", [1, 2])
def test_no_order_of_events_does_an_act_twice_or_with_too_few_or_on_another_state(
    postgres: PostgresServer, migrated_template: str, needed: int
) -> None:
    @settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck))
    @given(STEPS)
    def play(steps: list[tuple[Any, ...]]) -> None:
        name = f"machine_{next(_numbers)}"
        run_apart(postgres.execute(f"CREATE DATABASE {name} TEMPLATE {migrated_template}"))
        try:
            run_apart(_play(postgres.url(name), steps, needed))
        finally:
            run_apart(postgres.execute(f"DROP DATABASE {name} WITH (FORCE)"))

    play()


def test_the_machine_itself_notices_an_act_that_was_done_by_nobody_s_leave() -> None:
    class Liar(Counter):
        async def done(self) -> int:
            return 1

    async def told() -> None:
        world = World(None, None, FakeClock(datetime(2026, 3, 1, tzinfo=UTC)), Liar(None), {})  # type: ignore[arg-type]
        await world.settle()

    with pytest.raises(AssertionError):
        asyncio.run(told())
