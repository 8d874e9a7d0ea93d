"""Effects in Prometheus' format: how many there are in which state, and the histogram of their latencies."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from prometheus_client.core import GaugeMetricFamily, HistogramMetricFamily, Metric

from troth.trust.outbox.document_store import Bucket, Queue


def effect_metrics(queues: Iterable[Queue], latencies: Iterable[Bucket], now: datetime) -> list[Metric]:
    """The families. Latency is counted from the signal accepted to the effect done."""
    number = GaugeMetricFamily(
        "troth_effects",
        "Effects that wait or were given up, and those that ended otherwise in the last day",
        labels=["target", "state"],
    )
    oldest = GaugeMetricFamily(
        "troth_effects_waiting_seconds", "How long the earliest effect has been due that waits", labels=["target"]
    )
    for queue in queues:
        number.add_metric([queue.target, queue.state], queue.number)
        if queue.state == "waiting":
            oldest.add_metric([queue.target], max(0.0, (now - queue.oldest).total_seconds()))
    histogram = HistogramMetricFamily(
        "troth_effect_latency_seconds", "From the signal accepted to the effect done", labels=["port"]
    )
    by_port: dict[str, list[Bucket]] = {}
    for bucket in latencies:
        by_port.setdefault(bucket.port, []).append(bucket)
    for port, buckets in sorted(by_port.items()):
        cumulated, counted = 0, []
        for bucket in sorted((one for one in buckets if one.bound >= 0), key=lambda one: one.bound):
            cumulated += bucket.number
            counted.append((str(bucket.bound / 1000), float(cumulated)))
        cumulated += sum(one.number for one in buckets if one.bound < 0)
        counted.append(("+Inf", float(cumulated)))
        histogram.add_metric([port], counted, sum_value=sum(one.milliseconds for one in buckets) / 1000)
    return [number, oldest, histogram]
