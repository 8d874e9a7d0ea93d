from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from troth.radius.nas.definition import NasDefinition, held_apart, parse_nas
from troth.radius.nas.errors import NasInvalid

FULL = """
nas:
  - name: campus-switches
    addresses: [10.1.0.0/24, "2001:DB8:1:0::/64", 192.0.2.7]
    vendor: cisco-ios-xe
    description: Switches of the campus
    site: berlin
    require_message_authenticator: auto
    limit_proxy_state: false
    coa: {port: 1700, address: 10.1.0.9, unsigned_answers: true}
    max_in_flight: 500
    networks: [wired]
    radsec: {names: ["DNS:*.SW.example.org", "ip:2001:DB8::1", "uri:urn:X", "policy:1.2.3"], only: true}
    identifier: campus
  - name: ap
    addresses: [192.0.2.9]
"""


def test_a_definition_is_read_and_brought_into_one_spelling() -> None:
    full, least = parse_nas(FULL)

    assert full.addresses == ("10.1.0.0/24", "2001:db8:1::/64", "192.0.2.7/32")
    assert full.radsec is not None
    assert full.radsec.names == ("dns:*.sw.example.org", "ip:2001:db8::1", "uri:urn:X", "policy:1.2.3")
    assert full.radsec.sources == full.addresses
    assert (full.coa.port, full.require_message_authenticator) == (1700, "auto")
    assert (full.coa.unsigned_answers, least.coa.unsigned_answers) == (True, False)
    assert least == NasDefinition("ap", ("192.0.2.9/32",))
    assert (least.require_message_authenticator, least.limit_proxy_state, least.coa.enabled) == ("yes", True, True)


@pytest.mark.parametrize(("written", "meant"), [("yes", "yes"), ("no", "no"), ("'no'", "no"), ("auto", "auto")])
def test_a_bare_yes_or_no_is_a_word(written: str, meant: str) -> None:
    (found,) = parse_nas(f"nas:\n  - {{name: a, addresses: [10.0.0.1], require_message_authenticator: {written}}}\n")

    assert found.require_message_authenticator == meant


def test_coa_is_switched_off_with_one_word() -> None:
    (found,) = parse_nas("nas:\n  - {name: a, addresses: [10.0.0.1], coa: false}\n")

    assert not found.coa.enabled


@pytest.mark.parametrize(
    ("entry", "field"),
    [
        ("{name: A, addresses: [10.0.0.1]}", "name"),
        ("{name: a}", "addresses"),
        ("{name: a, addresses: [10.0.0.1/24]}", "host bits"),
        ("{name: a, addresses: [0.0.0.0/0]}", "everybody"),
        ("{name: a, addresses: [224.0.0.0/8]}", "multicast"),
        ("{name: a, addresses: [10.0.0.1, 10.0.0.1/32]}", "twice"),
        ("{name: a, addresses: [ap.example.org]}", "addresses"),
        ("{name: a, addresses: [10.0.0.1], secret: abcdefghijklmnop}", "secret"),
        ("{name: a, addresses: [10.0.0.1], vendor: 'Cisco IOS'}", "vendor"),
        ("{name: a, addresses: [10.0.0.1], require_message_authenticator: maybe}", "require_message_authenticator"),
        ("{name: a, addresses: [10.0.0.1], coa: {address: nowhere}}", "nowhere"),
        ("{name: a, addresses: [10.0.0.1], coa: {port: 70000}}", "coa"),
        ("{name: a, addresses: [10.0.0.1], max_in_flight: 0}", "max_in_flight"),
        ("{name: a, addresses: [10.0.0.1], identifier: \"a\\nb\"}", "identifier"),
        ("{name: a, radsec: {names: ['dns:a.example']}}", "sources"),
        ("{name: a, addresses: [10.0.0.1], radsec: {names: []}}", "names"),
        ("{name: a, addresses: [10.0.0.1], radsec: {names: ['cn:a.example']}}", "cn:a.example"),
        ("{name: a, addresses: [10.0.0.1], radsec: {names: ['dns:*']}}", "dns:*"),
        ("[a]", "mapping"),
    ],
)  # fmt: skip
def test_what_does_not_hold_together_is_refused_with_its_field(entry: str, field: str) -> None:
    with pytest.raises(NasInvalid) as refused:
        parse_nas(f"nas:\n  - {entry}\n")

    assert field in refused.value.detail


def test_two_with_one_name_or_one_prefix_are_held_apart() -> None:
    one, other = NasDefinition("a", ("10.0.0.0/8",)), NasDefinition("b", ("10.0.0.0/8",))

    held_apart([one, NasDefinition("b", ("10.1.0.0/16",))])
    with pytest.raises(NasInvalid, match="twice"):
        held_apart([one, one])
    with pytest.raises(NasInvalid, match="already"):
        held_apart([one, other])


@given(text=st.text(max_size=120))
def test_any_text_is_read_or_refused(text: str) -> None:
    for document in (text, f"nas:\n  - name: a\n    addresses: [{text}]\n"):
        try:
            found = parse_nas(document)
        except NasInvalid:
            continue
        assert all(one.addresses or one.radsec for one in found)
