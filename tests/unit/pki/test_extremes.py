"""The full lint over what a profile makes at its ends: for every kind of name and every option."""

from __future__ import annotations

from datetime import timedelta

import msgspec
import pytest

from tests.unit.pki.forge import NOW, Forge
from troth.pki.attributes import TYPES
from troth.pki.errors import ProfileRefused
from troth.pki.extremes import SAMPLES, extremes
from troth.pki.keycheck import KINDS as KEY_KINDS
from troth.pki.lint_full import lint_profile
from troth.pki.names import KINDS
from troth.pki.profile import parse_profile
from troth.pki.rendering import render

FORGE = Forge.make()
EVERYTHING = """
name: everything
description: Every kind of name and most options at once.
issuer_class: people
extended_key_usage: [clientAuth, smartcardLogon, 1.3.6.1.4.1.32473.5]
key_usage: [digitalSignature]
lifetime: {default: 30d, max: 1y, backdate: 5m, jitter: 10d}
keys: [p256]
names: {kinds: [dns, ip, email, uri, upn, permanent-identifier, hardware-module, directory], max: 100, wildcard: true}
subject:
  - C: ${user.country}
  - DC: example
  - DC: ${user.realm | domain | before(".") | default("corp")}
  - O: Example
  - CN: ${user.name | take(64)}
  - emailAddress: ${user.email | optional}
  - UID: ${user.uid}
san:
  - dns: ${device.name | slug}.a.example
  - ip: ${device.address}
  - email: ${user.email}
  - uri: https://a.example/${user.name}
  - upn: ${user.upn}
  - permanent-identifier: ${device.serial}
    assigner: 1.3.6.1.4.1.32473.1
  - hardware-module: ${device.serial | hex}
    type: 1.3.6.1.4.1.32473.2
  - directory: [{O: Example}, {CN: "${user.name | take(64)}"}]
must_staple: true
policies: [{oid: 1.3.6.1.4.1.32473.7, cps: "https://a.example/cps"}, {oid: 1.3.6.1.4.1.32473.8}]
strong_mapping: {sid: "${user.sid}", form: both}
"""


def test_every_kind_of_name_and_every_option_passes_the_full_lint() -> None:
    profile = parse_profile(EVERYTHING)
    assert profile.kinds == set(KINDS) == set(SAMPLES)
    lint_profile(FORGE.template(profile), NOW)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_proved_name_passes_the_full_lint_alone(kind: str) -> None:
    base = parse_profile(EVERYTHING)
    names = msgspec.structs.replace(base.names, kinds=(kind,), min=1, max=2)
    lint_profile(FORGE.template(msgspec.structs.replace(base, names=names, san=(), subject=())), NOW)


@pytest.mark.parametrize("key", KEY_KINDS)
def test_every_kind_of_key_passes_the_full_lint(key: str) -> None:
    lint_profile(FORGE.template(msgspec.structs.replace(FORGE.profiles["tls-server"], keys=(key,))), NOW)


@pytest.mark.parametrize("attribute", sorted(TYPES))
def test_every_attribute_of_a_subject_passes_the_full_lint_at_its_longest(attribute: str) -> None:
    address = f"{'m' * 64}@a.example"
    longest = {"C": "DE", "emailAddress": address}.get(attribute, "x" * TYPES[attribute].limit)
    # Domain components make a domain (RFC 2247), and an address stands in the alternative names as well (RFC 5280).
    subject = ({"DC": "example"}, {attribute: longest}) if attribute == "DC" else ({attribute: longest},)
    profile = msgspec.structs.replace(FORGE.profiles["wifi-user"], subject=subject, san=({"email": address},))
    lint_profile(FORGE.template(profile), NOW)


def test_a_ceremony_profile_passes_the_full_lint() -> None:
    profile = parse_profile(
        """
name: regional
description: An issuing authority for one region.
extended_key_usage: [serverAuth, clientAuth]
key_usage: [keyCertSign, cRLSign]
lifetime: {default: 2y, max: 5y}
keys: [p384]
basic_constraints: ca
path_length: 0
common_name: required
name_constraints:
  permitted: [{dns: corp.example}, {email: corp.example}, {uri: .corp.example}]
  excluded: [{ip: 10.0.0.0/8}, {ip: "2001:db8::/32"}]
"""
    )
    lint_profile(FORGE.template(profile), NOW)


def test_what_no_invented_fact_fits_is_refused_when_it_is_applied() -> None:
    profile = msgspec.structs.replace(FORGE.profiles["wifi-user"], subject=({"C": "${user.a}${user.b}"},))
    with pytest.raises(ProfileRefused):
        extremes(profile)


def test_jitter_ends_certificates_earlier_and_never_later() -> None:
    template = FORGE.template("wifi-device")
    begin, latest = template.validity(NOW)
    assert template.validity(NOW, stagger=0.5)[1] == latest - timedelta(days=1)
    assert template.validity(NOW, stagger=1.0)[1] == latest - timedelta(days=2)
    # What was asked to be short, or to end at a certain moment, is not shortened further.
    hour = timedelta(hours=1)
    assert template.validity(NOW, hour, stagger=1.0) == template.validity(NOW, hour)
    end = begin + timedelta(days=20)
    assert template.validity(NOW, None, end, stagger=1.0)[1] == end


def test_extremes_are_what_requests_can_come_to() -> None:
    profile = FORGE.profiles["spiffe-workload"]
    longest = extremes(profile)[-1]
    assert any(kind == "uri" and value.startswith("spiffe://") for kind, value in longest.names)
    assert render(profile, {"workload.name": "a", "workload.trust_domain": "b.example"}, ()).names == (
        ("uri", "spiffe://b.example/default/a"),
    )
