"""What each event says here: the one table, row by row, and what must never follow from an event."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from tests.support.ssf import CAEP, ISSUER, OKTA, RISC
from troth.connect.ssf import events
from troth.connect.ssf.mapping import Heard, Outcome, Reading, kinds, read
from troth.connect.ssf.model import DIALECT_IDENTIFIERS
from troth.connect.ssf.secevent import SecurityEvent
from troth.connect.ssf.subjects import parse_subject
from troth.trust.signals.model import KINDS

NOW = datetime(2026, 12, 1, 12, tzinfo=UTC)
ALICE = {"format": "email", "email": "alice@example.com"}
DEVICE = {"format": "iss_sub", "iss": ISSUER, "sub": "e9297990"}
TENANT = {"format": "opaque", "id": "t-1"}
BY_MAIL = (("email", "alice@example.com"),)
BY_ID = (("iss_sub", f"{ISSUER}|e9297990"),)


def reading(
    uri: str, event: dict[str, Any], subject: dict[str, Any] | None = None, dialect: str = "standard"
) -> Reading:
    found = SecurityEvent(ISSUER, "j", NOW, ("a",), uri, event, subject or ALICE, None, b"", "k")
    known = events.known(uri, event)
    assert known is not None
    return read(Heard(found, known, parse_subject(subject or ALICE), DIALECT_IDENTIFIERS[dialect]))


def complex_(**members: Any) -> dict[str, Any]:
    return {"format": "complex"} | members


CREDENTIAL = {"credential_type": "password", "change_type": "update"}
RISK = {"principal": "USER", "current_level": "HIGH", "previous_level": "LOW"}
ASSURANCE = {"namespace": "NIST-AAL", "current_level": "nist-aal1"}


@pytest.mark.parametrize(
    ("uri", "event", "kind", "severity"),
    [
        (CAEP + "session-revoked", {}, "idp.sessions_revoked", None),
        (CAEP + "credential-change", CREDENTIAL, "idp.credential_change", 20),
        (CAEP + "credential-change", CREDENTIAL | {"initiating_entity": "user"}, "idp.credential_change", 20),
        (CAEP + "credential-change", CREDENTIAL | {"initiating_entity": "admin"}, "idp.credential_reset", None),
        (CAEP + "credential-change", CREDENTIAL | {"change_type": "create"}, "idp.credential_change", 20),
        (CAEP + "credential-change", CREDENTIAL | {"change_type": "revoke"}, "idp.credential_change", 50),
        (CAEP + "credential-change", {"credential_type": "fido2-roaming", "change_type": "delete"},
         "idp.credential_change", 50),
        (CAEP + "assurance-level-change", ASSURANCE | {"change_direction": "decrease"}, "idp.assurance_lowered", None),
        (CAEP + "assurance-level-change", ASSURANCE | {"change_direction": "increase"}, "idp.assurance_raised", None),
        (CAEP + "assurance-level-change", ASSURANCE | {"previous_level": "nist-aal2"}, "idp.assurance_lowered", None),
        (CAEP + "risk-level-change", RISK, "idp.user_at_risk", 85),
        (CAEP + "risk-level-change", RISK | {"current_level": "MEDIUM"}, "idp.user_at_risk", 50),
        (CAEP + "risk-level-change", RISK | {"current_level": "LOW"}, "idp.risk_cleared", None),
        (CAEP + "risk-level-change", RISK | {"principal": "SESSION"}, "idp.user_at_risk", 85),
        (RISC + "account-credential-change-required", {}, "idp.risk_event", 40),
        (RISC + "account-purged", {}, "idp.user_deleted", None),
        (RISC + "account-disabled", {}, "idp.user_disabled", None),
        (RISC + "account-disabled", {"reason": "hijacking"}, "idp.user_disabled", 100),
        (RISC + "account-enabled", {}, "idp.user_enabled", None),
        (RISC + "credential-compromise", {"credential_type": "password"}, "idp.credential_compromised", None),
        (RISC + "recovery-activated", {}, "idp.risk_event", 30),
        (RISC + "recovery-information-changed", {}, "idp.risk_event", 20),
        (RISC + "sessions-revoked", {}, "idp.sessions_revoked", None),
        (events.OAUTH + "tokens-revoked", {}, "idp.sessions_revoked", None),
        (OKTA + "user-risk-change", {"current_level": "high"}, "idp.user_at_risk", 85),
        (OKTA + "user-risk-change", {"current_level": "none"}, "idp.risk_cleared", None),
    ],
)  # fmt: skip
def test_what_is_said_of_a_user(uri: str, event: dict[str, Any], kind: str, severity: int | None) -> None:
    found = reading(uri, event)
    assert found.outcome is Outcome.SIGNALS
    (said,) = found.said
    assert (said.kind, said.severity, said.about) == (kind, severity, BY_MAIL)
    assert kind in kinds()


def test_every_kind_that_an_event_can_become_is_one() -> None:
    assert set(kinds()) <= set(KINDS)


@pytest.mark.parametrize(
    ("uri", "event", "kind"),
    [
        (CAEP + "device-compliance-change", {"current_status": "not-compliant"}, "mdm.noncompliant"),
        (CAEP + "device-compliance-change", {"current_status": "compliant"}, "mdm.compliant"),
        (CAEP + "risk-level-change", RISK | {"principal": "DEVICE"}, "edr.suspicious"),
        (CAEP + "risk-level-change", RISK | {"principal": "DEVICE", "current_level": "LOW"}, "edr.cleared"),
        (OKTA + "device-risk-change", {"current_level": "medium"}, "edr.suspicious"),
        (OKTA + "device-risk-change", {"current_level": "secure"}, "edr.cleared"),
    ],
)
def test_what_is_said_of_a_device_is_said_of_no_user(uri: str, event: dict[str, Any], kind: str) -> None:
    (said,) = reading(uri, event, complex_(user=ALICE, device=DEVICE, tenant=TENANT)).said
    assert (said.kind, said.about) == (kind, BY_ID)
    # With a user alone it is known of nobody: the person's other devices are none of it.
    assert reading(uri, event, complex_(user=ALICE)).said[0].about == ()


def test_a_revoked_session_is_the_devices_first_and_then_the_users() -> None:
    (said,) = reading(CAEP + "session-revoked", {}, complex_(user=ALICE, device=DEVICE)).said
    assert said.about == BY_ID + BY_MAIL


@pytest.mark.parametrize(
    ("uri", "event"),
    [
        (CAEP + "token-claims-change", {"claims": {"role": "ro-admin"}}),
        (CAEP + "session-established", {"acr": "AAL2"}), (CAEP + "session-presented", {}),
        (RISC + "opt-in", {}), (RISC + "opt-out-initiated", {}), (RISC + "opt-out-cancelled", {}),
        (RISC + "opt-out-effective", {}), (events.OAUTH + "token-revoked", {}), (OKTA + "ip-change", {}),
    ],
)  # fmt: skip
def test_what_changes_nothing_here_is_noted(uri: str, event: dict[str, Any]) -> None:
    found = reading(uri, event)
    assert (found.outcome, found.said) == (Outcome.NOTED, ())
    assert found.detail


@pytest.mark.parametrize(
    ("uri", "event"),
    [
        (CAEP + "device-compliance-change", {"current_status": "in-grace-period"}),
        (CAEP + "risk-level-change", RISK | {"current_level": "SEVERE"}),
        (CAEP + "risk-level-change", RISK | {"principal": "PRINTER"}),
        (CAEP + "credential-change", CREDENTIAL | {"change_type": "rotate"}),
        (CAEP + "assurance-level-change", {"namespace": "Retinal Scan", "current_level": "hi-res-scan"}),
        (CAEP + "assurance-level-change", ASSURANCE | {"change_direction": "sideways"}),
        (OKTA + "user-risk-change", {"current_level": "unheard-of"}),
    ],
)
def test_a_value_on_no_list_is_unknown_and_never_good(uri: str, event: dict[str, Any]) -> None:
    found = reading(uri, event)
    assert (found.outcome, found.said) == (Outcome.UNKNOWN, ())


@pytest.mark.parametrize("member", ["tenant", "org_unit", "group"])
def test_everybody_in_a_tenant_waits_for_a_person(member: str) -> None:
    found = reading(CAEP + "session-revoked", {}, complex_(**{member: TENANT}))
    assert found.outcome is Outcome.WIDE
    assert found.said[0].kind == "idp.sessions_revoked"
    risk = reading(CAEP + "risk-level-change", RISK | {"principal": member.upper()}, TENANT)
    assert risk.outcome is Outcome.WIDE


def test_a_certificate_that_is_revoked_elsewhere_is_named_by_issuer_and_serial_number() -> None:
    event = {"credential_type": "x509", "change_type": "revoke", "x509_issuer": "CN=Issuing", "x509_serial": "00:AB:12"}
    (said,) = reading(CAEP + "credential-change", event).said
    assert (said.kind, said.certificate, said.severity) == ("idp.credential_change", ("CN=Issuing", "00ab12"), 50)
    for change in ("create", "update"):
        assert reading(CAEP + "credential-change", event | {"change_type": change}).outcome is Outcome.NOTED
    # Even a whole tenant's event is about this one certificate.
    assert reading(CAEP + "credential-change", event, complex_(tenant=TENANT)).outcome is Outcome.SIGNALS


@pytest.mark.parametrize("name", ["identifier-changed", "identifier-recycled"])
def test_an_address_that_changed_hands_means_nobody_any_more(name: str) -> None:
    found = reading(RISC + name, {"new-value": "alice.b@example.com"})
    assert (found.outcome, found.said, found.names) == (Outcome.IDENTIFIER, (), BY_MAIL)


def test_vendors_own_identifiers_come_first() -> None:
    subject = complex_(
        device={"format": "opaque", "id": "guo1"}, user={"format": "iss_sub", "iss": ISSUER, "sub": "00u1"}
    )
    (said,) = reading(OKTA + "device-risk-change", {"current_level": "high"}, subject, "okta").said
    assert said.about[0] == ("okta.device", "guo1")
    (said,) = reading(OKTA + "user-risk-change", {"current_level": "high"}, subject, "okta").said
    assert said.about[0] == ("okta.user", "00u1")


@pytest.mark.parametrize(
    ("uri", "event"),
    [
        (CAEP + "credential-change", {"change_type": "update"}), (CAEP + "token-claims-change", {"claims": "x"}),
        (CAEP + "device-compliance-change", {}), (CAEP + "risk-level-change", {"principal": "USER"}),
        (RISC + "credential-compromise", {}), (CAEP + "assurance-level-change", {"namespace": 7, "current_level": "x"}),
        (events.STREAM_UPDATED, {}),
    ],
)  # fmt: skip
def test_a_required_claim_that_is_missing_is_told_to_the_transmitter(uri: str, event: dict[str, Any]) -> None:
    from troth.connect.ssf.errors import SetRefused

    with pytest.raises(SetRefused, match="claim") as caught:
        events.known(uri, event)
    assert caught.value.wire_code == "invalid_request"


def test_an_unknown_type_is_nobodys_business() -> None:
    assert events.known("https://vendor.example/secevent/coffee", {}) is None


def test_the_words_for_an_administrator_are_english_if_there_are_any() -> None:
    assert events.reason_of({"reason_admin": {"de": "Verstoß", "en-GB": "breach\x07"}}) == "breach "
    assert events.reason_of({"reason_admin": {"de": "Verstoß"}}) == "Verstoß"
    assert events.reason_of({"risk_reason": "PASSWORD_FOUND_IN_DATA_BREACH"}) == "PASSWORD_FOUND_IN_DATA_BREACH"
    assert events.reason_of({"reason_admin": 7}) == ""
    milliseconds = events.happened_at({"event_timestamp": int(NOW.timestamp() - 60) * 1000}, NOW)
    assert (NOW - milliseconds).total_seconds() == 60
