"""Ladders: exactly the attributes that a vendor's document names, or no request at all."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.unit.radius.places.octets import cisco, number, text, vsa
from troth.radius.places.ladder import Built, Rung, Step, Target, build
from troth.radius.places.model import Place
from troth.radius.places.naks import Meaning
from troth.radius.places.rendering import changed
from troth.radius.places.vendors import vendor, vendors
from troth.radius.wire.packet import Code

#: A session as access servers spell it.
TARGET = Target(
    user_name="laptop-17@example.com", nas_ip_address="192.0.2.9", nas_identifier="AP-7", nas_port=3,
    nas_port_id="1/0/3", calling_station_id="AA-BB-CC-00-11-22", called_station_id="02-11-22-33-44-55:corp",
    acct_session_id="5F3A0001", framed_ip_address="198.51.100.7", audit_session_id="0A000001000000FF",
)  # fmt: skip
_USER, _NAS = text(1, "laptop-17@example.com"), (4, bytes([192, 0, 2, 9]))
_MAC, _BARE, _SESSION = text(31, "AA-BB-CC-00-11-22"), text(31, "aabbcc001122"), text(44, "5F3A0001")
_AUDIT = cisco("audit-session-id=0A000001000000FF")
_LAST = [cisco("subscriber:command=reauthenticate"), cisco("subscriber:reauthenticate-type=last")]
_COA, _DM = Code.COA_REQUEST, Code.DISCONNECT_REQUEST

#: vendor → step → (code, port, attributes).
EXPECTED: dict[str, dict[Step, tuple[Code, int, list[tuple[int, bytes]]]]] = {
    "generic": {Step.DISCONNECT: (_DM, 3799, [_NAS, _MAC, _SESSION])},
    "cisco-ios-xe": {
        Step.REAUTHENTICATE: (
            _COA, 1700,
            [_AUDIT, cisco("subscriber:command=reauthenticate"), cisco("subscriber:reauthenticate-type=rerun")],
        ),
        Step.DISCONNECT: (_DM, 1700, [_AUDIT]),
        Step.BOUNCE: (_COA, 1700, [_AUDIT, cisco("subscriber:command=bounce-host-port")]),
    },
    "cisco-wlc-aireos": {
        Step.REAUTHENTICATE: (_COA, 1700, [_MAC, _AUDIT, *_LAST]),
        Step.DISCONNECT: (_DM, 3799, [_MAC, _NAS, number(6, 1)]),
    },
    "cisco-9800": {
        Step.REAUTHENTICATE: (_COA, 1700, [_MAC, _AUDIT, *_LAST]), Step.DISCONNECT: (_DM, 1700, [_MAC, _AUDIT]),
    },
    "meraki-mr": {
        Step.REAUTHENTICATE: (_COA, 1700, [_MAC, _AUDIT, *_LAST]), Step.DISCONNECT: (_DM, 1700, [_MAC, _AUDIT]),
    },
    "meraki-ms": {
        Step.REAUTHENTICATE: (_COA, 1700, [_MAC, _AUDIT, *_LAST]), Step.DISCONNECT: (_DM, 1700, [_MAC, _AUDIT]),
        Step.BOUNCE: (_COA, 1700, [_MAC, _AUDIT, cisco("subscriber:command=bounce-host-port")]),
    },
    "aruba-aos": {
        Step.PROFILE: (_COA, 3799, [_BARE, _USER, vsa(14823, 1, "guest")]),
        Step.DISCONNECT: (_DM, 3799, [_BARE, _USER]),
    },
    "aruba-cx": {
        Step.PROFILE: (_COA, 3799, [_USER, _NAS, _SESSION, vsa(14823, 1, "guest")]),
        Step.DISCONNECT: (_DM, 3799, [_USER, _NAS, _SESSION]),
        Step.BOUNCE: (_COA, 3799, [_USER, _NAS, _SESSION, vsa(14823, 40, 12)]),
    },
    "hpe-aos-s": {
        Step.REAUTHENTICATE: (_COA, 3799, [_USER, text(87, "1/0/3"), _NAS, _MAC, number(27, 2), number(29, 1)]),
        Step.DISCONNECT: (_DM, 3799, [_USER, text(87, "1/0/3"), _NAS, _MAC]),
        Step.BOUNCE: (_COA, 3799, [_USER, text(87, "1/0/3"), _NAS, _MAC, vsa(11, 23, 12)]),
    },
    "ruckus-smartzone": {Step.DISCONNECT: (_DM, 3799, [_USER, _MAC, _NAS])},
    "ruckus-icx": {
        Step.PROFILE: (_COA, 3799, [_MAC, _NAS, text(11, "ip.102.in")]),
        Step.REAUTHENTICATE: (_COA, 3799, [_MAC, _NAS, vsa(25053, 20, "reauth-host")]),
        Step.DISCONNECT: (_DM, 3799, [_MAC, _NAS]),
        Step.BOUNCE: (_COA, 3799, [_MAC, _NAS, vsa(25053, 20, "flip-port")]),
    },
    "juniper-ex": {
        Step.DISCONNECT: (_DM, 3799, [_USER, _MAC, _NAS, _SESSION]),
        Step.BOUNCE: (_COA, 3799, [_USER, _MAC, _NAS, _SESSION, vsa(2636, 52, "Port-Bounce")]),
    },
    "juniper-mist": {Step.DISCONNECT: (_DM, 3799, [_MAC, _NAS, _SESSION])},
    "fortinet-fortigate": {Step.DISCONNECT: (_DM, 3799, [_MAC, _USER, (8, bytes([198, 51, 100, 7]))])},
    "fortinet-fortiswitch": {
        Step.REAUTHENTICATE: (_COA, 3799, [_MAC, vsa(12356, 42, "action=reauth-port")]),
        Step.DISCONNECT: (_DM, 3799, [_MAC]),
        Step.BOUNCE: (_COA, 3799, [_MAC, vsa(12356, 42, "action=bounce-port")]),
    },
    "unifi": {Step.DISCONNECT: (_DM, 3799, [text(32, "021122334455"), _MAC])},
    "mikrotik": {Step.DISCONNECT: (_DM, 3799, [_USER, _MAC, _SESSION])},
    "strongswan": {Step.DISCONNECT: (_DM, 3799, [_USER, _MAC, _SESSION])},
    "hostapd": {Step.DISCONNECT: (_DM, 3799, [_NAS, _MAC, _SESSION])},
}  # fmt: skip


def _rung(name: str, step: Step) -> Rung:
    return next(rung for rung in vendor(name).ladder.rungs if rung.step is step)


def built(name: str, step: Step) -> Built | None:
    rung, known = _rung(name, step), vendor(name)
    change: list[tuple[int, bytes]] = []
    if step is Step.PROFILE:
        field = next(iter(rung.fields))
        before, after = ("101", "102") if field == "acl" else ("staff", "guest")
        former = replace(Place(name="one", vlan=20), **{field: before})
        made = changed(former, replace(former, name="two", **{field: after}), known, rung.fields)
        assert made is not None
        change = made
    return build(rung, TARGET, tuple(change))


def test_every_rung_that_sends_something_is_here() -> None:
    sent = {name: {rung.step for rung in vendor(name).ladder.rungs if rung.code} for name in vendors()}
    assert sent == {name: set(steps) for name, steps in EXPECTED.items()}


@pytest.mark.parametrize(
    ("name", "step"), [(name, step) for name, steps in EXPECTED.items() for step in steps], ids=str
)
def test_a_rung_is_these_octets(name: str, step: Step) -> None:
    code, port, attributes = EXPECTED[name][step]
    found = built(name, step)
    assert found is not None
    assert (found.rung.code, found.rung.port) == (code, port)
    assert list(found.attributes) == attributes


@pytest.mark.parametrize("name", vendors())
def test_nothing_is_sent_about_a_session_of_which_nothing_is_known(name: str) -> None:
    assert not any(build(rung, Target()) for rung in vendor(name).ladder.rungs)


@pytest.mark.parametrize("name", vendors())
def test_nobody_is_cut_off_by_the_users_name_alone(name: str) -> None:
    """A user has several devices: what names no client and no session is not sent."""
    nameless = replace(TARGET, calling_station_id=None, acct_session_id=None, audit_session_id=None)
    assert not any(build(rung, nameless) for rung in vendor(name).ladder.rungs)


@pytest.mark.parametrize("name", vendors())
def test_every_ladder_ends_in_waiting_and_says_what_bounds_cached_keys(name: str) -> None:
    ladder = vendor(name).ladder
    assert [rung.step for rung in ladder.rungs].count(Step.WAIT) == 1
    assert ladder.rungs[-1].step is Step.WAIT
    assert ladder.caches.note.strip()
    if vendor(name).medium != "wired" and not ladder.caches.flushed_by:
        assert "Session-Timeout" in ladder.caches.note or "keycache-tmout" in ladder.caches.note


@pytest.mark.parametrize("name", vendors())
def test_a_session_that_is_not_there_is_closed_and_a_switched_off_door_is_told_of(name: str) -> None:
    ladder = vendor(name).ladder
    assert ladder.meaning(503) is Meaning.GONE
    assert ladder.meaning(501) is Meaning.FORBIDDEN
    assert ladder.meaning(401) is Meaning.WRONG
    assert ladder.meaning(None) is Meaning.CANNOT
    assert ladder.meaning(9999) is Meaning.CANNOT


def test_a_profile_is_not_pushed_where_something_would_have_to_be_taken_away() -> None:
    known, role = vendor("aruba-aos"), frozenset({"role"})
    staff, guest = Place(name="a", vlan=20, role="staff"), Place(name="b", vlan=20, role="guest")
    assert changed(staff, guest, known, role)
    assert changed(staff, Place(name="c", vlan=20), known, role) is None
    assert changed(staff, replace(guest, vlan=900), known, role) is None
    assert changed(None, guest, known, role) is None
    assert changed(guest, replace(guest, name="d"), known, role) is None
