"""Effects at vendors, by connectors, against fakes of the documented exchanges; with what goes wrong there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from tests.support.vendors.falcon import Falcon
from tests.support.vendors.harness import Connected
from tests.support.vendors.okta import OktaOrg
from tests.support.vendors.server import Call, FakeVendor, Fault, Handler, Reply
from troth.connect.api import VendorApi
from troth.connect.connector import Pushed, Vendor, Wiring
from troth.connect.effects.acting import Action, ConnectorPort
from troth.connect.effects.vendors import crowdstrike, jamf, microsoft, okta
from troth.connect.proof import ClientCredentials
from troth.kit.ids import new_id
from troth.kit.lane import Request
from troth.trust.outbox.model import PORTS, Effect, EffectSubject, Notice, Outcome, Result


def _effect(connected: Connected, port: str, target: str = "it") -> Effect:
    now = connected.clock.now()
    return Effect(
        id=new_id(), subject_id=new_id(), standing_version=1, port=port, target=target, acting=True, undo="",
        undone=False, notice=Notice("device", "laptop", "trusted", "quarantined", 1), signal_id=new_id(),
        actor="feed:edr", automated=True, accepted_at=now, planned_at=now, due=now,
    )  # fmt: skip


def _device(*aliases: tuple[str, str], owner: EffectSubject | None = None, **attributes: Any) -> EffectSubject:
    return EffectSubject(new_id(), "device", "laptop", False, attributes, (), aliases, owner)


def _user(*aliases: tuple[str, str], **attributes: Any) -> EffectSubject:
    return EffectSubject(new_id(), "user", "alice", False, attributes, (), aliases)


def _port(connected: Connected, vendor: str, actions: Mapping[str, Action]) -> ConnectorPort:
    return ConnectorPort(vendor, actions, connected.desk, connected.desk.opener, connected.clock)


# --- CrowdStrike -----------------------------------------------------------------------------------------------------


class ActingFalcon(Falcon):
    """Falcon with containment: an error for a device that is so already, as documented."""

    def routes(self) -> Mapping[tuple[str, str], Handler]:
        return {**super().routes(), ("POST", "/devices/entities/devices-actions/v2"): self._act}

    def needs(self, call: Call) -> str | None:
        return "Hosts: write" if call.path.endswith("devices-actions/v2") else super().needs(call)

    async def _act(self, call: Call) -> Reply:
        wanted = {"contain": "contained", "lift_containment": "normal"}[call.query["action_name"]]
        (aid,) = call.json["ids"]
        if self.hosts[aid]["status"] == wanted:
            return Reply(202, {"resources": [], "errors": [{"code": 409, "message": "already so"}]})
        self.contain(aid, wanted)
        return Reply(202, {"resources": [{"id": aid, "path": "/devices"}], "errors": []})


async def test_falcon_contains_and_lifts_once_however_often_it_is_asked(connected: Connected) -> None:
    async with ActingFalcon(connected.clock) as falcon:
        await connected.connect(falcon, "crowdstrike", secrets={"client_secret": falcon.client_secret})
        falcon.host("aid-1")
        port, laptop = _port(connected, "crowdstrike", crowdstrike.ACTIONS), _device(("crowdstrike.aid", "aid-1"))
        contain, lift = (_effect(connected, f"crowdstrike.{one}") for one in ("contain", "lift_containment"))
        assert await port.execute(contain, laptop) == Outcome.done("contain asked of 1 sensor")
        assert falcon.hosts["aid-1"]["status"] == "contained"
        assert await port.execute(contain, laptop) == Outcome.done("it was so already: contained")
        assert await port.execute(lift, laptop) == Outcome.done("lift_containment asked of 1 sensor")
        assert falcon.hosts["aid-1"]["status"] == "normal"
        assert len(falcon.seen("/devices/entities/devices-actions/v2")) == 2
        # A state that Falcon has only lately is neither: it is asked for.
        falcon.hosts["aid-1"]["status"] = "something_new"
        assert (await port.execute(contain, laptop)).result is Result.DONE
        assert len(falcon.seen("/devices/entities/devices-actions/v2")) == 3
        assert (await port.execute(contain, _device())).result is Result.REFUSED
        assert (await port.execute(contain, _device(("crowdstrike.aid", "gone")))).result is Result.REFUSED
        await port.close()


@pytest.mark.parametrize(
    ("fault", "result"),
    [
        (Fault("/devices/", status=429, headers={"x-ratelimit-retryafter": "1772445700"}), Result.RETRY),
        (Fault("/devices/", status=500, times=9), Result.RETRY),
        (Fault("/devices/", silent=True, times=9), Result.RETRY),
        (Fault("/devices/", status=200, body={"resources": 7}), Result.REFUSED),
        (Fault("/oauth2/token", status=401, body={"error": "invalid_client"}, times=9), Result.RETRY),
        (Fault("/devices/entities/devices-actions", status=403, body={}), Result.RETRY),
        (Fault("/devices/entities/devices-actions", status=202, body={"errors": [{"code": 500}]}), Result.RETRY),
        (Fault("/devices/entities/devices-actions", status=202, body={"errors": [{"code": 404}]}), Result.REFUSED),
    ],
)  # fmt: skip
async def test_what_goes_wrong_at_falcon_is_tried_again_or_left_to_a_person(
    connected: Connected, fault: Fault, result: Result
) -> None:
    async with ActingFalcon(connected.clock) as falcon:
        await connected.connect(falcon, "crowdstrike", secrets={"client_secret": falcon.client_secret})
        falcon.host("aid-1")
        falcon.faults.append(replace(fault))
        port = _port(connected, "crowdstrike", crowdstrike.ACTIONS)
        told = await port.execute(_effect(connected, "crowdstrike.contain"), _device(("crowdstrike.aid", "aid-1")))
        assert told.result in (result, Result.DONE if fault.status == 429 else result)
        assert falcon.client_secret not in told.detail
        await port.close()


async def test_a_connector_that_is_not_there_paused_or_of_another_vendor(connected: Connected) -> None:
    async with ActingFalcon(connected.clock) as falcon:
        await connected.connect(falcon, "crowdstrike", secrets={"client_secret": falcon.client_secret})
        falcon.host("aid-1")
        port, laptop = _port(connected, "crowdstrike", crowdstrike.ACTIONS), _device(("crowdstrike.aid", "aid-1"))
        missing = await port.execute(_effect(connected, "crowdstrike.contain", "nobody"), laptop)
        assert missing.result is Result.UNAVAILABLE
        other = await _port(connected, "okta", okta.ACTIONS).execute(_effect(connected, "okta.clear_sessions"), laptop)
        assert other.result is Result.REFUSED
        await connected.desk.pause("it", paused=True, actor="admin:alice", reason="moving")
        assert (await port.execute(_effect(connected, "crowdstrike.contain"), laptop)).result is Result.RETRY
        assert falcon.calls == []
        await port.close()


# --- Okta ------------------------------------------------------------------------------------------------------------


class ActingOkta(OktaOrg):
    """Okta with sessions and the lifecycle of users."""

    def routes(self) -> Mapping[tuple[str, str], Handler]:
        return {
            **super().routes(), ("DELETE", "/api/v1/users/*"): self._cleared, ("POST", "/api/v1/users/*"): self._moved,
            ("GET", "/api/v1/users/*"): self._one,
        }  # fmt: skip

    async def _cleared(self, call: Call) -> Reply:
        assert call.path.endswith("/sessions")
        assert call.query == {"oauthTokens": "true"}
        return Reply(204)

    async def _one(self, call: Call) -> Reply:
        found = self.users.get(call.path.rpartition("/")[2])
        return Reply(404, {"errorCode": "E0000007"}) if found is None else Reply(200, found)

    async def _moved(self, call: Call) -> Reply:
        user = self.users[call.path.split("/")[4]]
        before, after = {"suspend": ("ACTIVE", "SUSPENDED"), "unsuspend": ("SUSPENDED", "ACTIVE")}[
            call.path.rpartition("/")[2]
        ]
        if user["status"] != before:
            return Reply(400, {"errorCode": "E0000001"})
        user["status"] = after
        return Reply(200, {})


async def test_okta_ends_sessions_suspends_and_lets_in_again_once(connected: Connected) -> None:
    async with ActingOkta(connected.clock) as org:
        await connected.connect(org, "okta", secrets={"api_token": "api-token"})
        org.users["u1"] = {"id": "u1", "status": "ACTIVE"}
        port, alice = _port(connected, "okta", okta.ACTIONS), _user(("okta.user", "u1"))
        for port_name, status in (("okta.suspend_user", "SUSPENDED"), ("okta.unsuspend_user", "ACTIVE")):
            assert (await port.execute(_effect(connected, port_name), alice)).result is Result.DONE
            assert org.users["u1"]["status"] == status
            again = await port.execute(_effect(connected, port_name), alice)
            assert again == Outcome.done(f"it was so already: {status}")
        assert (await port.execute(_effect(connected, "okta.clear_sessions"), alice)).result is Result.DONE
        # A device stands for its owner; one that belongs to nobody is nobody's session.
        laptop = _device(owner=_user(upn="alice@corp.example"))
        assert (await port.execute(_effect(connected, "okta.clear_sessions"), laptop)).result is Result.DONE
        assert org.calls[-1].path == "/api/v1/users/alice%40corp.example/sessions"
        assert (await port.execute(_effect(connected, "okta.clear_sessions"), _device())).result is Result.REFUSED
        unknown = await port.execute(_effect(connected, "okta.suspend_user"), _user(("okta.user", "u9")))
        assert unknown.result is Result.REFUSED
        await port.close()


# --- Microsoft and Jamf: connectors of a test's own ------------------------------------------------------------------


class _Options(msgspec.Struct, frozen=True):
    quarantine_group: str = ""


class _Acting:
    """A connector that only acts."""

    reads = ()

    def __init__(self, wiring: Wiring) -> None:
        proof = ClientCredentials(
            wiring.http, wiring.clock, url=f"{wiring.base_url}/oauth2/token", client_id=wiring.definition.client_id,
            secret=wiring.secret("client_secret"),
        )  # fmt: skip
        self.acting: VendorApi = wiring.api(proof, wiring.pace(per_second=100, burst=100))

    async def push(self, request: Request) -> Pushed:
        raise NotImplementedError

    async def close(self) -> None:
        pass


class Tenant(FakeVendor):
    """Graph, Defender and Jamf behind one address."""

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self.members: set[str] = set()
        self.isolating = False

    def routes(self) -> Mapping[tuple[str, str], Handler]:
        return {
            ("POST", "/v1.0/users/u1/revokeSignInSessions"): self._fine,
            ("POST", "/v1.0/identityProtection/riskyUsers/confirmCompromised"): self._fine,
            ("POST", "/v1.0/identityProtection/riskyUsers/dismiss"): self._fine,
            ("GET", "/v1.0/devices(deviceId='d1')"): self._device,
            ("POST", "/v1.0/groups/g1/members/$ref"): self._add,
            ("DELETE", "/v1.0/groups/g1/members/o1/$ref"): self._remove,
            ("POST", "/api/machines/m1/isolate"): self._isolate,
            ("POST", "/api/machines/m1/unisolate"): self._isolate,
            ("PUT", "/JSSResource/computergroups/id/7"): self._fine,
        }

    async def _fine(self, call: Call) -> Reply:
        return Reply(204)

    async def _device(self, call: Call) -> Reply:
        return Reply(200, {"id": "o1"})

    async def _add(self, call: Call) -> Reply:
        if "o1" in self.members:
            said = "One or more added object references already exist for the following modified properties: 'members'."
            return Reply(400, {"error": {"code": "Request_BadRequest", "message": said}})
        assert call.json == {"@odata.id": "https://graph.microsoft.com/v1.0/directoryObjects/o1"}
        self.members.add("o1")
        return Reply(204)

    async def _remove(self, call: Call) -> Reply:
        if "o1" not in self.members:
            return Reply(404, {"error": {"code": "Request_ResourceNotFound", "message": "no"}})
        self.members.discard("o1")
        return Reply(204)

    async def _isolate(self, call: Call) -> Reply:
        if self.isolating:
            return Reply(400, {"error": {"code": "ActiveRequestAlreadyExists", "message": "pending"}})
        self.isolating = True
        return Reply(201, {"id": "action-1", "status": "Pending"})


_VENDORS = {
    "entra": microsoft.ENTRA, "intune": microsoft.INTUNE, "defender": microsoft.DEFENDER, "jamf": jamf.ACTIONS,
}  # fmt: skip


async def _acting(connected: Connected, tenant: Tenant, vendor: str, **options: str) -> ConnectorPort:
    made = Vendor(
        name=vendor, title=vendor, make=_Acting, options=_Options, secrets={"client_secret": "a secret"}, pulls=True
    )
    connected.desk.opener._workshop.vendors = {vendor: made}
    connected.desk._vendors = {vendor: made}
    await connected.connect(tenant, vendor, secrets={"client_secret": tenant.client_secret}, options=options)
    return _port(connected, vendor, _VENDORS[vendor])


async def test_entra_revokes_sessions_and_marks_the_user(connected: Connected) -> None:
    async with Tenant(connected.clock) as tenant:
        port, alice = await _acting(connected, tenant, "entra"), _user(("entra.user", "u1"))
        for name in microsoft.ENTRA:
            assert (await port.execute(_effect(connected, name), alice)).result is Result.DONE
        assert [call.json for call in tenant.calls if call.path.endswith(("Compromised", "dismiss"))] == [
            {"userIds": ["u1"]}, {"userIds": ["u1"]},
        ]  # fmt: skip
        laptop = _device(owner=alice)
        assert (await port.execute(_effect(connected, "entra.revoke_sessions"), laptop)).result is Result.DONE
        assert (await port.execute(_effect(connected, "entra.revoke_sessions"), _device())).result is Result.REFUSED
        guarded = _device(owner=replace(alice, protected=True))
        assert (await port.execute(_effect(connected, "entra.revoke_sessions"), guarded)).result is Result.REFUSED
        await port.close()


async def test_intune_puts_the_device_into_the_excluded_group_and_out_again(connected: Connected) -> None:
    async with Tenant(connected.clock) as tenant:
        port = await _acting(connected, tenant, "intune", quarantine_group="g1")
        laptop = _device(("entra.device", "d1"))
        for _ in range(2):
            told = await port.execute(_effect(connected, "intune.withdraw_profiles"), laptop)
            assert (told.result, tenant.members) == (Result.DONE, {"o1"})
        for _ in range(2):
            told = await port.execute(_effect(connected, "intune.restore_profiles"), laptop)
            assert (told.result, tenant.members) == (Result.DONE, set())
        await port.close()


async def test_defender_isolates_once(connected: Connected) -> None:
    async with Tenant(connected.clock) as tenant:
        port, laptop = await _acting(connected, tenant, "defender"), _device(("defender.machine", "m1"))
        effect = _effect(connected, "defender.isolate")
        assert (await port.execute(effect, laptop)).result is Result.DONE
        assert tenant.calls[-1].json == {"Comment": f"Troth, effect {effect.id}", "IsolationType": "Full"}
        assert (await port.execute(effect, laptop)).result is Result.DONE
        await port.close()


async def test_jamf_changes_the_static_group_and_no_udid_is_markup(connected: Connected) -> None:
    async with Tenant(connected.clock) as tenant:
        port = await _acting(connected, tenant, "jamf", quarantine_group="7")
        laptop = _device(udid="A<B")
        assert (await port.execute(_effect(connected, "jamf.withdraw_profiles"), laptop)).result is Result.DONE
        assert tenant.calls[-1].body == (
            b"<computer_group><computer_additions><computer><udid>A&lt;B</udid></computer></computer_additions>"
            b"</computer_group>"
        )
        assert (await port.execute(_effect(connected, "jamf.restore_profiles"), laptop)).result is Result.DONE
        await port.close()


def test_every_port_of_a_connector_is_done_by_somebody() -> None:
    does = {**crowdstrike.ACTIONS, **okta.ACTIONS, **jamf.ACTIONS, **microsoft.ENTRA, **microsoft.INTUNE,
            **microsoft.DEFENDER}  # fmt: skip
    assert {name for name, port in PORTS.items() if port.kind == "connector"} == set(does)
