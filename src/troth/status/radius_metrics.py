"""What RADIUS workers have counted, in Prometheus' format."""

from __future__ import annotations

from collections.abc import Mapping

from prometheus_client.core import CounterMetricFamily, Metric

#: First word of a counter's name → (metric, what it counts, labels of the words behind it).
_FAMILIES: Mapping[str, tuple[str, str, tuple[str, ...]]] = {
    "packets": ("troth_radius_packets", "Requests of known access servers, by what became of them", ("kind", "result")),
    "traffic": (
        "troth_radius_traffic",
        "Datagrams that were dropped before anything was answered, or went from one process to another",
        ("what",),
    ),
    "admissions": (
        "troth_radius_admissions",
        "Decisions about whom a network lets in",
        ("network", "outcome", "reason"),
    ),
    "marked": (
        "troth_radius_admissions_marked",
        "Admissions on old news, on a certificate that nobody could check, or by the breaker",
        ("network", "mark"),
    ),
    "held_back": (
        "troth_radius_held_back",
        "Decisions that waited for a lapsed lease on the trust stream, by whether it was renewed in time",
        ("network", "lease"),
    ),
    "shown": ("troth_radius_handshakes", "Full EAP-TLS handshakes by the kind of our certificate shown", ("key",)),
    "eap": ("troth_radius_conversations", "EAP conversations that were not gone on with", ("what",)),
    "radsec": ("troth_radius_radsec", "RadSec connections and what came over them", ("what",)),
    "radsec_closed": ("troth_radius_radsec_closed", "RadSec connections that ended or were not let in", ("reason",)),
    "weak": (
        "troth_radius_weak",
        "Devices without certificates, by address (mab) or password (pap)",
        ("network", "method", "result"),
    ),
    "proxied": ("troth_radius_proxied", "Requests that were handed on", ("pool", "result")),
}


def radius_metrics(counters: Mapping[str, int]) -> list[Metric]:
    """The families; what has another name is somebody else's."""
    families: dict[str, CounterMetricFamily] = {}
    for name, number in sorted(counters.items()):
        first, *words = name.split("|")
        family = _FAMILIES.get(first)
        if family is None or len(words) != len(family[2]):
            continue
        metric = families.setdefault(first, CounterMetricFamily(family[0], family[1], labels=list(family[2])))
        metric.add_metric(words, number)
    return list(families.values())
