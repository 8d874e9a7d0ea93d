"""Feeds and connectors in Prometheus' format: who is silent, what waits, what failed, what means nobody."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from troth.trust.feeds.health import Health, Watched
from troth.trust.intake.inbox_store import InboxCount


@dataclass(frozen=True, slots=True)
class ReadFigures:
    """One read of a connector, for metrics. ``failures``: since the last success."""

    connector: str
    read: str
    pulled_at: datetime | None
    latency_ms: int | None
    signals: int
    failures: int


@dataclass(frozen=True, slots=True)
class Feeds:
    """What was seen of feeds. ``unresolved``: feed → (signals, strangers) that mean nobody, or several."""

    health: Sequence[Watched] = ()
    inbox: Sequence[InboxCount] = ()
    unresolved: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    reads: Sequence[ReadFigures] = ()


def feed_metrics(seen: Feeds, now: datetime) -> list[Metric]:
    """The families."""
    return [*_health(seen, now), *_inbox(seen, now), *_reads(seen, now)]


def _health(seen: Feeds, now: datetime) -> list[Metric]:
    states = GaugeMetricFamily("troth_feed_state", "1 for the health that the feed is in", labels=["feed", "state"])
    silent = GaugeMetricFamily(
        "troth_feed_silent_seconds", "Seconds since the feed was heard from, or made", labels=["feed"]
    )
    for one in seen.health:
        for state in Health:
            states.add_metric([one.heard.feed, state.value], float(state is one.health))
        silent.add_metric([one.heard.feed], max(0.0, (now - one.heard.heard_at).total_seconds()))
    return [states, silent]


def _inbox(seen: Feeds, now: datetime) -> list[Metric]:
    waiting = GaugeMetricFamily("troth_inbox_waiting", "Accepted signals that wait to be acted on", labels=["feed"])
    oldest = GaugeMetricFamily("troth_inbox_oldest_seconds", "How long the oldest of them has waited", labels=["feed"])
    refused = GaugeMetricFamily("troth_inbox_refused", "Accepted signals that were refused", labels=["feed"])
    for one in seen.inbox:
        waiting.add_metric([one.feed], one.waiting)
        refused.add_metric([one.feed], one.refused)
        if one.oldest is not None:
            oldest.add_metric([one.feed], max(0.0, (now - one.oldest).total_seconds()))
    unresolved = GaugeMetricFamily(
        "troth_signals_unresolved", "Signals that name nobody we know, or several, and are open", labels=["feed"]
    )
    strangers = GaugeMetricFamily(
        "troth_feed_strangers", "Whom the feed reports and nobody knows, or several", labels=["feed"]
    )
    for feed, (signals, number) in sorted(seen.unresolved.items()):
        unresolved.add_metric([feed], signals)
        strangers.add_metric([feed], number)
    return [waiting, oldest, refused, unresolved, strangers]


def _reads(seen: Feeds, now: datetime) -> list[Metric]:
    labels = ["connector", "read"]
    lag = GaugeMetricFamily("troth_connector_lag_seconds", "Seconds since the read last succeeded", labels=labels)
    latency = GaugeMetricFamily("troth_connector_pull_seconds", "How long the last pull took", labels=labels)
    failures = GaugeMetricFamily("troth_connector_failures", "Failures since the last success", labels=labels)
    signals = CounterMetricFamily("troth_connector_signals", "Signals that the read has brought", labels=labels)
    for one in seen.reads:
        names = [one.connector, one.read]
        failures.add_metric(names, one.failures)
        signals.add_metric(names, one.signals)
        if one.pulled_at is not None:
            lag.add_metric(names, max(0.0, (now - one.pulled_at).total_seconds()))
        if one.latency_ms is not None:
            latency.add_metric(names, one.latency_ms / 1000)
    return [lag, latency, failures, signals]
