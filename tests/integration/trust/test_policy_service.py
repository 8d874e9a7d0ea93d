"""Applying policies, and how workers come to know them."""

from __future__ import annotations

import json

import pytest

from troth.kit.clock import FakeClock
from troth.store.pool import Database
from troth.trust.authoring.service import PolicyService, shipped
from troth.trust.errors import PolicyError, Retryable
from troth.trust.policy.cache import PolicyCache
from troth.trust.policy.store import PolicyStore

ONE = "policy: one\nprofiles: [one]\nrules:\n  - {rule: r, then: allow, unknown: deny}\n"
TWO = ONE.replace("then: allow", "then: restrict")


async def apply(policies: PolicyService, text: str) -> int:
    return (await policies.apply(await policies.plan(text), actor="admin:test")).version


async def test_each_change_is_a_version_with_a_diff_and_an_event(policies: PolicyService, database: Database) -> None:
    assert await apply(policies, ONE) == 1
    plan = await policies.plan(TWO)
    assert "-  - {rule: r, then: allow, unknown: deny}" in plan.diff
    assert "+  - {rule: r, then: restrict, unknown: deny}" in plan.diff
    assert (await policies.apply(plan, actor="admin:test")).version == 2
    rows = await database.fetch("SELECT payload FROM ledger_inbox ORDER BY id")
    told = [json.loads(row["payload"]) for row in rows]
    assert [(event["kind"], event["data"]["version"], event["data"]["before"]) for event in told] == [
        ("policy.applied", 1, None),
        ("policy.applied", 2, 1),
    ]
    assert (await policies.show("one")).source == TWO
    assert (await policies.show("one", 1)).source == ONE
    assert "then: restrict" in await policies.diff("one", 1)


async def test_the_same_text_again_changes_nothing(policies: PolicyService, database: Database) -> None:
    await apply(policies, ONE)
    plan = await policies.plan(ONE)
    assert (plan.changes, plan.diff) == (False, "")
    assert (await policies.apply(plan, actor="admin:test")).version == 1
    assert await database.fetchval("SELECT count(*) FROM policy_version") == 1


async def test_a_bad_policy_stores_nothing(policies: PolicyService, database: Database) -> None:
    with pytest.raises(PolicyError):
        await policies.plan(ONE.replace("then: allow", "match: user.nam == 'a', then: allow"))
    assert await database.fetchval("SELECT count(*) FROM policy_version") == 0


async def test_a_profile_is_governed_by_one_policy(policies: PolicyService) -> None:
    await apply(policies, ONE)
    with pytest.raises(PolicyError, match="policy 'one' governs one") as caught:
        await policies.plan(ONE.replace("policy: one", "policy: other"))
    assert caught.value.code == "policy.conflict"


async def test_two_plans_made_at_once_cannot_both_be_applied(policies: PolicyService) -> None:
    first = await policies.plan(ONE)
    rival = await policies.plan(ONE.replace("policy: one", "policy: other"))
    await policies.apply(first, actor="admin:a")
    with pytest.raises(Retryable) as caught:
        await policies.apply(rival, actor="admin:b")
    assert caught.value.code == "policy.changed_meanwhile"


async def test_a_worker_sees_a_new_version_after_refresh_and_compiles_it_once(
    policies: PolicyService, database: Database
) -> None:
    cache = PolicyCache(PolicyStore(database))
    await apply(policies, ONE)
    assert cache.governing("one") is None
    await cache.refresh()
    first = cache.governing("one")
    await cache.refresh()
    assert cache.governing("one") is first
    await apply(policies, TWO)
    await cache.refresh()
    second = cache.governing("one")
    assert second is not None
    assert second.version == 2


async def test_a_stored_policy_that_no_longer_compiles_leaves_its_profiles_denied(
    policies: PolicyService, database: Database, clock: FakeClock
) -> None:
    await apply(policies, ONE)
    await database.fetch("UPDATE policy_version SET source = 'policy: one'")
    cache = PolicyCache(PolicyStore(database))
    await cache.refresh()
    assert cache.governing("one") is None


async def test_shipped_policies_are_applied_once_and_never_over_an_administrators(policies: PolicyService) -> None:
    mine = shipped()["tls-server"].replace("lifetime: 24h", "lifetime: 12h")
    await apply(policies, mine)
    applied = await policies.apply_shipped(actor="system:first-start")
    assert {policy.name for policy in applied} == set(shipped()) - {"tls-server"}
    assert (await policies.show("tls-server")).source == mine
    assert await policies.apply_shipped(actor="system:first-start") == []


async def test_a_profile_that_an_administrators_policy_governs_gets_no_shipped_one(policies: PolicyService) -> None:
    await apply(policies, ONE.replace("[one]", "[wifi-device]"))
    applied = await policies.apply_shipped(actor="system:first-start")
    assert {policy.name for policy in applied} == set(shipped()) - {"wifi-device"}


async def test_what_is_not_there_is_said_so(policies: PolicyService) -> None:
    with pytest.raises(PolicyError, match="there is no policy 'x'"):
        await policies.show("x")
    await apply(policies, ONE)
    with pytest.raises(PolicyError, match="no version 7 of policy 'one'"):
        await policies.diff("one", 1, 7)
