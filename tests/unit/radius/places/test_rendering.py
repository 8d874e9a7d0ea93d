"""What is sent is the place and nothing else; what cannot be sent is said, or refused."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from troth.radius.places.errors import NotExpressible, VendorUnknown
from troth.radius.places.model import Place, PlaceDefinition, place_of
from troth.radius.places.rendering import MAX_OCTETS, losses_of, refuse_if_less, render, rendered
from troth.radius.places.vendors import vendor, vendors
from troth.radius.wire.packet import Attribute, Packet

#: One place for each outcome that lets a client in, no word of which is in another.
ALLOW = Place(
    name="allow", vlan=1111, role="trusted-role", acl="trusted-acl", sgt=0x1111, session_timeout=11_111,
    essential=frozenset({"vlan"}),
)  # fmt: skip
RESTRICT = place_of(
    PlaceDefinition(
        name="restrict", vlan=2222, role="restrict-role", acl_rules=("permit tcp to 192.0.2.22/32 port 2222",),
        session_timeout="22m",
    )
)  # fmt: skip
QUARANTINE = place_of(
    PlaceDefinition(
        name="quarantine", vlan=3333, acl_rules=("permit tcp to 192.0.2.33/32 port 3333",), session_timeout="3m",
        redirect_url="https://quarantine.example/", redirect_acl="quarantine-acl",
    )
)  # fmt: skip
PLACES = {"allow": ALLOW, "restrict": RESTRICT, "quarantine": QUARANTINE}
_MARKS = {"allow": (b"1111", b"trusted"), "restrict": (b"2222", b"restrict"), "quarantine": (b"3333", b"quarantine")}


def _request(port_type: int) -> Packet:
    return Packet(1, 0, bytes(16), ((61, port_type.to_bytes(4, "big")),), b"")


def _all(place: Place, name: str) -> list[list[Attribute]]:
    return [render(place, name, request) for request in (None, _request(15), _request(19))]


#: VPN gateways have none.
_WITH_VLANS = [name for name in vendors() if name != "strongswan"]


@pytest.mark.parametrize("outcome", PLACES)
def test_a_gateway_without_vlans_is_sent_nothing_of_a_place_that_is_one(outcome: str) -> None:
    with pytest.raises(NotExpressible, match="vlan"):
        render(PLACES[outcome], "strongswan", _request(5))


@pytest.mark.parametrize(("name", "outcome"), list(itertools.product(_WITH_VLANS, PLACES)), ids=str)
def test_every_vendor_is_told_the_vlan_of_every_outcome_and_nothing_of_another(name: str, outcome: str) -> None:
    for attributes in _all(PLACES[outcome], name):
        octets = b"\n".join(value for _, value in attributes)
        number = _MARKS[outcome][0]
        assert number in octets or int(number).to_bytes(4, "big") in octets
        others = {mark for other, marks in _MARKS.items() if other != outcome for mark in marks}
        assert not any(mark in octets for mark in others)


@pytest.mark.parametrize("name", vendors())
def test_what_is_essential_and_cannot_be_said_is_refused_rather_than_left_out(name: str) -> None:
    for field in ("role", "acl", "acl_rules", "sgt"):
        rules = RESTRICT.acl_rules if field == "acl_rules" else ()
        value = {"role": "r", "acl": "a", "acl_rules": rules, "sgt": 7}[field]
        place = Place(name="x", **{field: value}, essential=frozenset({field}))  # type: ignore[arg-type]
        known = vendor(name)
        lost = {loss.field for loss in rendered(place, known, wireless=known.medium == "wireless").losses}
        if field in lost:
            with pytest.raises(NotExpressible, match=known.title.split(" (")[0]):
                render(place, name, None)
        else:
            assert render(place, name, None)


def test_a_vlan_by_its_name_is_not_sent_to_whom_only_numbers_mean_something() -> None:
    place = Place(name="x", vlan="Guests", essential=frozenset({"vlan"}))
    with pytest.raises(NotExpressible, match="by its number"):
        render(place, "unifi", None)
    assert render(place, "cisco-ios-xe", None)


def test_rules_for_one_version_of_ip_are_not_half_a_filter() -> None:
    """A switch that filters IPv4 alone leaves IPv6 open; that is only sent if the place says so."""
    place = replace(QUARANTINE, essential=frozenset({"acl_rules"}))
    with pytest.raises(NotExpressible, match="IPv6"):
        render(place, "juniper-ex", None)
    assert render(replace(place, ipv6=False), "juniper-ex", None)


def test_names_that_are_too_long_for_a_vendor_are_a_loss() -> None:
    place = Place(name="x", vlan=20, role="r" * 63, acl="a" * 40, essential=frozenset({"vlan"}))
    assert [loss.field for loss in losses_of(place, vendor("cisco-9800"))] == ["role", "acl"]
    assert losses_of(replace(place, acl=None), vendor("aruba-cx")) == ()


def test_a_place_that_does_not_fit_into_a_packet_is_lost_whole() -> None:
    rules = tuple(f"permit tcp to 198.51.{n}.0/24 port {10_000 + n}-{20_000 + n}" for n in range(64))
    place = place_of(PlaceDefinition(name="big", role="r", acl_rules=rules, ipv6=False))
    known = vendor("cisco-ios-xe")
    found = rendered(place, known, wireless=False)
    assert found.attributes == ()
    assert {loss.field for loss in found.losses} >= {"role", "acl_rules"}
    with pytest.raises(NotExpressible, match=str(MAX_OCTETS)):
        refuse_if_less(place, known, found.losses)


def test_there_is_no_vendor_by_accident() -> None:
    with pytest.raises(VendorUnknown, match="generic"):
        render(ALLOW, "../generic", None)


_WORDS = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9 ._@/-]{0,60}[A-Za-z0-9]", fullmatch=True)
_RULES = st.tuples(
    st.sampled_from(["permit", "deny"]), st.sampled_from(["tcp", "udp"]),
    st.sampled_from(["any", "192.0.2.0/24", "2001:db8::/32"]), st.integers(1, 65_535),
).map(lambda one: f"{one[0]} {one[1]} to {one[2]} port {one[3]}")  # fmt: skip
_DEFINITIONS = st.builds(
    PlaceDefinition,
    name=st.just("any"),
    vlan=st.none() | st.integers(1, 4094) | _WORDS.filter(lambda one: not one.isdigit()),
    voice_vlan=st.none() | st.integers(1, 4094),
    role=st.just("") | _WORDS,
    acl=st.just("") | _WORDS,
    acl_rules=st.lists(_RULES, max_size=64).map(tuple),
    ipv6=st.booleans(),
    sgt=st.none() | st.integers(1, 65_533),
    session_timeout=st.sampled_from(["", "1m", "24h"]),
    idle_timeout=st.sampled_from(["", "10m"]),
    redirect_url=st.just("") | st.just("https://example.com/" + "x" * 180),
)


@settings(max_examples=60)
@given(_DEFINITIONS, st.booleans())
def test_whatever_the_place_no_attribute_is_too_long_or_holds_what_no_text_holds(
    definition: PlaceDefinition, wireless: bool
) -> None:
    place = place_of(definition)
    for name in vendors():
        found = rendered(place, vendor(name), wireless=wireless)
        assert sum(len(value) + 2 for _, value in found.attributes) <= MAX_OCTETS
        for kind, value in found.attributes:
            assert 0 < len(value) <= 253
            text = value[6:] if kind == 26 else value
            if kind in (11, 81) or (kind == 26 and len(text) != 4):
                assert text.decode().isprintable()
            if kind == 92:
                # RFC 4849 separates rules by NUL; equipment known here takes one rule in each.
                assert text.replace(b"\0", b"").decode().isprintable()
                assert name == "generic" or b"\0" not in text
