"""The rule as a document: what it asks for, and which documents are refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from troth.access.approvals.demand import NOTHING, Demand
from troth.access.approvals.errors import ApprovalRefused
from troth.access.approvals.model import Act, act_hash, approval_challenge
from troth.access.approvals.rule import GUARDIANS, OPEN, REGULATED, Rule, parse_rule
from troth.access.roles import Role

KINDS = ("account.disable", "account.enable", "certificate.revoke_many", "directory.apply", "feed.grant",
         "person.change", "policy.apply", "role.grant", "rule.change", "staged.approve")  # fmt: skip


def test_without_a_rule_nothing_is_asked() -> None:
    assert {Rule().demand(kind).approvals for kind in KINDS} == {0}
    assert parse_rule(OPEN, KINDS).demand("rule.change") == NOTHING


def test_the_regulated_preset_asks_two_persons_for_what_is_dangerous() -> None:
    rule = parse_rule(REGULATED, KINDS)
    assert {kind for kind in KINDS if rule.demand(kind).approvals != 2} == {
        "directory.apply", "certificate.revoke_many", "staged.approve",
    }  # fmt: skip
    assert rule.demand("certificate.revoke_many", 2).approvals == 2
    assert rule.demand("staged.approve", 10).approvals == 0


def test_a_rule_cannot_be_walked_around_by_acts_that_it_does_not_name() -> None:
    rule = parse_rule("approvals: {rules: [{kinds: [policy.apply], approvals: 3, roles: [approver]}]}", KINDS)
    for kind in GUARDIANS:
        assert rule.demand(kind) == Demand(3, frozenset({Role.APPROVER}))
    assert rule.demand("feed.grant") == NOTHING


def test_the_first_entry_that_names_a_kind_governs() -> None:
    text = "approvals: {rules: [{kinds: [account.disable], approvals: 0}, {kinds: [account.*], approvals: 1}]}"
    rule = parse_rule(text, KINDS)
    assert (rule.demand("account.disable").approvals, rule.demand("account.enable").approvals) == (0, 1)


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("approvals: {rules: [{kinds: [policy.aply], approvals: 1}]}", "names no kind"),
        ("approvals: {rules: [{kinds: [], approvals: 1}]}", "names no kinds"),
        ("approvals: {rules: [{kinds: ['*'], approvals: 1, roles: [auditor]}]}", "roles that may approve"),
        ("approvals: {rules: [{kinds: ['*'], approvals: 1, roles: []}]}", "roles that may approve"),
        ("approvals: {rules: [{kinds: ['*'], approvals: -1}]}", ">= 0"),
        ("approvals: {rules: [], expires_hours: 0}", ">= 1"),
        ("approvals: {rules: [], extra: 1}", "unknown field"),
        ("approvals: {rules: [{kinds: [policy.apply], approvals: 1, roles: [approver]},"
         " {kinds: [feed.grant], approvals: 1, roles: [administrator]}]}", "no role in common"),
        ("][", "expected"),
        ("x" * 70_000, "64 KiB"),
    ],
)  # fmt: skip
def test_a_document_with_a_mistake_is_refused_and_says_where(text: str, word: str) -> None:
    with pytest.raises(ApprovalRefused) as refused:
        parse_rule(text, KINDS)
    assert (refused.value.code, word in refused.value.detail) == ("approval.rule_invalid", True), refused.value.detail


_roles = st.frozensets(st.sampled_from([Role.ADMINISTRATOR, Role.APPROVER]), min_size=1)
_demands = st.builds(Demand, st.integers(0, 5), _roles)


@given(_demands, _demands)
def test_the_stricter_of_two_demands_satisfies_both(one: Demand, other: Demand) -> None:
    try:
        both = one.stricter(other)
    except ApprovalRefused:
        assert not one.roles & other.roles
        return
    for demand in (one, other):
        assert both.approvals >= demand.approvals
        assert not demand.approvals or both.roles <= demand.roles


@given(st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=5)), st.text(max_size=8))
def test_the_hash_of_an_act_follows_from_kind_and_values_alone(payload: dict[str, object], kind: str) -> None:
    again = dict(reversed(payload.items()))
    act = Act.of(kind, payload)  # type: ignore[arg-type]
    assert act == Act.of(kind, again)  # type: ignore[arg-type]
    assert act.hash == act_hash(kind, act.payload)
    assert act.hash != act_hash(kind + "x", act.payload)


def test_a_challenge_is_bound_to_act_state_and_nonce() -> None:
    a, b = bytes(32), b"\x01" * 32
    made = {approval_challenge(*one) for one in ((a, a, a), (b, a, a), (a, b, a), (a, a, b))}
    assert len(made) == 4
    with pytest.raises(ValueError, match="32 octets"):
        approval_challenge(a, a, b"")
