"""Standings in Prometheus' format: who stands where, what waits for a person, who is exempt, what is suspended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from prometheus_client.core import GaugeMetricFamily, Metric


@dataclass(frozen=True, slots=True)
class Standings:
    """What was seen.

    Attributes:
        subjects: standing → how many subjects that are not trusted stand so.
        staged: (action, why) → how many wait for a person.
        exempt: exemptions in force.
        suspended: feeds that are suspended, with whether the breaker did it.
        overdue: subjects that should have been looked at again five minutes ago.
    """

    subjects: Mapping[str, int] = field(default_factory=dict)
    staged: Mapping[tuple[str, str], int] = field(default_factory=dict)
    exempt: int = 0
    suspended: Mapping[str, bool] = field(default_factory=dict)
    overdue: int = 0


def standing_metrics(seen: Standings) -> list[Metric]:
    """The families."""
    subjects = GaugeMetricFamily("troth_subjects", "Subjects that do not stand trusted", labels=["standing"])
    for standing in ("restricted", "quarantined", "distrusted"):
        subjects.add_metric([standing], seen.subjects.get(standing, 0))
    staged = GaugeMetricFamily("troth_staged_actions", "Actions that wait for a person", labels=["action", "why"])
    for (action, why), number in sorted(seen.staged.items()):
        staged.add_metric([action, why], number)
    suspended = GaugeMetricFamily("troth_feed_suspended", "1 for a feed that is suspended", labels=["feed", "by"])
    for feed, breaker in sorted(seen.suspended.items()):
        suspended.add_metric([feed, "breaker" if breaker else "person"], 1)
    return [
        subjects,
        staged,
        suspended,
        GaugeMetricFamily("troth_exemptions", "Subjects that automation does not hold at present", seen.exempt),
        GaugeMetricFamily("troth_standing_overdue", "Subjects that should have been looked at again", seen.overdue),
    ]
