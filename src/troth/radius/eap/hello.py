"""What a device offers: its ClientHello (RFC 8446, 4.1.2), read before OpenSSL is given it.

Two things hang on it: how its session can be resumed (wpa_supplicant takes no tickets under TLS 1.2, only session
ids), and the timeline's first line. Whatever cannot be read is left to OpenSSL, which answers with the right alert;
nothing is decided on what stands here.
"""

from __future__ import annotations

from functools import lru_cache

import msgspec

_HANDSHAKE, _CLIENT_HELLO = 22, 1
_LONGEST = 32_768
#: Octets of the versions and groups that are noted: a line of a timeline, not what somebody fills it with.
_MOST = 32
_TICKET, _GROUPS, _VERSIONS, _PSK = 35, 10, 43, 41

_NAMES = {
    0x0017: "P-256", 0x0018: "P-384", 0x0019: "P-521", 0x001D: "X25519", 0x001E: "X448", 0x11EB: "SecP256r1MLKEM768",
    0x11EC: "X25519MLKEM768", 0x11ED: "SecP384r1MLKEM1024", 0x0100: "ffdhe2048", 0x0101: "ffdhe3072",
    0x0102: "ffdhe4096", 0x0103: "ffdhe6144", 0x0104: "ffdhe8192",
}  # fmt: skip
_TLS = {0x0301: "1.0", 0x0302: "1.1", 0x0303: "1.2", 0x0304: "1.3"}


class Hello(msgspec.Struct, frozen=True):
    """An offer.

    Attributes:
        versions: of TLS, the highest first: ``("1.3", "1.2")``; those that nobody knows (GREASE) are left out.
        groups: of the key exchange, by name where Troth knows one.
        tickets: it takes session tickets, or speaks TLS 1.3, where there is nothing else.
        returning: it asks for an earlier session.
    """

    versions: tuple[str, ...]
    groups: tuple[str, ...]
    tickets: bool
    returning: bool

    def __str__(self) -> str:
        back = ", an earlier session" if self.returning else ""
        return (
            f"TLS {', '.join(self.versions) or 'of no known version'}; groups {', '.join(self.groups) or 'none'}{back}"
        )


def read_hello(flight: bytes) -> Hello | None:
    """The ClientHello in a device's first flight, records and all; None for what is none."""
    try:
        return _read(flight)
    except (IndexError, ValueError):
        return None


def _read(flight: bytes) -> Hello | None:
    body = _message(flight)
    if body is None:
        return None
    at = 34  # legacy_version (2), random (32)
    session, at = body[at], at + 1 + body[at]
    at += 2 + (body[at] << 8 | body[at + 1])  # cipher suites
    at += 1 + body[at]  # compression methods
    versions, groups = body[:2], b""
    ticket = psk = False
    ticket_length = 0
    if at < len(body):
        end = at + 2 + (body[at] << 8 | body[at + 1])
        if end != len(body):
            return None
        at += 2
        while at < end:
            kind, length = body[at] << 8 | body[at + 1], body[at + 2] << 8 | body[at + 3]
            at += 4
            if at + length > end:
                return None
            if kind == _TICKET:
                ticket, ticket_length = True, length
            elif kind == _PSK:
                psk = True
            elif kind == _GROUPS:
                groups = body[at + 2 : at + length]
            elif kind == _VERSIONS:
                versions = body[at + 1 : at + length]
            at += length
    known = _versions(versions[:_MOST])
    modern = "1.3" in known
    returning = psk or ticket_length > 0 or (session > 0 and not modern)
    return Hello(known, _groups(groups[:_MOST]), ticket or modern, returning)


def _message(flight: bytes) -> bytes | None:
    """The body of the first handshake message, which may stand in several records, if it is a ClientHello."""
    if len(flight) > _LONGEST:
        return None
    collected, at = b"", 0
    while at + 5 <= len(flight):
        length = flight[at + 3] << 8 | flight[at + 4]
        if flight[at] != _HANDSHAKE or not length or at + 5 + length > len(flight):
            return None
        collected += flight[at + 5 : at + 5 + length]
        at += 5 + length
        if len(collected) >= 4:
            wanted = 4 + int.from_bytes(collected[1:4], "big")
            if collected[0] != _CLIENT_HELLO:
                return None
            if len(collected) >= wanted:
                return collected[4:wanted]
    return None


# A device offers the same each time, and most devices what others do.


@lru_cache(maxsize=256)
def _versions(octets: bytes) -> tuple[str, ...]:
    return tuple(_TLS[one] for one in sorted(_numbers(octets), reverse=True) if one in _TLS)


@lru_cache(maxsize=256)
def _groups(octets: bytes) -> tuple[str, ...]:
    return tuple(_NAMES.get(one, f"{one:#06x}") for one in _numbers(octets) if one & 0x0F0F != 0x0A0A)


def _numbers(octets: bytes) -> list[int]:
    return [octets[at] << 8 | octets[at + 1] for at in range(0, len(octets) - 1, 2)]
