"""Policies as pages and API show them: tests, replays, differences."""

from __future__ import annotations

from msgspec import Struct

from troth.trust.authoring.replay import Report


class TriedView(Struct, frozen=True, kw_only=True):
    """One example. ``told``: of one that failed, what is different and why the decision came out as it did."""

    name: str
    line: int
    passed: bool
    outcome: str
    differences: tuple[str, ...] = ()
    told: str = ""


class TestsView(Struct, frozen=True, kw_only=True):
    """All examples of a policy."""

    policy: str
    version: int
    passed: bool
    tests: tuple[TriedView, ...]


class TrialView(Struct, frozen=True, kw_only=True):
    """A policy tried: its examples, what its text changes, whom it would change.

    ``asks``: it takes from more of the fleet than may lose unasked, so applying it takes ``accept_loss``.
    """

    tests: TestsView
    diff: str
    report: Report
    asks: bool


class PolicyDifference(Struct, frozen=True):
    """A unified diff; empty if nothing differs."""

    diff: str
