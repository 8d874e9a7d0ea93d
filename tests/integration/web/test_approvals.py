"""The two-person rule over the API: dangerous routes are done or proposed, and persons approve with passkeys."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import httpx
import pytest

from tests.integration.web.test_enrolments import an_account
from tests.support.approving import Person, person
from tests.support.dashboard import ORIGIN, PASSWORD, Browser, House
from troth.access.approvals.rule import REGULATED
from troth.access.roles import Role
from troth.pki.bulk import REVOKE_MANY_JOB, BulkRevocations
from troth.store.jobs import JobQueue
from troth.store.statement import Write
from troth.store.unit import Unit
from troth.trust.authoring.service import shipped
from troth.web.acts import KINDS

NAMES = {"ann": Role.ADMINISTRATOR, "ben": Role.APPROVER, "cat": Role.APPROVER}


@dataclass
class Office:
    """Three persons logged in, and the regulated rule in force."""

    house: House
    people: dict[str, Person]
    browsers: dict[str, Browser]

    async def approve(self, name: str, proposal: str) -> httpx.Response:
        browser = self.browsers[name]
        asked = (await browser.post(f"/api/v1/approvals/{proposal}/question")).json()
        answer = self.people[name].passkey.get(asked["options"], ORIGIN)
        return await browser.post(
            f"/api/v1/approvals/{proposal}/approve", json={"nonce": asked["nonce"], "credential": answer}
        )

    async def both(self, answer: httpx.Response) -> dict[str, Any]:
        """Have both others approve what was proposed; the proposal then."""
        assert answer.status_code == 202, answer.text
        found: dict[str, Any] = {}
        for name in ("ben", "cat"):
            found = (await self.approve(name, answer.json()["proposal"])).json()
        return found


async def logged_in(house: House, who: Person) -> Browser:
    browser = Browser(house.app)
    options = (await browser.post("/login/passkey/options", json={})).json()
    done = await browser.post("/login/passkey", json={"credential": who.passkey.get(options, ORIGIN)})
    assert done.status_code == 200, done.text
    return browser


@pytest.fixture
async def office(house: House) -> AsyncIterator[Office]:
    people = {name: await person(house.access, name, role) for name, role in NAMES.items()}
    browsers = {name: await logged_in(house, one) for name, one in people.items()}
    made = Office(house, people, browsers)
    answer = await browsers["ann"].post("/api/v1/approvals/rule", json={"document": REGULATED})
    assert (await made.both(answer))["state"] == "executed"
    yield made
    for browser in browsers.values():
        await browser.aclose()


async def test_the_documents_know_every_kind_of_act_there_is(house: House) -> None:
    assert set(house.services.approvals.kinds) == KINDS


async def test_without_a_rule_routes_answer_as_ever_and_propose_true_proposes(house: House) -> None:
    browser = await house.logged_in(Role.ADMINISTRATOR)
    await house.account(Role.AUDITOR, "iris")
    accounts = (await browser.get("/api/v1/accounts")).json()
    iris = next(one for one in accounts if one["name"] == "iris")
    asked = await browser.post(f"/api/v1/accounts/{iris['id']}/disable?propose=true")
    assert (asked.status_code, asked.headers["location"]) == (202, f"/api/v1/approvals/{asked.json()['proposal']}")
    done = await browser.post(f"/api/v1/accounts/{iris['id']}/disable")
    assert done.status_code == 200
    assert {one["name"]: one["state"] for one in done.json()}["iris"] == "disabled"


async def test_every_dangerous_route_waits_for_two_others_under_the_regulated_rule(office: Office) -> None:
    ann, house = office.browsers["ann"], office.house
    await house.trust.feed("edr")
    await house.trust.feed("mdm")
    await house.trust.feeds.suspend("mdm", actor="admin:ann", reason="noise")
    await house.trust.orders.freeze(person="ann", reason="test")
    ben = office.people["ben"].principal.id
    policy = shipped()["tls-server"] + "\n# one line more\n"
    feeds = "feeds: [{name: edr, kinds: ['edr.*'], greatest_effect: distrusted, cap: {percent: 90}}]"
    requests: dict[str, tuple[str, str, Any]] = {
        "role.grant": ("POST", "/api/v1/accounts/invite", {"role": "auditor"}),
        "account.disable": ("POST", f"/api/v1/accounts/{ben}/disable", {}),
        "account.remove": ("DELETE", f"/api/v1/accounts/{ben}", None),
        "person.change": ("PUT", f"/api/v1/accounts/{ben}/person", {"person": "x"}),
        "rule.change": ("POST", "/api/v1/approvals/rule", {"document": "approvals: {rules: []}"}),
        "policy.apply": ("POST", "/api/v1/apply", policy),
        "feed.grant": ("POST", "/api/v1/apply", feeds),
        "feed.secret": ("POST", "/api/v1/feeds/edr/secret", {"leaked": True}),
        "feed.resume": ("POST", "/api/v1/feeds/mdm/resume", {"note": ""}),
        "enforcement.unfreeze": ("POST", "/api/v1/enforcement/unfreeze", {}),
        "authority.state": ("POST", "/api/v1/authorities/issuing/state", {"state": "retiring"}),
        "authority.crls": ("POST", "/api/v1/crls/issuing/cut", {"shards": 4}),
        "recovery.decide": ("POST", "/api/v1/recovery/decide", {"resume": "accept-loss", "reason": "the logs say so"}),
    }
    for kind, (method, path, body) in requests.items():
        how = {"content": body} if isinstance(body, str) else {"json": body} if body is not None else {}
        answer = await ann.request(method, path, **how)  # type: ignore[arg-type]
        assert (answer.status_code, answer.json()["kind"]) == (202, kind), answer.text
        assert answer.json()["needed"] == 2
    assert (await ann.get("/api/v1/enforcement")).json()["frozen"] is True
    assert len((await ann.get("/api/v1/approvals")).json()["items"]) == len(requests)
    assert (await ann.get("/waiting")).json()["approvals"] == len(requests)
    both = await ann.post("/api/v1/apply", content=policy + "\n---\n" + feeds)
    assert both.json()["code"] == "web.one_document_at_a_time"


async def test_enrolments_end_and_accounts_close_as_two_others_approved(office: Office) -> None:
    ann, house = office.browsers["ann"], office.house
    rule = "approvals: {rules: [{kinds: [enrolment.revoke, acme_account.revoke], approvals: 2}]}"
    assert (await office.both(await ann.post("/api/v1/approvals/rule", json={"document": rule})))["state"] == "executed"
    web = {"kind": "external-account", "name": "web", "suffixes": ["shop.example"], "vouches": True}
    key_id = (await ann.post("/api/v1/enrolments", json=web)).json()["key_id"]
    account = await an_account(house)
    for api, page, data in (
        (f"/api/v1/enrolments/{key_id}/revoke", f"/enrolments/{key_id}/revoke", {"typed": "web"}),
        (f"/api/v1/acme/accounts/{account}/revoke", f"/acme/accounts/{account}/revoke", {}),
    ):
        from_page = await ann.post(page, data=data)
        assert (from_page.status_code, "/approvals/" in from_page.headers["location"]) == (303, True)
        asked = await ann.post(api, json={"certificates": True})
        assert (asked.status_code, asked.json()["needed"]) == (202, 2)
        assert "valid" in (await ann.get(api.removesuffix("/revoke"))).text
        assert (await office.both(asked))["state"] == "executed"
        shown = (await ann.get(api.removesuffix("/revoke"))).json()
        assert "revoked" in (shown.get("state"), shown.get("status"))
        assert (await ann.post(api, json={"certificates": "x"})).status_code == 400


CLOSED = Write(
    "test_recovery_fence_close",
    """UPDATE recovery_fence SET state = 'closed', reason = i.why, closed_at = i.at, unknown_from = i.begin,
        unknown_until = i.until
       FROM unnest($1::text[], $2::timestamptz[], $3::timestamptz[], $4::timestamptz[]) AS i(why, at, begin, until)""",
    ("text", "timestamptz", "timestamptz", "timestamptz"),
)


async def test_the_recovery_fence_is_opened_as_two_others_approved_and_once(office: Office) -> None:
    ann, database = office.browsers["ann"], office.house.trust.database
    at = office.house.trust.mint.clock.now()
    await database.commit(Unit().write(CLOSED, "no tiles were given", at, at - timedelta(hours=1), at))
    wanted = {"resume": "accept-loss", "reason": "the door logs say so"}
    answer = await ann.post("/api/v1/recovery/decide", json=wanted)
    assert answer.status_code == 202
    assert (await ann.get("/api/v1/recovery")).json()["state"] == "closed"
    assert (await office.both(answer))["state"] == "executed"
    opened = (await ann.get("/api/v1/recovery")).json()
    assert (opened["state"], opened["settled_why"]) == ("accepted", "the door logs say so")
    # A second decision finds nothing to decide, whoever approves it.
    again = await ann.post("/api/v1/recovery/decide", json=wanted | {"resume": "revoke-unknown"})
    assert (await office.both(again))["state"] == "failed"
    assert (await ann.get("/api/v1/recovery")).json()["state"] == "accepted"


async def test_what_two_others_approve_is_done_as_proposed(office: Office) -> None:
    ann, house = office.browsers["ann"], office.house
    await house.trust.orders.freeze(person="ann", reason="test")
    for path, body in (
        ("/api/v1/enforcement/unfreeze", {}),
        ("/api/v1/authorities/issuing/state", {"state": "retiring"}),
        (f"/api/v1/accounts/{office.people['cat'].principal.id}/disable", {}),
    ):
        done = await office.both(await ann.post(path, json=body))
        assert done["state"] == "executed", done
    assert (await ann.get("/api/v1/enforcement")).json()["frozen"] is False
    accounts = {one["name"]: one["state"] for one in (await ann.get("/api/v1/accounts")).json()}
    assert accounts == {"ann": "active", "ben": "active", "cat": "disabled"}
    state = await house.trust.database.fetchval("SELECT state FROM authority WHERE slug = 'issuing'")
    assert state == "retiring"


async def test_a_policy_that_changed_after_its_preview_is_not_applied(office: Office) -> None:
    ann, house = office.browsers["ann"], office.house
    answer = await ann.post("/api/v1/apply", content=shipped()["tls-server"] + "\n# mine\n")
    await house.apply(shipped()["tls-server"] + "\n# somebody else's\n")
    done = await office.both(answer)
    assert (done["state"], "approval.stale" in done["settled_why"]) == ("failed", True)


async def test_a_feed_s_secret_is_told_to_its_proposer_once(office: Office) -> None:
    ann = office.browsers["ann"]
    await office.house.trust.feed("edr")
    done = await office.both(await ann.post("/api/v1/feeds/edr/secret", json={"leaked": True}))
    assert (done["state"], done["secret"]) == ("approved", True)
    path = f"/api/v1/approvals/{done['id']}/execute"
    assert (await office.browsers["ben"].post(path)).status_code == 403
    told = (await ann.post(path)).json()
    assert told["outcome"]["secret"].startswith("whsec_")
    assert (await ann.post(path)).status_code == 409


async def test_many_certificates_are_shown_then_revoked_in_batches_that_resume(office: Office) -> None:
    ann, house = office.browsers["ann"], office.house
    ids = [await house.issue(f"w{n}.example.org", f"w{n}.example.org") for n in range(5)]
    await house.services.certificates.revoke(ids[0], house.admin, 4, "")
    unbounded = await ann.post("/api/v1/certificates/revoke-many", json={})
    assert unbounded.json()["code"] == "pki.bulk.unbounded"
    selector = {"profile": "tls-server", "reason": 4, "note": "new names"}
    shown = (await ann.post("/api/v1/certificates/revoke-many", json=selector)).json()
    assert (shown["dry_run"], shown["certificates"]) == (True, 4)
    assert any("w3.example.org" in line for line in shown["lines"])
    answer = await ann.post("/api/v1/certificates/revoke-many?dry_run=false", json=selector)
    assert (await office.both(answer))["state"] == "executed"

    database, clock = house.trust.database, house.trust.clock
    queue, bulk = JobQueue(database, clock), BulkRevocations(database, clock, batch=3)
    (job,) = await queue.claim([REVOKE_MANY_JOB], lease=timedelta(seconds=1))
    await bulk.run(job)
    half = await bulk.progress(_bulk(job.key))
    assert (half.revoked, half.finished_at) == (3, None)
    # The worker dies with the job in hand; somebody else revokes one meanwhile; another worker takes it up.
    left = [one for one in ids[1:] if await _status(house, one) == "good"]
    assert len(left) == 1
    await house.services.certificates.revoke(left[0], house.admin, 4, "")
    clock.advance(timedelta(seconds=2))
    (again,) = await queue.claim([REVOKE_MANY_JOB], lease=timedelta(seconds=60))
    await bulk.run(again)
    done = await bulk.progress(_bulk(job.key))
    assert (done.total, done.revoked, done.passed_over, done.finished_at is not None) == (4, 3, 1, True)
    assert await queue.claim([REVOKE_MANY_JOB], lease=timedelta(seconds=60)) == []
    assert [await _status(house, one) for one in ids] == ["revoked"] * 5


async def test_revoking_many_leaves_out_what_is_protected_unless_it_is_named(house: House) -> None:
    browser = await house.logged_in(Role.OPERATOR)
    await house.apply(
        "devices:\n"
        "  - {name: door, managed: true, platform: linux, protected: true, names: [door.example.org]}\n"
        "  - {name: shed, managed: true, platform: linux, names: [shed.example.org]}\n"
    )
    ids = [await house.issue(name, f"{name}.example.org") for name in ("door", "shed")]
    rows = [await house.services.certificates.get(one) for one in ids]

    async def shown(**selector: object) -> tuple[int, str]:
        body = {"reason": 4} | selector
        answer = (await browser.post("/api/v1/certificates/revoke-many", json=body)).json()
        return answer["certificates"], "\n".join(answer["lines"])

    count, lines = await shown(profile="tls-server")
    assert (count, "1 certificates of protected subjects are left out" in lines) == (1, True)
    assert "door" not in lines
    count, lines = await shown(profile="tls-server", protected=True)
    assert (count, "1 of them are of protected subjects" in lines) == (2, True)
    assert (await shown(subject="door"))[0] == 1
    assert (await shown(serials=[row.serial for row in rows if row]))[0] == 2


async def test_health_tells_which_custodian_is_down_and_why(house: House) -> None:
    browser = await house.logged_in(Role.AUDITOR)
    checks = (await browser.get("/api/v1/status")).json()["checks"]
    found = next(one for one in checks if one["name"] == "Keys")
    assert (found["state"], found["detail"]) == (
        "fail", "pkcs11:hsm is down: the token was pulled [keys.custodian_unavailable]"
    )  # fmt: skip


async def test_health_warns_when_too_few_persons_are_left_to_meet_the_rule(office: Office) -> None:
    async def told() -> tuple[str, str]:
        checks = (await office.browsers["ann"].get("/api/v1/status")).json()["checks"]
        found = next(one for one in checks if one["name"] == "Approvals")
        return found["state"], found["detail"]

    assert (await told())[0] == "ok"
    cat = office.people["cat"].principal
    assert cat.id is not None
    await office.house.access.accounts.set_state(office.house.admin, cat.id, "disabled")
    state, detail = await told()
    assert (state, "only 2 persons could: ann, ben" in detail) == ("warn", True)


async def test_more_certificates_than_the_cap_are_refused(house: House) -> None:
    for n in range(3):
        await house.issue(f"c{n}.example.org", f"c{n}.example.org")
    bulk = BulkRevocations(house.trust.database, house.trust.clock, cap=2)
    from troth.pki.bulk_store import Selector
    from troth.pki.errors import RevocationRefused

    with pytest.raises(RevocationRefused) as refused:
        await bulk.find(Selector(profile="tls-server"), 0)
    assert refused.value.code == "pki.bulk.too_many"


async def test_one_s_own_password_and_passkeys_change_only_with_proof_and_end_other_log_ins(house: House) -> None:
    from tests.support.authenticator import Authenticator

    browser = await house.logged_in(Role.OPERATOR)
    elsewhere = Browser(house.app)
    await elsewhere.post("/login", data={"name": "operator-1", "password": PASSWORD, "next": "/"})
    key = Authenticator()

    async def add(proof: dict[str, Any]) -> httpx.Response:
        options = (await browser.post("/api/v1/me/passkeys/options")).json()
        body = {"credential": key.create(options, ORIGIN), "proof": proof, "label": "mine"}
        return await browser.post("/api/v1/me/passkeys", json=body)

    assert (await add({})).json()["code"] == "access.reauthentication"
    assert (await add({"password": "wrong guess of mine"})).json()["code"] == "access.reauthentication"
    assert [one["label"] for one in (await add({"password": PASSWORD})).json()] == ["mine"]
    asked = (await browser.post("/api/v1/me/proof")).json()
    body = {"password": "another fine set of words", "proof": {"credential": key.get(asked, ORIGIN)}}
    assert (await browser.post("/api/v1/me/password", json=body)).status_code == 204
    assert (await browser.post("/api/v1/me/password", json=body)).json()["code"] == "access.reauthentication"
    assert (await elsewhere.get("/api/v1/me")).status_code == 401
    proof = {"proof": {"password": "another fine set of words"}}
    gone = await browser.post(f"/api/v1/me/passkeys/{key.credential_id.hex()}/remove", json=proof)
    assert gone.json() == []
    secret = (await browser.post("/api/v1/tokens", json={"name": "ci", "role": "operator"})).json()["secret"]
    async with Browser(house.app, headers={"authorization": f"Bearer {secret}"}) as program:
        assert (await program.post("/api/v1/me/passkeys/options")).status_code == 401
    await elsewhere.aclose()


async def test_the_only_way_to_log_in_cannot_be_removed(house: House) -> None:
    ann = await person(house.access, "ann", Role.OPERATOR)
    browser = await logged_in(house, ann)
    asked = (await browser.post("/api/v1/me/proof")).json()
    proof = {"proof": {"credential": ann.passkey.get(asked, ORIGIN)}}
    answer = await browser.post(f"/api/v1/me/passkeys/{ann.passkey.credential_id.hex()}/remove", json=proof)
    assert answer.json()["code"] == "access.last_credential"
    await browser.aclose()


def _bulk(key: str) -> Any:
    from uuid import UUID

    return UUID(key)


async def _status(house: House, certificate_id: Any) -> str:
    found = await house.services.certificates.get(certificate_id)
    assert found is not None
    return found.status


async def test_a_secret_of_an_access_server_is_made_once_others_approved_and_none_can_be_brought(
    office: Office,
) -> None:
    ann, house = office.browsers["ann"], office.house
    rule = "approvals: {rules: [{kinds: [nas.secret], approvals: 2}]}"
    assert (await office.both(await ann.post("/api/v1/approvals/rule", json={"document": rule})))["state"] == "executed"
    await house.apply("nas: [{name: switches, addresses: [10.1.0.0/24]}]")
    asked = await ann.post("/api/v1/network/nas/switches/secret", json={"how": "set"})
    assert (asked.status_code, asked.json()["kind"]) == (202, "nas.secret")
    brought = await ann.post("/api/v1/network/nas/switches/secret", json={"secret": "brought-by-one-person-alone"})
    assert (brought.status_code, brought.json()["code"]) == (409, "nas.secret_proposed")
    assert (await ann.get("/api/v1/network/nas/switches")).json()["secrets"] == {}

    assert (await office.both(asked))["state"] == "approved"
    done = (await ann.post(f"/api/v1/approvals/{asked.json()['proposal']}/execute")).json()
    assert len(done["outcome"]["secret"]) == 32
    assert list((await ann.get("/api/v1/network/nas/switches")).json()["secrets"]) == ["current"]
