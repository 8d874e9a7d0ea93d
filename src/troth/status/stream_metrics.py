"""What is counted of shared signals: states and ages of streams, tokens by what became of them."""

from __future__ import annotations

from datetime import datetime

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from troth.status.operations import SharedSignals

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
