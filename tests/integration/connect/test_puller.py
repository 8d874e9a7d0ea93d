"""Who reads what, and when: one process for each group, at most one writer, whatever fails."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from tests.support.signals import Trust
from tests.support.vendors.harness import Connected, connected_with
from troth.connect import connector_store
from troth.connect.connector import Pulled, Pushed, Read, Vendor, Wiring
from troth.connect.errors import PUSH_UNAUTHENTICATED, VENDOR_FAILED, ConnectorError, PushRefused, Throttled
from troth.connect.puller import Puller
from troth.kit.canonical import Json
from troth.kit.ids import new_id
from troth.kit.lane import Request
from troth.store.errors import LeaseLost
from troth.trust.intake.inbox import Inbox
from troth.trust.signals.model import Whom


class NoOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """None."""


@dataclass
class Script:
    """What the invented vendor does: ``steps`` are run one after the other, the last for ever."""

    steps: list[Callable[[Wiring, Json], Pulled]] = field(default_factory=list)
    cursors: list[Json] = field(default_factory=list)
    closed: int = 0
    opened: int = 0
    called: asyncio.Event = field(default_factory=asyncio.Event)


class Invented:
    """A connector that does as its script says."""

    def __init__(self, wiring: Wiring, script: Script) -> None:
        self._wiring = wiring
        self._script = script
        script.opened += 1
        self.reads = (Read("things", self._pull, self._probe, "Things: read", 30),)

    async def _pull(self, cursor: Json) -> Pulled:
        self._script.cursors.append(cursor)
        self._script.called.set()
        steps = self._script.steps
        step = steps.pop(0) if len(steps) > 1 else steps[0]
        return step(self._wiring, cursor)

    async def _probe(self) -> None: ...

    async def push(self, request: Request) -> Pushed:
        raise PushRefused(PUSH_UNAUTHENTICATED)

    async def close(self) -> None:
        self._script.closed += 1


@pytest.fixture
def script() -> Script:
    return Script()


@pytest.fixture
async def invented(trust: Trust, script: Script) -> AsyncIterator[Connected]:
    vendor = Vendor(name="invented", title="Invented", make=lambda wiring: Invented(wiring, script), options=NoOptions,
                    secrets={"token": "a token"}, hosts=("x.example",))  # fmt: skip
    async with connected_with(trust, {"invented": vendor}) as made:
        await made.connect(None, "invented", base_url="https://x.example", secrets={"token": "t"})
        yield made


def brings(number: int, *, more: bool = False) -> Callable[[Wiring, Json], Pulled]:
    def step(wiring: Wiring, _cursor: Json) -> Pulled:
        signal = wiring.signal(
            "edr.contained", Whom(kind="device", name="laptop-1"), message_id=f"m{number}",
            observed_at=wiring.clock.now(),
        )  # fmt: skip
        return Pulled([signal], (), {"place": number}, more)

    return step


def fails(error: Exception) -> Callable[[Wiring, Json], Pulled]:
    def step(_wiring: Wiring, _cursor: Json) -> Pulled:
        raise error

    return step


def another(invented: Connected) -> Puller:
    """The puller of another process."""
    inbox = Inbox(invented.trust.database, invented.clock)
    return Puller(invented.trust.database, invented.clock, new_id(), invented.desk.opener, inbox)


async def test_the_cursor_goes_with_what_it_covers_and_the_next_pull_begins_there(
    invented: Connected, script: Script
) -> None:
    script.steps = [brings(1, more=True), brings(2)]
    assert await invented.pull("things") == 2
    assert script.cursors == [None, {"place": 1}]
    state = await invented.state("things")
    assert (state.cursor, state.more, state.signals) == ({"place": 2}, False, 2)
    await invented.pull("things")
    assert script.cursors[-1] == {"place": 2}


async def test_who_has_lost_the_lease_writes_nothing_more(invented: Connected, script: Script) -> None:
    script.steps = [brings(1)]
    group = f"connect:{invented.desk.opener.group((await invented.desk.find('it')).definition)}"
    assert await invented.puller.hold(group)
    other = another(invented)
    assert not await other.hold(group)
    await invented.trust.database.fetchval(
        "UPDATE lease SET lease_until = now() - interval '1 second' WHERE name = $1", group
    )
    assert await other.hold(group)
    stored, made = await invented.desk.find("it"), await invented.opened()
    with pytest.raises(LeaseLost):
        await invented.puller.pull(stored, made.connector.reads[0], None, group)
    assert await connector_store.reads(invented.trust.database) == []
    await invented.act()
    assert await invented.signals() == []
    assert await other.pull(stored, made.connector.reads[0], None, group) is False
    await invented.act()
    assert len(await invented.signals()) == 1


async def _until(condition: Callable[[], Any], puller: Puller) -> None:
    """Let the puller work until ``condition`` holds."""
    async with asyncio.timeout(120):
        while not await condition():
            await puller.look()
            await asyncio.sleep(0.01)


async def test_two_processes_run_a_connector_once_and_a_change_starts_it_anew(
    invented: Connected, script: Script
) -> None:
    script.steps = [brings(1)]
    await invented.trust.subject("laptop-1")
    other, stop = another(invented), asyncio.Event()

    async def pulled() -> bool:
        return bool(script.cursors)

    await _until(pulled, invented.puller)
    await other.look()
    assert script.opened == 1
    await invented.desk.set_secret("it", "token", b"new", actor="admin:alice")

    async def anew() -> bool:
        return script.opened == 2

    await _until(anew, invented.puller)
    assert script.closed == 1
    await invented.desk.pause("it", paused=True, reason="x", actor="admin:alice")
    await invented.puller.look()
    assert script.closed == 2
    stop.set()
    await invented.puller.run(stop)


async def test_a_failure_is_written_down_with_its_code_and_forgotten_with_the_next_success(
    invented: Connected, script: Script
) -> None:
    script.steps = [fails(ConnectorError(VENDOR_FAILED, "status 500")), fails(RuntimeError("secret t")), brings(1)]
    stored, made = await invented.desk.find("it"), await invented.opened()
    read = made.connector.reads[0]
    await invented.puller.hold(f"connect:{invented.desk.opener.group(stored.definition)}")
    waits = []
    for number in (1, 2):
        try:
            await invented.pull("things")
        except (ConnectorError, RuntimeError) as error:
            waits.append(await invented.puller._later("it", read, error, number))
    state = await invented.state("things")
    assert (state.failures, state.code, state.detail) == (2, "internal.error", "RuntimeError")
    assert waits == [2.0, 4.0]
    await invented.pull("things")
    state = await invented.state("things")
    assert (state.failures, state.code, state.signals) == (0, None, 1)


async def test_waits_grow_and_end_where_the_vendor_says_or_after_five_minutes(
    invented: Connected, script: Script
) -> None:
    read = (await invented.opened()).connector.reads[0]
    failed = ConnectorError(VENDOR_FAILED)
    assert [await invented.puller._later("it", read, failed, n) for n in (1, 5, 50)] == [2.0, 32.0, 300.0]
    until = invented.clock.now() + timedelta(seconds=77)
    assert await invented.puller._later("it", read, Throttled("x", until=until), 1) == 77.0


async def test_a_restart_does_not_begin_anew_what_was_read_a_moment_ago(invented: Connected, script: Script) -> None:
    script.steps = [brings(1)]
    await invented.pull("things")
    state = await invented.state("things")
    read = (await invented.opened()).connector.reads[0]
    assert invented.puller._until_due(state, read) == 30.0
    invented.clock.advance(timedelta(seconds=31))
    assert invented.puller._until_due(state, read) <= 0
    assert invented.puller._until_due(replace(state, more=True), read) <= 0


async def test_connectors_of_one_tenant_share_a_group_and_others_do_not(invented: Connected) -> None:
    for name, tenant in (("a", "t1"), ("b", "t1"), ("c", "t2")):
        await invented.connect(None, "invented", name=name, base_url="https://x.example", tenant=tenant)
    groups = [invented.desk.opener.group((await invented.desk.find(name)).definition) for name in ("a", "b", "c")]
    assert groups[0] == groups[1] != groups[2]


async def test_a_connector_without_its_secret_and_one_of_an_unknown_vendor_stop_nobody(
    invented: Connected, script: Script
) -> None:
    await invented.trust.database.fetchval(
        """INSERT INTO connector (name, vendor, feed, definition, version, paused, reason, applied_at, actor)
           VALUES ('odd', 'gone', 'edr', '{"name": "odd", "vendor": "gone", "feed": "edr"}', 1, false, '', $1, 'x')""",
        invented.clock.now(),
    )
    script.steps = [brings(1)]

    async def written() -> bool:
        states = {one.connector: one.code for one in await connector_store.reads(invented.trust.database)}
        return states == {"it": None, "odd": "connector.invalid"}

    await _until(written, invented.puller)
    stop = asyncio.Event()
    stop.set()
    await invented.puller.run(stop)


async def test_secrets_are_sealed_bound_to_their_connector_and_gone_with_it(
    invented: Connected, script: Script
) -> None:
    await invented.connect(None, "invented", name="two", base_url="https://x.example", secrets={"token": "hunter2"})
    rows = await invented.trust.database.fetch("SELECT connector, sealed FROM connector_secret ORDER BY connector")
    assert all(b"hunter2" not in row["sealed"] for row in rows)
    await invented.trust.database.fetchval(
        "UPDATE connector_secret SET sealed = $1 WHERE connector = 'it'", rows[1]["sealed"]
    )
    from troth.kit.sealing import SealBroken

    with pytest.raises(SealBroken):
        await invented.desk.opener.open(await invented.desk.find("it"))
    events = str(await invented.trust.events())
    assert "connector.secret_changed" in events
    assert "hunter2" not in events
    await invented.desk.remove("two", actor="admin:alice")
    await invented.desk.remove("it", actor="admin:alice")
    assert await invented.trust.database.fetchval("SELECT count(*) FROM connector_secret") == 0


async def test_rereading_begins_at_the_beginning_and_takes_nothing_twice(invented: Connected, script: Script) -> None:
    await invented.trust.subject("laptop-1")
    script.steps = [brings(1)]
    await invented.pull("things")
    await invented.desk.reread("it", actor="admin:alice")
    await invented.pull("things")
    assert script.cursors == [None, None]
    assert len(await invented.signals()) == 1


async def test_whenever_the_puller_dies_no_page_is_lost_and_none_counts_twice(
    invented: Connected, script: Script
) -> None:
    """Killed at the first wait, the second … of a pull; the next process goes on where the last durable page ended."""
    laptop = await invented.trust.subject("laptop-1")

    def page(wiring: Wiring, cursor: Json) -> Pulled:
        number = cursor["place"] if isinstance(cursor, dict) else 0
        assert isinstance(number, int)
        return brings(number + 1)(wiring, cursor)

    script.steps = [page]
    stored, made = await invented.desk.find("it"), await invented.opened()
    read, group = made.connector.reads[0], f"connect:{invented.desk.opener.group((stored).definition)}"
    await invented.puller.hold(group)

    async def place() -> Any:
        return next(iter(await connector_store.reads(invented.trust.database, "it")), None)

    for step in range(0, 40, 2):
        dying = asyncio.create_task(invented.puller.pull(stored, read, await place(), group))
        for _ in range(step):
            await asyncio.sleep(0)
        dying.cancel()
        await asyncio.gather(dying, return_exceptions=True)
    await invented.puller.pull(stored, read, await place(), group)
    await invented.act()
    last = (await place()).cursor["place"]
    assert [one.message_id for one in await invented.signals()] == [f"m{n}" for n in range(1, last + 1)]
    assert {one.subject_id for one in await invented.signals()} == {laptop}


async def test_what_is_read_no_more_is_forgotten_and_a_secret_that_came_ends_the_complaint(
    invented: Connected, script: Script
) -> None:
    script.steps = [brings(1)]
    await invented.connect(None, "invented", name="two", base_url="https://x.example", tenant="other")
    await invented.puller._failed("two", "connector", ConnectorError(VENDOR_FAILED))
    await invented.puller._failed("two", "gone", ConnectorError(VENDOR_FAILED))
    assert len(await connector_store.reads(invented.trust.database, "two")) == 2

    async def clean() -> bool:
        return {one.read for one in await connector_store.reads(invented.trust.database, "two")} == {"things"}

    await _until(clean, invented.puller)
    stop = asyncio.Event()
    stop.set()
    await invented.puller.run(stop)


async def test_a_secret_is_never_sent_to_another_address_than_it_was_handed_over_for(
    invented: Connected, script: Script
) -> None:
    script.steps = [brings(1)]
    await invented.pull("things")
    await invented.connect(None, "invented", base_url="https://x.example", poll_seconds=60)
    (book,) = await invented.desk.book()
    assert (book.missing, list(book.secrets)) == ((), ["token"])
    for change in ({"base_url": "https://y.x.example"}, {"tenant": "another"}, {"client_id": "another"}):
        await invented.desk.set_secret("it", "token", b"t", actor="admin:alice")
        await invented.connect(None, "invented", **({"base_url": "https://x.example"} | change))
        (book,) = await invented.desk.book()
        assert (book.missing, dict(book.secrets), book.reads) == (("token",), {}, ())
        await invented.connect(None, "invented", base_url="https://x.example")
