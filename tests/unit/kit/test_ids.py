from __future__ import annotations

import copy
import time
from uuid import RFC_4122, UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from troth.kit import ids
from troth.kit.ids import new_id, parse_id


def test_an_id_is_a_uuid_of_version_7_and_the_rfc_variant() -> None:
    made = new_id()
    assert made.version == 7
    assert made.variant == RFC_4122


def test_an_id_begins_with_the_time_in_milliseconds() -> None:
    before = time.time_ns() // 1_000_000
    stamp = new_id().int >> 80
    assert before <= stamp <= time.time_ns() // 1_000_000 + 1


def test_ids_of_one_process_sort_in_the_order_of_their_making() -> None:
    made = [new_id() for _ in range(5000)]
    assert made == sorted(made)
    assert len(set(made)) == len(made)


def test_order_survives_a_clock_that_stands_still_or_steps_back(monkeypatch: pytest.MonkeyPatch) -> None:
    start = time.time_ns() + 10**9
    readings = iter([start, start, start - 5 * 10**9, start + 1])
    monkeypatch.setattr(ids.time, "time_ns", lambda: next(readings))
    monkeypatch.setattr(ids, "_last_ns", 0)
    made = [new_id() for _ in range(4)]
    assert made == sorted(made)


@given(st.uuids())
def test_the_canonical_form_is_parsed(value: UUID) -> None:
    assert parse_id(str(value)) == value


@pytest.mark.parametrize("wrap", ["{{{}}}", "urn:uuid:{}", "{} ", " {}", "{}0"])
@given(value=st.uuids())
def test_other_spellings_of_a_uuid_find_nothing(wrap: str, value: UUID) -> None:
    assert parse_id(wrap.format(value)) is None


def test_upper_case_and_bare_hex_find_nothing() -> None:
    value = UUID("0190f5c0-9abc-7def-8abc-0123456789ab")
    assert parse_id(str(value).upper()) is None
    assert parse_id(value.hex) is None


@given(st.text(max_size=60))
def test_any_text_is_an_id_or_nothing(text: str) -> None:
    found = parse_id(text)
    assert found is None or str(found) == text


@given(st.uuids(version=4) | st.uuids())
def test_identifiers_of_the_databases_driver_are_those_of_python(value: UUID) -> None:
    import troth.store.codec  # noqa: F401 -- brings the driver's class with it

    parsed, text = parse_id(str(value)), str(value)
    assert parsed is not None
    assert type(parsed) is type(new_id()) is not UUID
    assert isinstance(parsed, UUID)
    assert (parsed, str(parsed), parsed.int, parsed.bytes) == (value, text, value.int, value.bytes)
    assert (hash(parsed), {value: 1}[parsed], {parsed: 1}[value]) == (hash(value), 1, 1)
    assert (parsed < new_id()) is (value < new_id())
    assert msgspec.json.encode(parsed) == msgspec.json.encode(value)
    assert copy.deepcopy(parsed) == value
