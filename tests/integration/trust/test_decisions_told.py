"""``notify:`` of a policy: told through the outbox, once an hour for the same words, whatever asks how often."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.support.effects import RecordingPort
from troth.audit.event import Event
from troth.connect.effects.words import lines, title
from troth.kit.clock import FakeClock
from troth.store.pool import Database
from troth.store.unit import Unit
from troth.trust.authoring.service import PolicyService
from troth.trust.decision.decide import Judge, Verdict
from troth.trust.decision.question import Question
from troth.trust.model import Kind, Moment, Outcome
from troth.trust.outbox import store
from troth.trust.outbox.errors import TARGET_UNKNOWN, TargetUnknown
from troth.trust.outbox.model import EffectState, EffectSubject
from troth.trust.outbox.runner import EffectRunner
from troth.trust.policy.cache import PolicyCache
from troth.trust.policy.store import PolicyStore
from troth.trust.subjects.directory_plan import Directory
from troth.trust.subjects.store import SubjectStore

_POLICY = """
policy: told
description: Tells of every refusal.
profiles: [client-device]
rules:
  - rule: nobody
    then: {deny: {notify: [security, owner]}}
    unknown: deny
"""


@pytest.fixture
async def told(policies: PolicyService, database: Database, clock: FakeClock, directory: Directory) -> Judge:
    await policies.apply(await policies.plan(_POLICY), actor="admin:alice")
    await directory.apply(await directory.plan("devices: [{name: laptop-1}]"), actor="admin:alice")
    cache = PolicyCache(PolicyStore(database))
    await cache.refresh()
    return Judge(cache, [], clock)


async def _refused(judge: Judge, database: Database) -> Verdict:
    laptop = await SubjectStore(database).find(Kind.DEVICE, "laptop-1")
    assert laptop is not None
    verdict = await judge.decide(Question(Moment.ISSUE, "client-device", (laptop,), {}, {}))
    assert verdict.outcome is Outcome.DENY
    await database.commit(verdict.bind(Unit().record(Event("test.asked", "system:test")), actor="acme:1"))
    return verdict


async def test_whom_a_decision_obliges_to_tell_is_told_once_an_hour(
    told: Judge, database: Database, clock: FakeClock
) -> None:
    first = await _refused(told, database)
    clock.advance(timedelta(minutes=1))
    await _refused(told, database)
    planned = await store.listed(database)
    assert {(one.port, one.target) for one in planned} == {("notify", "security"), ("notify", "owner")}
    assert {one.notice.decision["id"] for one in planned} == {str(first.decisions[0].id)}
    port = RecordingPort(answers=[TargetUnknown(TARGET_UNKNOWN, "there is no target 'owner'")])
    await EffectRunner(database, clock, {"notify": port}).drain()
    # A target that nobody has defined is told as that, and is no dead letter each time.
    assert {one.state for one in await store.listed(database)} == {EffectState.DONE, EffectState.UNAVAILABLE}
    clock.advance(timedelta(hours=1))
    await _refused(told, database)
    assert len(await store.listed(database)) == 4
    refs = [row["payload"] for row in await database.fetch("SELECT payload FROM ledger_inbox ORDER BY id")]
    assert any(b"effect.done" in ref and f"decision:{first.decisions[0].id}".encode() in ref for ref in refs)


async def test_people_read_what_was_decided_and_by_which_rule(told: Judge, database: Database) -> None:
    verdict = await _refused(told, database)
    (effect, _) = await store.listed(database)
    subject = EffectSubject(effect.subject_id, "device", "laptop-1", False)
    assert title(effect) == "device laptop-1: denied"
    text = "\n".join(lines(effect, subject))
    assert "asked to issue (client-device): denied" in text
    assert "rule nobody of policy told" in text
    assert str(verdict.decisions[0].id) in text
