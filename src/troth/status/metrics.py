"""What a status worker counts, in Prometheus' text format. On the hot path counting is one addition."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from typing import Protocol

from prometheus_client.core import CollectorRegistry, CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector

from troth.pki.keys.keyring import CustodianState
from troth.pki.model import Crl
from troth.status.effect_metrics import effect_metrics
from troth.status.feed_metrics import feed_metrics
from troth.status.foreign_metrics import foreign_metrics
from troth.status.nas_metrics import nas_metrics
from troth.status.operations import FoundOnHosts, Operations
from troth.status.radius_metrics import radius_metrics
from troth.status.session_metrics import session_metrics
from troth.status.standing_metrics import standing_metrics
from troth.status.stream_metrics import stream_metrics, told_metrics


class Gauges(Protocol):
    """The present state of a worker, as numbers by name; see ``StatusWorker.gauges``."""

    def gauges(self) -> Mapping[str, float]:
        """Name (without prefix) → value."""
        ...

    def totals(self) -> Mapping[str, float]:
        """The same for what only grows."""
        ...

    def crls(self) -> Collection[Crl]:
        """The CRLs that are served, without their bytes."""
        ...

    def custodians(self) -> Collection[CustodianState] | None:
        """How the signer's custodians were at the last look; None while it does not answer."""
        ...

    def operations(self) -> Operations | None:
        """Open findings, and when the duties last did their work; None while the database does not answer."""
        ...

    def now(self) -> datetime:
        """What their age is counted to."""
        ...


_HELP = {
    "lease_live": "1 while this worker may vouch for status, 0 while it answers tryLater",
    "fence_closed": "1 while nothing but revoked is told, until a person decides what a restore may have lost",
    "table_not_good": "serial numbers in the trust table: held or revoked, not expired",
    "table_seen": "serial numbers remembered from look-ups",
    "responders": "authorities with an OCSP responder in force",
    "stream_index": "next index of the ledger that this worker will apply",
    "lookup_queries": "statements sent to look serial numbers up",
    "lookup_serials": "serial numbers looked up",
}


class _Collected(Collector):
    def __init__(self, metrics: list[Metric]) -> None:
        self._metrics = metrics

    def collect(self) -> list[Metric]:
        return self._metrics


def render(source: Gauges, answers: Mapping[str, int]) -> bytes:
    """The whole page."""
    counted = CounterMetricFamily("troth_ocsp_answers", "Certificates told of, or unsigned answers", labels=["result"])
    for result, count in sorted(answers.items()):
        counted.add_metric([result], count)
    metrics: list[Metric] = [counted]
    for name, value in source.gauges().items():
        metrics.append(GaugeMetricFamily(f"troth_status_{name}", _HELP.get(name, name), value))
    for name, value in source.totals().items():
        metrics.append(CounterMetricFamily(f"troth_status_{name}", _HELP.get(name, name), value))
    metrics += _crl_metrics(source.crls(), source.now())
    metrics += _custodian_metrics(source.custodians())
    metrics += _operations_metrics(source.operations(), source.now())
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collected(metrics))
    return generate_latest(registry)


def _crl_metrics(crls: Collection[Crl], now: datetime) -> list[Metric]:
    told: tuple[tuple[str, str, Callable[[Crl], float]], ...] = (
        ("age_seconds", "Seconds since the newest CRL was made", lambda crl: (now - crl.this_update).total_seconds()),
        ("left_seconds", "Seconds to its nextUpdate", lambda crl: (crl.next_update - now).total_seconds()),
        ("entries", "Entries of the newest CRL", lambda crl: crl.entries),
        ("bytes", "Size of the newest CRL", lambda crl: crl.size),
        ("build_seconds", "How long its making took", lambda crl: crl.build_seconds or 0.0),
    )
    families: list[Metric] = []
    for name, meaning, value in told:
        family = GaugeMetricFamily(f"troth_crl_{name}", meaning, labels=["authority", "shard", "kind"])
        for crl in sorted(crls, key=lambda one: (one.authority, one.shard, one.kind)):
            family.add_metric([crl.authority, str(crl.shard), crl.kind], value(crl))
        families.append(family)
    return families


def _custodian_metrics(custodians: Collection[CustodianState] | None) -> list[Metric]:
    answers = GaugeMetricFamily("troth_signer_answers", "1 while the signer tells how its custodians are")
    answers.add_metric([], float(custodians is not None))
    states = GaugeMetricFamily(
        "troth_custodian_state", "1 for the state that the custodian is in", labels=["custodian", "state"]
    )
    keys = GaugeMetricFamily("troth_custodian_keys", "Keys that it holds", labels=["custodian"])
    orphans = GaugeMetricFamily("troth_custodian_orphans", "Keys there without a record here", labels=["custodian"])
    for one in custodians or ():
        for state in ("ready", "sealed", "down"):
            states.add_metric([one.name, state], float(one.state == state))
        keys.add_metric([one.name], one.keys)
        orphans.add_metric([one.name], len(one.orphans))
    return [answers, states, keys, orphans]


_VANTAGE = "vantage:"
#: Mark → name and meaning of the gauge that tells its age.
_AGES = {
    "backup": ("troth_backup_age_seconds", "Seconds since the newest archive on schedule was begun"),
    "attestation_status": (
        "troth_attestation_status_age_seconds",
        "Seconds since Android's status list was fetched: it counts for a day",
    ),
    "shipping": ("troth_shipping_lag_seconds", "Seconds since all that the ledger held was shipped"),
}


def _operations_metrics(seen: Operations | None, now: datetime) -> list[Metric]:
    """While nothing can be seen nothing is told: a zero would say that all is well."""
    if seen is None:
        return []
    findings = GaugeMetricFamily("troth_findings", "Open findings in certificates", labels=["severity", "code"])
    for (severity, code), number in sorted(seen.findings.items()):
        findings.add_metric([severity, code], number)
    enrolments = GaugeMetricFamily("troth_enrolments", "What lets clients open accounts", labels=["kind", "status"])
    for (kind, status), number in sorted(seen.enrolments.items()):
        enrolments.add_metric([kind, status], number)
    paused = GaugeMetricFamily("troth_acme_paused_names", "Names that clients never managed to prove", seen.paused)
    tpms = GaugeMetricFamily("troth_tpms", "Registered TPMs, by whether they were ever attested", labels=["attested"])
    for attested, number in sorted(seen.tpms.items()):
        tpms.add_metric(["yes" if attested else "no"], number)
    failures = GaugeMetricFamily(
        "troth_acme_failed_validations", "Tries of challenges that failed within the last hour", labels=["reason"]
    )
    for reason, number in sorted(seen.failed_validations.items()):
        failures.add_metric([reason], number)
    incidents = GaugeMetricFamily("troth_renewal_incidents", "Early renewals that have not ended", seen.incidents)
    refused = CounterMetricFamily("troth_acme_refused", "ACME requests that a limit has refused", labels=["limit"])
    for name, number in sorted(seen.refusals.items()):
        refused.add_metric([name], number)
    est = CounterMetricFamily(
        "troth_est_requests", "What EST clients have asked", labels=["label", "operation", "result"]
    )
    for (label, operation, result), number in sorted(seen.est.items()):
        est.add_metric([label, operation, result], number)
    attestations = GaugeMetricFamily(
        "troth_attestations_day",
        "Attestations of devices, judged in the last day",
        labels=["format", "result"],
    )
    for (kind, result), number in sorted(seen.attestations.items()):
        attestations.add_metric([kind, result], number)
    families: list[Metric] = [findings, enrolments, paused, refused, failures, incidents, tpms, attestations, est]
    families += _found_metrics(seen.found, now)
    families += stream_metrics(seen.shared, now) + told_metrics(seen.told, now)
    families += feed_metrics(seen.feeds, now)
    families += standing_metrics(seen.standings)
    families += radius_metrics(seen.sessions.counts)
    families += effect_metrics(seen.effects, seen.effect_latencies, now)
    families += session_metrics(seen.sessions, now)
    families += nas_metrics(seen.access_servers)
    families += foreign_metrics(seen.foreign_lists, now)
    vantages = GaugeMetricFamily(
        "troth_acme_vantage_age_seconds", "Seconds since a vantage point elsewhere last answered", labels=["vantage"]
    )
    for mark, at in sorted(seen.marks.items()):
        if mark.startswith(_VANTAGE):
            vantages.add_metric([mark.removeprefix(_VANTAGE)], (now - at).total_seconds())
    families.append(vantages)
    for mark, (name, meaning) in _AGES.items():
        if mark in seen.marks:
            families.append(GaugeMetricFamily(name, meaning, (now - seen.marks[mark]).total_seconds()))
    return families


def _found_metrics(found: FoundOnHosts, now: datetime) -> list[Metric]:
    certificates = GaugeMetricFamily(
        "troth_found_certificates", "Certificates that agents found on hosts, each once", labels=["life", "issued"]
    )
    for (life, own), number in sorted(found.certificates.items()):
        certificates.add_metric([life, "here" if own else "elsewhere"], number)
    families: list[Metric] = [certificates, GaugeMetricFamily("troth_hosts", "Hosts whose agents report", found.hosts)]
    if found.oldest is not None:
        age = (now - found.oldest).total_seconds()
        families.append(GaugeMetricFamily("troth_host_report_age_seconds", "Age of the oldest latest report", age))
    return families
