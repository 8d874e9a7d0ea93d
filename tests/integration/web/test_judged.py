"""Acts that the signer judges itself: approvers pinned in it, and issuing keys that it makes on their word."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from tests.integration.web.test_approvals import logged_in
from tests.support.approving import Person, person
from tests.support.authenticator import Authenticator
from tests.support.dashboard import ORIGIN, Browser, House
from tests.support.judging import confirm
from tests.support.signing import authority_certificate
from troth.access.approvals.model import Order
from troth.access.roles import Role
from troth.pki.keys.model import KeyPurpose
from troth.pki.signer import acts
from troth.pki.signer.errors import SignerRefused
from troth.store.unit import Unit
from troth.web.acts.judged import KeyGenerate

NAMES = {"ann": Role.ADMINISTRATOR, "ben": Role.APPROVER, "cat": Role.APPROVER}


@dataclass
class Office:
    """Three persons, logged in; those in ``pins`` have a passkey that the signer has pinned."""

    house: House
    people: dict[str, Person]
    browsers: dict[str, Browser]
    pins: dict[str, Authenticator] = field(default_factory=dict)

    async def make(self, name: str) -> httpx.Response:
        """Have somebody make a passkey for the signer, and propose it."""
        browser, key = self.browsers[name], Authenticator()
        options = (await browser.post("/api/v1/approvers/question")).json()
        made = await browser.post(
            "/api/v1/approvers", json={"label": f"{name}'s key", "credential": key.create(options, ORIGIN)}
        )
        self.pins[name] = key
        return made

    async def confirm(self, proposal: str) -> httpx.Response:
        """What ``troth approver confirm`` does on the machine."""
        return await confirm(self.house, proposal)

    async def approve(self, name: str, proposal: str) -> httpx.Response:
        browser = self.browsers[name]
        asked = await browser.post(f"/api/v1/approvals/{proposal}/question")
        if asked.status_code != 200:
            return asked
        answer = self.pins[name].get(asked.json()["options"], ORIGIN)
        return await browser.post(
            f"/api/v1/approvals/{proposal}/approve", json={"nonce": asked.json()["nonce"], "credential": answer}
        )

    async def all(self, asked: httpx.Response, *names: str) -> httpx.Response:
        """Have all of these approve what was proposed; the last one's answer."""
        said = asked
        for name in names:
            said = await self.approve(name, asked.json()["proposal"])
        return said

    async def events(self, kind: str) -> list[str]:
        """Kinds of the ledger's events that begin so, as they were written."""
        rows = await self.house.trust.database.fetch(
            "SELECT convert_from(payload, 'UTF8') AS told FROM (SELECT payload, recorded_at FROM ledger_inbox"
            " UNION ALL SELECT payload, recorded_at FROM ledger_event) AS every ORDER BY recorded_at"
        )
        told = [str(json.loads(row["told"])["kind"]) for row in rows]
        return [one for one in told if one.startswith(kind)]


@pytest.fixture
async def office(house: House) -> AsyncIterator[Office]:
    people = {name: await person(house.access, name, role) for name, role in NAMES.items()}
    made = Office(house, people, {name: await logged_in(house, one) for name, one in people.items()})
    yield made
    for browser in made.browsers.values():
        await browser.aclose()


@pytest.fixture
async def founded(office: Office) -> Office:
    """Ann and Ben are pinned."""
    for name in ("ann", "ben"):
        assert (await office.confirm((await office.make(name)).json()["proposal"])).status_code == 200
    return office


async def test_the_first_two_persons_are_pinned_by_the_machines_owner_and_by_nobody_else(office: Office) -> None:
    asked = await office.make("ann")
    assert asked.status_code == 202, asked.text
    proposal = asked.json()["proposal"]
    administrator = office.browsers["ann"]
    said = await administrator.post("/api/v1/approvers/confirmed", json={"proposal": proposal})
    assert (said.status_code, said.json()["code"]) == (409, "web.approver_not_pinned")
    # Nobody's passkey can stand in for the machine, the proposer's own account included.
    assert (await office.approve("ben", proposal)).json()["code"] == "approval.not_pinned"
    keys = await administrator.post("/api/v1/keys", json={"algorithm": "p256", "custodian": "software"})
    assert (keys.status_code, keys.json()["code"]) == (409, "approval.nobody_pinned")
    closed = await office.confirm(proposal)
    assert (closed.status_code, closed.json()["state"]) == (200, "executed")
    found = (await office.browsers["cat"].get("/api/v1/approvers")).json()
    assert (found["persons"], found["needed"]) == (["ann"], 2)
    assert len(found["approvers"][0]["fingerprint"].split()) == 4


async def test_one_pinned_person_proposes_and_with_the_other_the_signer_makes_and_binds_a_key(founded: Office) -> None:
    before = {key.key_id for key in await founded.house.signer.list_keys(KeyPurpose.ISSUING)}
    ann = founded.browsers["ann"]
    asked = await ann.post("/api/v1/keys", json={"algorithm": "p384", "custodian": "software"})
    assert asked.status_code == 202, asked.text
    proposal = asked.json()["proposal"]
    assert asked.json()["needed"] == 2
    # Cat approves everything else in this house; the signer does not know her.
    assert (await founded.approve("cat", proposal)).json()["code"] == "approval.not_pinned"
    assert (await founded.approve("ann", proposal)).json()["state"] == "waiting"
    assert (await founded.approve("ben", proposal)).json()["state"] == "executed"
    (made,) = [key for key in await founded.house.signer.list_keys(KeyPurpose.ISSUING) if key.key_id not in before]
    assert made.algorithm.value == "p384"

    der = authority_certificate(made.public_key, founded.house.trust.clock.now(), path_length=1)
    pem = x509.load_der_x509_certificate(der).public_bytes(Encoding.PEM).decode()
    body = {"certificate": pem, "issuer_classes": ["open"], "allow_ca": True}
    asked = await ann.post(f"/api/v1/keys/{made.key_id}/attach", json=body)
    assert asked.status_code == 202, asked.text
    said = await founded.all(asked, "ben", "ann")
    assert said.json()["state"] == "executed", said.text
    (bound,) = [key for key in await founded.house.signer.list_keys() if key.key_id == made.key_id]
    assert bound.limits is not None
    assert bound.limits.allow_ca
    assert await founded.events("key.") == ["key.generated", "key.attached"]


async def test_whoever_takes_the_web_process_over_gets_no_key_for_approvals_that_it_made_up(founded: Office) -> None:
    house = founded.house
    executor = KeyGenerate(house.trust.database, house.trust.clock, house.signer)
    payload = {"purpose": "issuing", "algorithm": "p256", "custodian": "software"}
    with pytest.raises(SignerRefused) as refused:
        await executor.execute(payload, Order(house.admin, Unit()))
    assert refused.value.code == "signer.approval.missing"
    assert await founded.events("approval.not_carried_out") == ["approval.not_carried_out"]


async def test_pinned_persons_let_a_third_in_change_the_number_and_let_one_out(founded: Office) -> None:
    asked = await founded.make("cat")
    proposal = asked.json()["proposal"]
    for name in ("ann", "ben"):
        assert (await founded.approve(name, proposal)).status_code == 200
    ann = founded.browsers["ann"]
    found = (await ann.get("/api/v1/approvers")).json()
    assert found["persons"] == ["ann", "ben", "cat"]

    asked = await ann.post("/api/v1/approvers/number", json={"needed": 3})
    said = await founded.all(asked, "ann", "ben")
    assert said.json()["state"] == "executed"
    bens = next(one["credential_id"] for one in found["approvers"] if one["person"] == "ben")
    refused = await ann.post(f"/api/v1/approvers/{bens}/remove")
    assert (refused.status_code, refused.json()["code"]) == (422, "approval.payload_invalid")
    asked = await ann.post("/api/v1/approvers/number", json={"needed": 2})
    said = await founded.all(asked, "ann", "ben", "cat")
    assert said.json()["state"] == "executed", said.text
    asked = await ann.post(f"/api/v1/approvers/{bens}/remove")
    said = await founded.all(asked, "ann", "cat")
    assert said.json()["state"] == "executed", said.text
    assert (await ann.get("/api/v1/approvers")).json()["persons"] == ["ann", "cat"]


async def test_what_the_signer_has_done_since_makes_other_questions_stale(founded: Office) -> None:
    ann = founded.browsers["ann"]
    first = (await ann.post("/api/v1/keys", json={"algorithm": "p256", "custodian": "software"})).json()["proposal"]
    second = (await ann.post("/api/v1/keys", json={"algorithm": "ed25519", "custodian": "software"})).json()["proposal"]
    assert (await founded.approve("ann", second)).status_code == 200
    for name in ("ann", "ben"):
        await founded.approve(name, first)
    assert (await founded.approve("ben", second)).json()["code"] == "approval.stale"


async def test_a_passkey_is_proposed_for_oneself_alone(founded: Office) -> None:
    key = Authenticator()
    options = (await founded.browsers["cat"].post("/api/v1/approvers/question")).json()
    credential = key.create(options, ORIGIN)
    # Ann hands in, as hers, what was made under the challenge for Cat.
    asked = await founded.browsers["ann"].post("/api/v1/approvers", json={"credential": credential})
    assert asked.status_code == 202
    said = await founded.all(asked, "ann", "ben")
    assert (said.json()["state"], "signer.approval.invalid" in said.json()["settled_why"]) == ("failed", True)
    persons = (await founded.browsers["ann"].get("/api/v1/approvers")).json()["approvers"]
    assert len(persons) == 2
    act = acts.add("cat", "", b"{}", b"x", b"y")
    forged = await founded.browsers["ann"].post(
        "/api/v1/approvals", json={"kind": act.kind, "payload": json.loads(act.payload)}
    )
    assert (forged.status_code, forged.json()["code"]) == (422, "approval.payload_invalid")
