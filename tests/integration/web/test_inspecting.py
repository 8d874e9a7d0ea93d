"""Blocked keys and findings over API and pages."""

from __future__ import annotations

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.support.dashboard import House
from troth.access.roles import Role
from troth.pki.blocked import PROOF_NAME


async def spki_of_a_certificate(house: House) -> tuple[str, str]:
    found = await house.issue("www.example.org", "www.example.org")
    one = await house.services.certificates.get(found)
    assert one is not None
    return one.spki_sha256, str(found)


async def test_an_operator_blocks_a_key_and_sees_what_it_hit(house: House) -> None:
    digest, certificate = await spki_of_a_certificate(house)
    browser = await house.logged_in(Role.OPERATOR)
    before = (await browser.get(f"/api/v1/blocked-keys/{digest}")).json()
    assert (before["blocked"], before["live"]) == (None, 1)
    command = {"key": digest, "reason": "compromised", "note": "found on a share"}
    answer = await browser.post("/api/v1/blocked-keys", json=command)
    assert answer.status_code == 200, answer.text
    told = answer.json()
    assert (told["blocked"]["source"], told["live"], told["ever"]) == ("operator", 0, 1)
    shown = (await browser.get(f"/api/v1/certificates/{certificate}")).json()
    assert (shown["status"], shown["revocation_reason"]) == ("revoked", 1)
    assert digest[:32] in (await browser.get("/keys/blocked")).text
    assert "Blocked for good" in (await browser.get(f"/keys/blocked/{digest}")).text


async def test_the_page_wants_the_number_typed_that_it_has_shown(house: House) -> None:
    digest, _ = await spki_of_a_certificate(house)
    browser = await house.logged_in(Role.OPERATOR)
    assert "1 live certificates" in (await browser.get(f"/keys/blocked/{digest}/block")).text
    form = {"note": "found", "typed": "7", "reason": "compromised"}
    assert (await browser.post(f"/keys/blocked/{digest}/block", data=form)).status_code == 400
    answer = await browser.post(f"/keys/blocked/{digest}/block", data=form | {"typed": "1"})
    assert answer.headers["location"] == f"/keys/blocked/{digest}?done=blocked"


async def test_a_proof_is_taken_from_an_operator_too(house: House) -> None:
    browser = await house.logged_in(Role.OPERATOR)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, PROOF_NAME)])
    request = x509.CertificateSigningRequestBuilder(name).sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256())
    proof = request.public_bytes(serialization.Encoding.PEM).decode()
    answer = await browser.post("/api/v1/blocked-keys", json={"proof": proof})
    assert answer.json()["blocked"]["source"] == "proof"
    assert (await browser.post("/api/v1/blocked-keys", json={})).status_code == 400
    assert (await browser.get("/api/v1/blocked-keys/nonsense")).status_code == 404


async def test_a_body_that_is_no_text_is_refused_and_not_a_failure(house: House) -> None:
    browser = await house.logged_in(Role.OPERATOR)
    headers = {"content-type": "application/json"}
    for path in ("/api/v1/blocked-keys", "/login/passkey"):
        answer = await browser.post(path, content=b'{"key":"\xff\xfe"}', headers=headers)
        assert answer.status_code == 400, (path, answer.text)


async def test_the_audit_on_demand_tells_what_it_found(house: House) -> None:
    _, certificate = await spki_of_a_certificate(house)
    await house.trust.database.fetch("UPDATE certificate SET sha256 = '\\x00' WHERE id = $1::uuid", certificate)
    browser = await house.logged_in(Role.AUDITOR)
    told = (await browser.post("/api/v1/inspections/audit")).json()
    assert told["found"] >= 1
    found = (await browser.get("/api/v1/findings")).json()
    assert ("audit.digest", f"certificate:{certificate}") in {(one["code"], one["object"]) for one in found}
    checks = {one["name"]: one["state"] for one in (await browser.get("/api/v1/status")).json()["checks"]}
    assert checks["Certificates issued"] == "warn"
    page = (await browser.get("/findings")).text
    assert "audit.digest" in page
    assert {one["name"] for one in (await browser.get("/api/v1/inspections")).json()} == {"lint", "audit"}
