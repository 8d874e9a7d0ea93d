"""A small authoritative DNS server on loopback, for dns-01 and for names that lead to 127.0.0.1.

It answers over UDP and TCP on one port, takes RFC 2136 updates without a key (lego's ``rfc2136`` provider), and
can be told to fail. It runs in threads, so that a test may wait for a program that asks it.
"""

from __future__ import annotations

import socketserver
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.opcode
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset
import dns.update
import pytest

_TTL = 1


@dataclass
class DnsServer:
    """Names are given without regard to case or final dot.

    Attributes:
        queries: (name, type) of each question asked, in order.
        failures: name → rcode (``SERVFAIL``, ``REFUSED``) to answer instead.
        delays: name → seconds to wait before the answer.
    """

    host: str = "127.0.0.1"
    port: int = 0
    queries: list[tuple[str, str]] = field(default_factory=list)
    failures: dict[str, str] = field(default_factory=dict)
    delays: dict[str, float] = field(default_factory=dict)
    _records: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    _zones: set[str] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _servers: list[socketserver.BaseServer] = field(default_factory=list)

    @property
    def address(self) -> str:
        """``127.0.0.1:5353``."""
        return f"{self.host}:{self.port}"

    # --- what it knows -------------------------------------------------------------------------------------------

    def set(self, name: str, kind: str, *values: str) -> None:
        """Make ``values``, in presentation form, the records of ``name`` of one type; none removes them."""
        with self._lock:
            key = (_canonical(name), kind.upper())
            if values:
                self._records[key] = list(values)
            else:
                self._records.pop(key, None)

    def set_txt(self, name: str, *values: str) -> None:
        """TXT records, unquoted."""
        self.set(name, "TXT", *(_quoted(value) for value in values))

    def set_a(self, name: str, *addresses: str) -> None:
        """IPv4 addresses."""
        self.set(name, "A", *addresses)

    def set_aaaa(self, name: str, *addresses: str) -> None:
        """IPv6 addresses."""
        self.set(name, "AAAA", *addresses)

    def set_cname(self, name: str, target: str) -> None:
        """An alias; the answer holds the target's records as well."""
        self.set(name, "CNAME", _canonical(target) + ".")

    def add_zone(self, zone: str) -> None:
        """Be authoritative for ``zone``: it has an SOA and an NS, as clients that look for the zone's top need."""
        with self._lock:
            self._zones.add(_canonical(zone))
        self.set(zone, "SOA", f"ns.{_canonical(zone)}. hostmaster.{_canonical(zone)}. 1 60 60 60 1")
        self.set(zone, "NS", f"ns.{_canonical(zone)}.")
        self.set_a(f"ns.{zone}", self.host)

    def clear(self) -> None:
        """Forget every record, zone, failure and question."""
        with self._lock:
            self._records.clear()
            self._zones.clear()
        self.failures.clear()
        self.delays.clear()
        self.queries.clear()

    def values(self, name: str, kind: str) -> list[str]:
        """The records of ``name`` of one type, in presentation form."""
        with self._lock:
            exact = self._records.get((_canonical(name), kind.upper()))
            if exact is not None:
                return list(exact)
            # A wildcard answers for every name below it that has no record of this type (RFC 4592, roughly).
            parts = _canonical(name).split(".")
            for cut in range(1, len(parts)):
                found = self._records.get(("*." + ".".join(parts[cut:]), kind.upper()))
                if found is not None:
                    return list(found)
            return []

    # --- what it says --------------------------------------------------------------------------------------------

    def answer(self, wire: bytes, *, limit: int) -> bytes:
        """The answer to one message; over ``limit`` bytes it is truncated, so that the client comes back by TCP."""
        asked = dns.message.from_wire(wire)
        if isinstance(asked, dns.update.UpdateMessage):
            return self._update(asked).to_wire()
        said = dns.message.make_response(asked)
        said.flags |= dns.flags.AA
        question = asked.question[0]
        name = _canonical(question.name.to_text())
        kind = dns.rdatatype.to_text(question.rdtype)
        self.queries.append((name, kind))
        time.sleep(self.delays.get(name, 0))
        if name in self.failures:
            said.set_rcode(dns.rcode.from_text(self.failures[name]))
            return said.to_wire()
        self._fill(said, name, kind)
        try:
            return said.to_wire(max_size=limit)
        except dns.exception.TooBig:
            short = dns.message.make_response(asked)
            short.flags |= dns.flags.AA | dns.flags.TC
            return short.to_wire()

    def _fill(self, said: dns.message.Message, name: str, kind: str) -> None:
        for _ in range(8):
            for found in (kind, "CNAME"):
                values = self.values(name, found)
                if values:
                    said.answer.append(dns.rrset.from_text(name + ".", _TTL, "IN", found, *values))
                    break
            else:
                break
            if found == kind or kind == "CNAME":
                return
            name = _canonical(values[0])
        with self._lock:
            exists = any(known == name or known.endswith("." + name) for known, _ in self._records)
            zone = next((z for z in sorted(self._zones, key=len, reverse=True) if ("." + name).endswith("." + z)), None)
        if zone is not None:
            said.authority.append(dns.rrset.from_text(zone + ".", _TTL, "IN", "SOA", *self.values(zone, "SOA")))
        if not exists and not said.answer:
            said.set_rcode(dns.rcode.NXDOMAIN)

    def _update(self, asked: dns.update.UpdateMessage) -> dns.message.Message:
        """RFC 2136, 3.4.2: an RRset of class IN adds, ANY removes the whole set, NONE removes one record."""
        for change in asked.update:
            name, kind = _canonical(change.name.to_text()), dns.rdatatype.to_text(change.rdtype)
            have = self.values(name, kind)
            named = [record.to_text() for record in change]
            if change.deleting == dns.rdataclass.ANY:
                have = []
            elif change.deleting == dns.rdataclass.NONE:
                have = [value for value in have if value not in named]
            else:
                have += [value for value in named if value not in have]
            self.set(name, kind, *have)
        return dns.message.make_response(asked)

    # --- its life ------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Listen on a free port, the same for UDP and TCP."""
        server = self

        class OverUdp(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                wire, socket = self.request
                with suppress(dns.exception.DNSException):
                    socket.sendto(server.answer(wire, limit=1232), self.client_address)

        class OverTcp(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                while len(head := self.rfile.read(2)) == 2:
                    wire = self.rfile.read(struct.unpack("!H", head)[0])
                    try:
                        said = server.answer(wire, limit=65535)
                    except dns.exception.DNSException:
                        return
                    self.wfile.write(struct.pack("!H", len(said)) + said)

        class Udp(socketserver.ThreadingUDPServer):
            daemon_threads = True

        class Tcp(socketserver.ThreadingTCPServer):
            allow_reuse_address = True
            daemon_threads = True

        for _ in range(20):
            udp = Udp((self.host, 0), OverUdp)
            self.port = udp.server_address[1]
            try:
                tcp = Tcp((self.host, self.port), OverTcp)
            except OSError:
                udp.server_close()
                continue
            self._servers = [udp, tcp]
            break
        else:
            raise RuntimeError("found no port that is free for both UDP and TCP")
        for one in self._servers:
            threading.Thread(target=one.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def stop(self) -> None:
        """Close both sockets."""
        for one in self._servers:
            one.shutdown()
            one.server_close()


def _canonical(name: str) -> str:
    return name.rstrip(".").lower()


def _quoted(value: str) -> str:
    """A TXT value in presentation form: strings of at most 255 bytes (RFC 1035, 3.3)."""
    pieces = [value[at : at + 255] for at in range(0, len(value), 255)] or [""]
    return " ".join('"' + piece.replace("\\", "\\\\").replace('"', '\\"') + '"' for piece in pieces)


@pytest.fixture
def dns_server() -> Iterator[DnsServer]:
    """A running :class:`DnsServer` that knows nothing yet."""
    server = DnsServer()
    server.start()
    yield server
    server.stop()
