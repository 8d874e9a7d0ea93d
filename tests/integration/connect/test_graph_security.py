"""Graph's security alerts against a fake: alerts, the subscription, notices, and their failures."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from tests.support.vendors import faults
from tests.support.vendors.harness import Connected
from tests.support.vendors.microsoft import ALERTS, SUBSCRIPTIONS, Tenant
from troth.connect import connector_store
from troth.connect.errors import ConnectorError
from troth.trust.intake import inbox_store
from troth.trust.standing import Standing

URL = "https://troth.corp.example/connect/graph-security/it"
PATH = "/connect/graph-security/it"
STATE = "a-state-that-only-graph-repeats"
DEVICE = {"@odata.type": "#microsoft.graph.security.deviceEvidence", "azureAdDeviceId": "d1", "mdeDeviceId": "m1"}
USER = {"@odata.type": "#microsoft.graph.security.userEvidence", "userAccount": {"azureAdUserId": "u1"}}


@pytest.fixture
async def tenant(connected: Connected) -> AsyncIterator[Tenant]:
    async with Tenant(connected.clock) as made:
        yield made


@pytest.fixture
async def laptop(connected: Connected, tenant: Tenant) -> UUID:
    """A connector at work, and a device whose ``deviceId`` is ``d1``."""
    await connect(connected, tenant)
    laptop = await connected.trust.subject("laptop-1")
    await connected.alias("entra.device", "d1", laptop)
    return laptop


async def connect(connected: Connected, tenant: Tenant, **fields: Any) -> None:
    secrets = {"client_secret": tenant.client_secret, "client_state": STATE} | fields.pop("secrets", {})
    known = {"tenant": "tenant-1", "options": {"notify_url": URL}} | fields
    await connected.connect(tenant, "graph-security", secrets=secrets, **known)


# --- alerts ----------------------------------------------------------------------------------------------------------


async def test_an_alert_is_told_of_each_device_and_user_and_a_false_one_is_cleared(
    connected: Connected, tenant: Tenant, laptop: UUID
) -> None:
    alice = await connected.trust.subject("alice", kind="user")
    await connected.alias("entra.user", "u1", alice)
    tenant.alert("a1", DEVICE, USER, dict(DEVICE), {"@odata.type": "#microsoft.graph.security.fileEvidence"})
    await connected.pull("alerts")
    told = {(one.kind, one.subject_id, one.severity) for one in await connected.signals()}
    assert told == {("edr.alert", laptop, 80), ("idp.risk_event", alice, 80)}
    assert await connected.trust.standing(laptop) > Standing.TRUSTED
    connected.clock.advance(timedelta(minutes=10))
    tenant.alert("a1", DEVICE, USER, classification="falsePositive")
    await connected.pull("alerts")
    assert {one.kind for one in (await connected.signals())[2:]} == {"edr.alert_closed", "idp.risk_event_dismissed"}
    assert len({one.cause for one in await connected.signals()}) == 1


@pytest.mark.parametrize(
    ("fields", "kind", "severity"),
    [
        ({"severity": "purple"}, "edr.alert", 50),
        ({"severity": None}, "edr.alert", 50),
        ({"status": "levitating", "severity": "low"}, "edr.alert", 30),
        ({"classification": "perhaps", "severity": "medium"}, "edr.alert", 50),
        ({"status": "resolved"}, "edr.alert_closed", None),
        ({"classification": "informationalExpectedActivity"}, "edr.alert_closed", None),
    ],
)
async def test_words_that_nobody_knows_are_not_good(
    connected: Connected, tenant: Tenant, laptop: UUID, fields: dict[str, Any], kind: str, severity: int | None
) -> None:
    tenant.alert("a1", DEVICE, **fields)
    await connected.pull("alerts")
    (signal,) = await connected.signals()
    assert signal.kind == kind
    if severity is not None:
        assert signal.severity == severity


async def test_an_alert_about_nobody_or_a_crowd_is_kept(connected: Connected, tenant: Tenant, laptop: UUID) -> None:
    tenant.alert("a1")
    tenant.alert("a2", *[DEVICE | {"azureAdDeviceId": f"d{number}"} for number in range(51)])
    tenant.alert("a3", DEVICE)
    await connected.pull("alerts")
    assert await connected.kinds() == ["edr.alert"]
    assert len(await inbox_store.refused(connected.trust.database)) == 2


# --- the subscription ------------------------------------------------------------------------------------------------


async def test_there_is_one_subscription_and_it_is_renewed(connected: Connected, tenant: Tenant, laptop: UUID) -> None:
    await connected.pull("subscription")
    (made,) = tenant.subscriptions.values()
    assert (made["notificationUrl"], made["lifecycleNotificationUrl"], made["clientState"]) == (URL, URL, STATE)
    assert made["resource"] == "security/alerts_v2"
    first = datetime.fromisoformat(made["expirationDateTime"])
    assert timedelta(days=2) < first - connected.clock.now() <= timedelta(days=3)
    await connected.restart()
    connected.clock.advance(timedelta(hours=6))
    await connected.pull("subscription")
    (made,) = tenant.subscriptions.values()
    assert datetime.fromisoformat(made["expirationDateTime"]) > first
    tenant.subscriptions.clear()
    await connected.pull("subscription")
    assert len(tenant.subscriptions) == 1


async def test_a_state_that_could_be_guessed_is_refused(connected: Connected, tenant: Tenant, laptop: UUID) -> None:
    with pytest.raises(ConnectorError) as caught:
        await connect(connected, tenant, secrets={"client_state": "short"})
    assert caught.value.code == "connector.secret_invalid"
    assert tenant.subscriptions == {}


# --- notices ---------------------------------------------------------------------------------------------------------


def notices(*values: dict[str, Any]) -> bytes:
    return json.dumps({"value": [
        {"subscriptionId": "s1", "clientState": STATE, "changeType": "updated", "tenantId": "tenant-1",
         "resource": "security/alerts_v2/a1", "resourceData": {"id": "a1"}} | one for one in values
    ]}).encode()  # fmt: skip


async def test_the_handshake_says_back_its_token_as_plain_text(
    connected: Connected, tenant: Tenant, laptop: UUID
) -> None:
    answer = await connected.push(PATH, query=b"validationToken=Validation%3A+Testing+%3Cb%3E")
    assert (answer.status, answer.body) == (200, b"Validation: Testing <b>")
    assert (b"content-type", b"text/plain; charset=utf-8") in answer.headers
    assert (b"x-content-type-options", b"nosniff") in answer.headers
    for query in (b"validationToken=" + b"x" * 2000, b"validationToken=a&validationToken=b", b"validationToken=%00"):
        assert (await connected.push(PATH, query=query)).status == 401


@pytest.mark.parametrize(
    ("notice", "reads"),
    [
        ({}, {"alerts"}),
        ({"lifecycleEvent": "missed"}, {"alerts"}),
        ({"lifecycleEvent": "subscriptionRemoved"}, {"subscription"}),
        ({"lifecycleEvent": "reauthorizationRequired"}, {"subscription"}),
        ({"lifecycleEvent": "levitating"}, {"alerts", "subscription"}),
    ],
)
async def test_a_notice_has_what_it_is_about_looked_at_at_once(
    connected: Connected, tenant: Tenant, laptop: UUID, notice: dict[str, Any], reads: set[str]
) -> None:
    await connected.pull("alerts")
    await connected.pull("subscription")
    assert await connector_store.are_due(connected.trust.database) == frozenset()
    assert (await connected.push(PATH, notices(notice))).status == 202
    assert await connector_store.are_due(connected.trust.database) == {("it", read) for read in reads}
    for read in reads:
        await connected.pull(read)
    assert await connector_store.are_due(connected.trust.database) == frozenset()


async def test_a_read_that_rests_is_woken_by_a_notice(connected: Connected, tenant: Tenant, laptop: UUID) -> None:
    import asyncio

    async def until(number: int) -> None:
        async with asyncio.timeout(120):
            while len(tenant.seen(ALERTS)) < number:
                await connected.puller.look()
                await asyncio.sleep(0.01)

    await until(1)
    assert (await connected.push(PATH, notices({}))).status == 202
    # The pace and the poll interval are the test's clock's; only the notice ends the rest.
    await until(2)
    stop = asyncio.Event()
    stop.set()
    await connected.puller.run(stop)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (notices({"clientState": "another"}), 401),
        (notices({"clientState": None}), 401),
        (notices({}, {"clientState": "another"}), 401),
        (b'{"value": []}', 400),
        (b'{"value": 3}', 400),
        (b"{", 400),
        (b"[" * 100_000, 400),
    ],
)
async def test_a_notice_that_proves_nothing_or_cannot_be_read_is_refused(
    connected: Connected, tenant: Tenant, laptop: UUID, body: bytes, status: int
) -> None:
    await connected.pull("alerts")
    assert (await connected.push(PATH, body)).status == status
    assert (await connected.push(PATH, body, method="GET")).status == 401
    assert await connector_store.are_due(connected.trust.database) == frozenset()


async def test_without_an_address_for_notices_nobody_is_answered(connected: Connected, tenant: Tenant) -> None:
    await connect(connected, tenant, options={})
    assert (await connected.push(PATH, query=b"validationToken=x")).status == 401
    assert [one.name for one in (await connected.opened()).connector.reads] == ["alerts"]


# --- failures --------------------------------------------------------------------------------------------------------


async def test_failures_lose_and_double_nothing(connected: Connected, tenant: Tenant, laptop: UUID) -> None:
    numbers = iter(range(100))
    await faults.bears_failures(
        connected, tenant, read="alerts", path=ALERTS, happen=lambda: tenant.alert(f"a{next(numbers)}", DEVICE)
    )


async def test_pauses_are_made_and_tokens_renewed(connected: Connected, tenant: Tenant, laptop: UUID) -> None:
    await faults.makes_pauses(connected, tenant, read="alerts", path=ALERTS, header="retry-after")
    await faults.renews_its_token(connected, tenant, read="alerts")


async def test_a_test_prints_what_is_granted_against_what_is_needed(connected: Connected, tenant: Tenant) -> None:
    await connect(connected, tenant)
    tenant.scopes = set()
    found = await connected.test()
    assert {(one.read, one.scope, one.granted) for one in found.probes} == {
        ("alerts", "SecurityAlert.Read.All", False), ("subscription", "SecurityAlert.Read.All", False)
    }  # fmt: skip
    assert len(tenant.seen(SUBSCRIPTIONS)) == 1
