"""Serial numbers: 16 octets, unguessable, in the order of their making."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from typing import NewType

SerialNumber = NewType("SerialNumber", bytes)

#: Octets. Below the 20 of RFC 5280, 4.1.2.2, with room for the sign octet that some decoders add.
LENGTH = 16
_EPOCH = datetime(2026, 1, 1, tzinfo=UTC)


def new_serial(now: datetime) -> SerialNumber:
    """A fresh serial number: 0x40, five octets of milliseconds, ten octets from the system's generator.

    The first octet keeps the INTEGER positive and exactly 16 octets long, so that templates need no length fix-ups.
    Time in front keeps rows made together in the same index pages; 80 random bits are above the 64 that the
    CA/Browser Forum's Baseline Requirements (7.1) ask for.
    """
    milliseconds = int((now - _EPOCH).total_seconds() * 1000) & 0xFF_FFFF_FFFF
    return SerialNumber(b"\x40" + milliseconds.to_bytes(5, "big") + os.urandom(10))


def made_at(serial: bytes, near: datetime) -> datetime:
    """When a serial number of :func:`new_serial` was made: the moment nearest to ``near`` (its clock turns over every
    34 years). For a number that was not made so, any moment."""
    turn = 1 << 40
    said = int.from_bytes(serial[1:6], "big")
    now = int((near - _EPOCH).total_seconds() * 1000)
    milliseconds = said + (now - said + turn // 2) // turn * turn
    return _EPOCH + timedelta(milliseconds=milliseconds)


def shard_of(serial: bytes, shards: int) -> int:
    """Which of an authority's ``shards`` CRLs lists this serial number, if it is issued now: fixed from then on."""
    return int.from_bytes(serial, "big") % shards if shards > 1 else 0
