"""Examples beside a policy: what they say, what is wrong with them, and that the shipped policies' own ones hold."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.trust.policies import client_device, rules
from troth.cli.main import main
from troth.trust.authoring.examples import run_tests
from troth.trust.authoring.service import PolicyPlan, shipped
from troth.trust.errors import PolicyError
from troth.trust.policy.compiled import Policy

HEAD = "policy: client-device\ntests:\n"


def told(text: str, policy: Policy | None = None) -> list[str]:
    """The differences of the examples in ``text``, kept in a file of their own."""
    found = run_tests(policy or client_device(), HEAD + text)
    return [difference for one in found[len(run_tests(policy or client_device())) :] for difference in one.differences]


@pytest.mark.parametrize("name", sorted(shipped()))
def test_every_shipped_policy_has_examples_and_they_hold(name: str) -> None:
    from troth.trust.policy.grammar import parse_policy

    found = run_tests(parse_policy(shipped()[name]))
    assert len(found) >= 3
    assert {one.decision.outcome.value for one in found} > {"allow"}, "and one that is not allowed"
    assert [one.told() for one in found if not one.passed] == []


def test_a_difference_is_told_with_what_was_expected_and_what_it_is() -> None:
    assert told("  - {test: t, given: {user.enabled: false}, expect: allow}\n") == ["expected allow, and it is deny"]
    healthy = "given: {user.enabled: true, posture.compliant: true, risk.score: 1}"
    assert told(f"  - {{test: t, {healthy}, expect: {{allow: {{lifetime: 31d}}}}}}\n") == [
        "expected lifetime 31 days, and it is 30 days"
    ]
    assert told(f"  - {{test: t, {healthy}, expect: {{allow: {{vlan: 5}}}}}}\n") == ["expected vlan 5, and it is none"]
    assert told(f"  - {{test: t, {healthy}, expect: allow, rule: high-risk}}\n") == [
        "expected rule high-risk to decide, and it was healthy-device"
    ]
    assert told("  - {test: t, given: {user.enabled: true}, expect: restrict, because: compliant}\n") == [
        "expected because of compliant, and it is because of compliant, low_risk"
    ]


@pytest.mark.parametrize(
    ("test", "compliant", "expect"),
    [
        ("test: fresh", "{value: true, age: 59m}", "allow"),
        ("test: stale", "{value: true, age: 61m}", "restrict"),
        ("test: down, down: {mdm: 2h}", "{value: true, age: 61m, source: mdm}", "allow"),
        ("test: another is down, down: {edr: 2h}", "{value: true, age: 61m, source: mdm}", "restrict"),
        ("test: down for too long, down: {mdm: 25h}", "{value: true, age: 61m, source: mdm}", "restrict"),
        ("test: its owner, owner: {name: bob, standing: distrusted}", "true", "deny"),
        ("test: itself, subject: {standing: quarantined}", "true", "quarantine"),
    ],
)
def test_what_is_given_has_its_age_its_source_and_its_owner(test: str, compliant: str, expect: str) -> None:
    given = f"{{user.enabled: true, risk.score: 0, posture.compliant: {compliant}}}"
    assert told(f"  - {{{test}, given: {given}, expect: {expect}}}\n") == []


def test_time_place_access_server_and_application_can_be_given() -> None:
    policy = rules(
        "  - rule: r\n    moments: [connect]\n    require:\n"
        '      office: time.local_hour >= 8 && place.site == "campus"\n'
        '      wifi: nas.ssid == "corp" && application.name == "radius" && certificate.remaining > duration("1d")\n'
        "      quiet: size(signals.open) == 0\n"
        "    then: allow\n    else: deny\n    unknown: restrict\n"
        "tests:\n"
        "  - test: at work\n    moment: connect\n    at: 2026-11-23T08:30:00+01:00\n"
        "    given: {place.site: campus, nas.ssid: corp, application.name: radius, certificate.remaining: 2d,"
        " signals.open: []}\n    expect: allow\n"
        "  - test: at night\n    moment: connect\n    at: 2026-11-23T02:30:00Z\n"
        "    given: {place.site: campus, nas.ssid: corp, application.name: radius, certificate.remaining: 2d,"
        " signals.open: [edr.alert]}\n    expect: deny\n    because: [office, quiet]\n",
        head="time_zone: Europe/Berlin",
    )
    assert [one.differences for one in run_tests(policy)] == [(), ()]


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("  - {test: t}\n", "the field 'expect' is missing"),
        ("  - {test: t, expect: alow}\n", "an outcome is one of"),
        ("  - {test: t, expect: allow, given: {user.enabld: true}}\n", "did you mean 'user.enabled'"),
        ("  - {test: t, expect: allow, given: {user.enabled: 1}}\n", "is an int, not a bool"),
        ("  - {test: t, expect: allow, given: {time.hour: 1}}\n", "by 'at'"),
        ("  - {test: t, expect: allow, given: {subject.name: x}}\n", "under 'subject'"),
        ("  - {test: t, expect: allow, given: {request.account: {value: x, age: 1h}}}\n", "said now"),
        ("  - {test: t, expect: allow, rule: helthy-device}\n", "did you mean 'healthy-device'"),
        ("  - {test: t, expect: deny, because: compliance}\n", "there is no condition"),
        ("  - {test: t, expect: deny, moment: sign}\n", "a moment is one of"),
        ("  - {test: t, expect: deny, profile: other}\n", "governs client-device"),
        ("  - {test: t, expect: deny, subject: {kind: robot}}\n", "robot"),
        ("  - {test: t, expect: deny, at: yesterday}\n", "a time with its offset"),
        ("  - {test: t, expect: deny}\n  - {test: t, expect: deny}\n", "two tests named"),
    ],
)
def test_an_example_that_means_nothing_is_refused_with_its_line(text: str, part: str) -> None:
    with pytest.raises(PolicyError, match=part) as caught:
        told(text)
    assert caught.value.facts["line"] in (3, 4)


def test_tests_of_another_policy_are_refused() -> None:
    with pytest.raises(PolicyError, match="another policy"):
        run_tests(client_device(), "policy: other\ntests: []\n")


def test_a_plan_whose_examples_fail_says_which() -> None:
    policy = rules("  - {rule: r, then: allow, unknown: deny}\ntests:\n  - {test: nobody, expect: deny}\n")
    plan = PolicyPlan(policy, None, "", 0, run_tests(policy))
    with pytest.raises(PolicyError, match="1 of 1: nobody: expected deny, and it is allow") as caught:
        plan.refuse_failed()
    assert caught.value.code == "policy.tests_failed"


def test_the_command_runs_what_stands_in_the_file_and_beside_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "client-device.yaml"
    file.write_text(shipped()["client-device"])
    assert main(["policy", "test", "-f", str(file)]) == 0
    assert "6 of 6 examples of policy client-device pass" in capsys.readouterr().out
    (tmp_path / "client-device.tests.yaml").write_text(HEAD + "  - {test: mine, expect: allow}\n")
    assert main(["policy", "test", "-f", str(file)]) == 1
    told = capsys.readouterr().out
    assert "✗ mine" in told
    assert "expected allow, and it is restrict" in told
    assert "6 of 7" in told
    assert "posture.compliant is missing" in told, "and why"
    # Applying refuses before a server is asked: there is none here.
    assert main(["apply", "-f", str(file)]) == 1
    assert "policy.tests_failed" in capsys.readouterr().err
