"""Policies tried and compared."""

from __future__ import annotations

import re
from collections.abc import Sequence

from troth.trust.authoring.examples import Tried
from troth.trust.authoring.replay import Report
from troth.trust.authoring.replay_service import Bounds
from troth.trust.authoring.service import PolicyPlan, PolicyService
from troth.trust.authoring.trial import Trials
from troth.trust.errors import POLICY_MALFORMED, PolicyError
from troth.web.policy_views import TestsView, TrialView, TriedView

_SEPARATOR = re.compile(r"^---\s*$", re.MULTILINE)


class PolicyBook:
    """What is asked of policies that are not applied yet, or are no longer."""

    def __init__(self, policies: PolicyService, trials: Trials) -> None:
        self._policies = policies
        self._trials = trials

    async def test(self, documents: str) -> TestsView:
        """The examples in a policy, and in a document of tests that may follow it. Raises PolicyError."""
        policy, beside = _parts(documents)
        plan, tests = await self._trials.test(policy, beside=beside)
        return _tests(plan, tests)

    async def replay(self, documents: str, bounds: Bounds) -> TrialView:
        """All of it. Raises TrothError."""
        policy, beside = _parts(documents)
        trial = await self._trials.replay(policy, beside=beside, bounds=bounds)
        return TrialView(
            tests=_tests(trial.plan, trial.tests),
            diff=trial.plan.diff,
            report=trial.report,
            asks=not self._trials.guard.holds(trial.report),
        )

    async def weighed(self, text: str, *, accept_loss: bool) -> Report | None:
        """Whom a policy would change before it is applied. Raises PolicyError if that is more than may be unasked."""
        return await self._trials.weighed(await self._policies.plan(text), accept_loss=accept_loss)

    async def diff(self, name: str, before: int, after: int | None) -> str:
        """Between two versions. Raises PolicyError."""
        return await self._policies.diff(name, before, after)

    async def diff_document(self, text: str) -> str:
        """Between a document and what is in force. Raises PolicyError."""
        return (await self._policies.plan(text)).diff

    async def text_of(self, name: str, version: int) -> str:
        """A version as it was applied. Raises PolicyError."""
        return (await self._policies.show(name, version)).source


def _parts(documents: str) -> tuple[str, str | None]:
    parts = [part for part in _SEPARATOR.split(documents) if part.strip()]
    if not 1 <= len(parts) <= 2:
        raise PolicyError(POLICY_MALFORMED, "a policy was expected, and a document of its tests may follow")
    return parts[0], parts[1] if len(parts) == 2 else None


def _tests(plan: PolicyPlan, tests: Sequence[Tried]) -> TestsView:
    return TestsView(
        policy=plan.policy.name,
        version=plan.policy.version,
        passed=all(one.passed for one in tests),
        tests=tuple(
            TriedView(
                name=one.name,
                line=one.line,
                passed=one.passed,
                outcome=one.decision.outcome.value,
                differences=one.differences,
                told="" if one.passed else one.told(),
            )
            for one in tests
        ),
    )
