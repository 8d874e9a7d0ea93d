"""The requests that ladders make, put before access servers that take them as their vendors' documents say."""

from __future__ import annotations

import itertools

import pytest

from tests.support.radius_nas import MANNERS, NasSession, ScriptedNas
from tests.unit.radius.places.test_ladder import TARGET, built
from troth.radius.places.ladder import Step
from troth.radius.places.naks import Meaning
from troth.radius.places.vendors import vendor, vendors
from troth.radius.wire.packet import Attribute, Code, decode
from troth.radius.wire.signing import encode_request, verify_reply

SECRET = b"a secret that is long enough"
RUNGS = [(name, rung.step) for name in vendors() for rung in vendor(name).ladder.rungs if rung.code is not None]
_ERROR_CAUSE, _EVENT_TIMESTAMP = 101, 55


def _nas(name: str, *more: NasSession) -> ScriptedNas:
    role = "101" if name == "ruckus-icx" else "staff"
    nas = ScriptedNas(name, SECRET, [NasSession(role=role), *more])
    nas.own_identifier = "021122334455" if name == "unifi" else "AP-7"
    return nas


def _request(name: str, step: Step, *more: Attribute, without: int = 0, secret: bytes = SECRET) -> bytes:
    """A signed request as the ladder has it, with what signing adds."""
    made, ladder = built(name, step), vendor(name).ladder
    assert made is not None
    assert made.rung.code is not None
    stamp = [(_EVENT_TIMESTAMP, bytes(4))] if ladder.event_timestamp else []
    attributes = [one for one in (*made.attributes, *stamp, *more) if one[0] != without]
    return encode_request(
        made.rung.code, 7, attributes, secret, message_authenticator=ladder.message_authenticator
    )  # fmt: skip


def _answer(nas: ScriptedNas, request: bytes) -> tuple[Code, int | None]:
    answer = nas.answer(request)
    assert answer is not None
    packet = decode(answer)
    verify_reply(packet, request[4:20], SECRET, require_message_authenticator=True)
    cause = packet.first(_ERROR_CAUSE)
    return Code(packet.code), None if cause is None else int.from_bytes(cause, "big")


def test_every_vendor_has_manners() -> None:
    assert set(MANNERS) == set(vendors())


@pytest.mark.parametrize(("name", "step"), RUNGS, ids=str)
def test_every_rung_is_taken_and_does_what_it_is_for(name: str, step: Step) -> None:
    nas = _nas(name)
    code, cause = _answer(nas, _request(name, step))
    assert (code, cause) == (Code.DISCONNECT_ACK if step is Step.DISCONNECT else Code.COA_ACK, None)
    assert [what for what, _ in nas.done] == [step.value]
    if step in (Step.DISCONNECT, Step.BOUNCE):
        assert nas.sessions == []
    if step is Step.PROFILE:
        assert nas.sessions[0].role in ("guest", "ip.102.in")


@pytest.mark.parametrize(("name", "step"), RUNGS, ids=str)
def test_a_session_that_is_gone_is_told_as_gone(name: str, step: Step) -> None:
    nas = _nas(name)
    nas.sessions.clear()
    _, cause = _answer(nas, _request(name, step))
    assert vendor(name).ladder.meaning(cause) is Meaning.GONE


@pytest.mark.parametrize(("name", "step"), RUNGS, ids=str)
def test_only_the_client_that_is_meant_is_touched(name: str, step: Step) -> None:
    other = NasSession(
        "AA-BB-CC-99-99-99", TARGET.user_name or "", "5F3A9999", "0A000001FFFFFFFF", "198.51.100.9", 4, "4"
    )
    nas = _nas(name, other)
    _answer(nas, _request(name, step))
    assert other in nas.sessions
    assert [session.calling_station_id for _, session in nas.done] == [TARGET.calling_station_id]


@pytest.mark.parametrize(("name", "step"), [one for one in RUNGS if MANNERS[one[0]].disconnect], ids=str)
def test_what_a_vendor_does_not_list_is_refused_and_means_that_our_data_is_wrong(name: str, step: Step) -> None:
    _, cause = _answer(nas := _nas(name), _request(name, step, (25, b"class")))
    assert vendor(name).ladder.meaning(cause) is Meaning.WRONG
    assert nas.done == []


@pytest.mark.parametrize("name", vendors())
def test_dynamic_authorization_that_is_switched_off_is_told_so(name: str) -> None:
    nas = _nas(name)
    nas.switched_off = True
    _, cause = _answer(nas, _request(name, Step.DISCONNECT))
    assert vendor(name).ladder.meaning(cause) is Meaning.FORBIDDEN


@pytest.mark.parametrize("name", vendors())
def test_nothing_is_answered_to_who_does_not_know_the_secret(name: str) -> None:
    nas = _nas(name)
    assert nas.answer(_request(name, Step.DISCONNECT, secret=b"another secret")) is None
    assert nas.done == []


def test_a_retransmission_is_answered_again_and_done_once() -> None:
    nas, request = _nas("cisco-ios-xe"), _request("cisco-ios-xe", Step.REAUTHENTICATE)
    assert nas.answer(request, "a") == nas.answer(request, "a")
    assert len(nas.done) == 1
    assert len(nas.received) == 2


@pytest.mark.parametrize(("name", "kind"), list(itertools.product(["hpe-aos-s", "ruckus-icx"], [4, 31])), ids=str)
def test_a_missing_attribute_is_told_as_missing(name: str, kind: int) -> None:
    assert _answer(_nas(name), _request(name, Step.DISCONNECT, without=kind))[1] == 402
