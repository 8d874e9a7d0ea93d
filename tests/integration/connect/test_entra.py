"""Entra ID against a fake of Microsoft Graph: risks, accounts, devices, and their failures."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from tests.support.vendors import faults
from tests.support.vendors.harness import Connected
from tests.support.vendors.microsoft import DEVICES, RISKY, USERS, Tenant
from tests.support.vendors.server import Fault
from troth.connect.errors import ConnectorError, ConnectorInvalid
from troth.trust.intake import inbox_store
from troth.trust.signals.alias_store import resolve
from troth.trust.signals.model import Whom
from troth.trust.standing import Standing


@pytest.fixture
async def tenant(connected: Connected) -> AsyncIterator[Tenant]:
    async with Tenant(connected.clock) as made:
        yield made


@pytest.fixture
async def alice(connected: Connected, tenant: Tenant) -> UUID:
    """A connector at work, and a user whom Entra ID calls ``u1``."""
    await connect(connected, tenant)
    alice = await connected.trust.subject("alice", kind="user", upn="u1@corp.example")
    await connected.alias("entra.user", "u1", alice)
    return alice


@pytest.fixture
async def laptop(connected: Connected, tenant: Tenant) -> UUID:
    """A connector at work, and a device whose ``deviceId`` is ``d1``."""
    await connect(connected, tenant)
    laptop = await connected.trust.subject("laptop-1")
    await connected.alias("entra.device", "d1", laptop)
    return laptop


async def connect(connected: Connected, tenant: Tenant, **fields: Any) -> None:
    secrets = fields.pop("secrets", {"client_secret": tenant.client_secret})
    await connected.connect(tenant, "entra", secrets=secrets, tenant="tenant-1", **fields)


# --- risk ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "level", "kind", "severity"),
    [
        ("atRisk", "high", "idp.user_at_risk", 80),
        ("atRisk", "hidden", "idp.user_at_risk", 50),
        ("atRisk", "purple", "idp.user_at_risk", 50),
        ("levitating", "none", "idp.user_at_risk", 30),
        ("confirmedCompromised", "low", "idp.user_at_risk", 95),
        ("remediated", "none", "idp.risk_cleared", None),
        ("confirmedSafe", "none", "idp.risk_cleared", None),
        ("dismissed", "none", "idp.risk_cleared", None),
    ],
)
async def test_each_state_of_risk_has_its_kind_and_a_new_one_is_a_risk(
    connected: Connected, tenant: Tenant, alice: UUID, state: str, level: str, kind: str, severity: int | None
) -> None:
    tenant.at_risk("u1", state, level)
    await connected.pull("risk")
    (signal,) = await connected.signals()
    assert (signal.kind, signal.subject_id) == (kind, alice)
    if severity is not None:
        assert signal.severity == severity


async def test_a_user_who_is_compromised_is_quarantined_and_put_back_when_that_is_remediated(
    connected: Connected, tenant: Tenant, alice: UUID
) -> None:
    tenant.at_risk("u1", "confirmedCompromised")
    await connected.pull("risk")
    assert await connected.trust.standing(alice) is Standing.QUARANTINED
    connected.clock.advance(timedelta(minutes=1))
    tenant.at_risk("u1", "remediated", "none")
    await connected.pull("risk")
    assert await connected.kinds() == ["idp.user_at_risk", "idp.risk_cleared"]
    assert await connected.trust.standing(alice) is Standing.TRUSTED


async def test_risks_are_read_by_pages_and_slower_than_one_a_second(
    connected: Connected, tenant: Tenant, alice: UUID
) -> None:
    for number in range(1, 6):
        tenant.at_risk(f"u{number}")
    began = connected.clock.now()
    assert await connected.pull("risk") == 3
    assert connected.clock.now() - began >= timedelta(seconds=3)
    assert len(await connected.signals()) == 5
    await connected.pull("risk")
    assert len(await connected.signals()) == 5


# --- accounts --------------------------------------------------------------------------------------------------------


async def test_the_first_round_tells_what_is_amiss_and_changes_tell_the_rest(
    connected: Connected, tenant: Tenant, alice: UUID
) -> None:
    bob = await connected.trust.subject("bob", kind="user", upn="u2@corp.example")
    for number in (3, 4, 5):
        tenant.user(f"u{number}")
    tenant.user("u1")
    tenant.user("u2", enabled=False)
    assert await connected.pull("users") == 3
    assert await connected.kinds() == ["idp.user_disabled"]
    assert (await resolve(connected.trust.database, Whom(alias=("entra.user", "u2")))).ids == (bob,)
    assert await connected.facts(alice) == {"user.enabled": True}
    assert await connected.trust.standing(bob) is Standing.QUARANTINED
    connected.clock.advance(timedelta(minutes=1))
    tenant.user("u2")
    tenant.user("u1", None, **{"@removed": {"reason": "deleted"}})
    await connected.pull("users")
    assert await connected.trust.standing(bob) is Standing.TRUSTED
    assert await connected.trust.standing(alice) is Standing.QUARANTINED
    assert set((await connected.kinds())[1:]) == {"idp.user_enabled", "idp.user_deleted"}
    assert "$deltatoken" in tenant.seen(USERS)[-1].query


async def test_a_state_that_graph_has_lost_is_read_anew_and_what_was_missed_is_told(
    connected: Connected, tenant: Tenant, alice: UUID
) -> None:
    tenant.user("u1", enabled=False)
    await connected.pull("users")
    assert await connected.trust.standing(alice) is Standing.QUARANTINED
    for _ in range(2):
        connected.clock.advance(timedelta(minutes=1))
        tenant.user("u1")
        tenant.expired = True
        await connected.pull("users")
        tenant.expired = False
        await connected.pull("users")
        assert await connected.trust.standing(alice) is Standing.TRUSTED
        connected.clock.advance(timedelta(minutes=1))
        tenant.user("u1", enabled=False)
        await connected.pull("users")
        assert await connected.trust.standing(alice) is Standing.QUARANTINED


async def test_killed_between_pages_nothing_is_lost_or_told_twice(
    connected: Connected, tenant: Tenant, alice: UUID
) -> None:
    for number in range(1, 6):
        tenant.user(f"u{number}", enabled=False)
    await connected.pull("users", most=1, act=False)
    tenant.faults.append(Fault(USERS, status=503, times=9))
    with pytest.raises(ConnectorError):
        await connected.pull("users", act=False)
    tenant.faults.clear()
    await connected.restart()
    await connected.pull("users")
    assert len(await connected.signals()) == 5


async def test_a_user_that_cannot_be_read_is_kept(connected: Connected, tenant: Tenant, alice: UUID) -> None:
    tenant.users.append({"id": "u9", "accountEnabled": "perhaps"})
    tenant.user("u1", enabled=False)
    await connected.pull("users")
    assert await connected.kinds() == ["idp.user_disabled"]
    assert len(await inbox_store.refused(connected.trust.database)) == 1


# --- devices ---------------------------------------------------------------------------------------------------------


async def test_devices_bring_compliance_as_fact_and_as_signal(
    connected: Connected, tenant: Tenant, laptop: UUID
) -> None:
    tenant.device("d1")
    await connected.pull("devices")
    assert await connected.facts(laptop) == {
        "posture.compliant": True, "device.managed": True, "device.platform": "windows",
        "posture.os_version": "10.0.22631",
    }  # fmt: skip
    assert await connected.kinds() == []
    connected.clock.advance(timedelta(minutes=1))
    tenant.device("d1", isCompliant=False)
    await connected.pull("devices")
    assert (await connected.kinds())[0] == "mdm.noncompliant"
    assert (await connected.facts(laptop))["posture.compliant"] is False
    assert await connected.trust.standing(laptop) is Standing.RESTRICTED
    connected.clock.advance(timedelta(minutes=1))
    tenant.device("d1")
    await connected.pull("devices")
    assert await connected.trust.standing(laptop) is Standing.TRUSTED


async def test_a_device_that_is_disabled_is_quarantined_and_compliance_does_not_let_it_back(
    connected: Connected, tenant: Tenant, laptop: UUID
) -> None:
    tenant.device("d1")
    await connected.pull("devices")
    connected.clock.advance(timedelta(minutes=1))
    tenant.device("d1", accountEnabled=False)
    await connected.pull("devices")
    assert await connected.trust.standing(laptop) is Standing.QUARANTINED
    connected.clock.advance(timedelta(minutes=1))
    tenant.device("d1", accountEnabled=False, isCompliant=True)
    await connected.pull("devices")
    assert await connected.trust.standing(laptop) is Standing.QUARANTINED
    connected.clock.advance(timedelta(minutes=1))
    tenant.device("d1")
    await connected.pull("devices")
    assert await connected.trust.standing(laptop) is Standing.TRUSTED


async def test_a_device_that_is_deleted_is_known_by_its_object(
    connected: Connected, tenant: Tenant, laptop: UUID
) -> None:
    tenant.device("d1")
    await connected.pull("devices")
    connected.clock.advance(timedelta(minutes=1))
    tenant.devices.append({"id": "object-d1", "@removed": {"reason": "changed"}})
    await connected.pull("devices")
    (signal,) = await connected.signals()
    assert (signal.kind, signal.subject_id) == ("mdm.retired", laptop)


# --- failures --------------------------------------------------------------------------------------------------------


async def test_failures_lose_and_double_nothing(connected: Connected, tenant: Tenant, alice: UUID) -> None:
    names = iter(f"u{number}" for number in range(1, 100))
    await faults.bears_failures(connected, tenant, read="risk", path=RISKY, happen=lambda: tenant.at_risk(next(names)))


async def test_pauses_are_made_and_tokens_renewed(connected: Connected, tenant: Tenant, alice: UUID) -> None:
    await faults.makes_pauses(connected, tenant, read="users", path=USERS, header="retry-after")
    await faults.renews_its_token(connected, tenant, read="users")


async def test_a_slow_answer_is_given_up(
    connected: Connected, tenant: Tenant, alice: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    await faults.gives_up_on_slow_answers(connected, tenant, monkeypatch, read="devices", path=DEVICES)


async def test_links_that_lead_elsewhere_get_no_token(connected: Connected, tenant: Tenant, alice: UUID) -> None:
    page = {"value": [], "@odata.nextLink": "https://graph.evil.example/v1.0/users/delta?$skiptoken=x"}
    tenant.faults.append(Fault(USERS, status=200, body=page))
    with pytest.raises(ConnectorError) as caught:
        await connected.pull("users")
    assert caught.value.code == "connector.elsewhere"


async def test_a_test_prints_what_is_granted_against_what_is_needed(connected: Connected, tenant: Tenant) -> None:
    await connect(connected, tenant)
    tenant.scopes = {"User.Read.All"}
    found = await connected.test()
    assert {one.read: (one.scope, one.granted) for one in found.probes} == {
        "risk": ("IdentityRiskyUser.Read.All", False),
        "users": ("User.Read.All", True),
        "devices": ("Device.Read.All", False),
    }
    await connect(connected, tenant, secrets={"client_secret": "wrong"})
    assert {one.code for one in (await connected.test()).probes} == {"connector.credentials"}


async def test_a_certificate_proves_the_application_as_well(connected: Connected, tenant: Tenant) -> None:
    import base64
    import json

    from cryptography import x509

    from tests.support.vendors.microsoft_app import CERTIFICATE, PEM

    await connect(connected, tenant, secrets={"certificate": PEM})
    await connected.test()
    form = tenant.seen(tenant.token_path)[0].form
    assert form["client_assertion_type"] == "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
    head = json.loads(base64.urlsafe_b64decode(form["client_assertion"].split(".")[0] + "=="))
    from cryptography.hazmat.primitives.hashes import SHA256

    assert isinstance(CERTIFICATE, x509.Certificate)
    assert base64.urlsafe_b64decode(head["x5t#S256"] + "=") == CERTIFICATE.fingerprint(SHA256())


@pytest.mark.parametrize("fields", [{"client_id": ""}, {"tenant": ""}, {"tenant": "common"}, {"tenant": "a/b"}])
async def test_a_definition_without_its_application_or_tenant_is_refused(
    connected: Connected, tenant: Tenant, fields: dict[str, str]
) -> None:
    known = {"tenant": "tenant-1"} | fields
    with pytest.raises(ConnectorInvalid):
        await connected.connect(tenant, "entra", **known)
