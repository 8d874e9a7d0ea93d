"""OpenID AuthZEN 1.0: the shapes of the specification's own examples, and what Troth answers to them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec

from tests.integration.connect.authz.conftest import Door

READ = {"action": {"name": "GET"}, "resource": {"type": "gateway", "id": "vpn-1"}}


def certificate(sha256: str, **fields: Any) -> dict[str, Any]:
    return {"subject": {"type": "certificate", "id": sha256}, **READ, **fields}


async def ask(door: Door, headers: dict[str, str], body: Any, path: str = "evaluation") -> Any:
    answer = await door.client.post(f"/access/v1/{path}", json=body, headers=headers)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_the_metadata_names_the_endpoints(door: Door) -> None:
    found = (await door.client.get("/.well-known/authzen-configuration")).json()
    assert found == {
        "policy_decision_point": "https://pki.example",
        "access_evaluation_endpoint": "https://pki.example/access/v1/evaluation",
        "access_evaluations_endpoint": "https://pki.example/access/v1/evaluations",
    }


async def test_a_certificate_of_ours_is_let_in_with_its_obligations_and_the_record_is_kept(door: Door) -> None:
    headers = await door.register()
    laptop, sha256 = await door.holder()
    found = await ask(door, {**headers, "x-request-id": "abc-1"}, certificate(sha256))
    assert found["decision"] is True
    assert found["context"]["outcome"] == "allow"
    assert found["context"]["obligations"] == {"role": "staff", "vlan": "40", "session_seconds": 28_800}
    # The decision was durable before the answer, and comes into the ledger once.
    assert await door.drain.once() == 1
    [event] = [data for kind, data in await door.trust.events() if kind == "decision.made"]
    assert (event["decision_id"], event["subject_id"]) == (found["context"]["id"], str(laptop))
    assert (event["moment"], event["rule"]) == ("connect", "nothing-open")


async def test_what_our_key_signed_and_no_record_knows_admits_nobody(door: Door) -> None:
    headers = await door.register()
    for sha256 in ("ab" * 32, ":".join(["AB"] * 32)):
        assert await ask(door, headers, certificate(sha256)) == {
            "decision": False, "context": {"outcome": "deny", "reason": "trust.connect.certificate_unknown"},
        }  # fmt: skip


async def test_a_signal_shuts_the_door_and_its_clearing_opens_it(door: Door) -> None:
    headers = await door.register()
    laptop, sha256 = await door.holder()
    await door.trust.feed()
    door.current()
    assert (await ask(door, headers, certificate(sha256)))["decision"] is True
    await door.trust.take("edr.contained", laptop)
    door.current(f"subject:{laptop}")
    found = await ask(door, headers, certificate(sha256))
    assert (found["decision"], found["context"]["reason"]) == (False, "trust.connect.certificate_held")
    await door.trust.take("edr.containment_lifted", laptop)
    door.current(f"subject:{laptop}")
    assert (await ask(door, headers, certificate(sha256)))["decision"] is True


async def test_revoked_expired_and_not_yet_valid_are_told_apart(door: Door) -> None:
    headers = await door.register()
    _, sha256 = await door.holder()
    door.trust.clock.advance(timedelta(days=400))
    assert (await ask(door, headers, certificate(sha256)))["context"]["reason"] == "trust.connect.certificate_expired"
    door.trust.clock.set_wall(door.trust.clock.now() - timedelta(days=401))
    assert (await ask(door, headers, certificate(sha256)))["context"]["reason"] == "trust.connect.certificate_not_yet"


async def test_a_subject_by_name_is_judged_by_the_applications_profile(door: Door) -> None:
    await door.trust.subject("alice", kind="user")
    body = {"subject": {"type": "user", "id": "alice"}, **READ}
    alone = await ask(door, await door.register("only-certificates"), body)
    assert alone["context"]["reason"] == "connect.authz.no_profile"
    headers = await door.register(profile="vpn")
    assert (await ask(door, headers, body))["decision"] is True
    nobody = await ask(door, headers, {**body, "subject": {"type": "user", "id": "mallory"}})
    assert (nobody["decision"], nobody["context"]["reason"]) == (False, "trust.subject.not_found")
    robot = await ask(door, headers, {**body, "subject": {"type": "robot", "id": "alice"}})
    assert robot["decision"] is False


async def test_policy_sees_action_and_address_and_its_sentence_reaches_the_person(door: Door) -> None:
    headers = await door.register()
    _, sha256 = await door.holder()
    delete = {"action": {"name": "DELETE"}, "resource": {"type": "record", "id": "1"}}
    outside = await ask(door, headers, certificate(sha256, **delete, context={"address": "198.51.100.1"}))
    assert (outside["decision"], outside["context"]["reason_user"]["en"]) == (
        False, "Deletions are made in the office.",
    )  # fmt: skip
    assert (await ask(door, headers, certificate(sha256, **delete, context={"address": "192.0.2.9"})))["decision"]
    # An address that is none is no address: unknown, and unknown is not good.
    assert not (await ask(door, headers, certificate(sha256, **delete, context={"address": "office"})))["decision"]


async def test_restricted_is_let_in_where_the_application_takes_it_and_quarantine_nowhere(door: Door) -> None:
    lenient, strict = await door.register("lenient"), await door.register("strict", least="allow")
    restricted = door_policy("restrict")
    _, sha256 = await door.holder()
    await door.apply(restricted)
    assert (await ask(door, lenient, certificate(sha256)))["decision"] is True
    assert (await ask(door, strict, certificate(sha256)))["decision"] is False
    await door.apply(door_policy("quarantine"))
    found = await ask(door, lenient, certificate(sha256))
    assert (found["decision"], found["context"]["outcome"]) == (False, "quarantine")


def door_policy(outcome: str) -> str:
    return (
        "policy: gateways\nprofiles: [client-device, vpn]\nrules:\n"
        f"  - {{rule: all, moments: [connect], then: {outcome}, unknown: deny}}\n"
    )


async def test_no_rule_for_connections_is_a_refusal(door: Door) -> None:
    headers = await door.register()
    _, sha256 = await door.holder()
    await door.apply(door_policy("allow").replace("[connect]", "[issue]"))
    assert (await ask(door, headers, certificate(sha256)))["context"]["reason"] == "policy.no_rule"


async def test_certificates_of_other_profiles_do_not_count_where_some_are_named(door: Door) -> None:
    _, sha256 = await door.holder()
    found = await ask(door, await door.register(profiles=("vpn",)), certificate(sha256))
    assert (found["decision"], found["context"]["reason"]) == (False, "connect.authz.not_accepted")
    assert (await ask(door, await door.register("b", profiles=("client-device",)), certificate(sha256)))["decision"]


SEMANTICS = {
    "execute_all": [True, False, True], "deny_on_first_deny": [True, False], "permit_on_first_permit": [True],
}  # fmt: skip


async def test_several_questions_have_the_three_semantics(door: Door) -> None:
    headers = await door.register()
    _, sha256 = await door.holder()
    several = [{}, {"action": {"name": "DELETE"}}, {"resource": {"type": "gateway", "id": "vpn-2"}}]
    for semantic, expected in SEMANTICS.items():
        body = {**certificate(sha256), "evaluations": several, "options": {"evaluations_semantic": semantic}}
        found = await ask(door, headers, body, "evaluations")
        assert [one["decision"] for one in found["evaluations"]] == expected
        assert await door.drain.once() == len(expected), "and no more was decided than was answered"


async def test_without_a_list_of_questions_it_is_one(door: Door) -> None:
    headers = await door.register()
    _, sha256 = await door.holder()
    assert (await ask(door, headers, certificate(sha256), "evaluations"))["decision"] is True


NO_QUESTIONS: list[tuple[str, Any]] = [
    ("evaluation", "nonsense"),
    ("evaluation", {}),
    ("evaluation", {"subject": {"type": "certificate"}, **READ}),
    ("evaluation", certificate("xyz")),
    ("evaluation", certificate("ab" * 32, subject={"type": "certificate", "id": "", "properties": {"pem": "x"}})),
    ("evaluations", {**certificate("ab" * 32), "evaluations": [{}] * 101}),
    ("evaluations", {**READ, "evaluations": [{}]}),
    ("evaluations", {**certificate("ab" * 32), "options": {"evaluations_semantic": "any"}}),
]


async def test_what_is_no_question_is_refused_and_nothing_is_decided(door: Door) -> None:
    headers = await door.register()
    for path, body in NO_QUESTIONS:
        answer = await door.client.post(f"/access/v1/{path}", json=body, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (400, "connect.authz.malformed"), body
    # What no JSON holds, and what no database takes.
    for content in (
        b'{"subject":{"type":"device","id":"a\xff"}}',
        msgspec.json.encode({"subject": {"type": "device", "id": "a\x00b"}, **READ}),
        msgspec.json.encode({"subject": {"type": "dev\x00ice", "id": "a"}, **READ}),
    ):
        answer = await door.client.post("/access/v1/evaluation", content=content, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (400, "connect.authz.malformed"), content
    assert await door.drain.once() == 0


async def test_searches_are_not_offered_and_say_so(door: Door) -> None:
    headers = await door.register()
    for what in ("subject", "resource", "action"):
        answer = await door.client.post(f"/access/v1/search/{what}", json={}, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (501, "connect.authz.unsupported")


async def test_a_stranger_is_answered_nothing(door: Door) -> None:
    _, sha256 = await door.holder()
    for header in (None, "Bearer wrong", "Bearer trothapp_wrong", "Basic dHJvdGg6eA=="):
        headers = {} if header is None else {"authorization": header}
        for path in ("evaluation", "evaluations", "search/subject"):
            answer = await door.client.post(f"/access/v1/{path}", json=certificate(sha256), headers=headers)
            assert (answer.status_code, answer.json()["code"]) == (401, "connect.authz.caller_unknown")
            assert "laptop" not in answer.text
    assert await door.drain.once() == 0


async def test_a_token_is_changed_with_a_day_for_the_former_one_or_at_once(door: Door) -> None:
    old = await door.register()
    _, sha256 = await door.holder()
    new = {"authorization": f"Bearer {await door.applications.change_token('vpn', leaked=False, actor='admin:a')}"}
    for headers in (old, new):
        assert (await ask(door, headers, certificate(sha256)))["decision"]
    door.trust.clock.advance(timedelta(hours=25))
    body = certificate(sha256)
    assert (await door.client.post("/access/v1/evaluation", json=body, headers=old)).status_code == 401
    await door.applications.change_token("vpn", leaked=True, actor="admin:a")
    assert (await door.client.post("/access/v1/evaluation", json=body, headers=new)).status_code == 401
    kinds = [kind for kind, _ in await door.trust.events() if kind.startswith("application.")]
    assert kinds == ["application.added", "application.token_changed", "application.token_changed"]


async def test_an_application_that_is_taken_off_is_a_stranger(door: Door) -> None:
    headers = await door.register()
    await door.applications.remove("vpn", actor="admin:a")
    assert (await door.client.post("/access/v1/evaluation", json={}, headers=headers)).status_code == 401


async def test_an_application_may_ask_no_more_often_than_it_is_let(door: Door) -> None:
    headers = await door.register(per_second=2)
    _, sha256 = await door.holder()
    codes = [
        (await door.client.post("/access/v1/evaluation", json=certificate(sha256), headers=headers)).status_code
        for _ in range(4)
    ]
    assert codes == [200, 200, 429, 429]
    door.trust.clock.advance(timedelta(seconds=1))
    several = {**certificate(sha256), "evaluations": [{}, {}, {}]}
    answer = await door.client.post("/access/v1/evaluations", json=several, headers=headers)
    assert answer.status_code == 429, "each of several counts"
    assert answer.headers["retry-after"] == "1"


async def test_nobody_is_let_in_on_a_decision_that_cannot_be_made_durable(door: Door) -> None:
    headers = await door.register()
    _, sha256 = await door.holder()
    door.journal._broken = True
    answer = await door.client.post("/access/v1/evaluation", json=certificate(sha256), headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (503, "connect.authz.undecided")


async def test_answers_are_counted(door: Door) -> None:
    headers = await door.register()
    _, sha256 = await door.holder()
    for one in (sha256, sha256, "ab" * 32):
        await ask(door, headers, certificate(one))
    await door.caller.flush()
    [(_, counts)] = await door.applications.list()
    assert {result: one.number for result, one in counts.items()} == {"permit": 2, "deny": 1}
