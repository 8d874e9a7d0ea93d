"""How a connection of validation is read, by what the loop tells it."""

from __future__ import annotations

import asyncio

import pytest

from troth.enroll.acme.validate.dial import Line


class Wire(asyncio.Transport):
    """A transport that notes whether it is read from."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[str] = []

    def pause_reading(self) -> None:
        self.told.append("pause")

    def resume_reading(self) -> None:
        self.told.append("resume")

    def abort(self) -> None:
        self.told.append("abort")


@pytest.fixture
def wire() -> Wire:
    return Wire()


@pytest.fixture
def line(wire: Wire) -> Line:
    line = Line()
    line.connection_made(wire)
    return line


async def test_what_comes_before_and_while_it_is_waited_for_is_read_in_the_slices_asked_for(line: Line) -> None:
    line.data_received(b"abc")
    line.data_received(b"de")
    assert [await line.read(4), await line.read(4)] == [b"abcd", b"e"]
    waiting = asyncio.create_task(line.read(4))
    await asyncio.sleep(0)
    line.data_received(b"fghij")
    assert [await waiting, await line.read(4)] == [b"fghi", b"j"]
    line.data_received(b"k")
    line.eof_received()
    assert [await line.read(4), await line.read(4)] == [b"k", b""]


async def test_no_more_than_a_little_is_taken_from_a_peer_before_it_is_read(line: Line, wire: Wire) -> None:
    for _ in range(5):
        line.data_received(bytes(4096))
    assert wire.told == ["pause"]
    await line.read(1)
    await line.read(4095)
    assert wire.told == ["pause", "resume"]


async def test_after_a_paused_peer_ended_its_transport_is_left_alone(line: Line, wire: Wire) -> None:
    line.data_received(bytes(20_000))
    line.connection_lost(None)
    while await line.read(4096):
        pass
    assert wire.told == ["pause"]


async def test_a_connection_that_breaks_off_says_so_to_who_waits_and_to_who_comes_later(line: Line) -> None:
    waiting = asyncio.create_task(line.read(4))
    await asyncio.sleep(0)
    line.connection_lost(ConnectionResetError("reset"))
    for reading in (waiting, line.read(4)):
        with pytest.raises(ConnectionResetError):
            await reading


async def test_leaving_closes_hard(line: Line, wire: Wire) -> None:
    with line:
        pass
    assert wire.told == ["abort"]
