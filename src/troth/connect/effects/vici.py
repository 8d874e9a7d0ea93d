"""VICI, the control protocol of strongSwan's charon, over its Unix socket.

Source: strongSwan 5.9, ``src/libcharon/plugins/vici/README.md``. A packet is a length of four bytes, a type, for some
types a name, and a message: nested sections, values and lists, each with names of at most 255 bytes and values of at
most 65,535.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from enum import IntEnum
from typing import Final, TypeAlias

Value: TypeAlias = "str | list[str] | dict[str, Value]"

#: charon's own bound of a packet.
_LARGEST: Final = 512 * 1024
_DEEPEST: Final = 16
_MOST_EVENTS: Final = 200_000


class _Packet(IntEnum):
    CMD_REQUEST = 0
    CMD_RESPONSE = 1
    CMD_UNKNOWN = 2
    EVENT_REGISTER = 3
    EVENT_UNREGISTER = 4
    EVENT_CONFIRM = 5
    EVENT_UNKNOWN = 6
    EVENT = 7


class _Element(IntEnum):
    SECTION_START = 1
    SECTION_END = 2
    KEY_VALUE = 3
    LIST_START = 4
    LIST_ITEM = 5
    LIST_END = 6


_NAMED: Final = frozenset({_Packet.CMD_REQUEST, _Packet.EVENT_REGISTER, _Packet.EVENT_UNREGISTER, _Packet.EVENT})


class ViciError(Exception):
    """What came is not VICI, or charon does not know what was asked."""


# --- messages --------------------------------------------------------------------------------------------------------


def encode(message: Mapping[str, Value]) -> bytes:
    """A message as bytes. Raises ViciError for a name or value that is too long."""
    made = bytearray()
    for name, value in message.items():
        if isinstance(value, Mapping):
            made += bytes([_Element.SECTION_START]) + _name(name) + encode(value) + bytes([_Element.SECTION_END])
        elif isinstance(value, str):
            made += bytes([_Element.KEY_VALUE]) + _name(name) + _value(value)
        else:
            made += bytes([_Element.LIST_START]) + _name(name)
            for item in value:
                made += bytes([_Element.LIST_ITEM]) + _value(item)
            made += bytes([_Element.LIST_END])
    return bytes(made)


def _name(text: str) -> bytes:
    raw = text.encode()
    if not 0 < len(raw) <= 255:
        raise ViciError("a name has 1 to 255 bytes")
    return bytes([len(raw)]) + raw


def _value(text: str) -> bytes:
    raw = text.encode()
    if len(raw) > 65_535:
        raise ViciError("a value has at most 65,535 bytes")
    return len(raw).to_bytes(2, "big") + raw


def decode(data: bytes) -> dict[str, Value]:
    """A message from bytes; of doubled names the last counts. Raises ViciError."""
    whole: dict[str, Value] = {}
    sections = [whole]
    listed: list[str] | None = None
    at = 0
    while at < len(data):
        element, at = data[at], at + 1
        if element == _Element.LIST_ITEM and listed is not None:
            text, at = _text(data, at, 2)
            listed.append(text)
        elif element == _Element.LIST_END and listed is not None:
            listed = None
        elif listed is not None:
            raise ViciError("something else within a list")
        elif element == _Element.SECTION_START:
            name, at = _text(data, at, 1)
            if len(sections) >= _DEEPEST:
                raise ViciError("sections are nested too deeply")
            inner: dict[str, Value] = {}
            sections[-1][name] = inner
            sections.append(inner)
        elif element == _Element.SECTION_END and len(sections) > 1:
            sections.pop()
        elif element == _Element.KEY_VALUE:
            name, at = _text(data, at, 1)
            sections[-1][name], at = _text(data, at, 2)
        elif element == _Element.LIST_START:
            name, at = _text(data, at, 1)
            sections[-1][name] = listed = []
        else:
            raise ViciError(f"element {element} has no place here")
    if len(sections) > 1 or listed is not None:
        raise ViciError("a section or list does not end")
    return whole


def _text(data: bytes, at: int, width: int) -> tuple[str, int]:
    start = at + width
    end = start + int.from_bytes(data[at:start], "big")
    if len(data) < start or len(data) < end:
        raise ViciError("a name or value is cut off")
    return data[start:end].decode("utf-8", "replace"), end


# --- the connection --------------------------------------------------------------------------------------------------


class ViciSession:
    """A connection to charon, one request at a time. Use it as an asynchronous context manager.

    Raises OSError where there is nothing that answers.
    """

    def __init__(self, socket: str) -> None:
        self._socket = socket
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def __aenter__(self) -> ViciSession:
        self._reader, self._writer = await asyncio.open_unix_connection(self._socket)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._writer is not None:
            self._writer.close()

    async def request(self, command: str, message: Mapping[str, Value] | None = None) -> dict[str, Value]:
        """The answer to a command. Raises ViciError, OSError, EOFError."""
        await self._send(_Packet.CMD_REQUEST, command, encode(message or {}))
        kind, _, body = await self._receive()
        if kind is not _Packet.CMD_RESPONSE:
            raise ViciError(f"charon does not know the command {command}")
        return decode(body)

    async def stream(
        self, command: str, event: str, message: Mapping[str, Value] | None = None
    ) -> Sequence[dict[str, Value]]:
        """All events that a command answers with. Raises ViciError, OSError, EOFError."""
        await self._send(_Packet.EVENT_REGISTER, event, b"")
        if (await self._receive())[0] is not _Packet.EVENT_CONFIRM:
            raise ViciError(f"charon does not know the event {event}")
        await self._send(_Packet.CMD_REQUEST, command, encode(message or {}))
        found: list[dict[str, Value]] = []
        while True:
            kind, name, body = await self._receive()
            if kind is _Packet.EVENT and name == event:
                found.append(decode(body))
                if len(found) > _MOST_EVENTS:
                    raise ViciError("the events do not end")
            elif kind is _Packet.CMD_RESPONSE:
                break
            else:
                raise ViciError(f"charon does not know the command {command}")
        await self._send(_Packet.EVENT_UNREGISTER, event, b"")
        await self._receive()
        return found

    async def _send(self, kind: _Packet, name: str, body: bytes) -> None:
        if self._writer is None:
            raise ViciError("the session is not open")
        packet = bytes([kind]) + _name(name) + body
        if len(packet) > _LARGEST:
            raise ViciError("a request has at most 512 KiB")
        self._writer.write(len(packet).to_bytes(4, "big") + packet)
        await self._writer.drain()

    async def _receive(self) -> tuple[_Packet, str, bytes]:
        if self._reader is None:
            raise ViciError("the session is not open")
        length = int.from_bytes(await self._reader.readexactly(4), "big")
        if not 0 < length <= _LARGEST:
            raise ViciError(f"a packet of {length} bytes")
        return parse_packet(await self._reader.readexactly(length))


def parse_packet(packet: bytes) -> tuple[_Packet, str, bytes]:
    """Type, name (empty where the type has none) and message bytes of a packet without its length. Raises ViciError."""
    try:
        kind = _Packet(packet[0])
    except (IndexError, ValueError) as error:
        raise ViciError("no packet of VICI") from error
    if kind not in _NAMED:
        return kind, "", packet[1:]
    name, at = _text(packet, 1, 1)
    return kind, name, packet[at:]
