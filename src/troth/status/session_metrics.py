"""Sessions on the network in Prometheus' format."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric


@dataclass(frozen=True, slots=True)
class Sessions:
    """What was seen.

    Attributes:
        open: network → sessions that go on; ``""``: known by accounting alone.
        counts: name → how often ever: ``accounting.answered``, ``ended.stop``, ``order.disconnect.done`` …
        orders: ``waiting`` or ``staged`` → how many, and since when the earliest is due.
        inbox_since: since when the oldest record waits that is not folded yet.
    """

    open: Mapping[str, int] = field(default_factory=dict)
    counts: Mapping[str, int] = field(default_factory=dict)
    orders: Mapping[str, tuple[int, datetime]] = field(default_factory=dict)
    inbox_since: datetime | None = None


def session_metrics(seen: Sessions, now: datetime) -> list[Metric]:
    """The families."""
    going = GaugeMetricFamily("troth_radius_sessions", "Sessions that go on", labels=["network"])
    for network, number in sorted(seen.open.items()):
        going.add_metric([network], number)
    orders = GaugeMetricFamily("troth_radius_orders", "Orders about sessions that wait", labels=["state"])
    late = GaugeMetricFamily(
        "troth_radius_orders_waiting_seconds", "How long the earliest order has been due that waits", labels=["state"]
    )
    for state, (number, due) in sorted(seen.orders.items()):
        orders.add_metric([state], number)
        late.add_metric([state], max(0.0, (now - due).total_seconds()))
    inbox = GaugeMetricFamily(
        "troth_radius_inbox_age_seconds", "How long the oldest record of accounting has waited to be folded"
    )
    since = seen.inbox_since
    inbox.add_metric([], 0.0 if since is None else max(0.0, (now - since).total_seconds()))
    accounting = CounterMetricFamily(
        "troth_radius_accounting", "Accounting-Requests by what became of them", labels=["result"]
    )
    ended = CounterMetricFamily("troth_radius_sessions_ended", "Sessions by how they ended", labels=["by"])
    done = CounterMetricFamily(
        "troth_radius_orders_ended", "Orders about sessions by how they ended", labels=["kind", "result"]
    )
    for name, number in sorted(seen.counts.items()):
        word, _, rest = name.partition(".")
        if word == "accounting":
            accounting.add_metric([rest], number)
        elif word == "ended":
            ended.add_metric([rest], number)
        elif word == "order":
            kind, _, result = rest.partition(".")
            done.add_metric([kind, result], number)
    return [going, orders, late, inbox, accounting, ended, done]
