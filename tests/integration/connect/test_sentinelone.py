"""SentinelOne against a fake of its documented API: threats, isolation, agents, and their failures."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from tests.support.vendors import faults
from tests.support.vendors.harness import Connected
from tests.support.vendors.sentinelone import Console
from tests.support.vendors.server import Fault
from troth.connect.errors import ConnectorError
from troth.trust.intake import inbox_store
from troth.trust.signals.alias_store import resolve
from troth.trust.signals.model import Whom
from troth.trust.standing import Standing

THREATS = "/web/api/v2.1/threats"
AGENTS = "/web/api/v2.1/agents"
TOKEN = "api-token"


@pytest.fixture
async def console(connected: Connected) -> AsyncIterator[Console]:
    async with Console(connected.clock) as made:
        yield made


@pytest.fixture
async def laptop(connected: Connected, console: Console) -> UUID:
    """A connector at work, and a device whose agent is ``a1``."""
    await connect(connected, console)
    laptop = await connected.trust.subject("laptop-1", serial="SN-a1")
    await connected.alias("sentinelone.agent", "a1", laptop)
    return laptop


async def connect(connected: Connected, console: Console, token: str = TOKEN, **fields: Any) -> None:
    await connected.connect(console, "sentinelone", secrets={"api_token": token}, **fields)


async def test_a_threat_is_an_alert_until_somebody_says_that_it_is_over(
    connected: Connected, console: Console, laptop: UUID
) -> None:
    threat = console.threat(1, "a1")
    await connected.pull("threats")
    (signal,) = await connected.signals()
    assert (signal.kind, signal.subject_id, signal.severity) == ("edr.alert", laptop, 85)
    assert signal.evidence == "eicar.exe · Malware"
    connected.clock.advance(timedelta(minutes=5))
    # That the agent has put the file away does not say that nothing happened.
    console.change(threat, mitigationStatus="mitigated")
    await connected.pull("threats")
    assert (await connected.kinds())[-1] == "edr.alert"
    connected.clock.advance(timedelta(minutes=5))
    console.change(threat, incidentStatus="resolved")
    await connected.pull("threats")
    assert (await connected.kinds())[-1] == "edr.alert_closed"
    assert len({one.cause for one in await connected.signals()}) == 1


@pytest.mark.parametrize(
    ("info", "kind", "severity"),
    [
        ({"confidenceLevel": "suspicious"}, "edr.alert", 55),
        ({"confidenceLevel": "Purple"}, "edr.alert", 55),
        ({"confidenceLevel": None}, "edr.alert", 55),
        ({"incidentStatus": "levitating"}, "edr.alert", 85),
        ({"analystVerdict": "false_positive"}, "edr.alert_closed", None),
        ({"mitigationStatus": "marked_as_benign"}, "edr.alert_closed", None),
    ],
)
async def test_words_that_nobody_knows_are_not_good(
    connected: Connected, console: Console, laptop: UUID, info: dict[str, Any], kind: str, severity: int | None
) -> None:
    console.threat(1, "a1", **info)
    await connected.pull("threats")
    (signal,) = await connected.signals()
    assert signal.kind == kind
    if severity is not None:
        assert signal.severity == severity


async def test_pages_go_on_after_a_restart_and_a_threat_that_cannot_be_read_is_kept(
    connected: Connected, console: Console, laptop: UUID
) -> None:
    for number in range(5):
        console.threat(number, "a1")
    console.threat(5, "")["agentDetectionInfo"] = None
    assert await connected.pull("threats", most=1, act=False) == 1
    await connected.restart()
    await connected.pull("threats")
    assert len(await connected.signals()) == 5
    assert len(await inbox_store.refused(connected.trust.database)) == 1
    await connected.pull("threats")
    assert len(await connected.signals()) == 5


async def test_a_host_that_is_cut_off_is_quarantined_and_let_back(
    connected: Connected, console: Console, laptop: UUID
) -> None:
    agent = console.agent("a1")
    await connected.pull("isolation")
    assert await connected.kinds() == []
    agent["networkStatus"] = "disconnecting"
    await connected.pull("isolation")
    assert await connected.trust.standing(laptop) is Standing.QUARANTINED
    agent["networkStatus"] = "connecting"
    await connected.pull("isolation")
    assert await connected.trust.standing(laptop) is Standing.QUARANTINED
    connected.clock.advance(timedelta(minutes=1))
    agent["networkStatus"] = "connected"
    await connected.pull("isolation")
    assert await connected.kinds() == ["edr.contained", "edr.containment_lifted"]
    assert await connected.trust.standing(laptop) is Standing.TRUSTED


async def test_a_list_that_is_cut_off_lets_nobody_back(connected: Connected, console: Console, laptop: UUID) -> None:
    for number in range(1, 6):
        console.agent(f"a{number}", networkStatus="disconnected")
    await connected.pull("isolation")
    for fault in (
        Fault(AGENTS, cut=40),
        Fault(AGENTS, status=200, body={"errors": [{"code": 500}]}),
        Fault(AGENTS, status=200, body={"data": [{"id": "no uuid"}]}),
        Fault(AGENTS, status=500, times=9),
    ):
        console.faults = [fault]
        with pytest.raises(ConnectorError):
            await connected.pull("isolation")
    console.faults = []
    await connected.pull("isolation")
    assert set(await connected.kinds()) == {"edr.contained"}
    assert await connected.trust.standing(laptop) is Standing.QUARANTINED


async def test_agents_bring_posture_and_a_host_that_is_off_is_not_one_without_a_sensor(
    connected: Connected, console: Console
) -> None:
    await connect(connected, console, options={"trust_serial": True})
    laptop = await connected.trust.subject("laptop-1", serial="SN-a1")
    off = await connected.trust.subject("laptop-2", serial="SN-a2")
    gone = await connected.trust.subject("laptop-3", serial="SN-a3")
    console.agent("a1")
    console.agent("a2", isActive=False)
    console.agent("a3", isDecommissioned=True, isActive=False)
    console.agent("a4", serialNumber=None)
    assert await connected.pull("agents") == 2
    assert await connected.facts(laptop) == {
        "posture.edr_running": True, "device.platform": "windows", "posture.os_version": "Windows 11 Pro 22631",
        "posture.disk_encrypted": True,
    }  # fmt: skip
    assert "posture.edr_running" not in await connected.facts(off)
    assert (await connected.facts(gone))["posture.edr_running"] is False
    assert (await resolve(connected.trust.database, Whom(alias=("sentinelone.agent", "a1")))).ids == (laptop,)
    assert await connected.pull("agents.whole") == 2


async def test_failures_lose_and_double_nothing(connected: Connected, console: Console, laptop: UUID) -> None:
    numbers = iter(range(100))
    await faults.bears_failures(
        connected, console, read="threats", path=THREATS, happen=lambda: console.threat(next(numbers), "a1")
    )


async def test_pauses_are_made(connected: Connected, console: Console, laptop: UUID) -> None:
    await faults.makes_pauses(connected, console, read="threats", path=THREATS, header="retry-after")


async def test_a_slow_answer_is_given_up(
    connected: Connected, console: Console, laptop: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    await faults.gives_up_on_slow_answers(connected, console, monkeypatch, read="threats", path=THREATS)


async def test_pages_that_lead_in_a_circle_are_not_followed(
    connected: Connected, console: Console, laptop: UUID
) -> None:
    page = {"data": [console.threat(1, "a1")], "pagination": {"nextCursor": "x"}}
    console.faults.append(Fault(THREATS, status=200, body=page, times=99))
    with pytest.raises(ConnectorError, match="leads to itself"):
        await connected.pull("threats")


async def test_a_test_prints_what_is_granted_against_what_is_needed(connected: Connected, console: Console) -> None:
    await connect(connected, console)
    console.scopes = {"Threats: view"}
    found = await connected.test()
    assert {one.read: (one.scope, one.granted, one.code) for one in found.probes} == {
        "threats": ("Threats: view", True, None),
        "isolation": ("Endpoints: view", False, "connector.scope"),
        "agents": ("Endpoints: view", False, "connector.scope"),
        "agents.whole": ("Endpoints: view", False, "connector.scope"),
    }
    await connect(connected, console, token="wrong")
    assert {one.code for one in (await connected.test()).probes} == {"connector.credentials"}
