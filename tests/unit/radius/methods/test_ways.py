"""The whole way of devices without certificates: what lets one in, and everything that does not."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from argon2 import PasswordHasher

from tests.support.radius import nas
from troth.access.passwords import Passwords
from troth.kit.clock import FakeClock
from troth.radius.admission.errors import METHOD_REFUSED
from troth.radius.admission.model import Attempt, Match, Network, Verdict
from troth.radius.admission.outcome import refused
from troth.radius.methods.lists import Account, Address, Lists
from troth.radius.methods.service import WithoutOurs
from troth.radius.proxy.service import Proxies
from troth.radius.wire.hiding import hide_password
from troth.radius.wire.packet import Attribute, Code, Packet, decode
from troth.radius.wire.signing import Protection, encode_request, verify_reply
from troth.trust.connecting.journal import Note
from troth.trust.model import Kind, Outcome, Subject

NOW = datetime(2026, 12, 1, 9, tzinfo=UTC)
AP = Protection(b"between us and the switch")
MAC = "02-00-5e-10-00-01"
HASHER = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
WIRED = Network("wired", Match(), methods=("eap-tls", "mab", "pap"))


@dataclass
class Judge:
    """Restricts everybody. ``known``: they are in the directory."""

    known: bool = False
    holds_: bool = True
    asked: list[Attempt] = field(default_factory=list)
    recorded: list[tuple[str, Verdict, list[str]]] = field(default_factory=list)
    noted: list[Note] = field(default_factory=list)

    async def admit(self, attempt: Attempt) -> Verdict | None:
        self.asked.append(attempt)
        if attempt.network is not None and attempt.network.mab is None and attempt.identity == "denied":
            return refused(METHOD_REFUSED)
        subject = Subject(uuid4(), Kind.DEVICE, attempt.identity, "test", fresh=not self.known)
        return Verdict(Outcome.RESTRICT, "policy.rule", subjects=(subject,), class_=b"c" * 16)

    def holds(self, attempt: Attempt, verdict: Verdict) -> bool:
        return self.holds_

    async def vouched(self, attempt: Attempt, verdict: Verdict) -> bool:
        return self.holds(attempt, verdict)

    async def record(
        self,
        attempt: Attempt,
        verdict: Verdict,
        timeline: Sequence[tuple[float, str]],
        *,
        notes: Sequence[Note] = (),
    ) -> object:
        self.noted.extend(notes)
        self.recorded.append((attempt.method, verdict, [said for _, said in timeline]))
        return None

    def note(self, attempt: Attempt, notes: Sequence[Note]) -> None:
        self.noted.extend(notes)


@dataclass(frozen=True)
class Read:
    network: Network | None = WIRED
    identity: str = "x"
    station: str | None = MAC
    called: str | None = None
    ssid: str | None = None
    nas_identifier: str | None = None
    port_type: str | None = "ethernet"
    port_id: str | None = None


@dataclass(frozen=True)
class From:
    listener: str = "auth"
    address: str = "192.0.2.1"
    nas: Any = field(default_factory=nas)


class Way:
    """Everything at once."""

    def __init__(
        self,
        *,
        judge: Judge | None = None,
        certified: bool = False,
        owns: bool | None = False,
        lists: Lists | None = None,
    ) -> None:
        async def owner(_: str) -> bool | None:
            return owns

        self.judge = judge or Judge()
        self.clock = FakeClock(NOW)
        self.opened: list[Attempt] = []
        proxies = Proxies(_never, _never, self.clock, tag=b"t" * 8)
        self.ways = WithoutOurs(
            self.judge, lambda verdict, *_: [(25, verdict.class_)], lambda attempt, *_: self.opened.append(attempt),
            proxies, lambda _: certified, owner, self.clock, passwords=Passwords(HASHER), reject_delay=0,
        )  # fmt: skip
        self.ways.lists = lists or Lists()

    async def answer(self, packet: Packet, source: From | None = None, read: Read | None = None) -> int | None:
        taken = self.ways.take(packet, source or From(), AP, read or Read())
        assert isinstance(taken, Awaitable), taken
        reply = await taken
        if reply is None:
            return None
        decoded = decode(reply)
        verify_reply(decoded, packet.authenticator, AP, require_message_authenticator=True)
        return decoded.code


def _never(*_: Any) -> Any:
    raise AssertionError("nobody is to be asked")


def by_address() -> Packet:
    return decode(encode_request(1, 1, [(1, MAC.encode()), (31, MAC.encode()), (6, b"\0\0\0\x0a")], AP))


def by_password(name: str, password: str) -> Packet:
    authenticator = secrets.token_bytes(16)
    found: list[Attribute] = [(1, name.encode()), (2, hide_password(password.encode(), AP, authenticator))]
    return decode(encode_request(1, 1, found, AP, authenticator=authenticator))


def listed(until: datetime | None = None) -> Lists:
    hashed = HASHER.hash("open sesame")
    return Lists.of(
        [Address(MAC, "the scanner", until, NOW, "alice")],
        [Account("scanner", hashed, False, "", until, NOW, "alice"),
         Account("badge", hashed, True, "", until, NOW, "alice")],
    )  # fmt: skip


async def test_a_listed_address_gets_what_the_judge_says_and_it_is_written_down_first() -> None:
    way = Way(lists=listed())
    assert await way.answer(by_address()) == Code.ACCESS_ACCEPT
    ((method, verdict, said),) = way.judge.recorded
    assert (method, verdict.outcome, way.opened[0].method) == ("mab", Outcome.RESTRICT, "mab")
    assert said[:2] == ["asked about by its address alone (MAB), as 'x'", "on the list by alice: the scanner"]


async def test_one_in_the_directory_needs_no_list() -> None:
    assert await Way(judge=Judge(known=True)).answer(by_address()) == Code.ACCESS_ACCEPT


async def test_an_address_nobody_knows_is_refused() -> None:
    way = Way()
    assert await way.answer(by_address()) == Code.ACCESS_REJECT
    assert way.judge.recorded[0][1].reason == "radius.mab.unlisted"
    assert way.opened == []


async def test_an_entry_ends_with_its_time() -> None:
    assert await Way(lists=listed(NOW)).answer(by_address()) == Code.ACCESS_REJECT
    assert await Way(lists=listed(NOW + timedelta(seconds=1))).answer(by_address()) == Code.ACCESS_ACCEPT


async def test_who_has_a_certificate_does_not_get_in_without_it_though_it_is_listed() -> None:
    way = Way(certified=True, lists=listed())
    assert await way.answer(by_address()) == Code.ACCESS_REJECT
    assert way.judge.recorded[0][1].reason == "radius.mab.certified"
    assert way.judge.asked == []


async def test_whose_device_owns_a_certificate_does_not_get_in_without_it_though_it_has_not_joined_yet() -> None:
    way = Way(owns=True, lists=listed())
    assert await way.answer(by_address()) == Code.ACCESS_REJECT
    _, verdict, said = way.judge.recorded[0]
    assert verdict.reason == "radius.mab.certified"
    assert any("has not joined with it yet" in one for one in said)
    assert way.judge.asked == []


async def test_where_it_cannot_be_said_whether_a_device_owns_one_nothing_is_answered() -> None:
    way = Way(owns=None, lists=listed())
    assert await way.answer(by_address()) is None
    assert way.ways.counted["wired", "mab", "dropped"] == 1
    assert way.judge.asked == []


async def test_what_holds_no_more_when_the_accept_would_leave_is_a_reject() -> None:
    way = Way(judge=Judge(holds_=False), lists=listed())
    assert await way.answer(by_address()) == Code.ACCESS_REJECT
    assert way.opened == []


@pytest.mark.parametrize("method", ["mab", "pap"])
async def test_a_network_that_does_not_name_the_method_does_not_take_it(method: str) -> None:
    without = replace(WIRED, methods=tuple(one for one in WIRED.methods if one != method))
    packet = by_address() if method == "mab" else by_password("scanner", "open sesame")
    way = Way(lists=listed())
    assert way.ways.take(packet, From(), AP, Read(network=without)) is False
    assert way.ways.take(packet, From(), AP, Read(network=None)) is False


async def test_a_network_that_is_another_servers_is_not_decided_here_when_that_pool_is_gone() -> None:
    way = Way(lists=listed())
    assert await way.answer(by_address(), read=Read(network=replace(WIRED, proxy="gone"))) == Code.ACCESS_REJECT
    assert way.judge.recorded[0][1].reason == "proxy.unknown"
    assert way.judge.asked == []


@pytest.mark.parametrize(
    ("name", "password", "listener", "reason"),
    [
        ("scanner", "open sesame", "radsec", None),
        ("scanner", "open sesame", "auth", "radius.pap.udp"),
        ("badge", "open sesame", "auth", None),
        ("badge", "open sesamE", "auth", "radius.pap.refused"),
        ("nobody", "open sesame", "radsec", "radius.pap.refused"),
        ("scanner", "wrong", "auth", "radius.pap.refused"),
    ],
)
async def test_a_password_lets_in_whom_it_belongs_to_where_it_may_be_told(
    name: str, password: str, listener: str, reason: str | None
) -> None:
    way = Way(lists=listed())
    code = await way.answer(by_password(name, password), From(listener))
    assert code == (Code.ACCESS_ACCEPT if reason is None else Code.ACCESS_REJECT)
    if reason is not None:
        assert way.judge.recorded[0][1].reason == reason
        assert way.judge.asked == []


async def test_guesses_end_and_come_back_with_time_and_the_right_password_does_not_help_meanwhile() -> None:
    way = Way(lists=listed())
    reasons = []
    for _ in range(7):
        await way.answer(by_password("badge", "guess"))
        reasons.append(way.judge.recorded[-1][1].reason)
    assert reasons == ["radius.pap.refused"] * 5 + ["radius.pap.guesses"] * 2
    assert await way.answer(by_password("badge", "open sesame")) == Code.ACCESS_REJECT
    way.clock.advance(timedelta(seconds=13))
    assert await way.answer(by_password("badge", "open sesame")) == Code.ACCESS_ACCEPT
