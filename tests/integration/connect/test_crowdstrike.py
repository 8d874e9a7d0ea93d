"""CrowdStrike Falcon against a fake of its documented API: what comes of its words, and of its failures."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from tests.support.vendors.falcon import Falcon
from tests.support.vendors.harness import Connected
from tests.support.vendors.server import Fault
from troth.connect.connector_store import reads
from troth.connect.errors import ConnectorError, Throttled
from troth.kit.http import HttpFailed
from troth.trust.intake import inbox_store, unresolved_store
from troth.trust.signals.alias_store import resolve
from troth.trust.signals.model import Whom
from troth.trust.standing import Standing

ALERTS = "/alerts/combined/alerts/v1"


@pytest.fixture
async def falcon(connected: Connected) -> AsyncIterator[Falcon]:
    async with Falcon(connected.clock) as made:
        yield made


@pytest.fixture
async def laptop(connected: Connected, falcon: Falcon) -> UUID:
    """A connector at work, and a device whose sensor is ``a1``."""
    await connect(connected, falcon)
    laptop = await connected.trust.subject("laptop-1", serial="SN-a1")
    await connected.alias("crowdstrike.aid", "a1", laptop)
    return laptop


async def connect(connected: Connected, falcon: Falcon, **fields: Any) -> None:
    secrets = {"client_secret": falcon.client_secret}
    await connected.connect(falcon, "crowdstrike", secrets=secrets, **fields)


# --- alerts ----------------------------------------------------------------------------------------------------------


async def test_alerts_become_signals_with_their_severity_and_what_is_closed_is_cleared(
    connected: Connected, falcon: Falcon, laptop: UUID
) -> None:
    alert = falcon.alert(1, "a1", severity=70, confidence=60)
    await connected.pull("alerts")
    (signal,) = await connected.signals()
    assert (signal.kind, signal.subject_id, signal.severity, signal.confidence) == ("edr.alert", laptop, 70, 60)
    assert signal.verified.method.value == "tls-pull"
    assert signal.evidence == "LsassDump · Credential Access · OS Credential Dumping"
    assert signal.fields["composite_id"] == alert["composite_id"]
    connected.clock.advance(timedelta(minutes=1))
    falcon.change(alert, status="closed")
    await connected.pull("alerts")
    assert await connected.kinds() == ["edr.alert", "edr.alert_closed"]
    assert len({one.cause for one in await connected.signals()}) == 1


async def test_pages_are_read_to_the_end_and_what_is_read_twice_is_taken_once(
    connected: Connected, falcon: Falcon, laptop: UUID
) -> None:
    for number in range(5):
        falcon.alert(number, "a1")
    assert await connected.pull("alerts") == 3
    assert len(await connected.signals()) == 5
    await connected.pull("alerts")
    assert len(await connected.signals()) == 5
    assert (await connected.state("alerts")).signals >= 5


async def test_an_alert_that_changes_while_pages_are_read_is_not_lost(
    connected: Connected, falcon: Falcon, laptop: UUID
) -> None:
    alerts = [falcon.alert(number, "a1") for number in range(4)]

    def change() -> None:
        connected.clock.advance(timedelta(seconds=30))
        falcon.change(alerts[0], status="closed")

    falcon.faults.append(Fault(ALERTS, before=lambda: None))
    falcon.faults.append(Fault(ALERTS, before=change))
    await connected.pull("alerts")
    connected.clock.advance(timedelta(minutes=10))
    await connected.pull("alerts")
    assert "edr.alert_closed" in await connected.kinds()


async def test_killed_between_pages_the_next_process_goes_on_where_the_last_durable_page_ended(
    connected: Connected, falcon: Falcon, laptop: UUID
) -> None:
    for number in range(5):
        falcon.alert(number, "a1")
    await connected.pull("alerts", most=1, act=False)
    falcon.faults.append(Fault(ALERTS, silent=True))
    with pytest.raises(HttpFailed):
        await connected.pull("alerts", act=False)
    await connected.restart()
    await connected.pull("alerts")
    assert len(await connected.signals()) == 5
    assert [call.json.get("after") for call in falcon.seen(ALERTS)] == [None, "2", "2", "4"]


async def test_duplicates_and_disorder_change_nothing(connected: Connected, falcon: Falcon, laptop: UUID) -> None:
    first = falcon.alert(1, "a1")
    connected.clock.advance(timedelta(minutes=1))
    late = dict(first, status="closed", updated_timestamp="2026-03-02T08:00:00Z")
    page = {"resources": [first, first, late], "meta": {}}
    falcon.faults += [Fault(ALERTS, status=200, body=page, times=2)]
    await connected.pull("alerts")
    await connected.pull("alerts")
    effects = [one.effects for one in await connected.signals() if one.kind == "edr.alert_closed"]
    assert effects in ([("cause.not_open",)], [("signal.late",)])
    assert len(await connected.signals()) == 2


async def test_a_status_and_a_severity_that_nobody_knows_are_not_good(
    connected: Connected, falcon: Falcon, laptop: UUID
) -> None:
    falcon.alert(1, "a1", status="levitating", severity=900, severity_name="Purple")
    await connected.pull("alerts")
    (signal,) = await connected.signals()
    assert (signal.kind, signal.severity) == ("edr.alert", 50)


async def test_an_alert_about_an_account_is_told_of_the_user(
    connected: Connected, falcon: Falcon, laptop: UUID
) -> None:
    falcon.alert(1, "", device=None, product="idp", source_account_upn="Alice@corp.example")
    await connected.pull("alerts")
    (one,) = await unresolved_store.unresolved(connected.trust.database)
    assert (one.system, one.value) == ("upn", "alice@corp.example")


async def test_one_alert_that_cannot_be_read_is_kept_and_does_not_stop_the_others(
    connected: Connected, falcon: Falcon, laptop: UUID
) -> None:
    falcon.alert(1, "a1", updated_timestamp="2026-03-02T09:00:00Z later")
    falcon.alert(2, "")["device"] = None
    falcon.alert(3, "a1")
    await connected.pull("alerts")
    assert await connected.kinds() == ["edr.alert"]
    kept = await inbox_store.refused(connected.trust.database)
    assert {one.refused for one in kept} == {"connector.answer"}
    assert len(kept) == 2


# --- containment -----------------------------------------------------------------------------------------------------


async def test_containment_quarantines_at_once_and_its_end_releases(
    connected: Connected, falcon: Falcon, laptop: UUID
) -> None:
    falcon.host("a1")
    await connected.pull("containment")
    assert await connected.kinds() == []
    falcon.contain("a1")
    await connected.pull("containment")
    assert await connected.trust.standing(laptop) is Standing.QUARANTINED
    await connected.pull("containment")
    falcon.contain("a1", "lift_containment_pending")
    await connected.pull("containment")
    assert await connected.trust.standing(laptop) is Standing.QUARANTINED
    connected.clock.advance(timedelta(minutes=1))
    falcon.contain("a1", "normal")
    await connected.pull("containment")
    assert await connected.kinds() == ["edr.contained", "edr.containment_lifted"]
    assert await connected.trust.standing(laptop) is Standing.TRUSTED


async def test_a_list_of_contained_hosts_that_is_cut_off_releases_nobody(
    connected: Connected, falcon: Falcon, laptop: UUID
) -> None:
    for number in range(1, 6):
        falcon.host(f"a{number}", status="contained")
    await connected.pull("containment")
    assert await connected.trust.standing(laptop) is Standing.QUARANTINED
    scroll = "/devices/queries/devices-scroll/v1"
    for fault in (Fault(scroll, cut=40), Fault(scroll, status=200, body={"errors": [{"code": 500}]}),
                  Fault(scroll, status=200, body=[1]), Fault(scroll, status=500, times=9)):  # fmt: skip
        falcon.faults = [fault]
        with pytest.raises(ConnectorError):
            await connected.pull("containment")
    falcon.faults = []
    await connected.pull("containment")
    assert set(await connected.kinds()) == {"edr.contained"}
    assert await connected.trust.standing(laptop) is Standing.QUARANTINED


# --- hosts and scores ------------------------------------------------------------------------------------------------


async def test_hosts_bring_posture_and_the_name_by_which_falcon_knows_them(
    connected: Connected, falcon: Falcon
) -> None:
    await connect(connected, falcon, options={"trust_serial": True})
    laptop = await connected.trust.subject("laptop-1", serial="SN-a1")
    for aid in ("a1", "a2", "a3"):
        falcon.host(aid)
    falcon.host("a4", serial_number="")
    assert await connected.pull("hosts") == 2
    assert await connected.facts(laptop) == {
        "posture.edr_running": True, "device.platform": "windows", "posture.os_version": "Windows 11"
    }  # fmt: skip
    known = await resolve(connected.trust.database, Whom(alias=("crowdstrike.aid", "a1")))
    assert (known.ids, known.weak) == ((laptop,), False)
    strangers = {one.value for one in await unresolved_store.strangers(connected.trust.database)}
    assert strangers == {"SN-a2", "SN-a3"}
    falcon.scores = {"a1": 71, "a2": 30, "a3": 101}
    await connected.pull("scores")
    assert (await connected.facts(laptop))["posture.score"] == 71
    assert await connected.kinds() == []
    assert await connected.trust.standing(laptop) is Standing.TRUSTED


async def test_without_trust_in_serial_numbers_what_is_known_by_them_may_raise_and_never_clears(
    connected: Connected, falcon: Falcon
) -> None:
    await connect(connected, falcon)
    laptop = await connected.trust.subject("laptop-1", serial="SN-a1")
    falcon.host("a1", status="contained")
    await connected.pull("hosts.whole")
    await connected.pull("containment")
    assert await connected.trust.standing(laptop) is Standing.QUARANTINED
    assert (await resolve(connected.trust.database, Whom(alias=("crowdstrike.aid", "a1")))).weak


# --- failures --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("header", ["retry-after", "x-ratelimit-retryafter"])
async def test_a_pause_that_is_asked_for_is_made_and_then_the_pull_goes_on(
    connected: Connected, falcon: Falcon, laptop: UUID, header: str
) -> None:
    falcon.alert(1, "a1")
    seconds = "7" if header == "retry-after" else str(int(connected.clock.now().timestamp()) + 7)
    falcon.faults.append(Fault(ALERTS, status=429, headers={header: seconds}))
    began = connected.clock.now()
    await connected.pull("alerts")
    assert connected.clock.now() - began >= timedelta(seconds=6)
    assert len(await connected.signals()) == 1


async def test_a_long_pause_ends_the_pull_and_nobody_asks_again_before_it_is_over(
    connected: Connected, falcon: Falcon, laptop: UUID
) -> None:
    falcon.faults.append(Fault(ALERTS, status=429, headers={"retry-after": "600"}))
    with pytest.raises(Throttled) as caught:
        await connected.pull("alerts")
    assert caught.value.until - connected.clock.now() == timedelta(seconds=600)
    falcon.alert(1, "a1")
    began = connected.clock.now()
    await connected.pull("alerts")
    assert connected.clock.now() - began >= timedelta(seconds=599)


async def test_a_token_that_has_ended_is_renewed_once_and_before_its_end_in_time(
    connected: Connected, falcon: Falcon, laptop: UUID
) -> None:
    await connected.pull("alerts")
    falcon.forget_tokens()
    await connected.pull("alerts")
    assert len(falcon.seen("/oauth2/token")) == 2
    connected.clock.advance(timedelta(seconds=1_745))
    await connected.pull("alerts")
    assert len(falcon.seen("/oauth2/token")) == 3
    assert len(falcon.seen(ALERTS)) == 4


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (Fault(ALERTS, cut=30), "connector.answer"),
        (Fault(ALERTS, status=200, body=b"<html>"), "connector.answer"),
        (Fault(ALERTS, status=200, body={"resources": {"a": 1}}), "connector.answer"),
        (Fault(ALERTS, status=503, times=9), "connector.vendor_failed"),
        (Fault(ALERTS, silent=True), "http.unreachable"),
        (Fault(ALERTS, status=302, headers={"location": "https://evil.example/"}), "connector.answer"),
        (Fault("/oauth2/token", status=500), "connector.vendor_failed"),
        (Fault("/oauth2/token", status=201, body={"token": "?"}), "connector.answer"),
        (Fault("/oauth2/token", status=403, body={"errors": []}), "connector.credentials"),
    ],
)
async def test_each_failure_has_its_name_and_leaves_the_cursor_where_it_was(
    connected: Connected, falcon: Falcon, laptop: UUID, fault: Fault, code: str
) -> None:
    falcon.alert(1, "a1")
    falcon.faults.append(Fault(**vars(fault)))
    with pytest.raises((ConnectorError, HttpFailed)) as caught:
        await connected.pull("alerts")
    assert caught.value.code == code
    falcon.faults.clear()
    await connected.pull("alerts")
    assert len(await connected.signals()) == 1


async def test_a_slow_answer_is_given_up_and_asked_for_again(
    connected: Connected, falcon: Falcon, laptop: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    import msgspec

    from tests.support.vendors import harness
    from troth.connect.desk import Opener
    from troth.connect.vendors import Workshop

    impatient = msgspec.structs.replace(harness.EGRESS, timeout_seconds=1)
    workshop = Workshop(connected.clock, impatient, sleep=connected.sleep)
    opener = Opener(connected.trust.database, connected.desk._box, workshop)
    monkeypatch.setattr(connected.desk, "opener", opener)
    never = asyncio.Event()
    falcon.faults.append(Fault(ALERTS, slow=never))
    with pytest.raises(HttpFailed) as caught:
        await connected.pull("alerts")
    assert caught.value.code == "http.timeout"
    never.set()


async def test_pages_that_lead_in_a_circle_are_not_followed_for_ever(
    connected: Connected, falcon: Falcon, laptop: UUID
) -> None:
    page = {"resources": [falcon.alert(1, "a1")], "meta": {"pagination": {"after": "x"}}}
    falcon.faults.append(Fault(ALERTS, status=200, body=page, times=99))
    with pytest.raises(ConnectorError, match="leads to itself"):
        await connected.pull("alerts")
    assert len(falcon.seen(ALERTS)) == 2


# --- connector test --------------------------------------------------------------------------------------------------


async def test_a_test_prints_what_is_granted_against_what_is_needed(connected: Connected, falcon: Falcon) -> None:
    await connect(connected, falcon, options={"read": ["alerts", "containment", "scores", "stream"], "app_id": "t1"})
    falcon.scopes = {"Alerts: read", "Hosts: read"}
    falcon.skew = timedelta(minutes=2)
    found = await connected.test()
    granted = {one.read: (one.scope, one.granted, one.code) for one in found.probes}
    assert granted == {
        "alerts": ("Alerts: read", True, None),
        "containment": ("Hosts: read", True, None),
        "scores": ("Zero Trust Assessment: read", False, "connector.scope"),
        "stream": ("Event streams: read", False, "connector.scope"),
    }
    assert not found.good
    assert found.skew is not None
    assert abs(found.skew - timedelta(minutes=2)) < timedelta(seconds=2)
    falcon.scopes, falcon.skew = None, timedelta(0)
    assert (await connected.test()).good


async def test_a_test_tells_wrong_credentials_from_an_address_where_nobody_answers(
    connected: Connected, falcon: Falcon
) -> None:
    await connected.connect(falcon, "crowdstrike", secrets={"client_secret": "wrong"})
    found = await connected.test()
    assert {(one.granted, one.code) for one in found.probes} == {(None, "connector.credentials")}
    right = {"client_secret": falcon.client_secret}
    await connected.connect(None, "crowdstrike", base_url="http://127.0.0.1:1", secrets=right)
    assert {one.code for one in (await connected.test()).probes} == {"http.unreachable"}
    await connected.connect(None, "crowdstrike", base_url="https://10.0.0.1", secrets=right)
    assert {one.code for one in (await connected.test()).probes} == {"http.egress_refused"}


# --- the event stream ------------------------------------------------------------------------------------------------


@pytest.fixture
async def streamed(connected: Connected, falcon: Falcon, monkeypatch: pytest.MonkeyPatch) -> UUID:
    from troth.connect.crowdstrike import stream

    # In the product a pull waits longer for company; here every wait is a test's.
    monkeypatch.setattr(stream.EventStream.__init__, "__kwdefaults__", {"wait": 0.1})
    monkeypatch.setattr(stream, "_QUIET", 0.05)
    await connect(connected, falcon, options={"read": ["stream"], "app_id": "troth1"})
    laptop = await connected.trust.subject("laptop-1")
    await connected.alias("crowdstrike.aid", "a1", laptop)
    return laptop


async def test_events_of_the_stream_are_signals_and_the_place_is_durable_before_they_act(
    connected: Connected, falcon: Falcon, streamed: UUID
) -> None:
    falcon.event(CompositeId="c:1", AgentId="a1", SeverityName="Critical", Name="Ransomware")
    falcon.event("AuthActivityAuditEvent", UserId="x")
    await connected.pull("stream", act=False)
    assert (await connected.state("stream")).cursor == {"0": 1}
    assert await connected.kinds() == []
    await connected.act()
    (signal,) = await connected.signals()
    assert (signal.kind, signal.severity, signal.sequence, signal.subject_id) == ("edr.alert", 90, "0", streamed)
    falcon.event(CompositeId="c:2", AgentId="a1", SeverityName="Purple")
    await connected.pull("stream")
    assert [one.severity for one in await connected.signals()] == [90, 50]
    assert len(falcon.seen("/sensors/entities/datafeed/v1/0")) == 1


async def test_another_process_goes_on_at_the_durable_place_and_takes_nothing_twice(
    connected: Connected, falcon: Falcon, streamed: UUID
) -> None:
    for number in range(3):
        falcon.event(CompositeId=f"c:{number}", AgentId="a1", SeverityName="High")
    await connected.pull("stream")
    await connected.restart()
    falcon.event(CompositeId="c:3", AgentId="a1", SeverityName="High")
    await connected.pull("stream")
    assert [one.sequence for one in await connected.signals()] == ["0", "1", "2", "3"]
    assert falcon.seen("/sensors/entities/datafeed/v1/0")[-1].query["offset"] == "2"


async def test_the_stream_and_the_alerts_raise_one_cause(connected: Connected, falcon: Falcon, laptop: UUID) -> None:
    from troth.connect.crowdstrike.mapping import cause_of

    alert = falcon.alert(1, "a1")
    await connected.pull("alerts")
    (signal,) = await connected.signals()
    assert signal.cause == cause_of(alert["composite_id"])


async def test_a_session_is_refreshed_before_it_ends(connected: Connected, falcon: Falcon, streamed: UUID) -> None:
    await connected.pull("stream")
    connected.clock.advance(timedelta(seconds=1_600))
    await connected.pull("stream")
    await connected.pull("stream")
    assert falcon.refreshed == [{"action_name": "refresh_active_stream_session", "appId": "troth1"}]


async def test_a_stream_that_ends_or_talks_nonsense_is_opened_anew(
    connected: Connected, falcon: Falcon, streamed: UUID
) -> None:
    path = "/sensors/entities/datafeed/v1/0"
    for fault in (Fault(path, status=401), Fault(path, status=200, body=b"{nonsense}\n"), Fault(path, silent=True),
                  Fault("/sensors/entities/datafeed/v2", status=200, body={"resources": []})):  # fmt: skip
        falcon.faults = [fault]
        with pytest.raises((ConnectorError, HttpFailed)):
            await connected.pull("stream")
    falcon.event(CompositeId="c:1", AgentId="a1")
    await connected.pull("stream")
    assert len(await connected.signals()) == 1


async def test_what_was_read_stands_in_the_book(connected: Connected, falcon: Falcon, laptop: UUID) -> None:
    falcon.alert(1, "a1")
    await connected.pull("alerts")
    (state,) = await reads(connected.trust.database, "it")
    assert (state.read, state.signals, state.failures, state.code) == ("alerts", 1, 0, None)
    assert state.pulled_at == connected.clock.now()
