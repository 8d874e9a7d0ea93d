"""A certificate that policy leaves to a person: proposed, approved by somebody else, given once."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from tests.integration.web.test_approvals import Office, logged_in
from tests.support.approving import person
from tests.support.dashboard import House, new_csr
from troth.access.roles import Role
from troth.enroll import awaiting
from troth.enroll.errors import AwaitingApproval, IssuanceRefused
from troth.enroll.issuance import Ask, Issuance
from troth.pki.csr import parse_csr
from troth.store.unit import Unit
from troth.trust.authoring.service import shipped

POLICY = (
    shipped()["tls-server"].split("\ntests:")[0].replace("then: allow", "then: {allow: {approval: 10m}}")
    + "\n"
)  # fmt: skip


@pytest.fixture
async def office(house: House) -> Office:
    """Two persons, and no two-person rule: what policy leaves to a person waits for one all the same."""
    people = {name: await person(house.access, name, role) for name, role in
              (("ann", Role.ADMINISTRATOR), ("ben", Role.APPROVER))}  # fmt: skip
    browsers = {name: await logged_in(house, one) for name, one in people.items()}
    await house.apply(POLICY)
    await issuance_of(house).judge.policies.refresh()
    house.browsers.update(browsers)
    return Office(house, people, browsers)


def issuance_of(house: House) -> Issuance:
    found: Issuance = house.services.certificates._issuance  # type: ignore[attr-defined]
    return found


async def ask(office: Office) -> Any:
    body = {"profile": "tls-server", "subject": "www.example.org", "csr": new_csr("www.example.org")}
    return await office.browsers["ann"].post("/api/v1/certificates", json=body)


async def test_it_is_proposed_once_approved_by_another_and_given_once(office: Office) -> None:
    first = await ask(office)
    assert first.status_code == 202, first.text
    proposal = first.json()["proposal"]
    assert first.json()["words"] == "Issue a tls-server certificate to workload:www.example.org"
    again = await ask(office)
    assert again.json()["proposal"] == proposal, "asking again proposes nothing new, though the key is another"
    shown = (await office.browsers["ben"].get(f"/api/v1/approvals/{proposal}")).json()
    assert any("dns:www.example.org" in line for line in shown["lines"])
    own = await office.browsers["ann"].post(f"/api/v1/approvals/{proposal}/question")
    assert own.json()["code"] == "approval.own_proposal", "whoever asks does not approve"
    assert (await office.approve("ben", proposal)).json()["state"] == "executed"
    given = await ask(office)
    assert given.status_code == 201, given.text
    another = await ask(office)
    assert (another.status_code, another.json()["proposal"] == proposal) == (202, False), "an approval is for one"


async def test_a_rejection_refuses_it_and_an_approval_does_not_outlast_its_time(office: Office) -> None:
    proposal = (await ask(office)).json()["proposal"]
    await office.browsers["ben"].post(f"/api/v1/approvals/{proposal}/reject", json={"reason": "no such project"})
    refused = await ask(office)
    assert (refused.status_code, refused.json()["code"]) == (403, "enroll.declined")
    office.house.trust.clock.advance(timedelta(minutes=11))
    later = await ask(office)
    assert later.status_code == 202, "the word is good for ten minutes"
    await office.approve("ben", later.json()["proposal"])
    office.house.trust.clock.advance(timedelta(minutes=11))
    assert (await ask(office)).status_code == 202


async def test_policy_is_asked_anew_after_the_approval(office: Office) -> None:
    proposal = (await ask(office)).json()["proposal"]
    await office.approve("ben", proposal)
    await office.house.trust.feed()
    subject = await office.house.subject("www.example.org")
    await office.house.trust.take("edr.contained", subject)
    refused = await ask(office)
    assert refused.status_code != 201, refused.text


async def test_a_client_of_a_door_waits_for_anybody_who_may_approve(office: Office) -> None:
    """ACME tells the client to come again, EST answers 202: both as for what is undecided."""
    issuance = issuance_of(office.house)

    async def finalize() -> Any:
        request = parse_csr(_der(new_csr("shop.example.org")))
        asked = Ask(
            f"acme:{request.key.sha256.hex()}", "tls-server", request.key.spki, (("dns", "shop.example.org"),),
            actor="acme:account-1", evidence={"controlled_names": ["shop.example.org"], "methods": ["http-01"]},
        )  # fmt: skip
        return await issuance.issue(asked, with_reserve=Unit, with_store=lambda _: Unit())

    with pytest.raises(AwaitingApproval) as caught:
        await finalize()
    proposal = str(caught.value.facts["proposal"])
    assert (await office.approve("ben", proposal)).json()["state"] == "executed"
    assert (await finalize()).profile == "tls-server"
    with pytest.raises(AwaitingApproval) as second:
        await finalize()
    await office.browsers["ben"].post(
        f"/api/v1/approvals/{second.value.facts['proposal']}/reject", json={"reason": "x"}
    )
    with pytest.raises(IssuanceRefused) as declined:
        await finalize()
    assert declined.value.code == "enroll.declined"
    kinds = [kind for kind, _ in await office.house.trust.events()]
    assert kinds.count("approval.proposed") == 2
    assert kinds.count("decision.made") >= 2, "the decision that a proposal points to is recorded"


async def test_one_client_cannot_crowd_the_others_out(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever may ask for many names would fill the room, and nobody else's request would reach a person."""
    monkeypatch.setattr(awaiting, "MOST_OF_ONE", 2)

    async def asked(name: str, actor: str) -> str:
        request = parse_csr(_der(new_csr(name)))
        ask = Ask(
            f"acme:{request.key.sha256.hex()}", "tls-server", request.key.spki, (("dns", name),), actor=actor,
            evidence={"controlled_names": [name], "methods": ["http-01"]},
        )  # fmt: skip
        with pytest.raises(IssuanceRefused) as caught:
            await issuance_of(office.house).issue(ask, with_reserve=Unit, with_store=lambda _: Unit())
        return caught.value.code

    codes = [await asked(f"{n}.example.org", "acme:account-1") for n in range(3)]
    assert codes == ["enroll.awaits_approval", "enroll.awaits_approval", "enroll.approvals_crowded"]
    assert await asked("other.example.org", "acme:account-2") == "enroll.awaits_approval"


def _der(pem: str) -> bytes:
    import ssl

    text = pem.replace("CERTIFICATE REQUEST", "CERTIFICATE")
    return ssl.PEM_cert_to_DER_cert(text)
