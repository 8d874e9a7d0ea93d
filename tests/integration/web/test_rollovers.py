"""Rollovers, foreign roots and authorities over API and pages."""

from __future__ import annotations

from base64 import b64encode

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from tests.integration.pki.test_issuers import added
from tests.support.dashboard import House
from tests.support.mint import ca_certificate
from troth.access.roles import Role
from troth.pki.issuer_classes import EVERY


async def test_a_rollover_is_begun_looked_at_moved_on_and_backed_out_of(house: House) -> None:
    await added(house.trust.mint, "second", *EVERY, state="planned")
    browser = await house.logged_in(Role.ADMINISTRATOR)
    begun = await browser.post("/api/v1/rollovers", json={"outgoing": "issuing", "incoming": "second"})
    assert (begun.status_code, begun.json()["stage"], begun.json()["next"]) == (200, "trust", "coverage"), begun.text
    rollover = begun.json()["id"]
    for path in ("/rollovers", f"/rollovers/{rollover}", f"/rollovers/{rollover}/advance", "/authorities"):
        shown = await browser.get(path)
        assert shown.status_code == 200, path
    assert "has one root" in (await browser.get(f"/rollovers/{rollover}")).text.replace("both have", "has")
    done = await browser.post(f"/rollovers/{rollover}/advance", data={"note": ""})
    assert (done.status_code, done.headers["location"]) == (303, f"/rollovers/{rollover}")
    assert (await browser.get(f"/api/v1/rollovers/{rollover}")).json()["stage"] == "coverage"
    told = await browser.post(f"/api/v1/rollovers/{rollover}/attest", json={"percent": 96, "reason": "asked them all"})
    assert told.status_code == 200, told.text
    short = await browser.post(f"/rollovers/{rollover}/back-out", data={"note": "no"})
    assert short.status_code == 422
    back = await browser.post(f"/rollovers/{rollover}/back-out", data={"note": "the exercise is over"})
    assert back.status_code == 303
    found = (await browser.get("/api/v1/rollovers")).json()
    assert [(one["stage"], one["next"]) for one in found] == [("backed-out", None)]
    missing = await browser.get("/api/v1/rollovers/01900000-0000-7000-8000-000000000000")
    assert (missing.status_code, missing.json()["code"]) == (404, "rollover.unknown")


async def test_a_foreign_root_is_added_shown_and_removed(house: House) -> None:
    browser = await house.logged_in(Role.ADMINISTRATOR)
    key = ec.generate_private_key(ec.SECP256R1())
    der = ca_certificate(key, "Their Root", house.trust.mint.clock.now()).public_bytes(Encoding.DER)
    body = {"certificate": b64encode(der).decode(), "purposes": ["clientAuth"]}
    done = await browser.post("/api/v1/trust-anchors", json=body)
    assert done.status_code == 200, done.text
    assert "Their Root" in (await browser.get("/anchors")).text
    judged = await browser.post(
        "/api/v1/trust-anchors/judge", json={"chain": [body["certificate"]], "purpose": "emailProtection"}
    )
    assert judged.json()["code"] == "pki.path.refused"
    gone = await browser.post(f"/api/v1/trust-anchors/{done.json()['sha256']}/remove")
    assert gone.status_code == 200
    assert (await browser.get("/api/v1/trust-anchors")).json() == []


@pytest.mark.parametrize("role", [Role.OPERATOR, Role.AUDITOR])
async def test_none_but_administrators_add_authorities_and_roots(house: House, role: Role) -> None:
    browser = await house.logged_in(role)
    for path, body in (
        ("/api/v1/trust-anchors", {"certificate": "AA==", "purposes": ["clientAuth"]}),
        ("/api/v1/cross-certificates", {"certificate": "AA=="}),
        ("/api/v1/authorities", {"authority": "x", "certificate": "AA==", "issuer_classes": ["open"], "key_id": "k"}),
        ("/api/v1/authorities/issuing/issued", {"certificates": ["AA=="]}),
    ):
        assert (await browser.post(path, json=body)).status_code == 403, path


async def test_certificates_are_taken_in_for_planned_authorities_alone(house: House) -> None:
    browser = await house.logged_in(Role.ADMINISTRATOR)
    answer = await browser.post("/api/v1/authorities/issuing/issued", json={"certificates": ["AA=="]})
    assert (answer.status_code, answer.json()["code"]) == (409, "pki.authority.state")
