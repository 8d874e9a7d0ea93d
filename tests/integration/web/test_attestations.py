"""Attestations on the pages, over the API and on the command line's side of it."""

from __future__ import annotations

from base64 import b64encode
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from cryptography.hazmat.primitives import serialization

from tests.support.attesting import maker, new_key, roots, tpm
from tests.support.dashboard import House
from troth.access.roles import Role
from troth.client.jose import b64url_encode
from troth.enroll.attest.errors import AttestationRefused
from troth.enroll.attest.examine import examine
from troth.enroll.attest.model import Known
from troth.enroll.attest.statement import read_attestation
from troth.enroll.attest.store import ADD_ATTESTATION, Attestation, RootsVersion
from troth.enroll.attest.told import attestation_report
from troth.kit.ids import new_id
from troth.store.unit import Unit

AUTHORIZATION = "token.thumb"
EVIL = "<b>SERIAL</b>"


async def judged(house: House, *, device: UUID | None = None, attested: bool = True, **changes: Any) -> UUID:
    """A statement of a TPM, judged and stored as a challenge does."""
    database, clock = house.trust.database, house.trust.clock
    statement = read_attestation(tpm(new_key(), AUTHORIZATION, serial=EVIL, **changes))
    known = Known(
        at=clock.now(), key_authorization=AUTHORIZATION, identifiers=frozenset({("permanent-identifier", EVIL)})
    )
    report = examine(statement, known, roots())
    one = Attestation(
        id=new_id(), authz_id=new_id(), order_id=new_id(), account_id=new_id(), subject_id=device, at=clock.now(),
        format="tpm", sha256=bytes.fromhex(statement.sha256), spki_sha256=b"k" * 32,
        identifier_type="permanent-identifier", identifier=EVIL, named_type="permanent-identifier", named=EVIL,
        mode="enforce", attested=attested, accepted=attested, reason=None if attested else "attest.key",
        detail=None if attested else "tpm.key.fixed_tpm: expected <i>set</i>", facts=dict(report.evidence.facts),
        report=attestation_report(report),
    )  # fmt: skip
    await database.commit(Unit().write(ADD_ATTESTATION, *one.row()))
    return one.id


async def test_statements_are_listed_and_shown_with_every_check_and_nothing_in_them_is_markup(house: House) -> None:
    browser = await house.logged_in(Role.AUDITOR)
    assert "No device has attested yet" in (await browser.get("/attestations")).text
    await house.apply("devices: [{name: laptop-1}]")
    device = await house.subject("laptop-1")
    good = await judged(house, device=device)
    bad = await judged(house, attested=False, attributes=0x40070)
    page = (await browser.get("/attestations")).text
    assert "laptop-1" in page
    assert "attest.key" in page
    assert "CN=Microsoft TPM Root Certificate Authority 2014" in page
    one = (await browser.get(f"/attestations/{bad}")).text
    for text in (page, one):
        assert "<b>SERIAL" not in text
        assert "&lt;b&gt;SERIAL" in text
    assert "expected &lt;i&gt;set" in one
    assert "tpm.key.fixed_tpm" in one
    assert "sensitive_data_origin" in one  # every field, decoded
    assert (await browser.get(f"/attestations?device={device}")).text.count("/attestations/01") == 1
    assert f"/attestations?device={device}" in (await browser.get(f"/subjects/{device}")).text

    listed = (await browser.get("/api/v1/attestations?limit=1")).json()
    assert [found["id"] for found in listed["items"]] == [str(bad)]
    rest = (await browser.get(f"/api/v1/attestations?limit=1&cursor={listed['next']}")).json()
    assert [found["id"] for found in rest["items"]] == [str(good)]
    of_one = (await browser.get("/api/v1/attestations?device=laptop-1&attested=true")).json()
    assert [found["id"] for found in of_one["items"]] == [str(good)]
    whole = (await browser.get(f"/api/v1/attestations/{good}")).json()
    assert {check["result"] for check in whole["report"]["checks"]} == {"passed"}
    for path in ("/api/v1/attestations/x", f"/api/v1/attestations/{new_id()}", "/api/v1/attestations?device=nobody"):
        assert (await browser.get(path)).status_code == 404
    assert (await browser.get("/api/v1/attestations?cursor=x")).status_code == 400
    assert (await browser.get(f"/attestations/{new_id()}")).status_code == 404


async def test_a_statement_at_hand_is_inspected_on_the_page_and_over_the_api(house: House) -> None:
    browser = await house.logged_in(Role.AUDITOR)
    statement = tpm(new_key(), AUTHORIZATION, serial=EVIL)
    assert "Inspect an attestation" in (await browser.get("/attestations/inspect")).text
    form = {
        "statement": b64url_encode(statement), "authorization": AUTHORIZATION,
        "identifier": f"permanent-identifier:{EVIL}",
    }  # fmt: skip
    page = await browser.post("/attestations/inspect", data=form)
    assert page.status_code == 200
    assert "chain.path" in page.text
    assert "<b>SERIAL" not in page.text
    command = {"statement": b64encode(statement).decode(), "key_authorization": AUTHORIZATION}
    report = (await browser.post("/api/v1/attestations/inspect", json=command)).json()
    assert report["verdict"] == "refused"  # by the makers' roots, which know nothing of ours
    assert [one["name"] for one in report["checks"] if one["result"] == "failed"] == ["chain.path"]
    for wrong in ({"statement": "!"}, {"statement": ""}, {"statement": "AAAA"}, {**command, "identifier": "x"}):
        assert (await browser.post("/api/v1/attestations/inspect", json=wrong)).status_code == 400
    refused = await browser.post("/attestations/inspect", data={**form, "statement": "!"})
    assert refused.status_code == 400
    assert "base64url" in refused.text
    assert await house.trust.database.fetchval("SELECT count(*) FROM attestation") == 0


async def test_roots_are_pinned_for_one_format_by_an_act_and_counted_at_once(house: House) -> None:
    browser = await house.logged_in(Role.ADMINISTRATOR)
    pem = maker("tpm").root.certificate.public_bytes(serialization.Encoding.PEM).decode()
    statement = b64encode(tpm(new_key(), AUTHORIZATION)).decode()

    async def verdict() -> list[str]:
        command = {"statement": statement, "key_authorization": AUTHORIZATION}
        report = (await browser.post("/api/v1/attestations/inspect", json=command)).json()
        return [one["name"] for one in report["checks"] if one["result"] == "failed"]

    assert await verdict() == ["chain.path"]
    elsewhere = await browser.post("/api/v1/attestation-roots/step", json={"pem": pem, "reason": "trial"})
    assert elsewhere.json() == {"format": "step", "version": 1}
    assert await verdict() == ["chain.path"]  # a root for one format vouches for no other
    done = await browser.post("/api/v1/attestation-roots/tpm", json={"pem": pem, "reason": "our lab"})
    assert done.json() == {"format": "tpm", "version": 1}
    assert await verdict() == []
    shown = (await browser.get("/api/v1/attestation-roots")).json()
    assert [one["origin"] for one in shown if one["name"] == "CN=tpm Root"] == ["admin:administrator-1"] * 2
    assert len([one for one in shown if one["format"] == "tpm" and one["origin"] == "shipped"]) == 1
    closed = await browser.post("/api/v1/attestation-roots/tpm", json={"shipped": False, "reason": "closed"})
    assert closed.json()["version"] == 2
    assert await verdict() == ["chain.path"]
    assert not [one for one in (await browser.get("/api/v1/attestation-roots")).json()
                if one["format"] == "tpm" and one["origin"] in ("shipped", "admin:administrator-1")]  # fmt: skip
    for kind, body, status in (
        ("packed", {"reason": "x"}, 404), ("tpm", {"pem": "x", "reason": "x"}, 400), ("tpm", {"reason": " "}, 422),
        ("tpm", {}, 400),
    ):  # fmt: skip
        refused = await browser.post(f"/api/v1/attestation-roots/{kind}", json=body)
        assert refused.status_code == status, refused.text


async def test_of_two_who_pin_roots_at_once_one_is_told(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    desk = house.services.attestations.desk

    async def before() -> dict[str, RootsVersion]:
        return {}

    monkeypatch.setattr(desk.store, "roots", before)
    assert (await desk.set_roots("step", b"", shipped=True, actor="admin:a", reason="x")).version == 1
    with pytest.raises(AttestationRefused) as refused:
        await desk.set_roots("step", b"", shipped=False, actor="admin:b", reason="y")
    assert refused.value.reason.code == "attest.root_raced"


async def test_reports_are_dropped_with_age_and_what_an_issuance_rests_on_stays(house: House) -> None:
    old, refused = await judged(house), await judged(house, attested=False)
    house.trust.clock.advance(timedelta(hours=2))
    new = await judged(house)
    await house.services.attestations.desk.forget(timedelta(hours=1))
    browser = await house.logged_in(Role.AUDITOR)
    assert "dropped with age" in (await browser.get(f"/attestations/{old}")).text
    whole = (await browser.get(f"/api/v1/attestations/{old}")).json()
    assert (whole["report"], whole["attested"], whole["facts"]["tpm_model"]) == (None, True, "TROTH-SIM")
    assert (await browser.get(f"/api/v1/attestations/{refused}")).status_code == 404
    assert (await browser.get(f"/api/v1/attestations/{new}")).json()["report"]["verdict"] == "accepted"


async def test_a_status_list_is_loaded_where_it_cannot_be_fetched(house: House) -> None:
    browser = await house.logged_in(Role.ADMINISTRATOR)
    assert (await browser.get("/api/v1/attestation-status")).status_code == 404
    document = '{"entries":{"abc":{"status":"REVOKED","reason":"KEY_COMPROMISE"}}}'
    done = await browser.post("/api/v1/attestation-status", json={"document": document})
    assert (done.json()["entries"], done.json()["source"]) == (1, "admin:administrator-1")
    assert "1 entries" in (await browser.get("/attestations")).text
    assert (await browser.post("/api/v1/attestation-status", json={"document": "{}"})).status_code == 400


@pytest.mark.parametrize("role", [Role.AUDITOR, Role.APPROVER, Role.OPERATOR])
async def test_who_only_looks_changes_nothing(house: House, role: Role) -> None:
    browser = await house.logged_in(role)
    assert (await browser.post("/api/v1/attestation-roots/tpm", json={"reason": "x"})).status_code == 403
    assert (await browser.post("/api/v1/attestation-status", json={"document": "{}"})).status_code == 403
    assert (await browser.get("/api/v1/attestation-roots")).status_code == 200
