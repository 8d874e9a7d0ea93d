"""TPMs and their devices over API and pages."""

from __future__ import annotations

from base64 import b64encode

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.support.dashboard import House
from troth.access.roles import Role


def new_ek() -> str:
    """An endorsement key, DER in base64."""
    key = ec.generate_private_key(ec.SECP256R1()).public_key()
    return b64encode(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).decode()


async def test_a_tpm_is_registered_shown_with_its_device_and_forgotten(house: House) -> None:
    await house.apply("devices: [{name: laptop-17}, {name: laptop-18}]")
    browser = await house.logged_in(Role.OPERATOR)
    one = {"device": "laptop-17", "ek": new_ek(), "model": "SLB9672", "manufacturer": "id:49465800"}
    table = f"device,ek,identifier\nlaptop-18,{'ab' * 32},SERIAL-18\n"
    done = await browser.post("/api/v1/tpms", json={"tpms": [one], "csv": table})
    assert done.status_code == 200, done.text
    first, second = done.json()["registered"]
    assert second == "ab" * 32
    shown = (await browser.get(f"/api/v1/tpms/{first}")).json()
    assert (shown["device"], shown["identifier"], shown["model"]) == ("laptop-17", "laptop-17", "SLB9672")
    page = await browser.get(f"/subjects/{await house.subject('laptop-17')}")
    assert "SLB9672" in page.text
    assert first in page.text
    listed = (await browser.get("/api/v1/tpms?limit=1")).json()
    assert len(listed["items"]) == 1
    rest = (await browser.get(f"/api/v1/tpms?limit=1&cursor={listed['next']}")).json()
    assert (len(rest["items"]), rest["next"]) == (1, None)
    of_one = (await browser.get("/api/v1/tpms?device=laptop-18")).json()
    assert [one["ek_sha256"] for one in of_one["items"]] == [second]

    again = await browser.post("/api/v1/tpms", json={"tpms": [one]})
    assert (again.status_code, again.json()["code"]) == (409, "tpm.endorsement.registered")
    gone = await browser.post(f"/api/v1/tpms/{first}/remove")
    assert gone.json() == {"ek_sha256": first}
    assert (await browser.get(f"/api/v1/tpms/{first}")).json()["code"] == "tpm.endorsement.unregistered"
    assert "SLB9672" not in (await browser.get(f"/subjects/{await house.subject('laptop-17')}")).text


async def test_what_cannot_be_registered_is_told_so_and_nothing_is_done(house: House) -> None:
    await house.apply("devices: [{name: laptop-17}]")
    browser = await house.logged_in(Role.OPERATOR)
    for body, code in (
        ({}, "tpm.registration.malformed"),
        ({"csv": "device,ek\nlaptop-17\n"}, "tpm.registration.malformed"),
        ({"tpms": [{"device": "laptop-17", "ek": "zz"}]}, "tpm.registration.malformed"),
        ({"tpms": [{"device": "nobody", "ek": "ab" * 32}]}, "trust.subject.not_found"),
        ({"csv": f"device,ek\nlaptop-17,{'ab' * 32}\nlaptop-17,{'ab' * 32}\n"}, "tpm.endorsement.registered"),
    ):
        refused = await browser.post("/api/v1/tpms", json=body)
        assert refused.json()["code"] == code, refused.text
    assert (await browser.get("/api/v1/tpms?cursor=zz")).status_code == 400
    assert (await browser.get("/api/v1/tpms?device=nobody")).status_code == 404
    assert (await browser.get("/api/v1/tpms")).json()["items"] == []


async def test_a_person_registers_and_forgets_a_devices_tpm_on_its_page(house: House) -> None:
    await house.apply("devices: [{name: laptop-17}]\nusers: [{name: alice}]")
    browser, device = await house.logged_in(Role.OPERATOR), await house.subject("laptop-17")
    assert f'href="/subjects/{device}/tpm"' in (await browser.get(f"/subjects/{device}")).text
    assert (await browser.get(f"/subjects/{device}/tpm")).status_code == 200
    assert (await browser.get(f"/subjects/{await house.subject('alice')}/tpm")).status_code == 404
    wrong = await browser.post(f"/subjects/{device}/tpm", data={"ek": "<b>zz</b>", "identifier": "S-1"})
    assert wrong.status_code == 400
    assert "&lt;b&gt;zz" in wrong.text
    done = await browser.post(f"/subjects/{device}/tpm", data={"ek": "cd" * 32, "identifier": "S-1"})
    assert (done.status_code, done.headers["location"]) == (303, f"/subjects/{device}?done=tpm_registered")
    assert "laptop-17" in (await browser.get("/tpms")).text
    assert (await browser.get("/tpms?cursor=zz")).status_code == 400
    asked = await browser.get(f"/tpms/{'cd' * 32}/remove")
    assert "No attestation key of it is certified any more" in asked.text
    gone = await browser.post(f"/tpms/{'cd' * 32}/remove", data={})
    assert gone.headers["location"] == f"/subjects/{device}?done=tpm_removed"
    assert "No TPM is registered" in (await browser.get("/tpms")).text
    assert (await browser.get(f"/tpms/{'cd' * 32}/remove")).status_code == 403
    looker = await house.logged_in(Role.AUDITOR)
    assert "/tpm" not in (await looker.get(f"/subjects/{device}")).text.replace("/api/v1/tpms", "")
    assert (await looker.post(f"/subjects/{device}/tpm", data={"ek": "cd" * 32})).status_code == 403


@pytest.mark.parametrize("role", [Role.AUDITOR, Role.APPROVER])
async def test_who_only_looks_registers_nothing(house: House, role: Role) -> None:
    browser = await house.logged_in(role)
    body = {"tpms": [{"device": "laptop-17", "ek": "ab" * 32}]}
    assert (await browser.post("/api/v1/tpms", json=body)).status_code == 403
    assert (await browser.post(f"/api/v1/tpms/{'ab' * 32}/remove")).status_code == 403
    assert (await browser.get("/api/v1/tpms")).status_code == 200
