"""Google Workspace against a fake of the Admin SDK: log-ins, administrators' acts, suspensions, channels, failures."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from tests.support.vendors import faults
from tests.support.vendors.google import ACTIVITIES, SERVICE_ACCOUNT, USERS, Workspace
from tests.support.vendors.harness import Connected
from tests.support.vendors.server import Fault
from troth.connect import connector_store
from troth.connect.errors import ConnectorError, ConnectorInvalid
from troth.trust.intake import inbox_store
from troth.trust.signals.alias_store import resolve
from troth.trust.signals.model import Whom
from troth.trust.standing import Standing

PATH = "/connect/google/it"
URL = f"https://troth.corp.example{PATH}"
TOKEN = "a-token-that-only-google-repeats"
LOGINS = f"{ACTIVITIES}/login"


@pytest.fixture
async def workspace(connected: Connected) -> AsyncIterator[Workspace]:
    async with Workspace(connected.clock) as made:
        yield made


@pytest.fixture
async def alice(connected: Connected, workspace: Workspace) -> UUID:
    """A connector at work, and a user whom Google calls ``u1``."""
    await connect(connected, workspace)
    return await connected.trust.subject("alice", kind="user", email="u1@corp.example")


async def connect(connected: Connected, workspace: Workspace, **fields: Any) -> None:
    secrets = {"service_account": SERVICE_ACCOUNT, "channel_token": TOKEN} | fields.pop("secrets", {})
    known = {"options": {"admin": "admin@corp.example", "notify_url": URL}} | fields
    await connected.connect(workspace, "google", secrets=secrets, **known)


@pytest.mark.parametrize(
    ("application", "event", "kind", "severity"),
    [
        ("login", "account_disabled_hijacked", "idp.credential_compromised", 95),
        ("login", "account_disabled_generic", "idp.user_disabled", None),
        ("login", "suspicious_login", "idp.risk_event", 60),
        ("login", "gov_attack_warning", "idp.risk_event", 80),
        ("admin", "SUSPEND_USER", "idp.user_disabled", None),
        ("admin", "DELETE_USER", "idp.user_deleted", None),
        ("admin", "UNSUSPEND_USER", "idp.user_enabled", None),
        ("admin", "CHANGE_PASSWORD", "idp.credential_reset", None),
        ("admin", "TURN_OFF_2_STEP_VERIFICATION", "idp.assurance_lowered", None),
    ],
)
async def test_each_event_has_its_kind(
    connected: Connected, workspace: Workspace, alice: UUID, application: str, event: str, kind: str,
    severity: int | None,
) -> None:  # fmt: skip
    workspace.happens(event, application=application)
    workspace.happens("login_success" if application == "login" else "CREATE_USER", application=application)
    await connected.pull("logins" if application == "login" else "admin")
    (signal,) = await connected.signals()
    assert (signal.kind, signal.subject_id, signal.evidence) == (kind, alice, event)
    if severity is not None:
        assert signal.severity == severity


async def test_who_stole_a_password_does_not_clear_that_by_changing_it(
    connected: Connected, workspace: Workspace, alice: UUID
) -> None:
    own = {"email": "u1@corp.example", "profileId": "1"}
    workspace.happens("CHANGE_PASSWORD", application="admin", actor=own)
    await connected.pull("admin")
    assert await connected.kinds() == ["idp.credential_change"]


async def test_activities_are_read_by_pages_and_late_ones_are_found(
    connected: Connected, workspace: Workspace, alice: UUID
) -> None:
    for _ in range(5):
        workspace.happens("suspicious_login")
    assert await connected.pull("logins") == 3
    assert len(await connected.signals()) == 5
    early = connected.clock.now()
    connected.clock.advance(timedelta(minutes=10))
    await connected.pull("logins")
    workspace.happens("suspicious_login")
    workspace.activities["login"][-1]["id"]["time"] = early.strftime("%Y-%m-%dT%H:%M:%S.001Z")
    await connected.pull("logins")
    assert len(await connected.signals()) == 6
    await connected.pull("logins.late")
    connected.clock.advance(timedelta(hours=3))
    await connected.pull("logins")
    workspace.happens("suspicious_login")
    workspace.activities["login"][-1]["id"]["time"] = early.strftime("%Y-%m-%dT%H:%M:%S.002Z")
    await connected.pull("logins")
    assert len(await connected.signals()) == 6
    await connected.pull("logins.late")
    assert len(await connected.signals()) == 7


async def test_an_activity_that_cannot_be_read_is_kept(connected: Connected, workspace: Workspace, alice: UUID) -> None:
    workspace.happens("suspicious_login", actor={})
    workspace.happens("suspicious_login", events=[{"name": 3}])
    workspace.happens("suspicious_login")
    await connected.pull("logins", most=9)
    assert await connected.kinds() == ["idp.risk_event"]
    assert len(await inbox_store.refused(connected.trust.database)) == 2


async def test_a_suspended_user_is_quarantined_and_put_back(
    connected: Connected, workspace: Workspace, alice: UUID
) -> None:
    for number in range(1, 6):
        workspace.user(f"u{number}")
    await connected.pull("suspended")
    assert await connected.kinds() == []
    for number in (1, 3, 4):
        workspace.user(f"u{number}", suspended=True, suspensionReason="ADMIN")
    connected.clock.advance(timedelta(minutes=5))
    await connected.pull("suspended")
    assert await connected.trust.standing(alice) is Standing.QUARANTINED
    assert (await connected.facts(alice))["user.enabled"] is False
    for fault in (Fault(USERS, cut=9), Fault(USERS, status=200, body={}), Fault(USERS, status=500, times=9)):
        workspace.faults = [fault]
        with pytest.raises(ConnectorError):
            await connected.pull("suspended")
    workspace.faults = []
    assert await connected.trust.standing(alice) is Standing.QUARANTINED
    connected.clock.advance(timedelta(minutes=5))
    workspace.user("u1")
    await connected.pull("suspended")
    assert await connected.trust.standing(alice) is Standing.TRUSTED
    assert await connected.pull("users") == 3
    assert (await resolve(connected.trust.database, Whom(alias=("google.user", "u1")))).ids == (alice,)
    assert (await connected.facts(alice))["user.enabled"] is True


# --- channels --------------------------------------------------------------------------------------------------------


async def test_a_channel_is_opened_for_each_application_and_hurries_the_reads(
    connected: Connected, workspace: Workspace, alice: UUID
) -> None:
    await connected.pull("channel")
    assert [(one["address"], one["token"], one["type"]) for one in workspace.channels] == [(URL, TOKEN, "web_hook")] * 2
    assert len({one["id"] for one in workspace.channels}) == 2
    await connected.pull("logins")
    headers = {"X-Goog-Channel-Token": TOKEN, "X-Goog-Resource-State": "sync", "X-Goog-Channel-ID": "c"}
    assert (await connected.push(PATH, headers=headers)).status == 204
    assert await connector_store.are_due(connected.trust.database) == frozenset()
    headers["X-Goog-Resource-State"] = "suspicious_login"
    assert (await connected.push(PATH, b"{}", headers=headers)).status == 204
    assert ("it", "logins") in await connector_store.are_due(connected.trust.database)


@pytest.mark.parametrize("headers", [{}, {"X-Goog-Channel-Token": "x"}, {"X-Goog-Channel-Token": TOKEN + "é"}])
async def test_a_notification_that_proves_nothing_is_refused(
    connected: Connected, workspace: Workspace, alice: UUID, headers: dict[str, str]
) -> None:
    assert (await connected.push(PATH, headers=headers)).status == 401
    assert (await connected.push(PATH, headers={"X-Goog-Channel-Token": TOKEN}, method="GET")).status == 401


# --- failures --------------------------------------------------------------------------------------------------------


async def test_failures_lose_and_double_nothing(connected: Connected, workspace: Workspace, alice: UUID) -> None:
    await faults.bears_failures(
        connected, workspace, read="logins", path=LOGINS, happen=lambda: workspace.happens("suspicious_login")
    )


async def test_pauses_are_made_and_tokens_renewed(connected: Connected, workspace: Workspace, alice: UUID) -> None:
    await faults.makes_pauses(connected, workspace, read="logins", path=LOGINS, header="retry-after")
    await faults.renews_its_token(connected, workspace, read="logins")
    claims = workspace.claims[0]
    assert (claims["iss"], claims["sub"]) == ("troth@project.iam.gserviceaccount.com", "admin@corp.example")
    assert set(claims["scope"].split()) == {
        "https://www.googleapis.com/auth/admin.reports.audit.readonly",
        "https://www.googleapis.com/auth/admin.directory.user.readonly",
    }


async def test_a_test_prints_what_is_granted_against_what_is_needed(connected: Connected, workspace: Workspace) -> None:
    await connect(connected, workspace, options={"admin": "admin@corp.example", "read": ["logins", "suspended"]})
    workspace.scopes = {"https://www.googleapis.com/auth/admin.reports.audit.readonly"}
    found = await connected.test()
    assert {one.read: one.granted for one in found.probes} == {
        "logins": True, "logins.late": True, "suspended": False
    }  # fmt: skip
    await connect(connected, workspace, secrets={"service_account": "{}"})
    with pytest.raises(ConnectorError) as caught:
        await connected.test()
    assert caught.value.code == "connector.secret_invalid"


@pytest.mark.parametrize("options", [{}, {"admin": "nobody"}, {"admin": "a@b", "notify_url": "http://x"}])
async def test_a_definition_without_an_administrator_is_refused(
    connected: Connected, workspace: Workspace, options: dict[str, str]
) -> None:
    with pytest.raises(ConnectorInvalid):
        await connected.connect(workspace, "google", options=options)
