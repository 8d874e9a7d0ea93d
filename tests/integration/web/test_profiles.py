"""Certificate profiles as people meet them: listed, compared, previewed and applied, over API and pages."""

from __future__ import annotations

from tests.support.dashboard import House
from troth.access.roles import Role
from troth.pki.profile import shipped_profiles
from troth.pki.store import CertificateStore

DEVICE = """
name: campus-device
description: A device of the campus, named as the directory names it.
extended_key_usage: [clientAuth]
key_usage: [digitalSignature]
lifetime: {default: 30d, max: 90d, jitter: 1d}
keys: [p256]
names: {max: 0, others: ignore}
subject:
  - CN: ${device.name | lower}
  - serialNumber: ${device.serial | optional}
san:
  - dns: ${device.name}.campus.example
"""


async def test_profiles_are_listed_shown_and_compared(house: House) -> None:
    browser = await house.logged_in(Role.AUDITOR)
    listed = {one["name"]: one for one in (await browser.get("/api/v1/profiles")).json()}
    assert listed["tls-server"]["extended_key_usage"] == ["serverAuth"]
    assert not listed["tls-server"]["templated"]
    text = shipped_profiles()["tls-server"].replace("default: 30d", "default: 20d")
    diff = await browser.post("/api/v1/profiles/diff", content=text)
    assert "+lifetime: {default: 20d" in diff.json()["diff"], diff.text
    assert (await browser.post("/api/v1/profiles", content=text)).status_code == 403

    writer = await house.logged_in(Role.ADMINISTRATOR)
    applied = await writer.post("/api/v1/profiles", content=text)
    assert applied.json()["changes"][0]["action"] == "changed", applied.text
    assert [one["version"] for one in (await browser.get("/api/v1/profiles/tls-server")).json()] == [2, 1]
    between = (await browser.get("/api/v1/profiles/tls-server/diff")).json()["diff"]
    assert "-lifetime: {default: 30d" in between
    assert (await browser.get("/api/v1/profiles/nothing")).status_code == 404
    assert (await browser.get("/api/v1/profiles/tls-server/diff?before=9")).status_code == 404
    for path in ("/profiles", "/profiles/tls-server", "/profiles/tls-server?version=1"):
        assert "tls-server" in (await browser.get(path)).text


async def test_a_preview_shows_the_certificate_or_names_what_is_missing_and_issues_nothing(house: House) -> None:
    await house.fleet(6)
    writer = await house.logged_in(Role.ADMINISTRATOR)
    applied = await writer.post("/api/v1/profiles", content=DEVICE)
    assert applied.status_code == 200, applied.text
    before = len((await CertificateStore(house.trust.database).listed(limit=200)).certificates)

    seen = (await writer.get("/api/v1/profiles/campus-device/preview", params={"subject": "laptop-01"})).json()
    fields = dict(seen["fields"])
    assert seen["refusal"] is None, seen
    assert fields["Subject"].startswith("CN=laptop-01")
    assert fields["Name: dns"] == "laptop-01.campus.example"
    assert (seen["outcome"], seen["reason"]) == ("deny", "policy.no_policy")  # nobody governs it yet

    strict = DEVICE.replace("${device.serial | optional}", "${device.udid}")
    await writer.post("/api/v1/profiles", content=strict)
    missing = (await writer.get("/api/v1/profiles/campus-device/preview", params={"subject": "laptop-01"})).json()
    assert (missing["code"], missing["variable"]) == ("pki.profile.variable_missing", "device.udid")
    assert "device laptop-01" in missing["refusal"]
    page = await writer.get("/profiles/campus-device", params={"subject": "laptop-01"})
    assert "device.udid" in page.text
    assert "Policy would say" in page.text
    unknown = await writer.get("/profiles/campus-device", params={"subject": "nobody"})
    assert "no subject is called" in unknown.text
    assert len((await CertificateStore(house.trust.database).listed(limit=200)).certificates) == before


async def test_a_profile_that_makes_names_issues_what_it_previews_and_records_the_assurance(house: House) -> None:
    await house.fleet(6)
    writer = await house.logged_in(Role.ADMINISTRATOR)
    # Under the name that the shipped policy governs.
    document = DEVICE.replace("name: campus-device", "name: client-device")
    assert (await writer.post("/api/v1/profiles", content=document)).status_code == 200
    issued = await house.issue("laptop-01", "evil.example", profile="client-device")
    record = await CertificateStore(house.trust.database).by_id(issued)
    assert record is not None
    assert record.names == (("dns", "laptop-01.campus.example"),)
    assert record.subject[0] == ("CN", "laptop-01")
    assert record.key_assurance == "unproven"
    shown = (await writer.get(f"/api/v1/certificates/{issued}")).json()
    assert (shown["key_assurance"], shown["subject"]) == ("unproven", [["CN", "laptop-01"]])
    # What the profile read is in the decision, beside what the policy read.
    assert record.decision_id is not None
    snapshot = await house.trust.database.fetchval("SELECT snapshot FROM decision WHERE id = $1", record.decision_id)
    assert "device.name" in str(snapshot)
    assert "evidence.key_assurance" in str(snapshot)
