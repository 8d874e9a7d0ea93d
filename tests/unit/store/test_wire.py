"""Exchanges, against a server that says whatever the test wants."""

from __future__ import annotations

import asyncio
import itertools
import struct
from collections.abc import Sequence
from typing import Any, cast

import asyncpg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from troth.store import wire as wire_module
from troth.store.wire import Ask, Outcome, Unsupported, Wire

TWO = Ask("SELECT $1::int4 AS a, $2::text AS b", [7, "x"])


class Transport:
    """Takes what is written, and can be closed."""

    def __init__(self) -> None:
        self.written = b""
        self.aborted = False

    def write(self, data: bytes) -> None:
        self.written += data

    def is_closing(self) -> bool:
        return self.aborted


class Connection:
    """What a wire keeps of asyncpg's."""

    def __init__(self) -> None:
        self._transport = Transport()

    def terminate(self) -> None:
        self._transport.aborted = True


def message(kind: bytes, body: bytes = b"") -> bytes:
    return kind + struct.pack(">i", len(body) + 4) + body


def described(parameters: Sequence[int], columns: Sequence[tuple[str, int]]) -> bytes:
    fields = b"".join(name.encode() + b"\0" + struct.pack(">ihIhih", 0, 0, oid, -1, -1, 1) for name, oid in columns)
    return (
        message(b"1")
        + message(b"t", struct.pack(f">h{len(parameters)}I", len(parameters), *parameters))
        + (message(b"T", struct.pack(">h", len(columns)) + fields) if columns else message(b"n"))
    )


def row(*values: bytes | None) -> bytes:
    cells = b"".join(struct.pack(">i", -1) if v is None else struct.pack(">i", len(v)) + v for v in values)
    return message(b"D", struct.pack(">h", len(values)) + cells)


READY = message(b"Z", b"I")
PREPARED = described([23, 25], [("a", 23), ("b", 25)]) + READY
ANSWER = message(b"2") + row(b"\0\0\0\x07", b"x") + row(None, b"y") + message(b"C", b"SELECT 2\0") + READY


async def exchanged(asks: Sequence[Ask], *answers: bytes, cut: Sequence[int] = ()) -> tuple[Outcome, Wire]:
    """What an exchange comes to when the server answers so, each answer cut where ``cut`` says."""
    wire = Wire(Connection())
    task = asyncio.create_task(wire.exchange(asks))
    for answer in answers:
        await asyncio.sleep(0)
        places = sorted({0, len(answer), *(place % (len(answer) + 1) for place in cut)})
        for begin, end in itertools.pairwise(places):
            wire.data_received(answer[begin:end])
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    return await task, wire


@given(st.lists(st.integers(0, 400), max_size=12))
def test_an_answer_is_read_the_same_however_it_is_cut(cut: list[int]) -> None:
    outcome, _ = asyncio.run(exchanged([TWO], PREPARED, ANSWER, cut=cut))
    assert outcome.rows == [[(7, "x"), (None, "y")]]
    assert outcome.columns == [("a", "b")]
    assert outcome.tags == ["SELECT 2"]
    assert outcome.error is None


async def test_a_statement_is_prepared_once() -> None:
    _, wire = await exchanged([TWO, TWO], PREPARED, ANSWER[: -len(READY)] + ANSWER)
    transport = cast("Transport", wire._transport)
    assert transport.written.count(b"SELECT $1::int4") == 1
    transport.written = b""
    task = asyncio.create_task(wire.exchange([TWO]))
    await asyncio.sleep(0)
    assert transport.written.startswith(b"B")
    wire.data_received(ANSWER)
    assert len((await task).rows[0]) == 2


async def test_an_error_ends_the_exchange_and_what_came_before_stands() -> None:
    failed = message(b"E", b"SERROR\0C40001\0Mtoo slow\0\0")
    outcome, wire = await exchanged([TWO, TWO], PREPARED, ANSWER[: -len(READY)] + failed + READY)
    assert len(outcome.rows) == 1
    assert isinstance(outcome.error, asyncpg.SerializationError)
    assert not wire.closed


async def test_a_statement_that_the_server_takes_amiss_is_told_and_others_go_on() -> None:
    failed = message(b"E", b"SERROR\0C42P01\0Mno such table\0\0") + READY
    outcome, wire = await exchanged([TWO], failed)
    assert isinstance(outcome.error, asyncpg.UndefinedTableError)
    assert outcome.rows == []
    task = asyncio.create_task(wire.exchange([TWO]))
    for answer in (PREPARED, ANSWER):
        await asyncio.sleep(0)
        wire.data_received(answer)
    assert (await task).tags == ["SELECT 2"]


async def test_a_type_without_a_codec_is_said_before_anything_is_done() -> None:
    with pytest.raises(Unsupported):
        await exchanged([TWO], described([23, 1700], [("a", 23)]) + READY)


async def test_a_wrong_number_of_values_is_a_mistake_of_the_caller() -> None:
    with pytest.raises(TypeError, match="2 values are wanted"):
        await exchanged([Ask(TWO.sql, [1])], PREPARED)


async def test_a_connection_that_ends_fails_who_waits_and_who_comes_later() -> None:
    wire = Wire(Connection())
    task = asyncio.create_task(wire.exchange([TWO]))
    await asyncio.sleep(0)
    wire.connection_lost(None)
    with pytest.raises(ConnectionResetError):
        await task
    with pytest.raises(ConnectionResetError):
        await wire.exchange([TWO])


async def test_an_answer_that_does_not_come_ends_the_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire_module, "_PATIENCE", 0.01)
    wire = Wire(Connection())
    with pytest.raises(TimeoutError):
        await wire.exchange([TWO])
    assert wire.closed


async def test_a_caller_who_gives_up_ends_the_connection_since_the_answer_is_still_to_come() -> None:
    wire = Wire(Connection())
    task = asyncio.create_task(wire.exchange([TWO]))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert wire.closed


async def test_the_servers_last_word_to_an_idle_connection_closes_it() -> None:
    _, wire = await exchanged([TWO], PREPARED, ANSWER)
    wire.data_received(message(b"E", b"SFATAL\0C57P01\0Mterminating\0\0"))
    assert wire.closed


_CHANGED = st.tuples(st.integers(0, len(ANSWER) - 1), st.integers(0, 255))


@given(st.lists(_CHANGED, min_size=1, max_size=4), st.binary(max_size=30))
def test_a_server_that_talks_nonsense_loses_its_connection_and_raises_nothing_else(
    changes: list[tuple[int, int]], more: bytes
) -> None:
    async def run() -> Any:
        spoilt = bytearray(ANSWER)
        for place, value in changes:
            spoilt[place] = value
        wire = Wire(Connection())
        task = asyncio.create_task(wire.exchange([TWO]))
        await asyncio.sleep(0)
        wire.data_received(PREPARED)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        wire.data_received(bytes(spoilt) + more)
        wire.connection_lost(None)
        try:
            return await task
        except ConnectionError as error:
            return error

    assert isinstance(asyncio.run(run()), (Outcome, ConnectionError))
