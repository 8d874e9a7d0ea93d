"""Jamf Pro against a fake of its documented API: computers, compliance, webhooks, and their failures."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from tests.support.vendors import faults
from tests.support.vendors.harness import Connected
from tests.support.vendors.jamf import GROUP, INVENTORY, JamfPro
from tests.support.vendors.server import Fault
from troth.connect import connector_store
from troth.connect.errors import ConnectorError
from troth.trust.intake import inbox_store
from troth.trust.signals.alias_store import resolve
from troth.trust.signals.model import Whom
from troth.trust.standing import Standing

PATH = "/connect/jamf/it"
HOOK = "troth:a-long-password"


@pytest.fixture
async def jamf(connected: Connected) -> AsyncIterator[JamfPro]:
    async with JamfPro(connected.clock) as made:
        yield made


@pytest.fixture
async def mac(connected: Connected, jamf: JamfPro) -> UUID:
    """A connector at work, and a Mac that Jamf has as number 1."""
    await connect(connected, jamf)
    mac = await connected.trust.subject("mac-1", serial="SN-1")
    jamf.computer(1)
    await connected.pull("computers")
    return mac


async def connect(connected: Connected, jamf: JamfPro, **fields: Any) -> None:
    secrets = {"client_secret": jamf.client_secret, "webhook_secret": HOOK} | fields.pop("secrets", {})
    known = {"options": {"noncompliant_group": "7", "trust_serial": True}} | fields
    await connected.connect(jamf, "jamf", secrets=secrets, **known)


async def test_computers_bring_posture_and_the_names_by_which_jamf_knows_them(
    connected: Connected, jamf: JamfPro, mac: UUID
) -> None:
    assert await connected.facts(mac) == {
        "device.platform": "macos", "device.managed": True, "posture.os_version": "15.6.1", "posture.firewall": True,
        "posture.secure_boot": True, "posture.disk_encrypted": True,
    }  # fmt: skip
    for system, value in (("jamf.udid", "UDID-1"), ("jamf.computer", "1")):
        assert (await resolve(connected.trust.database, Whom(alias=(system, value)))).ids == (mac,)
    connected.clock.advance(timedelta(minutes=10))
    jamf.computer(
        1, diskEncryption={"bootPartitionEncryptionDetails": {"partitionFileVault2State": "LEVITATING"}},
        security={"firewallEnabled": False, "secureBootLevel": "NO_SECURITY"}, operatingSystem=None,
    )  # fmt: skip
    await connected.pull("computers")
    facts = await connected.facts(mac)
    assert (facts["posture.firewall"], facts["posture.secure_boot"]) == (False, False)


async def test_a_state_of_encryption_that_nobody_knows_is_no_fact(connected: Connected, jamf: JamfPro) -> None:
    await connect(connected, jamf)
    mac = await connected.trust.subject("mac-1", serial="SN-1")
    jamf.computer(1, diskEncryption={"bootPartitionEncryptionDetails": {"partitionFileVault2State": "LEVITATING"}})
    await connected.pull("computers")
    assert "posture.disk_encrypted" not in await connected.facts(mac)


async def test_pages_are_read_to_the_end_and_a_computer_that_cannot_be_read_is_kept(
    connected: Connected, jamf: JamfPro, mac: UUID
) -> None:
    for number in range(2, 251):
        jamf.computer(number)
    jamf.computer(251, general={"reportDate": "9999-yesterday"})
    jamf.computer(252, hardware={"serialNumber": None})
    assert await connected.pull("computers.whole") == 3
    assert len(await inbox_store.refused(connected.trust.database)) == 1


async def test_a_mac_in_the_group_is_restricted_until_it_leaves_it(
    connected: Connected, jamf: JamfPro, mac: UUID
) -> None:
    await connected.pull("compliance")
    assert await connected.kinds() == []
    jamf.members = [1]
    connected.clock.advance(timedelta(minutes=1))
    await connected.pull("compliance")
    assert await connected.trust.standing(mac) is Standing.RESTRICTED
    await connected.pull("compliance")
    jamf.members = []
    connected.clock.advance(timedelta(minutes=1))
    await connected.pull("compliance")
    assert await connected.kinds() == ["mdm.noncompliant", "mdm.compliant"]
    assert await connected.trust.standing(mac) is Standing.TRUSTED


async def test_a_list_of_members_that_is_none_does_not_read_as_everybody_complying(
    connected: Connected, jamf: JamfPro, mac: UUID
) -> None:
    jamf.members = [1]
    await connected.pull("compliance")
    for fault in (
        Fault(GROUP, cut=8),
        Fault(GROUP, status=200, body={}),
        Fault(GROUP, status=200, body={"members": [{"id": 1}]}),
        Fault(GROUP, status=404, body={"errors": []}),
        Fault(GROUP, status=500, times=9),
    ):
        jamf.faults = [fault]
        with pytest.raises(ConnectorError):
            await connected.pull("compliance")
    assert await connected.trust.standing(mac) is Standing.RESTRICTED


# --- webhooks --------------------------------------------------------------------------------------------------------


def message(event: str) -> bytes:
    return json.dumps({
        "webhook": {"id": 7, "name": "troth", "webhookEvent": event, "eventTimestamp": 1553550275590},
        "event": {"jssID": 1, "udid": "UDID-1", "serialNumber": "SN-1", "groupAddedDevicesIds": [1]},
    }).encode()  # fmt: skip


@pytest.mark.parametrize("header", [HOOK, "Basic " + base64.b64encode(HOOK.encode()).decode()])
@pytest.mark.parametrize(
    ("event", "reads"),
    [
        ("SmartGroupComputerMembershipChange", {"compliance"}),
        ("ComputerInventoryCompleted", {"compliance", "computers"}),
        ("ComputerCheckIn", set()),
        ("Levitated", set()),
    ],
)
async def test_a_webhook_is_not_believed_but_has_jamf_asked_at_once(
    connected: Connected, jamf: JamfPro, mac: UUID, header: str, event: str, reads: set[str]
) -> None:
    await connected.pull("compliance")
    answer = await connected.push(PATH, message(event), headers={"Authorization": header})
    assert answer.status == 202
    assert await connector_store.are_due(connected.trust.database) == {("it", read) for read in reads}
    await connected.act()
    assert await connected.kinds() == []


@pytest.mark.parametrize(
    ("headers", "body", "status"),
    [
        ({}, message("ComputerAdded"), 401),
        ({"Authorization": "Basic " + base64.b64encode(b"troth:wrong").decode()}, message("ComputerAdded"), 401),
        ({"Authorization": "Basic " + HOOK}, message("ComputerAdded"), 401),
        ({"Authorization": HOOK}, b"<JSSEvent/>", 400),
        ({"Authorization": HOOK}, b'{"webhook": 3}', 400),
        ({"Authorization": HOOK}, b"[" * 100_000, 400),
    ],
)
async def test_a_webhook_that_proves_nothing_or_cannot_be_read_is_refused(
    connected: Connected, jamf: JamfPro, mac: UUID, headers: dict[str, str], body: bytes, status: int
) -> None:
    await connected.pull("compliance")
    assert (await connected.push(PATH, body, headers=headers)).status == status
    assert await connector_store.are_due(connected.trust.database) == frozenset()


# --- failures --------------------------------------------------------------------------------------------------------


async def test_failures_lose_and_double_nothing(connected: Connected, jamf: JamfPro, mac: UUID) -> None:
    numbers = iter(range(1, 100))
    await faults.bears_failures(
        connected, jamf, read="compliance", path=GROUP, happen=lambda: jamf.members.append(next(numbers))
    )


async def test_pauses_are_made_and_tokens_renewed(connected: Connected, jamf: JamfPro, mac: UUID) -> None:
    await faults.makes_pauses(connected, jamf, read="computers", path=INVENTORY, header="retry-after")
    await faults.renews_its_token(connected, jamf, read="computers")


async def test_a_slow_answer_is_given_up(
    connected: Connected, jamf: JamfPro, mac: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    await faults.gives_up_on_slow_answers(connected, jamf, monkeypatch, read="computers", path=INVENTORY)


async def test_a_test_prints_what_is_granted_against_what_is_needed(connected: Connected, jamf: JamfPro) -> None:
    await connect(connected, jamf)
    jamf.scopes = {"Read Computers"}
    found = await connected.test()
    assert {one.read: (one.scope, one.granted) for one in found.probes} == {
        "computers": ("Read Computers", True), "computers.whole": ("Read Computers", True),
        "compliance": ("Read Smart Computer Groups", False),
    }  # fmt: skip
    await connect(connected, jamf, secrets={"client_secret": "wrong"})
    assert {one.code for one in (await connected.test()).probes} == {"connector.credentials"}
