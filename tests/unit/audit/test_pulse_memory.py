"""The page that the processes of a machine share: what one of them writes another reads, and nothing half-written."""

from __future__ import annotations

import os
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from troth.audit.pulse_memory import ALIVE, SLOTS, VOUCHED, Answer, Memory, Slot
from troth.kit.ids import new_id

NOW = 100.0


@pytest.fixture
def page(tmp_path: Path) -> Path:
    return tmp_path / "pulse"


def test_what_one_was_told_the_other_reads(page: Path) -> None:
    one, other = Memory(page), Memory(page)
    assert other.answer() is None
    said = Answer(NOW, NOW - 1, 2**40, new_id(), new_id(), new_id(), NOW - 0.5, True)
    one.tell(said)
    assert other.answer() == said


@pytest.mark.parametrize("number", [0, 1, SLOTS - 1])
def test_what_is_granted_is_granted_to_one_and_by_no_earlier_answer_shortened(page: Path, number: int) -> None:
    one, other = Memory(page), Memory(page)
    whom = Slot(number, new_id(), "radius", 1, NOW)
    one.grant(VOUCHED, whom, NOW)
    other.grant(VOUCHED, whom, NOW - 1)
    assert other.granted(VOUCHED, number, whom.id) == NOW
    never = float("-inf")
    assert [
        other.granted(VOUCHED, number, new_id()),
        other.granted(ALIVE, number, whom.id),
        other.granted(VOUCHED, (number + 1) % SLOTS, whom.id),
    ] == [never, never, never]
    other.grant(VOUCHED, Slot(number, new_id(), "radius", 1, NOW), NOW + 1)
    assert one.granted(VOUCHED, number, whom.id) == never


@pytest.mark.parametrize("mode", [0o620, 0o606, 0o644])
def test_a_page_that_others_may_open_is_not_used(page: Path, mode: int) -> None:
    page.touch()
    page.chmod(mode)
    with pytest.raises(PermissionError):
        Memory(page)


def test_a_page_that_another_made_is_not_used(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Memory(page)
    monkeypatch.setattr("os.geteuid", lambda: 4711)
    with pytest.raises(PermissionError):
        Memory(page)


def test_a_page_that_lies_elsewhere_is_not_used(page: Path) -> None:
    Memory(page.with_name("elsewhere"))
    page.symlink_to(page.with_name("elsewhere"))
    with pytest.raises(OSError, match="symbolic"):
        Memory(page)


def test_a_page_has_its_room_before_it_is_written(page: Path) -> None:
    page.touch(0o600)
    os.truncate(page, 100_000)
    assert page.stat().st_blocks == 0
    Memory(page)
    assert page.stat().st_blocks > 0


def test_those_of_another_database_have_nothing_to_do_with_one_another(page: Path) -> None:
    one, other = Memory(page, "postgresql:///one"), Memory(page, "postgresql:///other")
    one.tell(Answer(NOW, NOW, 5))
    one.join(new_id(), "web", NOW)
    assert other.answer() is None
    assert list(other.slots()) == []


def test_an_answer_that_was_asked_for_earlier_replaces_none(page: Path) -> None:
    one, other = Memory(page), Memory(page)
    one.tell(Answer(NOW, NOW, 9))
    other.tell(Answer(NOW - 1, NOW - 1, 8))
    answer = one.answer()
    assert answer is not None
    assert answer.head == 9


def test_each_process_has_a_slot_of_its_own_until_it_was_not_seen_for_long(page: Path) -> None:
    one, other = Memory(page), Memory(page)
    ids = [new_id(), new_id(), new_id()]
    assert [one.join(ids[0], "status", NOW), other.join(ids[1], "radius", NOW)] == [0, 1]
    other.see(Slot(1, ids[1], "radius", 17, NOW + 9))
    assert [(slot.id, slot.name, slot.index) for slot in one.slots()] == [
        (ids[0], "status", -1),
        (ids[1], "radius", 17),
    ]
    assert one.join(ids[2], "web", NOW + 11) == 0
    one.leave(0)
    assert [slot.number for slot in other.slots()] == [1]


def test_where_there_is_no_slot_left_none_is_given(page: Path) -> None:
    memory = Memory(page)
    assert [memory.join(UUID(int=number + 1), "web", NOW) for number in range(SLOTS)] == list(range(SLOTS))
    assert memory.join(new_id(), "web", NOW) is None


def test_of_two_who_want_to_ask_one_does(page: Path) -> None:
    one, other = Memory(page), Memory(page)
    assert one.claim(NOW)
    assert not other.claim(NOW + 0.1)
    assert other.claim(NOW + 1)  # whoever began is late, or gone
    other.settle()
    assert one.claim(NOW + 1.1)


@given(st.integers(0, 84), st.integers(1, 255))
def test_an_answer_with_any_octet_changed_is_none(place: int, by: int) -> None:
    memory = Memory(None)
    memory.tell(Answer(NOW, NOW, 5, new_id(), new_id()))
    page = memory._page
    page[place] ^= by
    answer = memory.answer()
    assert answer is None


def test_what_was_written_before_the_machine_began_anew_counts_for_nothing(
    page: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Memory(page).tell(Answer(NOW, NOW, 5))
    monkeypatch.setattr("troth.audit.pulse_memory._machine", lambda: b"another")
    assert Memory(page).answer() is None
