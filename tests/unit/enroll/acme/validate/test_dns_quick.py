from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from ipaddress import IPv4Address, IPv6Address
from typing import cast

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset
import pytest
from hypothesis import given
from hypothesis import strategies as st

from troth.enroll.acme.validate.dns_quick import question, quick_addresses, read_answer

NAME = "host.example.test"
A, AAAA = 1, 28
ASKED = question(NAME, A) or b""


def answer(*records: str, kind: str = "A", name: str = NAME) -> dns.message.Message:
    """The library's own answer to our question, with ``records`` in presentation form."""
    said = dns.message.make_response(dns.message.make_query(NAME, kind))
    if records:
        said.answer.append(dns.rrset.from_text(f"{name}.", 60, "IN", kind, *records))
    return said


def test_the_question_is_the_librarys() -> None:
    for kind in ("A", "AAAA"):
        wire = dns.message.make_query(NAME, kind).to_wire()
        assert wire[12:] == question(NAME, dns.rdatatype.from_text(kind))


@pytest.mark.parametrize("name", ["", ".", "a..b", "a" * 64 + ".test", "ä.test", "a." * 130])
def test_what_is_no_host_name_is_not_asked(name: str) -> None:
    assert question(name, A) is None


def test_plain_answers_are_read_as_the_library_reads_them() -> None:
    found = read_answer(answer("192.0.2.1", "192.0.2.2").to_wire(), ASKED, A) or []
    assert sorted(found) == [IPv4Address("192.0.2.1"), IPv4Address("192.0.2.2")]
    asked = question(NAME, AAAA) or b""
    assert read_answer(answer("2001:db8::1", kind="AAAA").to_wire(), asked, AAAA) == [IPv6Address("2001:db8::1")]
    assert read_answer(answer().to_wire(), ASKED, A) == []


def test_a_name_written_out_is_read_like_a_pointer() -> None:
    record = ASKED[:-4] + struct.pack(">HHIH", A, 1, 60, 4) + bytes((192, 0, 2, 9))
    message = struct.pack(">HHHHHH", 1, 0x8180, 1, 1, 0, 0) + ASKED + record
    assert read_answer(message, ASKED, A) == [IPv4Address("192.0.2.9")]


def with_rcode(code: str) -> bytes:
    said = answer()
    said.set_rcode(dns.rcode.from_text(code))
    return said.to_wire()


def with_flags(*, on: int = 0, off: int = 0) -> bytes:
    said = answer("192.0.2.1")
    said.flags = (said.flags | on) & ~off
    return said.to_wire()


@pytest.mark.parametrize(
    "message",
    [
        with_rcode("NXDOMAIN"),
        with_rcode("SERVFAIL"),
        with_flags(on=dns.flags.TC),
        with_flags(off=dns.flags.QR),
        answer("other.test.", kind="CNAME").to_wire(),
        answer("192.0.2.1", name="other.test").to_wire(),
        answer("2001:db8::1", kind="AAAA").to_wire(),
        dns.message.make_response(dns.message.make_query("other.test", "A")).to_wire(),
        answer("192.0.2.1").to_wire()[:-1],
        answer(*(f"192.0.2.{n}" for n in range(65))).to_wire(),
        b"",
    ],
    ids=["no name", "failure", "cut", "a query", "alias", "owner", "type", "question", "short", "many",
         "nothing"],
)  # fmt: skip
def test_what_is_not_plain_is_left_to_the_library(message: bytes) -> None:
    assert read_answer(message, ASKED, A) is None


@given(st.binary(max_size=120), st.integers(0, 200), st.integers(0, 255))
def test_any_octets_are_an_answer_or_none(noise: bytes, at: int, octet: int) -> None:
    read_answer(noise, ASKED, A)
    sound = bytearray(answer("192.0.2.1", "192.0.2.2").to_wire())
    if at < len(sound):
        sound[at] = octet
    found = read_answer(bytes(sound) + noise, ASKED, A)
    assert found is None or all(isinstance(one, IPv4Address) for one in found)


class Server(asyncio.DatagramProtocol):
    def __init__(self, say: Callable[[bytes], list[bytes]]) -> None:
        self.say = say
        self.ports: list[int] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.ports.append(addr[1])
        for message in self.say(data):
            self.transport.sendto(message, addr)


@asynccontextmanager
async def serving(say: Callable[[bytes], list[bytes]]) -> AsyncIterator[tuple[tuple[str, int], Server]]:
    loop = asyncio.get_running_loop()
    transport, server = await loop.create_datagram_endpoint(lambda: Server(say), local_addr=("127.0.0.1", 0))
    try:
        yield transport.get_extra_info("sockname")[:2], server
    finally:
        transport.close()


def reply(data: bytes) -> bytes:
    asked = dns.message.from_wire(data)
    said = dns.message.make_response(asked)
    four = asked.question[0].rdtype == dns.rdatatype.A
    said.answer.append(
        dns.rrset.from_text(f"{NAME}.", 1, "IN", "A" if four else "AAAA", "192.0.2.1" if four else "2001:db8::1")
    )
    return said.to_wire()


async def test_both_families_are_asked_on_one_socket_of_a_port_of_its_own() -> None:
    async with serving(lambda data: [reply(data)]) as (address, server):
        for _ in range(3):
            assert await quick_addresses(NAME, address) == [IPv6Address("2001:db8::1"), IPv4Address("192.0.2.1")]
    assert server.ports[::2] == server.ports[1::2]
    assert len(set(server.ports)) > 1


async def test_an_answer_with_another_number_is_passed_over() -> None:
    def say(data: bytes) -> list[bytes]:
        said = reply(data)
        wrong = bytes((said[0] ^ 1,)) + said[1:]
        return [wrong[:2] + wrong[2:], said]

    async with serving(say) as (address, _):
        found = await quick_addresses(NAME, address)
    # The one chance in 30,000 that it was the number of the other question is no answer to it.
    assert found in ([IPv6Address("2001:db8::1"), IPv4Address("192.0.2.1")], None)


async def test_a_flood_of_strange_answers_is_not_waited_through() -> None:
    async with serving(lambda data: [b"\0\0" if data[:2] != b"\0\0" else b"\1\1"] * 40) as (address, _):
        assert await quick_addresses(NAME, address) is None


async def test_a_server_that_is_not_there_is_left_to_the_library() -> None:
    async with serving(lambda _: []) as (address, _):
        pass
    assert await quick_addresses(NAME, address) is None
