"""The policies that come with Troth, each by what it lets through and what it does not."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.trust.policies import taken
from troth.pki.profile import shipped_profiles
from troth.trust.authoring.service import shipped
from troth.trust.decision.judge import judge
from troth.trust.model import Moment, Outcome
from troth.trust.policy.grammar import parse_policy
from troth.trust.standing import Standing

#: Issued by Troth to itself, without a decision.
OWN = {"quarantine", "ocsp-responder", "troth-service"}
POLICIES = {name: parse_policy(text, file=f"{name}.yaml", version=1) for name, text in shipped().items()}

OPERATOR: dict[str, Any] = {
    "request.names": ["a.example"], "evidence.controlled_names": ["a.example"], "evidence.operator": "olga",
    "evidence.methods": ["operator"], "evidence.possession": True, "evidence.key_assurance": "unproven",
}  # fmt: skip
ATTESTED = {**OPERATOR, "evidence.key_assurance": "attested", "evidence.attested": True}
ACME = {name: value for name, value in OPERATOR.items() if name != "evidence.operator"}
ALICE = {"subject.kind": "user", "user.enabled": True}
LAPTOP = {"subject.kind": "device", "device.managed": True, "user.enabled": True, "posture.compliant": True,
          "risk.score": 5}  # fmt: skip
SHOP = {"subject.kind": "workload", "workload.trust_domain": "corp.example"}
NODE = {"evidence.node": "node-1", "evidence.node_groups": ["racks"], "evidence.node_standing": "trusted",
        "workload.nodes": ["node-1"]}  # fmt: skip
ALLOW, RESTRICT, QUARANTINE, DENY = Outcome.ALLOW, Outcome.RESTRICT, Outcome.QUARANTINE, Outcome.DENY


def _without(values: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name not in names}


def test_every_profile_for_others_has_a_policy_of_its_own_name() -> None:
    assert {name: policy.profiles for name, policy in POLICIES.items()} == {
        name: (name,) for name in set(shipped_profiles()) - OWN
    }


@pytest.mark.parametrize("name", sorted(POLICIES))
def test_nothing_known_is_never_allowed(name: str) -> None:
    assert judge(POLICIES[name], taken({}, asked=name)).outcome is not ALLOW


@pytest.mark.parametrize("name", sorted(POLICIES))
def test_nobody_distrusted_is_let_through(name: str) -> None:
    everything = {**ATTESTED, **ALICE, **LAPTOP, **SHOP}
    decision = judge(POLICIES[name], taken(everything, standing=Standing.DISTRUSTED, asked=name))
    assert decision.outcome is DENY


@pytest.mark.parametrize(
    ("name", "values", "outcome"),
    [
        ("mutual-tls", ACME, ALLOW),
        ("mutual-tls", {**ACME, "evidence.controlled_names": []}, DENY),
        *((name, OPERATOR, ALLOW) for name in ("radius-server", "domain-controller", "vpn-server")),
        *((name, ACME, DENY) for name in ("radius-server", "domain-controller", "vpn-server")),
        ("wifi-device", LAPTOP, ALLOW),
        ("wifi-device", {**LAPTOP, "device.managed": False}, DENY),
        ("wifi-device", _without(LAPTOP, "device.managed"), DENY),
        ("wifi-device", {**LAPTOP, "subject.kind": "workload"}, DENY),
        ("wifi-device", {**LAPTOP, "user.enabled": False}, DENY),
        ("wifi-device", {**LAPTOP, "posture.compliant": False}, QUARANTINE),
        ("wifi-device", {**LAPTOP, "risk.score": 60}, QUARANTINE),
        ("wifi-device", {**LAPTOP, "risk.score": 90}, QUARANTINE),
        ("wifi-device", _without(LAPTOP, "posture.compliant"), RESTRICT),
        ("wifi-user", ALICE, ALLOW),
        ("wifi-user", {**ALICE, "user.enabled": False}, DENY),
        ("wifi-user", {**ALICE, "subject.kind": "device"}, DENY),
        ("wifi-user", _without(ALICE, "user.enabled"), DENY),
        ("wifi-user", {**ALICE, "risk.score": 60}, RESTRICT),
        ("wifi-user", {**ALICE, "risk.score": 90}, QUARANTINE),
        ("vpn", {**ALICE, "subject.kind": "device"}, ALLOW),
        ("vpn", {**ALICE, "subject.kind": "workload"}, DENY),
        ("vpn", {**ALICE, "user.enabled": False}, DENY),
        ("s-mime", {**ALICE, **OPERATOR}, ALLOW),
        ("s-mime", {**ALICE, **OPERATOR, "user.enabled": False}, DENY),
        ("s-mime", {**ALICE, **OPERATOR, "subject.kind": "workload"}, DENY),
        ("smartcard-logon", {**ALICE, **ATTESTED}, ALLOW),
        ("smartcard-logon", {**ALICE, **OPERATOR}, DENY),
        ("smartcard-logon", {**ALICE, **ATTESTED, "user.enabled": False}, DENY),
        ("smartcard-logon", {**ALICE, **ATTESTED, "risk.score": 50}, DENY),
        ("code-signing", {**ALICE, **ATTESTED}, ALLOW),
        ("code-signing", {**ALICE, **OPERATOR}, DENY),
        ("code-signing", ATTESTED, DENY),
        ("device-identity", {**LAPTOP, **ATTESTED}, ALLOW),
        ("device-identity", {**LAPTOP, **OPERATOR}, DENY),
        ("device-identity", {**LAPTOP, **ATTESTED, "device.managed": False}, DENY),
        ("spiffe-workload", {**SHOP, **OPERATOR}, ALLOW),
        ("spiffe-workload", {**SHOP, **_without(ATTESTED, "evidence.operator")}, ALLOW),
        ("spiffe-workload", {**SHOP, **ACME}, DENY),
        ("spiffe-workload", {**SHOP, **NODE}, ALLOW),
        ("spiffe-workload", {**SHOP, **NODE, "workload.nodes": ["racks"]}, ALLOW),
        ("spiffe-workload", {**SHOP, **NODE, "workload.nodes": ["node-2"]}, DENY),
        ("spiffe-workload", {**SHOP, **_without(NODE, "workload.nodes")}, DENY),
        ("spiffe-workload", {**SHOP, **NODE, "evidence.node_standing": "restricted"}, DENY),
        ("spiffe-workload", {**SHOP, **NODE, "user.enabled": False}, DENY),
        ("spiffe-workload", {**_without(SHOP, "workload.trust_domain"), **OPERATOR}, DENY),
        ("spiffe-workload", {**SHOP, **OPERATOR, "user.enabled": False}, DENY),
    ],
)
def test_a_shipped_policy_decides(name: str, values: dict[str, Any], outcome: Outcome) -> None:
    assert judge(POLICIES[name], taken(values, asked=name)).outcome is outcome


@pytest.mark.parametrize("name", ["wifi-device", "wifi-user", "vpn"])
def test_network_policies_judge_each_connection_without_evidence_of_issuing(name: str) -> None:
    joins = {**ALICE, **LAPTOP, "subject.kind": "device" if name == "wifi-device" else "user"}
    assert judge(POLICIES[name], taken(joins, moment=Moment.CONNECT, asked=name)).outcome is ALLOW
    gone = {**joins, "user.enabled": False}
    assert judge(POLICIES[name], taken(gone, moment=Moment.CONNECT, asked=name)).outcome is DENY
