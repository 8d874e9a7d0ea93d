"""What a packet must prove, what comes of one that comes again, and what is dropped."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Sequence
from typing import Any

import pytest

from tests.support.access_servers import Watcher, access_server
from troth.kit.clock import FakeClock
from troth.radius.nas.model import Nas
from troth.radius.server.desk import Desk, Listener, Source
from troth.radius.server.pressure import Room
from troth.radius.wire.duplicates import Conditional, Duplicates
from troth.radius.wire.packet import MESSAGE_AUTHENTICATOR, PROXY_STATE, Attribute, Code, Packet, decode
from troth.radius.wire.signing import Protection, encode_reply, encode_request, verify_reply

SECRET = b"between-two"
EAP: Attribute = (79, b"\2\1\0\5\1")
USER: Attribute = (1, b"someone")


class Answering:
    """Says yes to everything, at once or when it is let."""

    def __init__(self) -> None:
        self.asked: list[Packet] = []
        self.later: asyncio.Event | None = None
        self.silent = False
        self.answer: bytes | None = None

    def __call__(
        self, packet: Packet, source: Source, protection: Protection
    ) -> bytes | Awaitable[bytes | None] | None:
        self.asked.append(packet)
        if self.silent or self.answer is not None:
            return self.answer
        code = Code.ACCESS_ACCEPT if packet.code == Code.ACCESS_REQUEST else Code.ACCOUNTING_RESPONSE
        answer = encode_reply(packet, code, [(18, os.urandom(4))], protection)
        return answer if self.later is None else self._later(answer, self.later)

    async def _later(self, answer: bytes, event: asyncio.Event) -> bytes:
        await event.wait()
        return answer


class House:
    """A desk, and what it was asked."""

    def __init__(self, clock: FakeClock, *, room: Room | None = None) -> None:
        self.access, self.accounting = Answering(), Answering()
        self.seen = Watcher()
        self.desk = Desk(
            self.access,
            self.accounting,
            clock,
            duplicates=Duplicates(),
            room=room or Room(100, 100),
            seen=self.seen,
        )

    def ask(self, data: bytes, nas: Nas, listener: Listener = "auth", port: int = 1024) -> list[bytes | None]:
        """The answers that came at once."""
        answers: list[bytes | None] = []
        self.desk.take(decode(data), Source("192.0.2.1", port, listener, nas), answers.append)
        return answers


@pytest.fixture
def house(clock: FakeClock) -> House:
    """A desk that answers everything."""
    return House(clock)


def _request(
    code: int = Code.ACCESS_REQUEST,
    attributes: Sequence[Attribute] = (EAP,),
    secret: bytes = SECRET,
    identifier: int = 7,
    **more: Any,
) -> bytes:
    return encode_request(code, identifier, attributes, secret, **more)


def _believed(answers: list[bytes | None], request: bytes, secret: bytes = SECRET) -> Packet:
    (answer,) = answers
    assert answer is not None
    reply = decode(answer)
    verify_reply(reply, request[4:20], secret, require_message_authenticator=request[0] != Code.ACCOUNTING_REQUEST)
    return reply


def test_an_answer_begins_with_its_message_authenticator_and_carries_proxy_state(house: House) -> None:
    request = _request(attributes=[EAP, (PROXY_STATE, b"one"), (PROXY_STATE, b"two")])

    reply = _believed(house.ask(request, access_server(SECRET)), request)
    assert reply.attributes[0][0] == MESSAGE_AUTHENTICATOR
    assert reply.all(PROXY_STATE) == [b"one", b"two"]


@pytest.mark.parametrize("code", [Code.ACCESS_REQUEST, Code.STATUS_SERVER])
def test_a_wrong_secret_gets_no_answer(house: House, code: Code) -> None:
    assert house.ask(_request(code, secret=b"another"), access_server(SECRET)) == [None]
    assert not house.access.asked
    assert sum(number for (_, what), number in house.desk.counted.items() if what == "radius.packet.authenticator") == 1


def test_accounting_under_a_wrong_secret_gets_no_answer(house: House) -> None:
    request = _request(Code.ACCOUNTING_REQUEST, [USER], b"another")

    assert house.ask(request, access_server(SECRET), "acct") == [None]
    assert not house.accounting.asked


@pytest.mark.parametrize("used", [b"present", b"next"])
@pytest.mark.parametrize("code", [Code.ACCESS_REQUEST, Code.ACCOUNTING_REQUEST])
def test_both_secrets_count_while_one_replaces_the_other(house: House, used: bytes, code: Code) -> None:
    request = _request(code, [USER] if code == Code.ACCOUNTING_REQUEST else [EAP], used)
    listener: Listener = "acct" if code == Code.ACCOUNTING_REQUEST else "auth"

    _believed(house.ask(request, access_server(b"present", b"next"), listener), request, used)
    assert house.seen.said == [("next" if used == b"next" else "current", "ap")]


@pytest.mark.parametrize("rule", ["yes", "auto", "no"])
def test_eap_without_message_authenticator_is_dropped_whatever_the_rule(house: House, rule: str) -> None:
    request = _request(attributes=[EAP], message_authenticator=False)

    assert house.ask(request, access_server(SECRET, require=rule)) == [None]


def test_without_eap_an_unsigned_request_passes_only_where_the_operator_said_so(house: House) -> None:
    request = _request(attributes=[USER], message_authenticator=False)

    assert house.ask(request, access_server(SECRET, require="yes")) == [None]
    _believed(house.ask(request, access_server(SECRET, require="no")), request)


def test_an_unsigned_request_with_proxy_state_is_what_a_forger_needs(house: House) -> None:
    request = _request(attributes=[USER, (PROXY_STATE, b"x")], message_authenticator=False)

    assert house.ask(request, access_server(SECRET, require="no", limit_proxy_state=True)) == [None]
    _believed(house.ask(request, access_server(SECRET, require="no", limit_proxy_state=False)), request)


def test_an_access_server_that_signs_what_it_need_not_must_sign_from_then_on(house: House) -> None:
    nas = access_server(SECRET, require="auto")
    unsigned = [_request(attributes=[USER], message_authenticator=False, identifier=one) for one in (1, 2)]
    _believed(house.ask(unsigned[0], nas), unsigned[0])
    house.ask(_request(attributes=[EAP], identifier=3), nas)
    assert ("signs", nas.name) not in house.seen.said

    house.ask(_request(attributes=[USER], identifier=4), nas)
    assert house.seen.said[-1] == ("current", nas.name)
    assert ("signs", nas.name) in house.seen.said
    assert house.ask(unsigned[1], nas) == [None]


def test_status_server_is_answered_each_time_and_by_nobodys_policy(house: House) -> None:
    for listener, code in (("auth", Code.ACCESS_ACCEPT), ("acct", Code.ACCOUNTING_RESPONSE)):
        request = _request(Code.STATUS_SERVER, [])
        for _ in range(2):
            reply = _believed(house.ask(request, access_server(SECRET), listener), request)  # type: ignore[arg-type]
            assert (reply.code, reply.attributes[0][0]) == (code, MESSAGE_AUTHENTICATOR)
    assert not house.access.asked
    assert not house.accounting.asked
    assert len([1 for what in house.desk.counted if what[1] == "duplicate"]) == 0


def test_status_server_without_message_authenticator_gets_no_answer(house: House) -> None:
    request = _request(Code.STATUS_SERVER, [], message_authenticator=False)

    assert house.ask(request, access_server(SECRET, require="no")) == [None]


def test_a_request_on_the_wrong_port_gets_no_answer(house: House) -> None:
    assert house.ask(_request(Code.ACCOUNTING_REQUEST, [USER]), access_server(SECRET), "auth") == [None]
    assert house.ask(_request(), access_server(SECRET), "acct") == [None]
    assert house.ask(_request(Code.DISCONNECT_REQUEST, [USER]), access_server(SECRET), "auth") == [None]


def test_what_comes_again_gets_the_same_octets_and_is_asked_once(house: House) -> None:
    request = _request()
    nas = access_server(SECRET)

    first, again = house.ask(request, nas), house.ask(request, nas)
    assert first == again
    assert len(house.access.asked) == 1
    assert house.ask(request, nas, port=1025) != first
    assert len(house.access.asked) == 2


def test_what_got_no_answer_is_asked_again(house: House) -> None:
    house.access.silent = True
    request = _request()

    assert house.ask(request, access_server(SECRET)) == [None]
    assert house.ask(request, access_server(SECRET)) == [None]
    assert len(house.access.asked) == 2


async def test_what_comes_again_while_it_is_worked_on_waits_for_the_first_ones_answer(clock: FakeClock) -> None:
    house = House(clock)
    house.access.later = asyncio.Event()
    request, nas = _request(), access_server(SECRET)
    first = house.ask(request, nas)
    assert first == []
    assert house.ask(request, nas) == [None]

    house.access.later.set()
    await house.desk.drain()
    _believed(first, request)
    assert house.ask(request, nas) == first
    assert len(house.access.asked) == 1


async def test_one_access_server_has_no_more_under_way_than_it_may(clock: FakeClock) -> None:
    house = House(clock, room=Room(100, 2))
    house.access.later = asyncio.Event()
    one, other = access_server(SECRET), access_server(SECRET, name="other")
    waiting = [house.ask(_request(identifier=number), one) for number in range(3)]

    assert waiting == [[], [], [None]]
    assert house.ask(_request(identifier=9), other) == []
    house.access.later.set()
    await house.desk.drain()
    assert all(answers != [] for answers in waiting)


async def test_a_failure_leaves_no_answer_and_no_entry_behind(clock: FakeClock) -> None:
    house = House(clock)
    failing = [True]

    async def fail(answer: bytes) -> bytes:
        await asyncio.sleep(0)
        if failing.pop():
            raise ValueError("as asked")
        return answer

    plain = house.access

    def access(packet: Packet, source: Source, protection: Protection) -> Awaitable[bytes | None]:
        answer = plain(packet, source, protection)
        assert isinstance(answer, bytes)
        return fail(answer)

    house.desk._access = access
    request = _request()
    answers = house.ask(request, access_server(SECRET))
    await house.desk.drain()
    assert answers == [None]

    failing.append(False)
    answers = house.ask(request, access_server(SECRET))
    await house.desk.drain()
    _believed(answers, request)


async def test_a_transport_of_its_own_waits_for_its_answer(clock: FakeClock) -> None:
    house = House(clock)
    request = _request(secret=b"radsec")
    source = Source("192.0.2.1", 40000, "radsec", access_server(SECRET), Protection(b"radsec"))

    answer = await house.desk.answer(decode(request), source)
    _believed([answer], request, b"radsec")
    forged = bytearray(request)
    forged[-1] ^= 1
    forged[20:22] = b"\x50\x12"
    assert await house.desk.answer(decode(bytes(forged)), source) is None


async def test_requests_of_radius_1_1_are_told_apart_by_their_tokens(house: House) -> None:
    """Every identifier is 0 there: two that are under way at once are two, and each gets its own answer."""
    bare, nas, answers = Protection(b"radsec", bare=True), access_server(SECRET), list[bytes | None]()
    house.access.later = asyncio.Event()
    tokens = [bytes((0, 0, 0, number)) + bytes(12) for number in (1, 2, 1)]
    for token in tokens:
        packet = decode(encode_request(Code.ACCESS_REQUEST, 0, (USER,), bare, authenticator=token))
        house.desk.take(packet, Source("192.0.2.1", 1024, "radsec", nas, bare), answers.append)
    house.access.later.set()
    await house.desk.drain()
    assert answers[0] is None, "the third is the first one again"
    assert [decode(one).authenticator for one in answers[1:] if one is not None] == tokens[:2]
    assert len(house.access.asked) == 2


def test_an_accept_that_does_not_hold_any_more_is_not_sent_again(house: House) -> None:
    nas, request, holds = access_server(SECRET), _request(), True
    accept = encode_reply(decode(request), Code.ACCESS_ACCEPT, (), Protection(SECRET))
    house.access.answer = Conditional.of(accept, lambda: holds)
    assert house.ask(request, nas) == [accept]
    assert house.ask(request, nas) == [accept]
    holds = False
    assert house.ask(request, nas) == [None]
    assert house.desk.counted["access", "withdrawn"] == 1
    assert len(house.access.asked) == 1
