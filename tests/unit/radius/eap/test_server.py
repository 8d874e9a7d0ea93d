"""Around the handshake: State, identifiers, other methods, limits, and what happens when there are too many."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.supplicants import OPENING, Supplicant, eap_server, lab
from troth.kit.clock import FakeClock
from troth.radius.eap import server as server_module
from troth.radius.eap.contexts import Contexts
from troth.radius.eap.conversation import MAX_ROUNDS
from troth.radius.eap.errors import (
    BAD_TLS,
    FRAGMENTS,
    IDENTIFIER,
    MALFORMED,
    NO_IDENTITY,
    NO_NETWORK,
    OTHER_METHOD,
    OVERLOADED,
    TIMED_OUT,
    TOO_LONG,
    UNKNOWN_STATE,
)
from troth.radius.eap.model import Challenge, Fail, Foreign, Ignore, Opening, Proved, Step, Succeed
from troth.radius.eap.server import EapServer
from troth.radius.eap.settings import EapLimits
from troth.radius.eap.state import StateMaker, holder

IDENTITY = b"\x02\x07\x00\x08\x01bob"


@pytest.fixture
def moving() -> FakeClock:
    """Begins at the present: the lab's certificates are of today."""
    return FakeClock(datetime.now(UTC))


def response(identifier: int, kind: int, data: bytes = b"") -> bytes:
    return bytes((2, identifier)) + (5 + len(data)).to_bytes(2, "big") + bytes((kind,)) + data


def started(server: EapServer, opening: Opening = OPENING) -> Challenge:
    step = server.begin(opening, IDENTITY)
    assert isinstance(step, Challenge)
    assert step.eap[1:] == b"\x08\x00\x06\x0d\x20", "an EAP-TLS Start with the next identifier"
    return step


def fragment(server: EapServer, opening: Opening = OPENING) -> tuple[Challenge, Step]:
    """A conversation whose first message is not complete."""
    start = started(server, opening)
    return start, server.respond(start.state, response(8, 13, b"\xc0\x00\x00\x01\x00" + bytes(50)), opening)


def failed(step: Step, reason: object) -> Fail:
    assert isinstance(step, Fail)
    assert step.reason is reason
    assert step.eap[0] == 4
    return step


def test_nothing_is_kept_for_a_device_before_its_first_tls_octet() -> None:
    server = eap_server()
    for _ in range(50):
        started(server)
    assert server.open == 0


def test_an_empty_packet_is_answered_by_a_request_for_the_identity() -> None:
    server = eap_server()
    asked = server.begin(OPENING, b"")
    assert isinstance(asked, Challenge)
    identifier = asked.eap[1]
    assert asked.eap[4:] == b"\x01"
    step = server.respond(asked.state, response(identifier, 1, b"bob"), OPENING)
    assert isinstance(step, Challenge)
    assert step.eap[5] == 0x20
    assert step.eap[1] == (identifier + 1) & 255


def test_a_device_that_wants_another_method_is_told_no_and_its_wishes_are_noted() -> None:
    server = eap_server()
    start = started(server)
    step = failed(server.respond(start.state, response(8, 3, b"\x19\x15"), OPENING), OTHER_METHOD)
    assert step.facts.offered == (25, 21)
    assert "PEAP, EAP-TTLS" in step.detail
    assert step.eap == b"\x04\x08\x00\x04"
    assert step.facts.identity == "laptop@corp.test"


def test_a_response_to_another_request_is_passed_over() -> None:
    server = eap_server()
    start, more = fragment(server)
    assert isinstance(more, Challenge)
    step = server.respond(start.state, response(7, 13, b"\x00"), OPENING)
    assert step == Ignore(IDENTIFIER)
    assert isinstance(server.respond(start.state, response(9, 4, b""), OPENING), Ignore)
    assert isinstance(server.respond(start.state, response(9, 3, b"\x19"), OPENING), Ignore), "too late for a Nak"
    assert server.open == 1


@pytest.mark.parametrize(
    "eap", [b"", b"\x02", response(8, 13)[:4], b"\x01\x08\x00\x06\x0d\x00", b"\x02\x08\xff\xff\x0d\x00"]
)
def test_what_is_no_eap_response_is_passed_over(eap: bytes) -> None:
    server = eap_server()
    start = started(server)
    step = server.respond(start.state, eap, OPENING)
    assert isinstance(step, Ignore)
    assert step.reason is MALFORMED


def test_a_state_is_of_this_node_this_access_server_and_nobody_else() -> None:
    server = eap_server()
    start = started(server)
    hello = response(8, 13, b"\x00" + bytes(10))
    state = start.state
    for wrong in (b"", state[:-1], bytes(24), bytes([state[0] ^ 2]) + state[1:], state[:-1] + bytes([state[-1] ^ 1])):
        failed(server.respond(wrong, hello, OPENING), UNKNOWN_STATE)
    failed(server.respond(start.state, hello, Opening("ap-2", "corp")), UNKNOWN_STATE)
    failed(server.begin(OPENING, hello), UNKNOWN_STATE)


def test_who_was_asked_to_start_is_gone_on_with_by_another_worker_under_its_own_state() -> None:
    start, other = started(eap_server(worker=3)), eap_server(worker=1)
    cut = b"\xc0\x00\x00\x01\x00" + bytes(50)
    step = other.respond(start.state, response(8, 13, cut), OPENING)
    assert isinstance(step, Challenge)
    assert holder(step.state) == (0, 1)
    assert isinstance(other.respond(step.state, response(9, 13, b"\x40" + bytes(50)), OPENING), Challenge)


def test_a_conversation_that_another_worker_had_is_not_gone_on_with() -> None:
    start = started(eap_server(worker=3))
    assert eap_server(worker=1).respond(start.state, response(9, 13, b"\x00a"), OPENING) == Foreign(0, 3)


@given(st.binary(max_size=40))
def test_no_octets_are_taken_for_a_state(octets: bytes) -> None:
    assert StateMaker(b"k" * 32, node=0, worker=0).read(octets, "ap-1") is None


def test_a_conversation_that_is_gone_is_refused_so_that_the_device_begins_anew() -> None:
    server = eap_server()
    start = started(server)
    failed(server.respond(start.state, response(12, 13, b"\x00ab"), OPENING), UNKNOWN_STATE)


@pytest.mark.parametrize(
    ("flight", "reason"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", BAD_TLS),
        (b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00", BAD_TLS),
        (b"\x16\x03", BAD_TLS),
        (b"\x15\x03\x03\x00\x02\x02\x28", None),
    ],
)
def test_what_is_no_tls_ends_in_failure_and_nothing_is_left(flight: bytes, reason: object) -> None:
    server = eap_server()
    start = started(server)
    step = server.respond(start.state, response(8, 13, b"\x00" + flight), OPENING)
    if isinstance(step, Challenge):  # an alert first
        step = server.respond(start.state, response(9, 13, b"\x00"), OPENING)
    assert isinstance(step, Fail)
    assert reason is None or step.reason is reason
    assert server.open == 0
    assert step.timeline


def test_fragments_that_do_not_fit_end_in_failure() -> None:
    server = eap_server()
    start, _ = fragment(server)
    failed(server.respond(start.state, response(9, 13, b"\x00" + bytes(10)), OPENING), FRAGMENTS)
    assert server.open == 0


def test_an_overlong_message_is_refused_before_it_is_kept() -> None:
    server = eap_server()
    start = started(server)
    failed(server.respond(start.state, response(8, 13, b"\xc0\x7f\xff\xff\xff" + bytes(9)), OPENING), TOO_LONG)


def test_a_conversation_has_fifty_rounds_at_most() -> None:
    server = eap_server()
    start = started(server)
    step: Step = start
    for number in range(MAX_ROUNDS + 1):
        assert isinstance(step, Challenge)
        head = b"\xc0\x00\x00\xff\x00" if number == 0 else b"\x40"
        step = server.respond(start.state, response((8 + number) & 255, 13, head + b"x"), OPENING)
    failed(step, TOO_LONG)


def test_a_device_that_does_not_go_on_is_forgotten_and_told_of(moving: FakeClock) -> None:
    server = eap_server(clock=moving)
    start, _ = fragment(server)
    moving.advance(timedelta(seconds=29))
    assert list(server.lapsed()) == []
    moving.advance(timedelta(seconds=2))
    (lapsed,) = server.lapsed()
    assert lapsed.reason is TIMED_OUT
    assert lapsed.facts.identity == "laptop@corp.test"
    assert server.open == 0
    failed(server.respond(start.state, response(9, 13, b"\x00a"), OPENING), UNKNOWN_STATE)


def test_a_conversation_ends_after_its_time_however_busy_it_is(moving: FakeClock) -> None:
    server = eap_server(clock=moving)
    start, step = fragment(server)
    for _ in range(2):
        moving.advance(timedelta(seconds=25))
        assert isinstance(step, Challenge)
        step = server.respond(start.state, response(step.eap[1], 13, b"\x40" + bytes(20)), OPENING)
    moving.advance(timedelta(seconds=25))
    assert isinstance(step, Challenge)
    failed(server.respond(start.state, response(step.eap[1], 13, b"\x40a"), OPENING), UNKNOWN_STATE)


def test_a_start_that_is_answered_too_late_is_over(moving: FakeClock) -> None:
    server = eap_server(clock=moving)
    start = started(server)
    moving.advance(timedelta(seconds=40))
    failed(server.respond(start.state, response(8, 13, b"\x00a"), OPENING), TIMED_OUT)


def _opening(number: int, nas: str = "ap-1") -> Opening:
    return Opening(nas, "corp", "x", f"02-00-00-00-00-{number:02x}")


def test_where_there_is_no_room_the_oldest_new_conversation_makes_some_and_no_other() -> None:
    server = eap_server(limits=EapLimits(conversations=3, conversations_per_nas=3))
    grown = [_past_hello(server, number) for number in range(2)]
    first, _ = fragment(server, _opening(2))
    assert server.open == 3
    assert isinstance(fragment(server, _opening(3))[1], Challenge)
    assert (server.open, server.dropped) == (3, 1)
    failed(server.respond(first.state, response(9, 13, b"\x40a"), _opening(2)), UNKNOWN_STATE)
    _past_hello(server, 4)
    assert fragment(server, _opening(5))[1] == Ignore(OVERLOADED)
    assert server.open == 3
    for number, state in enumerate(grown):
        assert isinstance(server.respond(state, response(9, 13, b"\x00"), _opening(number)), Challenge)


def _past_hello(server: EapServer, number: int) -> bytes:
    """A conversation whose ClientHello was taken; its State."""
    device = Supplicant(lab().client)
    states: list[bytes] = []

    def serve(state: bytes | None, eap: bytes, opening: Opening) -> Step:
        if len(states) == 2:
            return Ignore(MALFORMED)
        step = server.begin(opening, eap) if state is None else server.respond(state, eap, opening)
        if isinstance(step, Challenge):
            states.append(step.state)
        return step

    device.join(server, _opening(number), serve=serve)
    return states[-1]


def test_one_access_server_does_not_take_the_room_of_others() -> None:
    server = eap_server(limits=EapLimits(conversations=10, conversations_per_nas=1))
    _past_hello(server, 1)
    assert fragment(server, _opening(2))[1] == Ignore(OVERLOADED)
    assert isinstance(fragment(server, _opening(2, "ap-2"))[1], Challenge)


def test_a_station_has_one_conversation_at_a_time() -> None:
    server = eap_server()
    first, _ = fragment(server)
    fragment(server)
    assert server.open == 1
    failed(server.respond(first.state, response(9, 13, b"\x40a"), OPENING), UNKNOWN_STATE)


def test_without_certificate_or_network_nobody_is_led_on() -> None:
    contexts = Contexts()
    failed(eap_server(contexts=contexts).begin(OPENING, IDENTITY), NO_IDENTITY)
    contexts.install(lab().identity, [lab().network(anchors=(b"no certificate",))])
    failed(eap_server(contexts=contexts).begin(OPENING, IDENTITY), NO_NETWORK)
    contexts.install(lab().identity, [lab().network()])
    server = eap_server(contexts=contexts)
    start = started(server)
    contexts.install(lab().identity, [])
    failed(server.respond(start.state, response(8, 13, b"\x00a"), OPENING), NO_NETWORK)


def test_a_response_that_comes_again_is_answered_by_the_same_request_again() -> None:
    """An access server whose answer was lost may ask in a new packet; 50 rounds bound that, too."""
    server = eap_server()
    start, more = fragment(server)
    for _ in range(3):
        assert server.respond(start.state, response(8, 13, b"\x00"), OPENING) == more
    step: Step = more
    for _ in range(MAX_ROUNDS):
        step = server.respond(start.state, response(8, 13, b"\x00"), OPENING)
    assert step == Ignore(IDENTIFIER)


def test_a_packet_that_was_dropped_undecided_is_decided_when_it_comes_again() -> None:
    server = eap_server()

    def decide(proved: Proved) -> bool:
        conversation = proved.conversation
        assert server.respond(conversation.state, response(conversation.identifier, 13, b"\x00"), OPENING) == proved
        return True

    joined = Supplicant(lab().client).join(server, admitted=decide)
    assert isinstance(joined.step, Succeed)
    assert isinstance(server.conclude(joined.step.conversation, admitted=True), Ignore), "it is over"


def test_a_verdict_before_the_device_has_proved_itself_is_a_mistake_of_the_caller() -> None:
    server = eap_server()
    fragment(server)
    (conversation,) = server._open._open.values()
    with pytest.raises(ValueError, match="has proved itself"):
        server.conclude(conversation, admitted=True)


@pytest.mark.parametrize(("first", "second"), [(True, True), (True, False), (False, True), (False, False)])
def test_of_two_verdicts_on_one_conversation_the_strictest_counts(first: bool, second: bool) -> None:
    server = eap_server()
    steps: list[Step] = []

    def decide(proved: Proved) -> bool:
        steps.append(server.conclude(proved.conversation, admitted=first))
        return second

    joined = Supplicant(lab().client).join(server, admitted=decide)
    assert isinstance(joined.step, Succeed) is (first and second)
    assert isinstance(steps[0], Challenge) is first
    assert server.open == 0


def test_a_station_that_begins_anew_while_it_is_decided_gets_no_verdict_for_the_old_conversation() -> None:
    server = eap_server()

    def decide(proved: Proved) -> bool:
        fragment(server)  # the same station
        return True

    joined = Supplicant(lab().client).join(server, admitted=decide)
    assert isinstance(joined.step, Ignore)
    assert server.open == 1


def test_what_is_remembered_above_leaves_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "_REMEMBERED", 3)
    monkeypatch.setattr(server_module, "_ISSUERS_REMEMBERED", 2)
    server = eap_server()
    for number in range(6):
        leaf, above = bytes([number]), (b"leaf", bytes([number]) * 9)
        assert server._remember(leaf, above) == above
    assert server._remember(b"\x05", (b"leaf",)) == (b"leaf", b"\x05" * 9)
    assert server._remember(b"\x00", (b"leaf",)) == (b"leaf",)
    assert (len(server._chains), len(server._above)) == (3, 2)
    server._remember(b"long", (b"leaf", bytes(20_000)))
    assert server._remember(b"long", (b"leaf",)) == (b"leaf",)


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_a_protocol_that_the_network_does_not_have_is_not_spoken(version: str) -> None:
    other: Callable[[str], str] = {"1.2": "1.3", "1.3": "1.2"}.__getitem__
    server = eap_server([lab().network(versions=frozenset({other(version)}))])
    joined = Supplicant(lab().client, version).join(server)
    assert isinstance(joined.step, Fail)
    assert "protocol version" in str(joined.trusted)
    assert isinstance(Supplicant(lab().client, other(version)).join(server).step, Succeed)


def test_the_timeline_says_what_was_offered_and_what_became_of_it() -> None:
    joined = Supplicant(lab().client).join(eap_server())
    assert isinstance(joined.step, Succeed)
    words = [line for _, line in joined.step.conversation.timeline]
    assert words[0] == "offered TLS 1.3; groups X25519, P-256"
    assert words[1].startswith("finished a handshake of TLS 1.3 (TLS_")
