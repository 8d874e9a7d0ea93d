"""The trust table: whatever order snapshot, stream and look-ups come in, nobody is admitted above the standing."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from datetime import timedelta

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from msgspec import structs

from tests.unit.radius.admission.world import AT, Device, World
from troth.kit.ids import new_id
from troth.radius.admission.model import Unsettled
from troth.trust.decision.judge import floor
from troth.trust.model import Moment, Outcome
from troth.trust.standing import Standing
from troth.trust.subjects.facts import Observation

_DEVICES = [f"laptop-{number}" for number in range(3)]


@dataclass
class Truth:
    """A device as the database has it."""

    device: Device
    standing: Standing = Standing.TRUSTED
    standing_version: int = 0
    status: str = "good"
    status_version: int = 0
    causes: tuple[str, ...] = ()
    compliant: bool = True


@dataclass
class Read:
    """A read of the database that has begun: its turn, and what it will bring, as of then."""

    turn: int
    rows: list[Truth] = field(default_factory=list)


class TableMachine(RuleBasedStateMachine):
    """The database changes and tells the stream; the stream is applied late, reads begin early and end late.

    At every moment: no verdict is better than what the events that were *applied* say, nor than what they leave open.
    """

    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        self.truth = [Truth(self.world.device(name, put=False)) for name in _DEVICES]
        for one in self.truth:
            self.world.put(one.device)
        #: Committed and not applied yet; with what is true once it is.
        self.stream: list[tuple[object, int, Truth]] = []
        #: What the applied events add up to.
        self.applied = [replace(one) for one in self.truth]
        self.reads: list[Read] = []

    # --- the database changes ----------------------------------------------------------------------------------

    @rule(number=st.integers(0, 2), to=st.sampled_from(list(Standing)))
    def standing_changes(self, number: int, to: Standing) -> None:
        one = self.truth[number]
        one.standing, one.standing_version = to, one.standing_version + 1
        subject = one.device.subject.id
        self._tell(
            number, "standing.changed", f"subject:{subject}", subject_id=str(subject), to=to.value,
            standing_version=one.standing_version,
        )  # fmt: skip

    @rule(number=st.integers(0, 2), status=st.sampled_from(["good", "held", "revoked"]))
    def status_changes(self, number: int, status: str) -> None:
        one = self.truth[number]
        if one.status == "revoked":
            return
        one.status, one.status_version = status, one.status_version + 1
        one.causes = ("admin:a",) if status == "held" else ()
        self._tell(
            number, f"certificate.{status}", f"certificate:{one.device.row.id}",
            certificate_id=str(one.device.row.id), status=status, status_version=one.status_version,
            causes=list(one.causes),
        )  # fmt: skip

    @rule(number=st.integers(0, 2), compliant=st.booleans())
    def posture_changes(self, number: int, compliant: bool) -> None:
        one = self.truth[number]
        one.compliant = compliant
        values = {"posture.compliant": compliant}
        self._tell(number, "fact.reported", f"subject:{one.device.subject.id}", values=values)

    def _tell(self, number: int, kind: str, *refs: str, **data: object) -> None:
        self.stream.append((self.world.event(kind, *refs, **data), number, replace(self.truth[number])))

    # --- the worker hears of it --------------------------------------------------------------------------------

    @precondition(lambda self: self.stream)
    @rule(count=st.integers(1, 4))
    def stream_is_applied(self, count: int) -> None:
        batch, self.stream = self.stream[:count], self.stream[count:]
        self.world.table.apply([event for event, _, _ in batch])  # type: ignore[misc]
        for _, number, then in batch:
            self.applied[number] = then

    @rule()
    def a_read_begins(self) -> None:
        self.reads.append(Read(self.world.table.begin(), [replace(one) for one in self.truth]))

    @precondition(lambda self: self.reads)
    @rule(data=st.data())
    def a_read_ends(self, data: st.DataObject) -> None:
        read = self.reads.pop(data.draw(st.integers(0, len(self.reads) - 1)))
        for one in read.rows:
            self._put(one, read.turn)
        self.world.table.end()

    def _put(self, one: Truth, turn: int) -> None:
        table = self.world.table
        said = (Observation(one.device.subject.id, "posture.compliant", one.compliant, "mdm", AT),)
        table.put_subjects(
            [
                structs.replace(
                    one.device.subject, standing=one.standing.value, version=one.standing_version,
                    said=table.words.pack(said), paths=table.wish, read_at=self.world.clock.monotonic(),
                )
            ],
            turn,
        )  # fmt: skip
        held = one.status == "held"
        table.put_certificates(
            [
                structs.replace(
                    one.device.row, status=one.status, version=one.status_version, held_beside=held,  # type: ignore[arg-type]
                )
            ],
            turn,
        )  # fmt: skip

    # --- what must hold ----------------------------------------------------------------------------------------

    @invariant()
    def nobody_is_admitted_above_what_was_applied(self) -> None:
        for known in self.applied:
            try:
                verdict = self.world.decider.decide(self.world.attempt(known.device))
            except Unsettled:
                continue
            newer = self.truth[self.applied.index(known)]
            if newer.standing_version == known.standing_version:
                assert verdict.outcome >= floor(known.standing, Moment.CONNECT)
            if known.status != "good" and newer.status_version == known.status_version:
                assert verdict.outcome is Outcome.DENY
            if not known.compliant and not newer.compliant:
                assert verdict.outcome >= Outcome.QUARANTINE

    def teardown(self) -> None:
        """Once all was applied and read, the table says what the database says."""
        self.world.table.apply([event for event, _, _ in self.stream])  # type: ignore[misc]
        for read in self.reads:
            for one in read.rows:
                self._put(one, read.turn)
            self.world.table.end()
        turn = self.world.table.begin()
        for one in self.truth:
            self._put(one, turn)
        self.world.table.end()
        for one in self.truth:
            verdict = self.world.decider.decide(self.world.attempt(one.device))
            expected = max(
                floor(one.standing, Moment.CONNECT),
                Outcome.ALLOW if one.status == "good" else Outcome.DENY,
                Outcome.ALLOW if one.compliant else Outcome.QUARANTINE,
            )
            assert verdict.outcome is expected


TableMachine.TestCase.settings = settings(max_examples=50, stateful_step_count=20, deadline=None)
TestAnyOrder = TableMachine.TestCase


async def test_whoever_waits_for_a_birth_is_let_in_as_soon_as_it_was_read() -> None:
    world = World()
    young = world.device(put=False, begins=AT - timedelta(minutes=1))
    waiting = asyncio.create_task(world.table.settled(young.row.sha256, 5.0))
    await asyncio.sleep(0)
    world.put(young)
    assert await waiting
    assert len(world.table.doubts.waiting) == 0


async def test_nothing_is_kept_of_those_who_waited_in_vain() -> None:
    world = World()
    assert not await world.table.settled(b"x" * 32, 0.01)
    assert len(world.table.doubts.waiting) == 0


def test_before_every_certificate_is_loaded_a_miss_says_nothing() -> None:
    world = World()
    device = world.device(put=False)
    world.table.complete = False
    with pytest.raises(Unsettled) as caught:
        world.decider.decide(world.attempt(device))
    assert caught.value.otherwise is None


def test_a_subject_that_was_removed_speaks_for_nobody() -> None:
    world = World()
    device = world.device()
    world.put(replace(device, subject=structs.replace(device.subject, removed=True)))
    assert world.decider.decide(world.attempt(device)).reason == "trust.connect.certificate_subjectless"


def test_an_owner_s_standing_counts_with_the_device_s_own() -> None:
    world = World()
    device = world.device()
    owner = structs.replace(device.subject, id=new_id(), kind="user", name="alice")
    owned = replace(device, subject=structs.replace(device.subject, owner=owner.id))
    turn = world.table.begin()
    world.table.put_subjects([structs.replace(owner, paths=world.table.wish)], turn)
    world.table.end()
    world.put(owned)
    assert world.decider.decide(world.attempt(owned)).outcome is Outcome.ALLOW
    world.told("standing.changed", subject_id=str(owner.id), to="quarantined", standing_version=1)
    assert world.decider.decide(world.attempt(owned)).outcome is Outcome.QUARANTINE


def test_what_has_ended_is_forgotten_with_whoever_it_spoke_for() -> None:
    world = World()
    world.device("old", ends=AT + timedelta(hours=1))
    stays = world.device("new")
    assert (len(world.table), world.table.people) == (2, 2)
    world.clock.advance(timedelta(hours=2))
    for _ in world.table.sweep():
        pass
    assert (len(world.table), world.table.people) == (1, 1)
    assert world.decider.decide(world.attempt(stays)).admitted


def test_a_profile_that_no_network_admits_any_more_is_forgotten() -> None:
    world = World()
    device = world.device()
    assert world.table.want(frozenset({"quarantine"}), frozenset()) == frozenset()
    assert len(world.table) == 0
    assert world.table.certificate(device.row.sha256) is None


def test_a_read_that_began_before_something_was_told_does_not_settle_it() -> None:
    world = World()
    device = world.device()
    turn = world.table.begin()
    world.told("fact.reported", f"subject:{device.subject.id}", values={"posture.compliant": False})
    world.put(device, turn)
    with pytest.raises(Unsettled):
        world.decider.decide(world.attempt(device))
    world.put(device)
    assert world.decider.decide(world.attempt(device)).admitted


def test_what_is_told_of_a_stranger_while_a_read_goes_on_counts_once_he_is_read() -> None:
    world = World()
    device = world.device(put=False)
    turn = world.table.begin()
    world.told("fact.reported", f"subject:{device.subject.id}", values={"posture.compliant": False})
    world.put(device, turn)
    with pytest.raises(Unsettled):
        world.decider.decide(world.attempt(device))


def test_a_fact_that_no_policy_reads_unsettles_nobody() -> None:
    world = World()
    device = world.device()
    world.told("fact.reported", f"subject:{device.subject.id}", values={"device.model": "X1"})
    assert world.decider.decide(world.attempt(device)).admitted
