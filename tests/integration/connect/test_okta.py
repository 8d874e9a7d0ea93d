"""Okta against a fake of its documented API: the log, users, hooks, and their failures."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from tests.support.vendors import faults
from tests.support.vendors.harness import Connected
from tests.support.vendors.okta import PRIVATE_KEY, OktaOrg
from tests.support.vendors.server import Fault
from troth.trust.intake import inbox_store
from troth.trust.signals.alias_store import resolve
from troth.trust.signals.model import Whom
from troth.trust.standing import Standing

LOG = "/api/v1/logs"
HOOK = "/connect/okta/it"
HOOK_SECRET = "a-long-secret-that-only-okta-knows"


@pytest.fixture
async def okta(connected: Connected) -> AsyncIterator[OktaOrg]:
    async with OktaOrg(connected.clock) as made:
        yield made


@pytest.fixture
async def alice(connected: Connected, okta: OktaOrg) -> UUID:
    """A connector at work, and a user whom Okta calls ``u1``."""
    await connect(connected, okta)
    alice = await connected.trust.subject("alice", kind="user", upn="u1@corp.example")
    await connected.alias("okta.user", "u1", alice)
    return alice


async def connect(connected: Connected, okta: OktaOrg, **fields: Any) -> None:
    secrets = fields.pop("secrets", {"private_key": PRIVATE_KEY, "hook_secret": HOOK_SECRET})
    await connected.connect(okta, "okta", secrets=secrets, **fields)


# --- the log ---------------------------------------------------------------------------------------------------------


async def test_a_suspended_user_is_quarantined_and_put_back_when_okta_says_so(
    connected: Connected, okta: OktaOrg, alice: UUID
) -> None:
    okta.happens("user.lifecycle.suspend")
    okta.happens("policy.evaluate_sign_on")
    await connected.pull("log")
    (signal,) = await connected.signals()
    assert (signal.kind, signal.subject_id, signal.sequence) == ("idp.user_disabled", alice, "uuid-0")
    assert signal.evidence == "it was user.lifecycle.suspend"
    assert signal.fields["actor"] == "admin@corp.example"
    assert await connected.trust.standing(alice) is Standing.QUARANTINED
    connected.clock.advance(timedelta(minutes=1))
    okta.happens("user.lifecycle.unsuspend")
    await connected.pull("log")
    assert await connected.trust.standing(alice) is Standing.TRUSTED


@pytest.mark.parametrize(
    ("event", "fields", "kind", "severity"),
    [
        ("user.lifecycle.deactivate", {}, "idp.user_disabled", None),
        ("user.lifecycle.delete.initiated", {}, "idp.user_deleted", None),
        ("user.account.lock", {}, "idp.risk_event", 40),
        ("user.account.report_suspicious_activity_by_enduser", {}, "idp.risk_event", 70),
        ("security.breached_credential.detected", {}, "idp.credential_compromised", None),
        ("user.session.clear", {}, "idp.sessions_revoked", None),
        ("user.account.reset_password", {}, "idp.credential_reset", None),
        ("user.account.update_password", {}, "idp.credential_change", None),
        ("user.risk.change", {"debugContext": {"debugData": {"risk": "{level=HIGH, reasons=New device}"}}},
         "idp.user_at_risk", 80),
        ("user.risk.change", {"debugContext": {"debugData": {"riskLevel": "low"}}}, "idp.risk_cleared", None),
        ("user.risk.detect", {"debugContext": {"debugData": {"risk": "{level=PURPLE}"}}}, "idp.user_at_risk", 50),
        ("user.risk.change", {"debugContext": None}, "idp.user_at_risk", 50),
    ],
)  # fmt: skip
async def test_each_event_of_the_log_has_its_kind(
    connected: Connected,
    okta: OktaOrg,
    alice: UUID,
    event: str,
    fields: dict[str, Any],
    kind: str,
    severity: int | None,
) -> None:
    okta.happens(event, **fields)
    await connected.pull("log")
    (signal,) = await connected.signals()
    assert signal.kind == kind
    if severity is not None:
        assert signal.severity == severity


async def test_what_was_tried_in_vain_is_no_signal_and_a_new_outcome_is_none_in_vain(
    connected: Connected, okta: OktaOrg, alice: UUID
) -> None:
    okta.happens("user.lifecycle.suspend", outcome={"result": "FAILURE", "reason": "denied"})
    await connected.pull("log")
    assert await connected.kinds() == []
    okta.happens("user.lifecycle.suspend", outcome={"result": "MOSTLY"})
    await connected.pull("log")
    assert await connected.kinds() == ["idp.user_disabled"]


async def test_who_stole_a_password_does_not_clear_that_by_changing_it(
    connected: Connected, okta: OktaOrg, alice: UUID
) -> None:
    okta.happens("security.breached_credential.detected")
    await connected.pull("log")
    assert await connected.trust.standing(alice) is Standing.QUARANTINED
    connected.clock.advance(timedelta(minutes=1))
    okta.happens("user.account.reset_password", actor={"id": "u1", "type": "User", "alternateId": "u1@corp.example"})
    okta.happens("user.account.update_password")
    await connected.pull("log")
    assert await connected.trust.standing(alice) is Standing.QUARANTINED
    connected.clock.advance(timedelta(minutes=1))
    okta.happens("user.account.reset_password")
    await connected.pull("log")
    assert (await connected.kinds())[-1] == "idp.credential_reset"


async def test_a_line_without_a_user_is_kept_and_does_not_stop_the_others(
    connected: Connected, okta: OktaOrg, alice: UUID
) -> None:
    okta.happens("user.session.clear", target=None, actor={"id": "s", "type": "SystemPrincipal"})
    okta.happens("user.session.clear", published="yesterday")
    okta.happens("user.session.clear")
    await connected.pull("log")
    assert await connected.kinds() == ["idp.sessions_revoked"]
    assert len(await inbox_store.refused(connected.trust.database)) == 2


async def test_the_log_goes_on_where_it_ended_and_a_link_that_is_forgotten_is_found_again(
    connected: Connected, okta: OktaOrg, alice: UUID
) -> None:
    for _ in range(3):
        okta.happens("user.session.clear")
    await connected.pull("log")
    await connected.restart()
    okta.happens("user.session.clear")
    await connected.pull("log")
    assert okta.seen(LOG)[-1].query["after"] == "3"
    okta.forgotten = True
    connected.clock.advance(timedelta(minutes=2))
    okta.happens("user.session.clear")
    await connected.pull("log")
    assert len(await connected.signals()) == 5
    assert okta.seen(LOG)[-1].query["since"] < okta.log[0]["published"]


async def test_late_and_doubled_lines_change_nothing(connected: Connected, okta: OktaOrg, alice: UUID) -> None:
    early = okta.happens("user.lifecycle.suspend")
    connected.clock.advance(timedelta(minutes=5))
    okta.happens("user.lifecycle.unsuspend")
    okta.log.append(dict(early))
    okta.log.append(dict(early, uuid="late", published=early["published"]))
    await connected.pull("log")
    assert await connected.trust.standing(alice) is Standing.TRUSTED
    assert len(await connected.signals()) == 3


# --- users -----------------------------------------------------------------------------------------------------------


async def test_users_are_bound_to_ours_and_the_disabled_are_told(
    connected: Connected, okta: OktaOrg, alice: UUID
) -> None:
    bob = await connected.trust.subject("bob", kind="user", upn="u2@corp.example")
    for number in (1, 3, 4):
        okta.user(f"u{number}")
    okta.user("u2", "SUSPENDED")
    okta.user("u5", "LEVITATING")
    assert await connected.pull("users") == 3
    assert (await resolve(connected.trust.database, Whom(alias=("okta.user", "u2")))).ids == (bob,)
    assert await connected.trust.standing(bob) is Standing.QUARANTINED
    assert len(await inbox_store.refused(connected.trust.database)) == 1
    connected.clock.advance(timedelta(minutes=10))
    okta.user("u2", "ACTIVE")
    await connected.pull("users")
    assert await connected.trust.standing(bob) is Standing.TRUSTED


async def test_a_round_over_all_users_finds_what_changes_were_missed(
    connected: Connected, okta: OktaOrg, alice: UUID
) -> None:
    okta.user("u1", "DEPROVISIONED", lastUpdated="2020-01-01T00:00:00.000Z", statusChanged="2020-01-01T00:00:00.000Z")
    for number in range(2, 6):
        okta.user(f"u{number}")
    await connected.pull("users")
    assert await connected.trust.standing(alice) is Standing.TRUSTED
    assert await connected.pull("users.whole") == 3
    assert await connected.trust.standing(alice) is Standing.QUARANTINED
    assert okta.calls[-1].query["search"] == 'id gt "0"'
    connected.clock.advance(timedelta(hours=1))
    okta.user("u1", "ACTIVE")
    await connected.pull("users.whole")
    assert await connected.trust.standing(alice) is Standing.TRUSTED


# --- hooks -----------------------------------------------------------------------------------------------------------


def message(*events: dict[str, Any]) -> bytes:
    return json.dumps({
        "eventType": "com.okta.event_hook", "eventTypeVersion": "1.0", "cloudEventsVersion": "0.1", "eventId": "e1",
        "eventTime": "2026-03-02T09:00:00Z", "source": "https://corp.okta.com/api/v1/eventHooks/who",
        "data": {"events": events},
    }).encode()  # fmt: skip


async def test_a_hook_is_verified_once_by_its_challenge(connected: Connected, okta: OktaOrg, alice: UUID) -> None:
    headers = {"X-Okta-Verification-Challenge": "qx9GnDsVAmPy"}
    answer = await connected.push(HOOK, method="GET", headers=headers)
    assert (answer.status, json.loads(answer.body)) == (200, {"verification": "qx9GnDsVAmPy"})
    assert (b"content-type", b"application/json") in answer.headers
    for bad in ({}, {"X-Okta-Verification-Challenge": "x" * 600}):
        assert (await connected.push(HOOK, method="GET", headers=bad)).status == 401


async def test_a_hook_and_the_log_tell_one_event_once(connected: Connected, okta: OktaOrg, alice: UUID) -> None:
    event = okta.happens("user.lifecycle.suspend")
    answer = await connected.push(HOOK, message(event, event), headers={"Authorization": HOOK_SECRET})
    assert answer.status == 200
    await connected.act()
    assert await connected.trust.standing(alice) is Standing.QUARANTINED
    (signal,) = await connected.signals()
    assert signal.verified.method.value == "bearer"
    await connected.pull("log")
    assert len(await connected.signals()) == 1


@pytest.mark.parametrize(
    ("headers", "body", "status"),
    [
        ({}, message(), 401),
        ({"Authorization": HOOK_SECRET + "x"}, message(), 401),
        ({"Authorization": "é"}, message(), 401),
        ({"Authorization": HOOK_SECRET}, b"{", 400),
        ({"Authorization": HOOK_SECRET}, b'{"data": {"events": 3}}', 400),
        ({"Authorization": HOOK_SECRET}, b"[" * 100_000, 400),
        ({"Authorization": HOOK_SECRET}, message(*[{"uuid": str(n)} for n in range(501)]), 400),
    ],
)
async def test_a_hook_that_proves_nothing_or_cannot_be_read_is_refused(
    connected: Connected, okta: OktaOrg, alice: UUID, headers: dict[str, str], body: bytes, status: int
) -> None:
    assert (await connected.push(HOOK, body, headers=headers)).status == status
    assert await inbox_store.refused(connected.trust.database) == []


async def test_without_its_secret_there_is_no_hook(connected: Connected, okta: OktaOrg) -> None:
    await connect(connected, okta, secrets={"private_key": PRIVATE_KEY})
    assert (await connected.push(HOOK, message(), headers={"Authorization": ""})).status == 401


# --- failures --------------------------------------------------------------------------------------------------------


async def test_failures_of_okta_lose_and_double_nothing(connected: Connected, okta: OktaOrg, alice: UUID) -> None:
    await faults.bears_failures(
        connected, okta, read="log", path=LOG, happen=lambda: okta.happens("user.session.clear")
    )


async def test_pauses_are_made(connected: Connected, okta: OktaOrg, alice: UUID) -> None:
    await faults.makes_pauses(connected, okta, read="log", path=LOG, header="x-rate-limit-reset")


async def test_tokens_are_renewed_and_asked_for_with_a_signed_assertion(
    connected: Connected, okta: OktaOrg, alice: UUID
) -> None:
    await faults.renews_its_token(connected, okta, read="log")
    assert {one["iss"] for one in okta.assertions} == {"client-1"}
    assert len({one["jti"] for one in okta.assertions}) == len(okta.assertions)
    assert okta.seen("/oauth2/v1/token")[0].form["scope"] == "okta.logs.read okta.users.read"


async def test_a_slow_answer_is_given_up(
    connected: Connected, okta: OktaOrg, alice: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    await faults.gives_up_on_slow_answers(connected, okta, monkeypatch, read="log", path=LOG)


async def test_a_log_without_a_next_page_is_no_log(connected: Connected, okta: OktaOrg, alice: UUID) -> None:
    from troth.connect.errors import ConnectorError

    okta.faults.append(Fault(LOG, status=200, body=[okta.happens("user.session.clear")]))
    with pytest.raises(ConnectorError, match="no link"):
        await connected.pull("log")
    await connected.pull("log")
    assert len(await connected.signals()) == 1


async def test_a_test_prints_what_is_granted_against_what_is_needed(connected: Connected, okta: OktaOrg) -> None:
    await connect(connected, okta)
    okta.scopes = {"okta.logs.read"}
    found = await connected.test()
    assert {one.read: (one.scope, one.granted, one.code) for one in found.probes} == {
        "log": ("okta.logs.read", True, None),
        "users": ("okta.users.read", False, "connector.scope"),
        "users.whole": ("okta.users.read", False, "connector.scope"),
    }
    okta.scopes = None
    assert (await connected.test()).good


async def test_an_api_token_does_as_well_and_a_wrong_one_is_called_wrong(connected: Connected, okta: OktaOrg) -> None:
    await connect(connected, okta, secrets={"api_token": "api-token"})
    assert (await connected.test()).good
    assert okta.calls[-1].headers["authorization"] == "SSWS api-token"
    await connect(connected, okta, secrets={"api_token": "wrong"})
    assert {one.code for one in (await connected.test()).probes} == {"connector.credentials"}
