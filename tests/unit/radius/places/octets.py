"""Attributes as octets, put together without the code under test: type, vendor and value from the vendors' papers."""

from __future__ import annotations

import struct


def number(kind: int, value: int) -> tuple[int, bytes]:
    """An attribute of 32 bits."""
    return kind, struct.pack(">I", value)


def text(kind: int, value: str) -> tuple[int, bytes]:
    """An attribute that is text."""
    return kind, value.encode()


def vsa(vendor: int, kind: int, value: str | int) -> tuple[int, bytes]:
    """An attribute of a vendor's (RFC 2865, 5.26)."""
    octets = struct.pack(">I", value) if isinstance(value, int) else value.encode()
    return 26, struct.pack(">IBB", vendor, kind, len(octets) + 2) + octets


def cisco(pair: str) -> tuple[int, bytes]:
    """A pair of Cisco's: vendor 9, type 1."""
    return vsa(9, 1, pair)


def vlan(identifier: str) -> list[tuple[int, bytes]]:
    """RFC 3580, 3.31: Tunnel-Type VLAN (13), Tunnel-Medium-Type 802 (6), Tunnel-Private-Group-ID, all without a tag."""
    return [number(64, 13), number(65, 6), text(81, identifier)]


def times(session: int, idle: int | None = None) -> list[tuple[int, bytes]]:
    """Session-Timeout (27) with Termination-Action RADIUS-Request (29 = 1), and Idle-Timeout (28)."""
    found = [number(27, session), number(29, 1)]
    return found if idle is None else [*found, number(28, idle)]
