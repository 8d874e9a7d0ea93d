"""Many devices behind few access servers: a bounded load of whole EAP-TLS conversations, each of them verified.

One thread, one epoll loop, and stations in a closed loop: each begins the next conversation when its last has ended.
Every answer is proved (Response Authenticator, Message-Authenticator present, right and first, Proxy-State returned),
every conversation as :mod:`tests.support.radius_devices` says. Written without the product's own codec: what both would
get wrong together nobody would notice.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import random
import select
import socket
import struct
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from OpenSSL import SSL

from tests.support.radius_devices import Cheated, Supplicant, revealed

_ACCEPT, _REJECT, _CHALLENGE = 2, 3, 11
_MICROSOFT = b"\0\0\x01\x37"
_SEND_KEY, _RECV_KEY = 16, 17

Ending = Literal["accept", "reject", "timeout", "cheated"]


@dataclass(frozen=True, kw_only=True)
class Device:
    """One device: its TLS context, and what it says it is."""

    context: SSL.Context
    identity: bytes = b"@corp.test"
    mac: str = ""


@dataclass(frozen=True, kw_only=True)
class Manner:
    """How the devices and their access servers behave.

    Attributes:
        ports: source ports that all share; 0: one each.
        roam: the next conversation of a station comes from the next port.
        resume: TLS sessions are resumed, each with the newest session that the server gave.
        sticky: with the first one again and again.
        twice: share of the requests that are sent two times.
        fragment: TLS octets in one answer of a device.
        mtu: the access server's Framed-MTU.
        timeout, tries: seconds after which a request is sent again, and how often; both together are for how long a
            server may be silent, and far longer than one that is slow and busy is.
        insists: Message-Authenticator must be the first attribute of an answer (FreeRADIUS before 3.2.5 fails that).
    """

    ports: int = 0
    roam: bool = False
    resume: bool = False
    sticky: bool = False
    twice: float = 0.0
    proxy_state: bool = False
    fragment: int = 1398
    mtu: int = 1400
    insists: bool = True
    ssid: str = "corp"
    timeout: float = 2.0
    tries: int = 60


@dataclass
class Outcome:
    """What came of it. ``lat``: seconds of each conversation."""

    ended: Counter[str] = field(default_factory=Counter)
    cheats: Counter[str] = field(default_factory=Counter)
    resumed: int = 0
    sent_twice: int = 0
    sent_again: int = 0
    requests: int = 0
    lat: list[float] = field(default_factory=list)
    wall: float = 0.0

    @property
    def accepted(self) -> int:
        """Conversations that ended in a verified Accept."""
        return self.ended["accept"]

    @property
    def p50(self) -> float:
        """Median latency, seconds."""
        return sorted(self.lat)[len(self.lat) // 2]


@dataclass
class Ended:
    """One conversation, for whoever watches.

    Attributes:
        asked_at: when its last request was sent first (monotonic seconds).
        attributes: of the answer that ended it.
    """

    device: Device
    how: Ending
    asked_at: float
    attributes: list[tuple[int, bytes]]


class _Station:
    """A device and its access server's half."""

    supplicant: Supplicant

    def __init__(self, load: Load, number: int) -> None:
        self.load, self.number = load, number
        self.session: Any = None
        self.sessions: dict[int, Any] = {}
        self.runs = 0
        self.state = b""
        self.packet, self.authenticator = b"", b""
        self.begun = self.asked = self.sent = 0.0
        self.tries = 0
        self.port, self.identifier = 0, 0
        self.device: Device

    def begin(self) -> None:
        load = self.load
        self.device = load.next_device(self)
        manner = load.manner
        session = self.sessions.get(id(self.device)) if manner.resume else None
        self.supplicant = Supplicant(
            self.device.context, self.device.identity, fragment=manner.fragment, session=session
        )
        self.state = b""
        self.begun = time.monotonic()
        self.request(self.supplicant.begin())

    def request(self, eap: bytes) -> None:
        load = self.load
        self.port, self.identifier = load.identifier(self)
        self.authenticator = os.urandom(16)
        mac = self.device.mac or f"02-00-{self.number >> 8:02X}-{self.number & 255:02X}-00-01"
        attributes = [
            _attribute(1, self.device.identity), _attribute(4, b"\x7f\0\0\1"),
            _attribute(12, struct.pack("!I", load.manner.mtu)), _attribute(61, b"\0\0\0\x13"),
            _attribute(30, b"00-00-5E-00-53-01:" + load.manner.ssid.encode()), _attribute(31, mac.encode()),
        ]  # fmt: skip
        attributes += [_attribute(79, eap[at : at + 253]) for at in range(0, len(eap), 253)]
        if self.state:
            attributes.append(_attribute(24, self.state))
        if load.manner.proxy_state:
            attributes.append(_attribute(33, os.urandom(8)))
        body = b"\x50\x12" + bytes(16) + b"".join(attributes)
        head = struct.pack("!BBH", 1, self.identifier, 20 + len(body)) + self.authenticator
        self.packet = head + b"\x50\x12" + hmac.digest(load.secret, head + body, "md5") + body[18:]
        self.asked, self.tries = time.monotonic(), 0
        load.outcome.requests += 1
        self.send()

    def send(self) -> None:
        load = self.load
        self.sent = time.monotonic()
        try:
            load.sockets[self.port].send(self.packet)
            if load.manner.twice and load.chance.random() < load.manner.twice:
                load.sockets[self.port].send(self.packet)
                load.outcome.sent_twice += 1
        except (BlockingIOError, ConnectionRefusedError):
            pass  # it is sent again

    def answered(self, answer: bytes) -> None:
        """Raises Cheated."""
        load = self.load
        attributes = load.proved(answer, self.authenticator)
        eap = b"".join(value for kind, value in attributes if kind == 79)
        self.state = next((value for kind, value in attributes if kind == 24), b"")
        if answer[0] == _CHALLENGE:
            if not self.state:
                raise Cheated("a Challenge without State")
            self.request(self.supplicant.answer(eap))
        elif answer[0] == _ACCEPT:
            keys = _keys(attributes)
            plain = [revealed(keys.get(kind, bytes(18)), load.secret, self.authenticator) for kind in (17, 16)]
            self.supplicant.finish(eap, plain[0], plain[1])
            load.outcome.resumed += self.supplicant.resumed
            if load.manner.resume:
                # Asked for in any case: a connection that is dropped without it takes its session, also one that was
                # resumed, with it, and every second conversation of a sticky device would be a full handshake.
                session = self.supplicant.session()
                if not (load.manner.sticky and self.supplicant.resumed):
                    self.sessions[id(self.device)] = session
            load.ended(self, "accept", attributes)
        elif answer[0] == _REJECT:
            if len(eap) != 4 or eap[0] != 4:
                raise Cheated("a Reject without EAP-Failure")
            load.ended(self, "reject", attributes)
        else:
            raise Cheated(f"an answer of code {answer[0]}")


class Load:
    """See the module.

    Args:
        beside: further servers that are loaded at the same time, under the same secret; stations are dealt out in turn.
        stations: conversations at a time.
        choose: which device a station takes next; by default each in turn.
        watch: told of each conversation's end.
    """

    def __init__(
        self,
        address: tuple[str, int],
        secret: bytes,
        devices: Sequence[Device],
        *,
        stations: int = 16,
        manner: Manner | None = None,
        choose: Callable[[int, int], Device] | None = None,
        watch: Callable[[Ended], None] = lambda _: None,
        seed: int = 1,
        beside: Sequence[tuple[str, int]] = (),
    ) -> None:
        self.secret = secret
        self.devices = devices
        self.manner = manner or Manner()
        self.outcome = Outcome()
        self.chance = random.Random(seed)
        self._choose = choose
        self._watch = watch
        self._poll = select.epoll()
        self.sockets: list[socket.socket] = []
        addresses = (address, *beside)
        for number in range(self.manner.ports or stations):
            host, port = addresses[number % len(addresses)]
            one = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
            one.connect((host, port))
            one.setblocking(False)
            self._poll.register(one, select.EPOLLIN)
            self.sockets.append(one)
        self._by_descriptor = {one.fileno(): port for port, one in enumerate(self.sockets)}
        self._identifiers = [self.chance.randrange(256) for _ in self.sockets]
        self._waiting: dict[tuple[int, int], _Station] = {}
        self._active: set[_Station] = set()
        self._left = 0
        self._stations = [_Station(self, number) for number in range(stations)]

    def __enter__(self) -> Load:
        return self

    def __exit__(self, *_: object) -> None:
        for one in self.sockets:
            one.close()
        self._poll.close()

    def run(self, count: int, *, during: Callable[[], None] = lambda: None) -> Outcome:
        """``count`` conversations; ``during`` is called now and then. What was resumed before is resumed again."""
        self.outcome = Outcome()
        self._left = count
        begun = time.monotonic()
        for station in self._stations:
            self._next(station)
        look_at = begun
        while self._active:
            for descriptor, _ in self._poll.poll(0.05):
                self._read(self._by_descriptor[descriptor])
            now = time.monotonic()
            if now >= look_at:
                look_at = now + 0.05
                during()
                self._send_again(now)
        self.outcome.wall = time.monotonic() - begun
        return self.outcome

    def once(self, supplicant: Supplicant) -> None:
        """One conversation of this very supplicant on the first station; what it raises ends it."""
        self.outcome, station = Outcome(), self._stations[0]
        station.device, station.supplicant, station.state = self.devices[0], supplicant, b""
        station.device = replace(station.device, mac=":".join(f"{one:02x}" for one in os.urandom(6)))
        station.begun = time.monotonic()
        self._left = 0
        self._active.add(station)
        try:
            station.request(supplicant.begin())
            while self._active:
                for descriptor, _ in self._poll.poll(0.05):
                    self._read(self._by_descriptor[descriptor])
                self._send_again(time.monotonic())
        finally:
            self._active.discard(station)
            self._waiting.clear()

    def next_device(self, station: _Station) -> Device:
        """For its next conversation."""
        if self._choose is not None:
            return self._choose(station.number, station.runs)
        turn = 0 if self.manner.resume else station.runs * len(self._stations)
        return self.devices[(station.number + turn) % len(self.devices)]

    def identifier(self, station: _Station) -> tuple[int, int]:
        """A source port and a free Identifier on it; the port stays for the whole conversation."""
        port = (station.number + (station.runs if self.manner.roam else 0)) % len(self.sockets)
        for _ in range(256):
            self._identifiers[port] = (self._identifiers[port] + 1) & 255
            key = port, self._identifiers[port]
            if key not in self._waiting:
                self._waiting[key] = station
                return key
        raise RuntimeError("more than 256 requests under way on one port")

    def proved(self, answer: bytes, request_authenticator: bytes) -> list[tuple[int, bytes]]:
        """The attributes of an answer. Raises Cheated."""
        attributes, at, proof = [], 20, 0
        while at < len(answer):
            size = answer[at + 1]
            if answer[at] == 80:
                proof = at
            attributes.append((answer[at], answer[at + 2 : at + size]))
            at += size
        if not proof or (self.manner.insists and proof != 20):
            raise Cheated("Message-Authenticator is not the first attribute")
        unsigned = answer[:4] + request_authenticator + answer[20 : proof + 2] + bytes(16) + answer[proof + 18 :]
        if hmac.digest(self.secret, unsigned, "md5") != answer[proof + 2 : proof + 18]:
            raise Cheated("a wrong Message-Authenticator")
        if self.manner.proxy_state and not any(kind == 33 for kind, _ in attributes):
            raise Cheated("Proxy-State did not come back")
        return attributes

    def ended(self, station: _Station, how: Ending, attributes: list[tuple[int, bytes]]) -> None:
        """A station's conversation is over; it begins the next."""
        self.outcome.ended[how] += 1
        self.outcome.lat.append(time.monotonic() - station.begun)
        self._watch(Ended(station.device, how, station.asked, attributes))
        station.runs += 1
        self._active.discard(station)
        self._next(station)

    def _next(self, station: _Station) -> None:
        if self._left > 0:
            self._left -= 1
            self._active.add(station)
            station.begin()

    def _read(self, port: int) -> None:
        while True:
            try:
                answer = self.sockets[port].recv(4096)
            except (BlockingIOError, ConnectionRefusedError):
                return
            station = self._waiting.get((port, answer[1])) if len(answer) >= 20 else None
            if station is None or not _right(answer, station.authenticator, self.secret):
                continue  # the answer to what was sent twice
            del self._waiting[port, answer[1]]
            try:
                station.answered(answer)
            except Cheated as error:
                self.outcome.cheats[str(error)] += 1
                self.ended(station, "cheated", [])

    def _send_again(self, now: float) -> None:
        for station in list(self._active):
            if now - station.sent <= self.manner.timeout:
                continue
            if station.tries >= self.manner.tries:
                self._waiting.pop((station.port, station.identifier), None)
                self.ended(station, "timeout", [])
            else:
                station.tries += 1
                self.outcome.sent_again += 1
                station.send()


def _attribute(kind: int, value: bytes) -> bytes:
    return bytes((kind, len(value) + 2)) + value


def _right(answer: bytes, authenticator: bytes, secret: bytes) -> bool:
    proof = hashlib.md5(answer[:4] + authenticator + answer[20:] + secret, usedforsecurity=False).digest()
    return proof == answer[4:20]


def _keys(attributes: list[tuple[int, bytes]]) -> dict[int, bytes]:
    return {value[4]: value[6:] for kind, value in attributes if kind == 26 and value[:4] == _MICROSOFT}
