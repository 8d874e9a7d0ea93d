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


@pytest.mark.parametrize("role", [Role.AUDITOR, Role.APPROVER])
async def test_who_only_looks_registers_nothing(house: House, role: Role) -> None:
    browser = await house.logged_in(role)
    body = {"tpms": [{"device": "laptop-17", "ek": "ab" * 32}]}
    assert (await browser.post("/api/v1/tpms", json=body)).status_code == 403
    assert (await browser.post(f"/api/v1/tpms/{'ab' * 32}/remove")).status_code == 403
    assert (await browser.get("/api/v1/tpms")).status_code == 200
