"""The page that the processes of a machine share: what one of them writes another reads, and nothing half-written."""

from __future__ import annotations

from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from troth.audit.pulse_memory import SLOTS, Answer, Memory, Slot
from troth.kit.ids import new_id

NOW = 100.0


@pytest.fixture
def page(tmp_path: Path) -> Path:
    return tmp_path / "pulse"


def test_what_one_was_told_the_other_reads(page: Path) -> None:
    one, other = Memory(page), Memory(page)
    assert other.answer() is None
    said = Answer(
        NOW, NOW - 1, 2**40, new_id(), new_id(), new_id(), NOW - 0.5, True, frozenset({0, SLOTS - 1}), frozenset({7})
    )
    one.tell(said)
    assert other.answer() == said
    assert other.asked_at() == NOW


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


@given(st.integers(0, 144), st.integers(1, 255))
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
    monkeypatch.setattr("troth.audit.pulse_memory._boot", lambda: b"another")
    assert Memory(page).answer() is None
