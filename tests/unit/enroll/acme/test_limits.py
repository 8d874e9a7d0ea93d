"""Meters, patience and domains, without a database."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from tests.support.clocks import START
from troth.enroll.acme.limits import Limit, Meters, registered_domain
from troth.enroll.acme.pausing import Patience
from troth.enroll.acme.problems import URN, AcmeProblem
from troth.kit.clock import FakeClock
from troth.store.errors import UNAVAILABLE, Unavailable

HOUR = timedelta(hours=1)


class Table:
    """The meters' table, shared by several processes."""

    def __init__(self) -> None:
        self.rows: dict[str, datetime] = {}
        self.refused: dict[str, int] = {}
        self.down = False

    async def fetch(
        self, _sql: str, keys: list[str], spent: Any, now: datetime | None = None
    ) -> list[dict[str, object]]:
        if self.down:
            raise Unavailable(UNAVAILABLE, "down")
        if now is None:
            self.refused = {name: self.refused.get(name, 0) + one for name, one in zip(keys, spent, strict=True)}
            return []
        for key, amount in zip(keys, spent, strict=True):
            self.rows[key] = max(self.rows.get(key, now), now) + amount
        return [{"key": key, "full_at": self.rows[key]} for key in keys]


def meters(table: Table, clock: FakeClock, **limits: Limit) -> Meters:
    return Meters(table, clock, limits, help_url="https://help.example")  # type: ignore[arg-type]


def tries(meter: Meters, number: int, *charges: tuple[str, str]) -> int:
    """How many of so many were let through."""
    through = 0
    for _ in range(number):
        try:
            meter.take(charges)
        except AcmeProblem:
            continue
        through += 1
    return through


async def test_a_limit_lets_through_what_it_says_and_refills_steadily(clock: FakeClock) -> None:
    meter = meters(Table(), clock, orders=Limit("new orders", 6, HOUR))
    assert tries(meter, 10, ("orders", "a")) == 6
    assert tries(meter, 10, ("orders", "b")) == 6, "another's is another meter"
    clock.advance(timedelta(minutes=9))
    assert tries(meter, 10, ("orders", "a")) == 0
    clock.advance(timedelta(minutes=1))
    assert tries(meter, 10, ("orders", "a")) == 1
    clock.advance(timedelta(days=1))
    assert tries(meter, 10, ("orders", "a")) == 6, "no more than all of them gather"
    await meter.close()


async def test_a_refusal_says_when_to_come_back_and_where_to_read(clock: FakeClock) -> None:
    meter = meters(Table(), clock, orders=Limit("new orders", 6, HOUR))
    tries(meter, 6, ("orders", "a"))
    with pytest.raises(AcmeProblem, match="too many new orders: 6 are allowed within an hour") as refused:
        meter.take([("orders", "a")])
    assert refused.value.type == URN + "rateLimited"
    assert refused.value.status == 429
    assert refused.value.headers == ((b"retry-after", b"601"), (b"link", b'<https://help.example>;rel="help"'))
    clock.advance(timedelta(seconds=601))
    meter.take([("orders", "a")])
    await meter.close()


async def test_of_several_charges_all_are_spent_or_none(clock: FakeClock) -> None:
    meter = meters(Table(), clock, few=Limit("few", 1, HOUR), many=Limit("many", 5, HOUR))
    assert tries(meter, 9, ("many", "a"), ("few", "a"), ("unknown", "a")) == 1
    assert tries(meter, 9, ("many", "a")) == 4
    await meter.close()


async def test_processes_learn_of_each_other_by_their_next_flush(clock: FakeClock) -> None:
    table = Table()
    one, other = (meters(table, clock, orders=Limit("new orders", 10, HOUR)) for _ in range(2))
    assert tries(one, 8, ("orders", "a")) == 8
    assert tries(other, 4, ("orders", "a")) == 4, "nobody has told it yet"
    await one.flush()
    await other.flush()
    assert tries(other, 4, ("orders", "a")) == 0
    one_more = meters(table, clock, orders=Limit("new orders", 10, HOUR))
    assert tries(one_more, 1, ("orders", "a")) == 1
    await one_more.flush()
    assert tries(one_more, 1, ("orders", "a")) == 0, "a restart forgets nothing for longer than a flush"
    for meter in (one, other, one_more):
        await meter.close()


async def test_what_is_spent_while_the_table_is_away_is_written_later(clock: FakeClock) -> None:
    table = Table()
    meter = meters(table, clock, orders=Limit("new orders", 10, HOUR))
    table.down = True
    tries(meter, 3, ("orders", "a"))
    await meter.flush()
    tries(meter, 2, ("orders", "a"))
    table.down = False
    await meter.close()
    assert table.rows["orders:a"] == clock.now() + 5 * HOUR / 10


async def test_what_is_hardly_used_leaves_no_row(clock: FakeClock) -> None:
    table = Table()
    meter = meters(table, clock, twins=Limit("certificates for the same names", 5, HOUR, quiet=1))
    tries(meter, 1, ("twins", "once"))
    tries(meter, 2, ("twins", "twice"))
    await meter.close()
    assert table.rows == {"twins:twice": clock.now() + 2 * HOUR / 5}


async def test_refusals_are_counted_by_their_limit(clock: FakeClock) -> None:
    table = Table()
    meter = meters(table, clock, few=Limit("few", 1, HOUR))
    tries(meter, 3, ("few", "a"))
    meter.count("paused")
    await meter.close()
    tries(meter, 1, ("few", "a"))
    await meter.close()
    assert table.refused["few"] == 3


async def test_memory_is_bounded(clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("troth.enroll.acme.limits._KEPT", 10)
    meter = meters(Table(), clock, orders=Limit("new orders", 10, HOUR))
    for number in range(50):
        meter.take([("orders", str(number))])
    assert len(meter._meters) == 10
    await meter.close()


@given(st.lists(st.integers(0, 900), max_size=60), st.integers(1, 20))
async def test_no_window_ever_holds_more_than_twice_the_most(pauses: list[int], most: int) -> None:
    clock = FakeClock(START)
    meter = meters(Table(), clock, orders=Limit("new orders", most, HOUR))
    let: list[datetime] = []
    for pause in pauses:
        clock.advance(timedelta(seconds=pause))
        if tries(meter, 1, ("orders", "a")):
            let.append(clock.now())
    for begin in let:
        inside = [one for one in let if begin <= one < begin + HOUR]
        assert len(inside) <= 2 * most
    await meter.close()


def test_waits_double_from_a_minute_to_the_longest_and_then_the_name_is_paused() -> None:
    patience = Patience(free=3, longest=HOUR, most=50)
    waits = [int(patience.wait(failures).total_seconds()) for failures in range(1, 12)]
    assert waits == [0, 0, 0, 60, 120, 240, 480, 960, 1920, 3600, 3600]
    assert patience.wait(10_000) == HOUR
    assert [patience.pauses(one) for one in (1, 49, 50, 51)] == [False, False, True, True]
    assert not Patience(most=0).pauses(10_000)


@pytest.mark.parametrize(
    ("name", "domain"),
    [
        ("a.b.c.example", "c.example"),
        ("*.c.example", "c.example"),
        ("example", "example"),
        ("web.sales.corp.example", "sales.corp.example"),
        ("sales.corp.example", "sales.corp.example"),
        ("corp.example", "corp.example"),
    ],
)
def test_names_count_for_their_registered_domain(name: str, domain: str) -> None:
    assert registered_domain(name, frozenset({"corp.example"})) == domain


@given(st.integers(1, 20), st.integers(1, 10_000), st.integers(0, 60), st.integers(1, 2_000))
def test_waits_never_shrink_and_never_exceed_the_longest(free: int, longest: int, most: int, failures: int) -> None:
    patience = Patience(free=free, longest=timedelta(minutes=longest), most=most)
    now, later = patience.wait(failures), patience.wait(failures + 1)
    assert timedelta() <= now <= later <= timedelta(minutes=longest)
    assert (now == timedelta()) is (failures <= free)
    assert not patience.pauses(failures) or patience.pauses(failures + 1), "a pause does not end by failing once more"


class Spending(RuleBasedStateMachine):
    """Three processes spend from one meter and restart, in any order; a model knows what was let through in all."""

    def __init__(self) -> None:
        super().__init__()
        self.clock, self.table = FakeClock(START), Table()
        self.limit = Limit("new orders", 5, HOUR)
        self.full_at = START
        self.processes = [self.fresh() for _ in range(3)]

    def fresh(self) -> Meters:
        return meters(self.table, self.clock, orders=self.limit)

    def spend(self, process: int, number: int) -> int:
        """Try so often in a process, and let it write what came of that; how often it was let through."""

        async def work() -> int:
            through = tries(self.processes[process], number, ("orders", "a"))
            await self.processes[process].close()
            return through

        through = asyncio.run(work())
        if through:
            self.full_at = max(self.full_at, self.clock.now()) + through * self.limit.each
        return through

    @rule(process=st.integers(0, 2), number=st.integers(1, 8))
    def some(self, process: int, number: int) -> None:
        self.spend(process, number)

    @rule(process=st.integers(0, 2))
    def all_that_is_left_once_it_has_heard_of_the_others(self, process: int) -> None:
        if self.spend(process, 1):  # whoever spends learns what the others spent
            left = (self.clock.now() + HOUR - self.full_at) // self.limit.each
            assert self.spend(process, 9) == max(0, left)

    @rule(process=st.integers(0, 2))
    def restart(self, process: int) -> None:
        self.processes[process] = self.fresh()

    @rule(minutes=st.integers(1, 90))
    def wait(self, minutes: int) -> None:
        self.clock.advance(timedelta(minutes=minutes))

    @invariant()
    def the_table_holds_what_was_let_through(self) -> None:
        assert self.table.rows.get("orders:a", START) == self.full_at


TestSpending = Spending.TestCase
TestSpending.settings = settings(max_examples=30, stateful_step_count=20, deadline=None)
