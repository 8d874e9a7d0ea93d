"""Others' revocation lists in Prometheus' format: how long each is in force yet, and which cannot be fetched."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from prometheus_client.core import GaugeMetricFamily, Metric


@dataclass(frozen=True, slots=True)
class ForeignFigures:
    """What was seen.

    Attributes:
        ends: (anchor, issuer) → when its list ends.
        failures: (anchor, address) → tries in a row that gave no list in force.
    """

    ends: Sequence[tuple[str, str, datetime]] = ()
    failures: Sequence[tuple[str, str, int]] = ()


def foreign_metrics(seen: ForeignFigures, now: datetime) -> list[Metric]:
    """The families."""
    left = GaugeMetricFamily(
        "troth_foreign_crl_left_seconds", "Seconds to the end of others' lists", labels=["anchor", "issuer"]
    )
    for anchor, issuer, ends in seen.ends:
        left.add_metric([anchor, issuer], (ends - now).total_seconds())
    failures = GaugeMetricFamily(
        "troth_foreign_crl_fetch_failures",
        "Tries in a row that fetched no list in force",
        labels=["anchor", "url"],
    )
    for anchor, url, number in seen.failures:
        failures.add_metric([anchor, url], number)
    return [left, failures]
