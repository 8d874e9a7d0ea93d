"""Which authority signs a certificate of a profile."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from tests.support.mint import Mint, ca_certificate
from troth.pki.authorities import Authority
from troth.pki.authority_store import SET_AUTHORITY_STATE
from troth.pki.catalogue import add_authority
from troth.pki.errors import AuthorityRefused, ProfileRefused
from troth.pki.issuer_classes import EVERY, IssuerClass
from troth.pki.profile import shipped_profiles
from troth.store.unit import Unit


async def added(
    mint: Mint, slug: str, *classes: IssuerClass, curve: ec.EllipticCurve | None = None, state: str = "active"
) -> Authority:
    """One more issuing authority under the test's root, a minute younger than the last."""
    mint.clock.advance(timedelta(minutes=1))
    key = ec.generate_private_key(curve or ec.SECP256R1())
    certificate = ca_certificate(key, f"Test {slug}", mint.clock.now(), (mint.root, mint.root_key))
    mint.signer.keys[f"{slug}-key"] = key
    made = replace(
        mint.catalogue.authority("issuing"),
        slug=slug,
        name=f"Test {slug}",
        certificate=certificate.public_bytes(Encoding.DER),
        key_id=f"{slug}-key",
        state=state,  # type: ignore[arg-type]
        created_at=mint.clock.now(),
        issuer_classes=classes,
    )
    await mint.database.commit(add_authority(Unit(), made, actor="test:mint"))
    await mint.catalogue.refresh()
    return made


async def test_an_authority_comes_back_with_the_classes_it_was_added_with(mint: Mint) -> None:
    made = await added(mint, "radius", IssuerClass.RADIUS, IssuerClass.PEOPLE)
    assert mint.catalogue.authority("radius").issuer_classes == (IssuerClass.PEOPLE, IssuerClass.RADIUS)
    assert mint.catalogue.authority("issuing").issuer_classes == EVERY
    assert mint.catalogue.authority("radius").sha256 == made.sha256


async def test_a_profile_is_signed_by_the_authority_of_its_class(mint: Mint) -> None:
    await added(mint, "people", IssuerClass.PEOPLE)
    await added(mint, "infrastructure", IssuerClass.INFRASTRUCTURE)
    assert mint.catalogue.issuer_for("troth-service").slug == "infrastructure"
    assert mint.catalogue.issuer_for("tls-server").slug == "issuing"


async def test_of_several_authorities_of_a_class_the_newest_active_one_signs(mint: Mint) -> None:
    await added(mint, "second", IssuerClass.OPEN)
    await added(mint, "third", IssuerClass.OPEN, state="planned")
    assert mint.catalogue.issuer_for("tls-server").slug == "second"
    await mint.database.commit(Unit().write(SET_AUTHORITY_STATE, "second", "retiring"))
    await mint.catalogue.refresh()
    assert mint.catalogue.issuer_for("tls-server").slug == "issuing"


async def test_among_parallel_hierarchies_the_profile_chooses_by_the_kind_of_key_it_names_first(mint: Mint) -> None:
    await added(mint, "other-hierarchy", IssuerClass.OPEN, curve=ec.SECP384R1())
    assert mint.catalogue.issuer_for("tls-server").slug == "issuing"
    document = shipped_profiles()["tls-server"].replace("keys: [p256, p384,", "keys: [p384, p256,")
    await mint.catalogue.apply_profile(document, actor="test:mint")
    assert mint.catalogue.issuer_for("tls-server").slug == "other-hierarchy"


async def test_a_class_that_nobody_serves_is_refused_with_its_name_and_what_to_do(mint: Mint) -> None:
    await added(mint, "new-open", IssuerClass.OPEN)
    await mint.database.commit(Unit().write(SET_AUTHORITY_STATE, "issuing", "retired"))
    await mint.catalogue.refresh()
    with pytest.raises(AuthorityRefused) as caught:
        mint.catalogue.issuer_for("troth-service")
    assert caught.value.code == "pki.authority.missing"
    assert "infrastructure" in caught.value.detail
    assert "issuer_class" in caught.value.reason.fix
    with pytest.raises(ProfileRefused):
        mint.catalogue.issuer_for("nobody")


async def test_the_gate_signs_no_profile_under_an_authority_of_another_class(mint: Mint) -> None:
    await added(mint, "people", IssuerClass.PEOPLE)
    with pytest.raises(AuthorityRefused) as caught:
        await mint.gate.issue(mint.request(authority="people"))
    assert caught.value.code == "pki.authority.class"
    assert not mint.signer.certified
    assert await mint.database.fetchval("SELECT count(*) FROM certificate") == 0


async def test_every_authority_that_issues_gets_a_responder_of_its_own(mint: Mint) -> None:
    from troth.pki.responder import Responders

    await added(mint, "people", IssuerClass.PEOPLE)
    await added(mint, "planned", IssuerClass.RADIUS, state="planned")
    responders = Responders(mint.database, mint.gate, mint.signer, mint.catalogue, mint.clock)
    await responders.ensure_all()
    signed = len(mint.signer.certified)
    assert signed == 2
    assert await responders.current("people") is not None
    assert await responders.current("planned") is None
    await responders.ensure_all()
    assert len(mint.signer.certified) == signed
