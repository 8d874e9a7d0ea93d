"""Found certificates on the page, over the API and on the command line's side of it."""

from __future__ import annotations

import base64
import hashlib

import msgspec
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from tests.support.dashboard import House
from tests.support.mint import ca_certificate
from troth.access.roles import Role
from troth.enroll.workload.node import Node
from troth.inventory.service import Reports
from troth.pki.store import CertificateStore
from troth.trust.subjects.store import SubjectStore


async def reported(house: House) -> str:
    """A report of a host about one foreign certificate; the host's id."""
    database, clock = house.trust.database, house.trust.clock
    await house.apply("devices: [{name: node-1}]")
    subject_id = await house.subject("node-1")
    certificate = await house.issue("node-1", "node-1.example", profile="client-device")
    subject = await SubjectStore(database).by_id(subject_id)
    record = await CertificateStore(database).by_id(certificate)
    assert subject is not None
    assert record is not None
    name = "Evil <b>CA</b>"
    der = ca_certificate(ec.generate_private_key(ec.SECP256R1()), name, clock.now()).public_bytes(Encoding.DER)
    report = {
        "agent": "troth-agent", "at": clock.now().isoformat(), "certificates": [base64.b64encode(der).decode()],
        "sightings": [{"certificate": 0, "place": "/etc/<i>x</i>.pem", "kind": "file", "key": True}],
        "stores": [{"name": "system", "place": "/etc/ssl", "roots": [hashlib.sha256(der).hexdigest()]}],
        "facts": [
            {"path": "posture.firewall", "value": False, "observed_at": "2026-03-02T09:00:00Z", "source": "nftables"}
        ],
        "cut": ["/root: no permission"],
    }  # fmt: skip
    await Reports(database, clock).take(Node(subject, record, msgspec.json.encode(report)))
    return str(subject_id)


async def test_what_was_found_is_shown_and_nothing_in_it_is_markup(house: House) -> None:
    browser = await house.logged_in(Role.AUDITOR)
    assert "Nothing found" in (await browser.get("/found")).text
    host = await reported(house)
    page = (await browser.get("/found")).text
    assert "<b>CA" not in page
    assert "&lt;b" in page
    assert "/etc/&lt;i&gt;x&lt;/i&gt;.pem" in page
    assert "with its key" in page
    assert "no permission" in page
    for show in ("expiring", "elsewhere", "unknown", "gone", "junk"):
        assert (await browser.get(f"/found?show={show}&host={host}")).status_code == 200
    assert (await browser.get("/found?host=junk")).status_code == 200
    subject = (await browser.get(f"/subjects/{host}")).text
    assert f"/found?host={host}" in subject
    assert "agent:nftables" in subject


async def test_the_api_lists_counts_and_hosts(house: House) -> None:
    browser = await house.logged_in(Role.AUDITOR)
    host = await reported(house)
    found = (await browser.get("/api/v1/inventory/certificates", params={"elsewhere": "true"})).json()
    assert [(one["place"], one["key_known"]) for one in found["items"]] == [("/etc/<i>x</i>.pem", False)]
    assert (await browser.get("/api/v1/inventory/certificates", params={"days": 1})).json()["items"] == []
    assert (await browser.get("/api/v1/inventory")).json()["elsewhere"] == 1
    (one,) = (await browser.get("/api/v1/inventory/hosts", params={"host": host})).json()
    assert (one["host"], one["stores"][0]["roots"]) == ("node-1", 1)
    junk = await browser.get("/api/v1/inventory/certificates", params={"cursor": "junk"})
    assert (junk.status_code, junk.json()["code"]) == (400, "inventory.cursor")
