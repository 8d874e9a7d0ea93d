"""Nothing is signed twice: what is remembered, and what is too old to be asked for."""

from __future__ import annotations

from uuid import UUID, uuid4

import pytest

from troth.kit.ids import new_id
from troth.pki.signer.errors import SignerRefused
from troth.pki.signer.memory import Memory


def sign(memory: Memory, reservation: UUID, serial: bytes) -> None:
    memory.check(reservation, "k", serial)
    memory.remember(reservation, "k", serial)


def test_a_reservation_and_a_serial_are_taken_once() -> None:
    memory = Memory()
    first = new_id()
    sign(memory, first, b"1")
    with pytest.raises(SignerRefused, match="reservation was presented"):
        memory.check(first, "k", b"2")
    with pytest.raises(SignerRefused, match="serial number was presented"):
        memory.check(new_id(), "k", b"1")
    memory.check(new_id(), "another key", b"1")


def test_a_reservation_from_before_the_start_is_refused() -> None:
    before = new_id()
    with pytest.raises(SignerRefused, match="older"):
        Memory().check(before, "k", b"1")


def test_a_forgotten_reservation_is_too_old_to_come_back() -> None:
    memory = Memory(capacity=3)
    ids = [new_id() for _ in range(5)]
    for n, reservation in enumerate(ids):
        sign(memory, reservation, bytes([n]))
    for n, reservation in enumerate(ids):
        with pytest.raises(SignerRefused):
            memory.check(reservation, "k", bytes([100 + n]))
    memory.check(new_id(), "k", b"new")


@pytest.mark.parametrize("kind", ["of version 4", "nil", "of the future"])
def test_an_id_that_is_not_of_the_present_is_refused(kind: str) -> None:
    # Made here and not while pytest collects: ten minutes later an id of the future would be one of the past.
    made = {"of version 4": uuid4(), "nil": UUID(int=0), "of the future": UUID(int=new_id().int + (60_000 << 80))}
    reservation = made[kind]
    with pytest.raises(SignerRefused, match="UUIDv7 of the present"):
        Memory().check(reservation, "k", b"1")
