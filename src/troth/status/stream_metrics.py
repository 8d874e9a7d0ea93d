"""What is counted of shared signals: streams from others and to others, tokens by what became of them."""

from __future__ import annotations

from datetime import datetime

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from troth.status.operations import SharedSignals, Told

_STATUSES = ("planned", "enabled", "paused", "disabled")


def stream_metrics(seen: SharedSignals, now: datetime) -> list[Metric]:
    """Families of metrics; a stream that was never heard has no age."""
    states = GaugeMetricFamily(
        "troth_ssf_stream_status", "1 for the status that the stream is in", labels=["stream", "status"]
    )
    ages = GaugeMetricFamily(
        "troth_ssf_stream_silent_seconds", "Seconds since a token of the stream was last taken", labels=["stream"]
    )
    for name, (status, heard_at) in sorted(seen.streams.items()):
        for one in _STATUSES:
            states.add_metric([name, one], float(one == status))
        if heard_at is not None:
            ages.add_metric([name], (now - heard_at).total_seconds())
    tokens = CounterMetricFamily(
        "troth_ssf_tokens", "Security event tokens, by what became of them", labels=["stream", "outcome"]
    )
    for (stream, outcome), number in sorted(seen.tokens.items()):
        tokens.add_metric([stream, outcome], number)
    waiting = GaugeMetricFamily("troth_ssf_waiting", "Events about many at once that wait for a person", seen.waiting)
    return [states, ages, tokens, waiting]


def told_metrics(seen: Told, now: datetime) -> list[Metric]:
    """Families of metrics of the streams to receivers."""
    states = GaugeMetricFamily(
        "troth_ssf_out_status", "1 for the status of the stream to a receiver", labels=["receiver", "stream", "status"]
    )
    waiting = GaugeMetricFamily(
        "troth_ssf_out_waiting", "Tokens that a receiver does not have yet", labels=["receiver", "stream"]
    )
    lag = GaugeMetricFamily(
        "troth_ssf_out_lag_seconds", "For how long the oldest of them has waited", labels=["receiver", "stream"]
    )
    for one in seen.streams:
        for status in _STATUSES[1:]:
            states.add_metric([one.receiver, one.id, status], float(one.status == status))
        waiting.add_metric([one.receiver, one.id], one.waiting)
        late = 0.0 if one.oldest is None else max(0.0, (now - one.oldest).total_seconds())
        lag.add_metric([one.receiver, one.id], late)
    tokens = CounterMetricFamily(
        "troth_ssf_out_tokens", "Tokens that receivers took or refused", labels=["receiver", "outcome"]
    )
    for (receiver, outcome), number in seen.tokens.items():
        tokens.add_metric([receiver, outcome], number)
    return [states, waiting, lag, tokens]
