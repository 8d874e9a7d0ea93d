from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from msgspec import structs

from tests.unit.radius.admission.partner import ANCHOR, BELOW, KEY, PARTNER, crl
from tests.unit.radius.admission.world import AT, World, issue
from troth.radius.admission.crls import loaded, read_crl
from troth.radius.admission.errors import NetworkError
from troth.radius.admission.foreign import issuer_id
from troth.radius.admission.model import ForeignRule, Identity, Unsettled
from troth.trust.model import Outcome

GUESTS = """
policy: guests
profiles: [guests]
rules:
  - rule: anybody-of-theirs
    moments: [connect]
    require:
      theirs: certificate.issuer == "Partner Root"
    then: {allow: {session_time: 2h}}
    else: deny
    unknown: deny
"""


@pytest.fixture
def world() -> World:
    made = World()
    made.policies.set(GUESTS)
    rule = ForeignRule("guests", (Identity.EMAIL, Identity.DNS), "user")
    made.set_network(made.network, authorities=(), profiles=frozenset(), anchors=("Partner Root",), foreign=rule)
    return made


def guest(issuer: x509.Certificate = PARTNER, name: str = "bob@partner.example") -> x509.Certificate:
    return issue("Bob", issuer, signer=KEY, names=(x509.RFC822Name(name),))


def shown(world: World, leaf: x509.Certificate, *above: x509.Certificate):  # type: ignore[no-untyped-def]
    attempt = world.attempt(leaf.public_bytes(Encoding.DER))
    assert attempt.facts is not None
    chain = tuple(one.public_bytes(Encoding.DER) for one in (leaf, *above))
    return structs.replace(attempt, facts=replace(attempt.facts, chain=chain))  # type: ignore[type-var]


def lists(world: World, *of: tuple[x509.Certificate, bytes]) -> None:
    world.decider.ground = replace(
        world.decider.ground, lists={issuer_id(one): loaded(issuer_id(one), der) for one, der in of}
    )


@pytest.fixture(autouse=True)
def anchored(world: World) -> None:
    anchors = replace(world.decider.ground.anchors, foreign={"Partner Root": ANCHOR}, epoch=1)
    world.decider.ground = replace(world.decider.ground, anchors=anchors)


def test_a_guest_is_let_in_under_the_name_in_the_certificate_if_a_list_says_nothing_against_it(world: World) -> None:
    lists(world, (PARTNER, crl()))
    verdict = world.decider.decide(shown(world, guest()))
    assert (verdict.outcome, verdict.user_name) == (Outcome.ALLOW, "bob@partner.example")
    assert verdict.session_time == timedelta(hours=2)
    assert not verdict.unchecked
    again = world.decider.decide(shown(world, guest()))
    assert again.subject_ids == verdict.subject_ids


def test_one_that_its_issuer_has_revoked_is_refused_even_by_a_list_that_has_ended(world: World) -> None:
    leaf = guest()
    lists(world, (PARTNER, crl(leaf.serial_number)))
    assert world.decider.decide(shown(world, leaf)).reason == "radius.admission.foreign_revoked"
    world.clock.advance(timedelta(days=8))
    assert world.decider.decide(shown(world, leaf)).reason == "radius.admission.foreign_revoked"


def test_without_a_list_in_force_it_is_refused_or_let_in_and_marked_as_the_network_says(world: World) -> None:
    assert world.decider.decide(shown(world, guest())).reason == "radius.admission.foreign_unchecked"
    assert world.network.foreign is not None
    ground = world.decider.ground
    world.set_network(world.network, foreign=replace(world.network.foreign, closed=False))
    world.decider.ground = replace(world.decider.ground, anchors=ground.anchors)
    verdict = world.decider.decide(shown(world, guest()))
    assert (verdict.outcome, verdict.unchecked) == (Outcome.ALLOW, True)


def test_every_authority_of_the_path_is_asked_about(world: World) -> None:
    leaf = guest(BELOW)
    lists(world, (BELOW, crl(issuer=BELOW)))
    refused = world.decider.decide(shown(world, leaf, BELOW))
    assert (refused.reason, refused.detail) == ("radius.admission.foreign_unchecked", "CN=Partner Root")
    lists(world, (BELOW, crl(issuer=BELOW)), (PARTNER, crl(BELOW.serial_number)))
    assert world.decider.decide(shown(world, leaf, BELOW)).reason == "radius.admission.foreign_revoked"
    lists(world, (BELOW, crl(issuer=BELOW)), (PARTNER, crl()))
    assert world.decider.decide(shown(world, leaf, BELOW)).admitted


def test_a_common_name_is_nobody_s_unless_the_network_says_so(world: World) -> None:
    lists(world, (PARTNER, crl()))
    nameless = issue("alice", PARTNER, signer=KEY)
    assert world.decider.decide(shown(world, nameless)).reason == "radius.admission.foreign_nameless"


def test_a_name_that_must_be_a_subject_s_is_looked_up_and_a_stranger_is_refused(world: World) -> None:
    assert world.network.foreign is not None
    ground = world.decider.ground
    world.set_network(world.network, foreign=replace(world.network.foreign, guest=False))
    world.decider.ground = replace(world.decider.ground, anchors=ground.anchors)
    lists(world, (PARTNER, crl()))
    with pytest.raises(Unsettled):
        world.decider.decide(shown(world, guest()))
    assert world.table.names.asked(10) == [("user", "bob@partner.example")]
    world.table.put_name("user", "bob@partner.example", None)
    assert world.decider.decide(shown(world, guest())).reason == "radius.admission.foreign_stranger"


def test_an_anchor_that_is_not_believed_about_clients_vouches_for_nobody(world: World) -> None:
    lists(world, (PARTNER, crl()))
    servers = replace(ANCHOR, purposes=("serverAuth",))
    anchors = replace(world.decider.ground.anchors, foreign={"Partner Root": servers}, epoch=2)
    world.decider.ground = replace(world.decider.ground, anchors=anchors)
    assert world.decider.decide(shown(world, guest())).reason == "radius.admission.chain"


@pytest.mark.parametrize(
    ("der", "issuers", "why"),
    [
        (crl(delta=True), (), "covers only some"),
        (crl(key=ec.generate_private_key(ec.SECP256R1())), (), "has not signed"),
        (crl(issuer=BELOW), (), "was issued by"),
        (b"\x30\x00", (), "no revocation list"),
    ],
)
def test_a_list_that_its_issuer_does_not_stand_for_is_refused(der: bytes, issuers: tuple[bytes, ...], why: str) -> None:
    with pytest.raises(NetworkError, match=why):
        read_crl(ANCHOR, der, issuers, AT)


def test_a_list_of_an_authority_below_the_anchor_is_taken_with_its_certificate() -> None:
    read = read_crl(ANCHOR, crl(7, issuer=BELOW, number=12), (BELOW.public_bytes(Encoding.DER),), AT)
    assert (read.issuer, read.number, read.entries) == (issuer_id(BELOW), 12, 1)
