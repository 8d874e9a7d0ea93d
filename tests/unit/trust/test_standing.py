"""The standing table, written out a second time by hand from the design, so that no edit slips by."""

from __future__ import annotations

import itertools

import pytest

from troth.trust.standing import CertificateStatus, Standing, meaning, strictest

T, R, Q, D = Standing.TRUSTED, Standing.RESTRICTED, Standing.QUARANTINED, Standing.DISTRUSTED


def test_standings_are_ordered_from_best_to_worst() -> None:
    assert sorted([D, Q, T, R]) == [T, R, Q, D]
    assert T < R < Q < D
    assert Q >= R
    assert T <= R


def test_a_standing_is_not_comparable_with_a_word() -> None:
    with pytest.raises(TypeError):
        _ = Standing.TRUSTED < "quarantined"


@pytest.mark.parametrize(
    ("standing", "issue", "status", "radius", "tell"),
    [
        (T, "by_policy", "good", "profile_by_policy", ()),
        (R, "by_policy_shorter", "good", "restricted_profile", ("risk-level-change",)),
        (
            Q,
            "quarantine_profile_only",
            "held_but_for_quarantine_profiles",
            "quarantine_profile",
            ("device-compliance-change", "session-revoked"),
        ),
        (D, "refused", "revoked", "reject", ("credential-change", "session-revoked")),
    ],
)
def test_the_table_says_what_the_design_says(
    standing: Standing, issue: str, status: str, radius: str, tell: tuple[str, ...]
) -> None:
    row = meaning(standing)
    assert (row.issue.value, row.status.value, row.radius.value) == (issue, status, radius)
    assert tuple(event.value for event in row.tell) == tell


@pytest.mark.parametrize(
    ("standing", "ordinary", "in_quarantine_profile"),
    [(T, "good", "good"), (R, "good", "good"), (Q, "held", "good"), (D, "revoked", "revoked")],
)
def test_a_quarantine_profile_certificate_stays_good_in_quarantine_and_nowhere_worse(
    standing: Standing, ordinary: str, in_quarantine_profile: str
) -> None:
    row = meaning(standing)
    assert row.certificate_status(quarantine_profile=False) is CertificateStatus(ordinary)
    assert row.certificate_status(quarantine_profile=True) is CertificateStatus(in_quarantine_profile)


def test_the_strictest_of_any_standings_is_their_maximum_and_of_none_is_trusted() -> None:
    assert strictest() is T
    for one, other in itertools.product(Standing, repeat=2):
        assert strictest(one, other) in {one, other}
        assert strictest(one, other) >= one
        assert strictest(one, other) >= other
