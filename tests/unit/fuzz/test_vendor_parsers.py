"""What vendors push, and what they answer: the same promise as of all other parsers."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.unit.fuzz.test_parsers import EXAMPLES, mutated
from troth.connect.api import shaped
from troth.connect.connector import Vendor, Wiring
from troth.connect.defender import mapping as defender
from troth.connect.definition import ConnectorDefinition
from troth.connect.entra import mapping as entra
from troth.connect.google import GOOGLE
from troth.connect.google import mapping as google
from troth.connect.graphsecurity import GRAPH_SECURITY, notices
from troth.connect.graphsecurity import mapping as graph
from troth.connect.intune import mapping as intune
from troth.connect.jamf import JAMF
from troth.connect.jamf import hook as jamf_hook
from troth.connect.jamf import mapping as jamf
from troth.connect.okta import OKTA
from troth.connect.okta import hook as okta_hook
from troth.connect.okta import mapping as okta
from troth.connect.pacing import Paces
from troth.connect.sentinelone import mapping as sentinelone
from troth.kit.clock import FakeClock
from troth.kit.errors import TrothError
from troth.kit.lane import Request

AT = datetime(2026, 3, 2, 9, tzinfo=UTC)
SECRET = b"a-secret-of-plain-characters"


class _Nobody:
    """No request leaves a fuzzer."""

    async def request(self, *_: Any, **__: Any) -> Any:
        raise AssertionError("a parser asked somebody")

    def stream(self, *_: Any, **__: Any) -> Any:
        raise AssertionError("a parser asked somebody")


def wiring(vendor: Vendor, **options: Any) -> Wiring:
    clock = FakeClock(AT)
    definition = ConnectorDefinition("it", vendor.name, "idp", base_url="https://x.example", client_id="c", tenant="t")
    return Wiring(
        definition=definition, options=vendor.options(**options), secrets=dict.fromkeys(vendor.secrets, SECRET),
        base_url="https://x.example", http=_Nobody(), clock=clock, paces=Paces(clock), group="x",
    )  # fmt: skip


OKTA_WIRING = wiring(OKTA)
GRAPH_WIRING = wiring(GRAPH_SECURITY, notify_url="https://t.example/")
GOOGLE_WIRING = wiring(GOOGLE, admin="a@b")
JAMF_WIRING = wiring(JAMF)


def request(body: bytes, query: bytes = b"") -> Request:
    headers = {"authorization": SECRET.decode()}
    return Request("POST", "/connect/x/it", b"/connect/x/it", query, ("x", "it"), headers, body, "192.0.2.1")


def item(read: Callable[[Any], object]) -> Callable[[bytes], object]:
    """A parser of one item of an answer that is JSON already: only what follows is of interest here."""

    def parse(data: bytes) -> object:
        try:
            value = json.loads(data)
        except (ValueError, RecursionError):
            return None
        return read(value)

    return parse


def _seed(value: Any) -> Callable[[], list[bytes]]:
    return lambda: [json.dumps(value).encode()]


_TIME = "2026-03-02T08:00:00Z"
EVENT = {"uuid": "u", "published": _TIME, "eventType": "user.risk.change", "outcome": {"result": "SUCCESS"},
         "actor": {"id": "a", "type": "User"}, "target": [{"id": "u1", "type": "User", "alternateId": "a@b"}],
         "debugContext": {"debugData": {"risk": "{level=HIGH, reasons=x}"}}, "displayMessage": "x"}  # fmt: skip
ALERT = {"id": "a1", "lastUpdateDateTime": _TIME, "severity": "high", "status": "new", "title": "x",
         "evidence": [{"@odata.type": "#microsoft.graph.security.deviceEvidence", "azureAdDeviceId": "d1"},
                      {"@odata.type": "x", "userAccount": {"azureAdUserId": "u1"}}]}  # fmt: skip
ACTIVITY = {"id": {"time": _TIME, "uniqueQualifier": "-1"}, "actor": {"email": "a@b", "profileId": "1"},
            "events": [{"name": "SUSPEND_USER", "parameters": [{"name": "USER_EMAIL", "value": "a@b"}]}]}  # fmt: skip
MANAGED = {"id": "m", "lastSyncDateTime": _TIME, "complianceState": "compliant", "managementState": "managed",
           "serialNumber": "S", "azureADDeviceId": "d", "partnerReportedThreatState": "secured"}  # fmt: skip
MACHINE = {"id": "m", "lastSeen": _TIME, "aadDeviceId": "d", "riskScore": "High", "healthStatus": "Active"}
MAC = {"id": "1", "udid": "U", "general": {"reportDate": _TIME, "remoteManagement": {"managed": True}},
       "hardware": {"serialNumber": "S"}, "security": {"firewallEnabled": True}}  # fmt: skip
RISKY = {"id": "u", "riskState": "atRisk", "riskLevel": "high", "riskLastUpdatedDateTime": _TIME}
THREAT = {"id": "t", "threatInfo": {"updatedAt": _TIME, "confidenceLevel": "malicious"},
          "agentRealtimeInfo": {"agentUuid": "a"}}  # fmt: skip

PARSERS: dict[str, tuple[Callable[[bytes], object], Callable[[], list[bytes]]]] = {
    "okta hook": (lambda data: okta_hook.read(OKTA_WIRING, request(data)), _seed({"data": {"events": [EVENT]}})),
    "okta event": (item(lambda one: okta.event_signal(OKTA_WIRING, shaped(one, okta.Event))), _seed(EVENT)),
    "graph notice": (
        lambda data: notices.read(GRAPH_WIRING, request(data)),
        _seed({"value": [{"clientState": SECRET.decode(), "lifecycleEvent": "missed"}]}),
    ),
    "graph handshake": (
        lambda data: notices.read(GRAPH_WIRING, request(b"", b"validationToken=" + data)), lambda: [b"Testing%3A+x"],
    ),
    "graph alert": (item(lambda one: graph.signals(GRAPH_WIRING, shaped(one, graph.Alert))), _seed(ALERT)),
    "jamf webhook": (
        lambda data: jamf_hook.read(JAMF_WIRING, request(data)), _seed({"webhook": {"webhookEvent": "ComputerAdded"}}),
    ),
    "jamf computer": (
        item(lambda one: jamf.computer_report(shaped(one, jamf.Computer), trust_serial=True)), _seed(MAC)
    ),
    "google activity": (
        item(lambda one: google.activity_signals(GOOGLE_WIRING, "admin", shaped(google.texts(one), google.Activity))),
        _seed(ACTIVITY),
    ),
    "intune device": (item(lambda one: intune.signals(OKTA_WIRING, shaped(one, intune.Device))), _seed(MANAGED)),
    "entra risk": (item(lambda one: entra.risk_signal(OKTA_WIRING, shaped(one, entra.RiskyUser))), _seed(RISKY)),
    "defender machine": (
        item(lambda one: defender.machine_signal(OKTA_WIRING, shaped(one, defender.Machine))), _seed(MACHINE)
    ),
    "sentinelone threat": (
        item(lambda one: sentinelone.threat_signal(OKTA_WIRING, shaped(one, sentinelone.Threat))), _seed(THREAT)
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", PARSERS)
def test_what_a_vendor_really_says_is_read(name: str) -> None:
    parse, seeds = PARSERS[name]
    for seed in seeds():
        assert parse(seed) is not None


@pytest.mark.parametrize("name", PARSERS)
@settings(
    max_examples=EXAMPLES, deadline=None, derandomize=True, database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.differing_executors],
)  # fmt: skip
@given(st.data())
def test_whatever_comes_is_read_or_refused_by_name(name: str, data: st.DataObject) -> None:
    parse, seeds = PARSERS[name]
    seed = data.draw(st.sampled_from(seeds()))
    some = mutated(seed, data.draw(st.integers(0, 6)), data.draw(st.integers(0, 2**32)))
    try:
        parse(data.draw(st.binary(max_size=200)) if data.draw(st.integers(0, 4)) == 0 else some)
    except (TrothError, ValueError):
        # Refused by name, or kept by ``each`` with what was wrong.
        pass
