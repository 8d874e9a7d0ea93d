"""Access servers in Prometheus' format: how they are, which do not sign, how far a new secret has come."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from prometheus_client.core import GaugeMetricFamily, Metric


@dataclass(frozen=True, slots=True)
class NasFigures:
    """One access server of which there is something to tell.

    Attributes:
        unsigned, wrong: addresses of its that sent such requests within a week.
        behind: addresses that still use the former secret while it is replaced; None: it is not.
    """

    name: str
    unsigned: int
    wrong: int
    behind: int | None


@dataclass(frozen=True, slots=True)
class AccessServers:
    """What was seen. ``states``: ``ready``, ``without_secret`` or ``retired`` → how many."""

    states: Mapping[str, int] = field(default_factory=dict)
    told: Sequence[NasFigures] = ()


def nas_metrics(seen: AccessServers) -> list[Metric]:
    """The families."""
    states = GaugeMetricFamily("troth_nas", "Access servers by state", labels=["state"])
    for state, number in sorted(seen.states.items()):
        states.add_metric([state], number)
    addresses = GaugeMetricFamily(
        "troth_nas_suspicious_addresses",
        "Addresses that sent requests without Message-Authenticator, or that no secret proves, within a week",
        labels=["nas", "what"],
    )
    behind = GaugeMetricFamily(
        "troth_nas_rotation_behind", "Addresses that use the former secret while it is replaced", labels=["nas"]
    )
    for one in seen.told:
        if one.unsigned:
            addresses.add_metric([one.name, "unsigned"], one.unsigned)
        if one.wrong:
            addresses.add_metric([one.name, "wrong"], one.wrong)
        if one.behind is not None:
            behind.add_metric([one.name], one.behind)
    return [states, addresses, behind]
