"""Defender for Endpoint against a fake of its API: alerts, machines, isolation, and their failures."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from tests.support.vendors import faults
from tests.support.vendors.harness import Connected
from tests.support.vendors.microsoft import MDE_ALERTS, Tenant
from troth.trust.intake import inbox_store
from troth.trust.signals.alias_store import resolve
from troth.trust.signals.model import Whom
from troth.trust.standing import Standing


@pytest.fixture
async def tenant(connected: Connected) -> AsyncIterator[Tenant]:
    async with Tenant(connected.clock) as made:
        yield made


@pytest.fixture
async def laptop(connected: Connected, tenant: Tenant) -> UUID:
    """A connector at work, and a device that Entra ID knows as ``aad-m1`` and Defender as ``m1``."""
    await connect(connected, tenant)
    laptop = await connected.trust.subject("laptop-1")
    await connected.alias("entra.device", "aad-m1", laptop)
    tenant.machine("m1")
    await connected.pull("machines")
    return laptop


async def connect(connected: Connected, tenant: Tenant, **fields: Any) -> None:
    secrets = fields.pop("secrets", {"client_secret": tenant.client_secret})
    await connected.connect(tenant, "defender", secrets=secrets, tenant="tenant-1", **fields)


async def test_machines_are_found_by_their_name_in_entra_id_and_say_how_risky_they_are(
    connected: Connected, tenant: Tenant, laptop: UUID
) -> None:
    assert await connected.facts(laptop) == {"posture.edr_running": True, "device.platform": "windows"}
    assert (await resolve(connected.trust.database, Whom(alias=("defender.machine", "m1")))).ids == (laptop,)
    connected.clock.advance(timedelta(minutes=10))
    tenant.machine("m1", riskScore="High", healthStatus="NoSensorData")
    await connected.pull("machines")
    assert (await connected.signals())[-1].severity == 85
    assert await connected.trust.standing(laptop) > Standing.TRUSTED
    assert (await connected.facts(laptop))["posture.edr_running"] is False
    connected.clock.advance(timedelta(minutes=10))
    tenant.machine("m1")
    await connected.pull("machines")
    assert await connected.trust.standing(laptop) is Standing.TRUSTED


@pytest.mark.parametrize(("risk", "severity"), [("Low", 30), ("Medium", 50), ("Purple", 50)])
async def test_a_risk_that_nobody_knows_is_a_medium_one(
    connected: Connected, tenant: Tenant, laptop: UUID, risk: str, severity: int
) -> None:
    connected.clock.advance(timedelta(minutes=10))
    tenant.machine("m1", riskScore=risk)
    await connected.pull("machines")
    assert ((await connected.signals())[-1].kind, (await connected.signals())[-1].severity) == (
        "edr.suspicious", severity
    )  # fmt: skip


async def test_an_alert_is_open_until_it_is_resolved_or_was_none(
    connected: Connected, tenant: Tenant, laptop: UUID
) -> None:
    tenant.mde_alert("da1")
    tenant.mde_alert("da2", machine="")
    await connected.pull("alerts")
    signal = (await connected.signals())[-1]
    assert (signal.kind, signal.subject_id, signal.severity) == ("edr.alert", laptop, 80)
    assert len(await inbox_store.refused(connected.trust.database)) == 1
    connected.clock.advance(timedelta(minutes=10))
    tenant.mde_alert("da1", status="InProgress", classification="FalsePositive")
    await connected.pull("alerts")
    assert (await connected.kinds())[-1] == "edr.alert_closed"


async def test_a_machine_that_is_isolated_is_quarantined_and_let_back(
    connected: Connected, tenant: Tenant, laptop: UUID
) -> None:
    tenant.action("x1", "Isolate", "Failed")
    tenant.action("x2", "RunAntiVirusScan")
    await connected.pull("isolation")
    assert await connected.trust.standing(laptop) is Standing.TRUSTED
    connected.clock.advance(timedelta(minutes=1))
    tenant.action("x3", "Isolate", "Pending")
    await connected.pull("isolation")
    assert await connected.trust.standing(laptop) is Standing.QUARANTINED
    connected.clock.advance(timedelta(minutes=1))
    tenant.action("x4", "Unisolate", "Pending")
    await connected.pull("isolation")
    assert await connected.trust.standing(laptop) is Standing.QUARANTINED
    connected.clock.advance(timedelta(minutes=1))
    tenant.action("x4", "Unisolate")
    await connected.pull("isolation")
    assert await connected.trust.standing(laptop) is Standing.TRUSTED


async def test_failures_lose_and_double_nothing(connected: Connected, tenant: Tenant, laptop: UUID) -> None:
    numbers = iter(range(100))
    await faults.bears_failures(
        connected, tenant, read="alerts", path=MDE_ALERTS, happen=lambda: tenant.mde_alert(f"da{next(numbers)}")
    )


async def test_pauses_are_made_and_tokens_renewed(connected: Connected, tenant: Tenant, laptop: UUID) -> None:
    await faults.makes_pauses(connected, tenant, read="alerts", path=MDE_ALERTS, header="retry-after")
    await faults.renews_its_token(connected, tenant, read="alerts")


async def test_a_slow_answer_is_given_up(
    connected: Connected, tenant: Tenant, laptop: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    await faults.gives_up_on_slow_answers(connected, tenant, monkeypatch, read="alerts", path=MDE_ALERTS)


async def test_a_test_prints_what_is_granted_against_what_is_needed(connected: Connected, tenant: Tenant) -> None:
    await connect(connected, tenant)
    tenant.scopes = {"Alert.Read.All"}
    found = await connected.test()
    assert {one.read: (one.scope, one.granted) for one in found.probes} == {
        "alerts": ("Alert.Read.All", True), "isolation": ("Machine.Read.All", False),
        "machines": ("Machine.Read.All", False),
    }  # fmt: skip
