"""What strangers' certificates say of where their issuers' revocation lists lie."""

from __future__ import annotations

from dataclasses import replace

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from tests.unit.radius.admission.partner import ANCHOR, KEY, PARTNER
from tests.unit.radius.admission.world import World, issue
from troth.radius.admission.model import ForeignRule, Identity
from troth.radius.admission.points import is_list_url, points_of

_GUESTS = "policy: guests\nprofiles: [guests]\nrules: [{rule: any, moments: [connect], then: allow, unknown: deny}]\n"


def _point(*urls: str, **limits: object) -> x509.DistributionPoint:
    names = [x509.UniformResourceIdentifier(one) for one in urls]
    values = {"relative_name": None, "reasons": None, "crl_issuer": None} | limits
    return x509.DistributionPoint(full_name=names, **values)  # type: ignore[arg-type]


def test_only_complete_lists_of_the_issuer_itself_are_of_use() -> None:
    other = [x509.DirectoryName(PARTNER.subject)]
    some = frozenset({x509.ReasonFlags.key_compromise})
    points = (
        _point("ldap://x/y", "http://crl.partner.example/a.crl"),
        _point("http://crl.partner.example/indirect.crl", crl_issuer=other),
        _point("http://crl.partner.example/some.crl", reasons=some),
        _point("https://user@crl.partner.example/b.crl"),
    )
    leaf = issue("Bob", PARTNER, signer=KEY, lists=points)
    assert points_of(leaf) == ("http://crl.partner.example/a.crl",)
    assert points_of(PARTNER) == ()


@pytest.mark.parametrize("follows", [True, False])
def test_what_a_path_that_holds_names_is_learned_once_where_the_network_wants_it(follows: bool) -> None:
    world = World()
    world.policies.set(_GUESTS)
    rule = ForeignRule("guests", (Identity.EMAIL,), "user", points=follows)
    world.set_network(world.network, authorities=(), profiles=frozenset(), anchors=("Partner Root",), foreign=rule)
    anchors = replace(world.decider.ground.anchors, foreign={"Partner Root": ANCHOR}, epoch=1)
    world.decider.ground = replace(world.decider.ground, anchors=anchors)
    below = issue("Partner Issuing", PARTNER, signer=KEY, key=KEY, ca=True, lists=(_point("http://p.example/root"),))
    chain = None
    for name in ("bob", "eve"):
        names = (x509.RFC822Name(f"{name}@p.example"),)
        leaf = issue(name, below, signer=KEY, names=names, lists=(_point("http://p.example/issuing"),))
        chain = tuple(one.public_bytes(Encoding.DER) for one in (leaf, below))
        attempt = world.attempt(chain[0])
        facts = replace(attempt.facts, chain=chain)  # type: ignore[type-var]
        assert world.decider.decide(structs.replace(attempt, facts=facts)).reason.endswith("foreign_unchecked")
    assert chain is not None
    wanted = {
        ("Partner Root", "http://p.example/issuing"): (chain[1],),
        ("Partner Root", "http://p.example/root"): (),
    }
    taken = world.decider.paths.learned.take()
    assert taken == (wanted if follows else {})
    assert world.decider.paths.learned.take() == {}
    world.decider.paths.learned.put_back(taken)
    assert world.decider.paths.learned.take() == taken


@given(st.text(max_size=600))
def test_no_text_is_an_address_that_the_client_could_not_parse(text: str) -> None:
    for url in (text, f"http://{text}", f"https://h/{text}"):
        if is_list_url(url):
            assert url.isascii()
            assert "@" not in url.split("/")[2]
