"""From question to stored decision: what a verdict binds, and what undoes it."""

from __future__ import annotations

import asyncio
import hashlib
import json

import pytest

from troth.audit.sequencer import LEASE_NAME, Sequencer
from troth.kit.clock import FakeClock
from troth.kit.ids import new_id
from troth.store.lease import Lease
from troth.store.pool import Database
from troth.store.unit import Unit
from troth.trust.authoring.service import PolicyService
from troth.trust.decision.decide import Judge, Verdict
from troth.trust.decision.judge import judge as judge_purely
from troth.trust.decision.question import Question
from troth.trust.decision.why import Why
from troth.trust.errors import Retryable, StandingChanged, TrustError
from troth.trust.model import Kind, Moment, Outcome, encode
from troth.trust.policy.grammar import parse_policy
from troth.trust.policy.store import PolicyStore
from troth.trust.subjects.directory_plan import Directory
from troth.trust.subjects.store import SubjectStore
from troth.trust.subjects.whom import Subjects

FLEET = """\
users:
  - {name: alice, enabled: true}
devices:
  - name: laptop-1
    owner: alice
    posture:
      - {source: mdm, observed_at: 2026-03-02T08:55:00Z, values: {posture.compliant: true, risk.score: 12}}
"""


async def ask_for_names(judge: Judge, subjects: Subjects, *names: str, proved: bool = True) -> Verdict:
    return await judge.decide(
        Question(
            Moment.ISSUE,
            "tls-server",
            await subjects.resolve(names, origin="acme"),
            {"controlled_names": list(names) if proved else [], "methods": ["http-01"]},
            {"names": list(names), "protocol": "acme"},
        )
    )


async def test_proof_of_control_makes_the_name_a_workload_and_stores_the_decision(
    judge: Judge, subjects: Subjects, database: Database, subject_store: SubjectStore
) -> None:
    verdict = await ask_for_names(judge, subjects, "a.example", "b.example")
    assert verdict.outcome is Outcome.ALLOW
    await database.commit(verdict.bind(Unit(), actor="acme:1", refs=("order:7",)))
    workload = await subject_store.find(Kind.WORKLOAD, "a.example")
    assert workload is not None
    [stored] = await PolicyStore(database).decisions_of(workload.id)
    assert stored.decision == verdict.decisions[0]
    rows = await database.fetch("SELECT payload FROM ledger_inbox ORDER BY id")
    told = [json.loads(row["payload"]) for row in rows]
    made = [event for event in told if event["kind"] == "decision.made"]
    assert [event["kind"] for event in told].count("subject.created") == 2
    assert made[0]["subjects"] == [f"subject:{workload.id}", f"decision:{stored.decision.id}", "order:7"]
    assert made[0]["data"]["record_sha256"] == hashlib.sha256(encode(stored.decision)).hexdigest()


async def test_a_stored_decision_is_reproduced_from_its_snapshot_and_policy(
    judge: Judge, directory: Directory, subject_store: SubjectStore, database: Database, policies: PolicyService
) -> None:
    await directory.apply(await directory.plan(FLEET), actor="admin:test")
    laptop = await subject_store.find(Kind.DEVICE, "laptop-1")
    assert laptop is not None
    verdict = await judge.decide(Question(Moment.ISSUE, "client-device", (laptop,), {}, {}))
    assert verdict.outcome is Outcome.ALLOW
    await database.commit(verdict.bind(Unit(), actor="api:test"))
    stored = await PolicyStore(database).decision(verdict.deciding.id)
    assert stored is not None
    applied = await policies.show("client-device", stored.decision.policy_version)
    policy = parse_policy(applied.source, version=applied.version)
    assert encode(judge_purely(policy, stored.snapshot)) == encode(stored.decision)


async def test_a_refusal_is_recorded_too(judge: Judge, subjects: Subjects, database: Database) -> None:
    verdict = await ask_for_names(judge, subjects, "a.example", proved=False)
    assert not verdict.permits
    await database.commit(verdict.bind(Unit(), actor="acme:1"))
    assert await database.fetchval("SELECT outcome FROM decision") == "deny"


async def test_a_standing_that_changed_meanwhile_undoes_the_verdict(
    judge: Judge, subjects: Subjects, database: Database
) -> None:
    await database.commit((await ask_for_names(judge, subjects, "a.example")).bind(Unit(), actor="acme:1"))
    verdict = await ask_for_names(judge, subjects, "a.example")
    await database.fetch("UPDATE subject SET standing = 'quarantined', standing_version = standing_version + 1")
    with pytest.raises(StandingChanged) as caught:
        await database.commit(verdict.bind(Unit(), actor="acme:1"))
    assert caught.value.code == "trust.standing.changed"
    assert await database.fetchval("SELECT count(*) FROM decision") == 1
    again = await ask_for_names(judge, subjects, "a.example")
    assert (again.outcome, again.profile) == (Outcome.QUARANTINE, "quarantine")


async def test_a_standing_cannot_change_under_a_commit_that_is_under_way(
    judge: Judge, subjects: Subjects, database: Database
) -> None:
    await database.commit((await ask_for_names(judge, subjects, "a.example")).bind(Unit(), actor="acme:1"))
    verdict = await ask_for_names(judge, subjects, "a.example")
    async with database.transaction() as connection:
        await connection.execute("UPDATE subject SET standing = 'distrusted', standing_version = standing_version + 1")
        commit = asyncio.create_task(database.commit(verdict.bind(Unit(), actor="acme:1")))
        await asyncio.sleep(0.05)
        assert not commit.done()
    with pytest.raises(StandingChanged):
        await commit


async def test_an_owner_whose_standing_changed_undoes_the_verdict_on_the_device(
    judge: Judge, directory: Directory, subject_store: SubjectStore, database: Database
) -> None:
    await directory.apply(await directory.plan(FLEET), actor="admin:test")
    laptop = await subject_store.find(Kind.DEVICE, "laptop-1")
    assert laptop is not None
    verdict = await judge.decide(Question(Moment.RENEW, "client-device", (laptop,), {}, {}))
    await database.fetch("UPDATE subject SET standing_version = standing_version + 1 WHERE kind = 'user'")
    with pytest.raises(StandingChanged, match="alice"):
        await database.commit(verdict.bind(Unit(), actor="api:test"))


async def test_two_first_requests_for_one_name_do_not_make_two_workloads(
    judge: Judge, subjects: Subjects, database: Database
) -> None:
    verdicts = [await ask_for_names(judge, subjects, "a.example") for _ in range(3)]
    units = [verdict.bind(Unit(), actor="acme:1") for verdict in verdicts]
    results = await asyncio.gather(*(database.commit(unit) for unit in units), return_exceptions=True)
    assert sum(result is None for result in results) == 1
    assert all(isinstance(result, Retryable) for result in results if result is not None)
    assert await database.fetchval("SELECT count(*) FROM subject") == 1


async def test_a_question_about_nobody_is_refused(judge: Judge) -> None:
    with pytest.raises(TrustError) as caught:
        await judge.decide(Question(Moment.ISSUE, "tls-server", (), {}, {}))
    assert caught.value.code == "trust.subject.none"


async def test_why_tells_standing_decision_and_timeline(
    judge: Judge, directory: Directory, subject_store: SubjectStore, database: Database, clock: FakeClock
) -> None:
    await directory.apply(await directory.plan(FLEET), actor="admin:carol")
    laptop = await subject_store.find(Kind.DEVICE, "laptop-1")
    assert laptop is not None
    verdict = await judge.decide(Question(Moment.ISSUE, "client-device", (laptop,), {}, {}))
    await database.commit(verdict.bind(Unit(), actor="api:test"))
    await sequence(database, clock)
    text = (await Why(database).subject(laptop)).text()
    assert "Device laptop-1 is trusted since 2026-03-02 09:00:00 UTC." in text
    assert "It belongs to user alice." in text
    assert "Rule healthy-device of policy client-device, version 1, decided: every condition was met." in text
    assert "mdm says risk.score is 12 (by admin:carol)" in text
    assert "decision at issue of client-device: allow, by rule healthy-device of policy client-device" in text
    judged, explanation = await Why(database).decision(verdict.deciding.id)
    assert judged.decision == verdict.deciding
    assert explanation.lines[0].text.startswith("Issuing a client-device certificate to device laptop-1 was allowed")
    with pytest.raises(TrustError):
        await Why(database).decision(laptop.id)


async def sequence(database: Database, clock: FakeClock) -> None:
    """Give every waiting event its place in the ledger."""
    lease = Lease(database, clock, LEASE_NAME, new_id(), seconds=3)
    held = await lease.acquire()
    assert held is not None
    await Sequencer(database, clock, new_id()).move(held)
