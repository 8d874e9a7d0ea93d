"""What a condition can look at beside facts: versions, local time, places, signals; and what it may cost."""

from __future__ import annotations

import ipaddress
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.trust.policies import AT, rules, taken
from troth.kit.ids import new_id
from troth.trust.cel.condition import compile_condition
from troth.trust.cel.cost import MAX_COST
from troth.trust.cel.nodes import ExpressionError
from troth.trust.decision.judge import judge
from troth.trust.decision.question import Question, clock_values, snapshot
from troth.trust.errors import PolicyError
from troth.trust.model import Kind, Moment, Outcome, Subject, Truth
from troth.trust.places import Places, Site
from troth.trust.signals.fact_store import OpenCause
from troth.trust.signals.facts import class_of, described
from troth.trust.standing import Standing
from troth.trust.subjects.facts import Observation
from troth.trust.versions import version_at_least, version_of
from troth.trust.vocabulary import VOCABULARY

# --- versions --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("version", "wanted", "expected"),
    [
        ("14.10", "14.9", True),
        ("14.2", "14.2.0", True),
        ("14.2", "14.2.1", False),
        ("14.2.1 (a)", "14.2.1", True),
        ("10.0.22631.3007", "10.0.22631", True),
        ("9", "10", False),
        (" 17 ", "17", True),
    ],
)
def test_versions_are_compared_as_numbers(version: str, wanted: str, expected: bool) -> None:
    assert version_at_least(version, wanted) is expected


@given(st.lists(st.integers(0, 99), min_size=1, max_size=5), st.lists(st.integers(0, 99), min_size=1, max_size=5))
def test_of_two_versions_one_is_at_least_the_other(one: list[int], other: list[int]) -> None:
    first, second = ".".join(map(str, one)), ".".join(map(str, other))
    assert version_at_least(first, second) or version_at_least(second, first)
    assert version_at_least(first, first)
    assert version_at_least(first, second) is (one + [0] * 5)[:5].__ge__((other + [0] * 5)[:5])


@given(st.text(max_size=30))
def test_any_text_is_a_version_or_none(text: str) -> None:
    found = version_of(text)
    assert found is None or all(part >= 0 for part in found)


def test_a_condition_on_a_version_is_unknown_for_what_is_none() -> None:
    policy = rules(
        "- {rule: r, require: {new: 'version_at_least(posture.os_version, \"14.2\")'}, then: allow, else: deny,"
        " unknown: restrict}"
    )
    for version, outcome in (("14.10", Outcome.ALLOW), ("14.1", Outcome.DENY), ("latest", Outcome.RESTRICT)):
        assert judge(policy, taken({"posture.os_version": version})).outcome is outcome
    assert judge(policy, taken({})).outcome is Outcome.RESTRICT
    with pytest.raises(ExpressionError, match="is no version"):
        compile_condition("c", 'version_at_least(posture.os_version, "latest")', VOCABULARY)
    with pytest.raises(ExpressionError, match="takes a string"):
        compile_condition("c", "version_at_least(risk.score, posture.os_version)", VOCABULARY)


# --- operators -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ('user.department == "ops" && (device.managed || risk.score >= 50)', True),
        ('user.department in ["ops", "dev"]', True),
        ('user.email.matches("^[a-z]+@corp[.]example$")', True),
        ('!(user.groups.exists(g, g == "guests"))', True),
        ('user.groups.all(g, g.startsWith("eng"))', False),
        ('size(user.groups) >= 2 && "eng" in user.groups', True),
        ('age(posture.compliant) < duration("1h")', True),
        ("risk.score > 10 ? device.managed : true", False),
        ('time.now > timestamp("2026-01-01T00:00:00Z")', True),
    ],
)
def test_every_operator_of_a_policy_chain_can_be_said(source: str, expected: bool) -> None:
    policy = rules(f"- rule: r\n  require: {{a: '{source}'}}\n  then: allow\n  else: deny\n  unknown: restrict\n")
    values = {
        "user.department": "ops", "device.managed": False, "risk.score": 60, "user.email": "a@corp.example",
        "user.groups": ["eng", "all"], "posture.compliant": True,
    }  # fmt: skip
    decision = judge(policy, taken(values | {"time.now": AT.isoformat()}))
    assert decision.conditions[0].result is (Truth.TRUE if expected else Truth.FALSE)


# --- cost ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "part"),
    [
        ("request.names.all(n, n in user.groups && n in device.groups)", "a loop of up to 1024 rounds"),
        ('user.name.matches("(a{1,500}){1,500}")', "a regular expression with large repetitions"),
        ('request.names.all(n, n.matches("[a-z]{1,63}"))', "loop"),
        ("request.names.all(n, user.groups.exists(g, g == n))", "a loop inside a loop"),
    ],
)
def test_unbounded_work_is_refused_and_told(source: str, part: str) -> None:
    with pytest.raises(ExpressionError, match=part):
        compile_condition("c", source, VOCABULARY)


def test_what_the_shipped_policies_ask_is_within_the_bound() -> None:
    condition = compile_condition("c", "request.names.all(n, n in evidence.controlled_names)", VOCABULARY)
    assert 1024 * 1024 < condition.cost <= MAX_COST
    assert compile_condition("c", "user.enabled", VOCABULARY).cost == 1


def test_many_dear_conditions_are_refused_together() -> None:
    dear = "request.names.all(n, n in evidence.controlled_names)"
    require = "\n".join(f"    c{number}: {dear}" for number in range(12))
    with pytest.raises(PolicyError, match="at worst a decision at issue takes more than"):
        rules(f"- rule: r\n  require:\n{require}\n  then: allow\n  else: deny\n  unknown: deny\n")


# --- local time ------------------------------------------------------------------------------------------------------

OFFICE = "- {rule: r, match: 'time.local_hour >= 8 && time.local_weekday <= 5', then: allow, unknown: deny}"


def asked(policy_head: str, at: datetime) -> Outcome:
    policy = rules(OFFICE, head=policy_head)
    subject = Subject(new_id(), Kind.DEVICE, "laptop-1", "test")
    return judge(policy, snapshot(Question(Moment.ISSUE, "p", (subject,), {}, {}), subject, policy, (), at)).outcome


def test_office_hours_are_those_of_the_policys_time_zone() -> None:
    """07:30 in UTC is 08:30 in Berlin in winter, 09:30 in summer, and 02:30 in New York."""
    winter, summer = datetime(2026, 1, 12, 7, 30, tzinfo=UTC), datetime(2026, 7, 13, 6, 30, tzinfo=UTC)
    assert asked("time_zone: Europe/Berlin", winter) is Outcome.ALLOW
    assert asked("time_zone: Europe/Berlin", summer) is Outcome.ALLOW
    assert asked("time_zone: America/New_York", winter) is Outcome.DENY
    sunday_evening = datetime(2026, 1, 11, 23, 30, tzinfo=UTC)
    assert clock_values(sunday_evening, "Asia/Tokyo")["time.local_weekday"].value == 1
    assert clock_values(sunday_evening, "Asia/Tokyo")["time.local_minute"].value == 8 * 60 + 30


def test_local_time_without_a_zone_and_a_zone_that_is_none_are_refused() -> None:
    with pytest.raises(PolicyError, match=r"time\.local_hour needs a time zone"):
        rules(OFFICE)
    for zone in ("Mars/Olympus", "../../etc/passwd", "/etc/localtime"):
        with pytest.raises(PolicyError, match="no time zone"):
            rules(OFFICE, head=f"time_zone: {zone}")


# --- places ----------------------------------------------------------------------------------------------------------

PLACES = Places(
    [
        Site("campus", "DE", (ipaddress.ip_network("10.0.0.0/8"),), ("ap-campus",)),
        Site("lab", "DE", (ipaddress.ip_network("10.7.0.0/16"), ipaddress.ip_network("2001:db8:7::/48"))),
        Site("shop", nas=("ap-shop",)),
    ]
)


@pytest.mark.parametrize(
    ("nas", "address", "expected"),
    [
        ({}, "10.1.2.3", {"place.site": "campus", "place.country": "DE"}),
        ({}, "10.7.2.3", {"place.site": "lab", "place.country": "DE"}),
        ({}, "::ffff:10.7.2.3", {"place.site": "lab", "place.country": "DE"}),
        ({}, "2001:db8:7::1", {"place.site": "lab", "place.country": "DE"}),
        ({}, "192.0.2.1", {}),
        ({}, "nonsense", {}),
        ({}, None, {}),
        ({"identifier": "ap-shop"}, "10.7.2.3", {"place.site": "shop", "nas.site": "shop"}),
        ({"address": "10.7.0.1"}, None, {"place.site": "lab", "place.country": "DE", "nas.site": "lab"}),
        # An access server that no table knows: the caller's address is not asked in its place.
        ({"identifier": "ap-x"}, "10.7.2.3", {}),
    ],
)
def test_a_place_is_the_access_servers_or_else_the_callers(
    nas: dict[str, object], address: str | None, expected: dict[str, str]
) -> None:
    assert PLACES.of(nas, address) == expected


@given(st.text(max_size=40))
def test_no_address_breaks_the_table(address: str) -> None:
    assert set(PLACES.of({}, address)) <= {"place.site", "place.country"}


def test_a_policy_reads_the_place_and_the_access_server() -> None:
    policy = rules(
        "- rule: r\n  moments: [connect]\n"
        '  require: {home: \'place.country == "DE" && nas.ssid == "corp"\'}\n'
        "  then: {allow: {vlan: 10}}\n  else: deny\n  unknown: {restrict: {vlan: guests}}\n"
    )
    subject = Subject(new_id(), Kind.DEVICE, "laptop-1", "test")

    def decided(**nas: str) -> str | None:
        question = Question(Moment.CONNECT, "p", (subject,), {}, {}, nas=nas)
        return judge(policy, snapshot(question, subject, policy, (), AT, places=PLACES)).obligations.vlan

    assert decided(identifier="ap-campus", ssid="corp") == "10"
    assert decided(identifier="ap-campus", ssid="guest") is None
    assert decided(identifier="ap-x", ssid="corp") == "guests"


# --- signals ---------------------------------------------------------------------------------------------------------


def cause(kind: str, level: Standing, minutes: int, feed: str = "edr") -> OpenCause:
    return OpenCause(new_id(), feed, level, AT - timedelta(minutes=minutes), kind)


def test_open_causes_are_told_by_kind_feed_class_level_and_age() -> None:
    said = described(
        [
            cause("mdm.noncompliant", Standing.RESTRICTED, 5, "intune"),
            cause("edr.intrusion", Standing.QUARANTINED, 30),
            cause("edr.intrusion", Standing.QUARANTINED, 20),
            cause("admin", Standing.DISTRUSTED, 1, "person:ann"),
        ]
    )
    assert said["signals.open"] == ["edr.intrusion", "edr.intrusion", "mdm.noncompliant", "admin"]
    assert said["signals.feeds"] == ["edr", "intune", "person:ann"]
    assert said["signals.classes"] == ["edr", "mdm", "person"]
    assert said["signals.quarantined"] == ["edr.intrusion", "edr.intrusion"]
    assert said["signals.distrusted"] == ["admin"]
    assert (said["signals.count"], said["signals.newest"]) == (4, (AT - timedelta(minutes=1)).isoformat())
    assert class_of("vendor", "strange.kind") == "generic"


def test_nothing_open_is_an_answer_and_not_unknown() -> None:
    said = described([])
    assert "signals.newest" not in said
    policy = rules(
        "- rule: r\n  require: {quiet: '!signals.open.exists(k, k.startsWith(\"edr.\")) && signals.count == 0'}\n"
        "  then: allow\n  else: deny\n  unknown: restrict\n"
    )
    assert judge(policy, taken(said)).outcome is Outcome.ALLOW
    assert judge(policy, taken({})).outcome is Outcome.RESTRICT
    assert judge(policy, taken(described([cause("edr.intrusion", Standing.RESTRICTED, 1)]))).outcome is Outcome.DENY


@pytest.mark.parametrize(
    ("risk", "signals", "level"),
    [(10, 0, "low"), (10, 60, "medium"), (85, 0, "high"), (None, 90, "high"), (None, 10, None), (None, None, None)],
)
def test_the_level_of_risk_is_the_worse_of_both_scores_and_quiet_alone_says_nothing(
    risk: int | None, signals: int | None, level: str | None
) -> None:
    policy = rules("- {rule: r, match: 'risk.level == \"low\"', then: allow, unknown: deny}")
    assert policy.wants("risk", "signals") == {"risk.level", "risk.score", "signals.score"}
    subject = Subject(new_id(), Kind.DEVICE, "laptop-1", "test")
    said = [Observation(subject.id, "risk.score", risk, "edr", AT)] if risk is not None else []
    said += [Observation(subject.id, "signals.score", signals, "troth", AT)] if signals is not None else []
    taken_ = snapshot(Question(Moment.ISSUE, "p", (subject,), {}, {}), subject, policy, said, AT)
    assert {one.path: one.value for one in taken_.values}.get("risk.level") == level
