"""A policy tried before it is applied: its examples, whom it would change, and whether that is more than usual."""

from __future__ import annotations

from dataclasses import dataclass

from troth.trust.authoring.examples import Tried, run_tests
from troth.trust.authoring.replay import Report
from troth.trust.authoring.replay_service import Bounds, Replay
from troth.trust.authoring.service import PolicyPlan, PolicyService
from troth.trust.errors import POLICY_WOULD_LOSE, PolicyError

#: What is looked at before an apply: enough to see a mistake, soon enough to wait for.
BEFORE_APPLY = Bounds(decisions=2_000, certificates=20_000)


@dataclass(frozen=True, slots=True)
class Guard:
    """How much of the fleet one policy may take from, unasked: whichever of the two is more."""

    percent: int = 10
    subjects: int = 10

    def holds(self, report: Report) -> bool:
        """Whether ``report`` stays within it."""
        return report.fleet.lost <= self.subjects or report.losing_percent <= self.percent


@dataclass(frozen=True, slots=True)
class Trial:
    """What came out."""

    plan: PolicyPlan
    tests: tuple[Tried, ...]
    report: Report


class Trials:
    """Tries policies."""

    def __init__(self, policies: PolicyService, replay: Replay, guard: Guard | None = None) -> None:
        self._policies = policies
        self._replay = replay
        self.guard = guard or Guard()

    async def test(self, text: str, *, beside: str | None = None) -> tuple[PolicyPlan, tuple[Tried, ...]]:
        """The examples in ``text`` and ``beside``, run. Raises PolicyError for a file that is wrong."""
        plan = await self._policies.plan(text)
        return plan, run_tests(plan.policy, beside)

    async def replay(self, text: str, *, beside: str | None = None, bounds: Bounds | None = None) -> Trial:
        """Tests and replay. Raises PolicyError, and TrothError while another replay is under way."""
        plan, tests = await self.test(text, beside=beside)
        return Trial(plan, tests, await self._replay.replay(plan.policy, bounds=bounds))

    async def weighed(self, plan: PolicyPlan, *, accept_loss: bool) -> Report | None:
        """Whom ``plan`` would change; None if it changes nothing at all.

        Raises PolicyError (``policy.would_lose``) if more would lose than the guard lets pass, unless that is accepted.
        """
        if not plan.changes:
            return None
        report = await self._replay.replay(plan.policy, bounds=BEFORE_APPLY)
        if not accept_loss and not self.guard.holds(report):
            raise PolicyError(
                POLICY_WOULD_LOSE,
                f"{report.losing_percent} % of the fleet: {' '.join(report.sentences)}",
                policy=plan.policy.name,
            )
        return report
