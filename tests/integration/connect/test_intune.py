"""Intune against a fake of Microsoft Graph: compliance, threats, lifecycle, posture, and their failures."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from tests.support.vendors import faults
from tests.support.vendors.harness import Connected
from tests.support.vendors.microsoft import MANAGED, Tenant
from troth.trust.intake import inbox_store
from troth.trust.signals.alias_store import aliases_of, resolve
from troth.trust.signals.model import Whom
from troth.trust.standing import Standing


@pytest.fixture
async def tenant(connected: Connected) -> AsyncIterator[Tenant]:
    async with Tenant(connected.clock) as made:
        yield made


@pytest.fixture
async def laptop(connected: Connected, tenant: Tenant) -> UUID:
    """A connector at work, and a device that Intune calls ``m1``."""
    await connect(connected, tenant, options={"trust_serial": True})
    return await connected.trust.subject("laptop-1", serial="SN-m1")


async def connect(connected: Connected, tenant: Tenant, **fields: Any) -> None:
    secrets = fields.pop("secrets", {"client_secret": tenant.client_secret})
    await connected.connect(tenant, "intune", secrets=secrets, tenant="tenant-1", **fields)


async def checks_in(connected: Connected, tenant: Tenant, **fields: Any) -> None:
    connected.clock.advance(timedelta(minutes=1))
    tenant.managed_device("m1", **fields)
    await connected.pull("devices")


async def test_devices_bring_posture_and_their_names_here_and_in_entra_id(
    connected: Connected, tenant: Tenant, laptop: UUID
) -> None:
    await checks_in(connected, tenant, jailBroken="False")
    assert await connected.facts(laptop) == {
        "device.managed": True, "posture.compliant": True, "posture.jailbroken": False, "posture.disk_encrypted": True,
        "device.platform": "windows", "posture.os_version": "10.0.22631",
        "device.checked_at": connected.clock.now().strftime("%Y-%m-%dT%H:%M:%SZ"),
    }  # fmt: skip
    for system, value in (("intune.device", "m1"), ("entra.device", "aad-m1"), ("mac", "00-50-56-90-80-00")):
        assert (await resolve(connected.trust.database, Whom(alias=(system, value)))).ids == (laptop,)


async def test_addresses_of_both_adapters_are_names_and_what_is_none_is_not(
    connected: Connected, tenant: Tenant, laptop: UUID
) -> None:
    await checks_in(connected, tenant, wiFiMacAddress="00:50:56:90:80:AA", ethernetMacAddress="0050569080BB")
    await checks_in(connected, tenant, wiFiMacAddress="000000000000", ethernetMacAddress="ffffffffffff")
    await checks_in(connected, tenant, wiFiMacAddress=None, ethernetMacAddress="n/a")
    found = await aliases_of(connected.trust.database, laptop)
    assert [one.value for one in found if one.system == "mac"] == ["00-50-56-90-80-aa", "00-50-56-90-80-bb"]


@pytest.mark.parametrize("state", ["inGracePeriod", "unknown", "conflict", "error", "configManager", "levitating"])
async def test_a_state_that_says_neither_is_no_signal_and_no_fact(
    connected: Connected, tenant: Tenant, laptop: UUID, state: str
) -> None:
    await checks_in(connected, tenant, complianceState=state)
    assert not {"mdm.compliant", "mdm.noncompliant"} & set(await connected.kinds())
    assert "posture.compliant" not in await connected.facts(laptop)


async def test_a_device_that_does_not_comply_is_restricted_until_it_does(
    connected: Connected, tenant: Tenant, laptop: UUID
) -> None:
    await checks_in(connected, tenant)
    await checks_in(connected, tenant, complianceState="noncompliant")
    assert await connected.trust.standing(laptop) is Standing.RESTRICTED
    # Within its grace period it neither complies nor does not: what was said before stays.
    await checks_in(connected, tenant, complianceState="inGracePeriod")
    assert await connected.trust.standing(laptop) is Standing.RESTRICTED
    await checks_in(connected, tenant)
    assert await connected.trust.standing(laptop) is Standing.TRUSTED


async def test_a_threat_that_a_partner_reports_quarantines_and_ends(
    connected: Connected, tenant: Tenant, laptop: UUID
) -> None:
    await checks_in(connected, tenant)
    await checks_in(connected, tenant, partnerReportedThreatState="compromised")
    assert await connected.trust.standing(laptop) is Standing.QUARANTINED
    await checks_in(connected, tenant, partnerReportedThreatState="unresponsive")
    assert await connected.trust.standing(laptop) is Standing.QUARANTINED
    await checks_in(connected, tenant, partnerReportedThreatState="secured")
    assert await connected.trust.standing(laptop) is Standing.TRUSTED


async def test_a_wipe_is_found_by_the_round_over_all_and_held_until_a_person_agrees(
    connected: Connected, tenant: Tenant, laptop: UUID
) -> None:
    await checks_in(connected, tenant)
    tenant.managed["m1"]["managementState"] = "wipeIssued"
    await connected.pull("devices")
    await connected.pull("devices.whole")
    assert (await connected.kinds())[-1] in {"mdm.compliant", "mdm.wiped"}
    assert "mdm.wiped" in await connected.kinds()
    assert await connected.trust.standing(laptop) > Standing.RESTRICTED


async def test_without_trust_in_serial_numbers_a_device_may_be_raised_and_is_never_cleared(
    connected: Connected, tenant: Tenant
) -> None:
    await connect(connected, tenant)
    laptop = await connected.trust.subject("laptop-1", serial="SN-m1")
    await checks_in(connected, tenant)
    await checks_in(connected, tenant, complianceState="noncompliant")
    assert await connected.trust.standing(laptop) is Standing.RESTRICTED
    await checks_in(connected, tenant)
    assert await connected.trust.standing(laptop) is Standing.RESTRICTED


async def test_pages_are_read_to_the_end_and_a_device_that_cannot_be_read_is_kept(
    connected: Connected, tenant: Tenant, laptop: UUID
) -> None:
    for number in range(1, 6):
        tenant.managed_device(f"m{number}")
    tenant.managed_device("m6", lastSyncDateTime="9999-yesterday")
    assert await connected.pull("devices") == 3
    assert len(await inbox_store.refused(connected.trust.database)) == 1
    assert len([kind for kind in await connected.kinds() if kind == "mdm.compliant"]) == 5


async def test_failures_lose_and_double_nothing(connected: Connected, tenant: Tenant, laptop: UUID) -> None:
    names = iter(f"m{number}" for number in range(1, 100))
    await faults.bears_failures(
        connected, tenant, read="devices", path=MANAGED,
        happen=lambda: tenant.managed_device(next(names), managementState="discovered"),
    )  # fmt: skip


async def test_pauses_are_made_and_tokens_renewed(connected: Connected, tenant: Tenant, laptop: UUID) -> None:
    await faults.makes_pauses(connected, tenant, read="devices", path=MANAGED, header="retry-after")
    await faults.renews_its_token(connected, tenant, read="devices")


async def test_a_slow_answer_is_given_up(
    connected: Connected, tenant: Tenant, laptop: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    await faults.gives_up_on_slow_answers(connected, tenant, monkeypatch, read="devices", path=MANAGED)


async def test_a_test_prints_what_is_granted_against_what_is_needed(connected: Connected, tenant: Tenant) -> None:
    await connect(connected, tenant)
    tenant.scopes = set()
    found = await connected.test()
    assert {(one.scope, one.granted, one.code) for one in found.probes} == {
        ("DeviceManagementManagedDevices.Read.All", False, "connector.scope")
    }
    tenant.scopes = None
    assert (await connected.test()).good
