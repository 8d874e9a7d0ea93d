"""Taking a report in: one unit with the certificates, their places, the facts and the ledger event.

The host's clock is not believed: a fact is as old as the report says it was *when the report was made*, counted back
from when it came. What is not known as an attribute, or of another type, is left out and counted.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from troth.audit.event import Event
from troth.enroll.workload.node import Node
from troth.inventory import store
from troth.inventory.model import OTHER_SOURCE, SOURCES, FactReport, Report, read_certificate, read_report
from troth.kit.clock import Clock
from troth.store.pool import Database
from troth.store.unit import Unit
from troth.trust.model import Kind
from troth.trust.subjects.facts import SELF_REPORTED
from troth.trust.subjects.store import PUT_FACT, encoded
from troth.trust.vocabulary import VOCABULARY, misfit

#: A place that was not seen for so long is forgotten.
KEPT = timedelta(days=180)
#: Places of one host that are remembered, those that are gone among them.
MOST_PLACES = 10_000
_OLDEST_FACT = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class Taken:
    """What a report came to."""

    certificates: int
    sightings: int
    unreadable: int
    facts: int
    facts_unknown: int


class Reports:
    """See the module."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def take(self, node: Node) -> Taken:
        """Write down what ``node`` has signed. Raises ReportRefused."""
        report, now, host = read_report(node.payload), self._clock.now(), node.subject
        read = [read_certificate(text) for text in report.certificates]
        found = {one.sha256: one for one in read if one is not None}
        unit = Unit()
        seen = {
            (one.place, certificate.sha256): (host.id, one.place, certificate.sha256, one.kind, one.key, now)
            for one in report.sightings
            if (certificate := read[one.certificate]) is not None
        }
        # One that lies nowhere is not kept: it is by its places that a certificate is forgotten again.
        lying = {digest for _, digest in seen}
        unit.write_all(store.FIND, [store.found_row(found[digest], now) for digest in sorted(lying)])
        unit.write_all(store.SIGHT, [seen[key] for key in sorted(seen)])
        facts = list(_facts(report, now))
        for source, path, value, observed in facts:
            unit.write(PUT_FACT, host.id, source, path, encoded(value), observed, now)
        trusted = roots_of(report)
        if trusted is not None and host.kind is Kind.DEVICE:
            unit.write(PUT_FACT, host.id, SELF_REPORTED, "device.trusts_roots", encoded(trusted), now, now)
        taken = Taken(len(found), len(seen), read.count(None), len(facts), len(report.facts) - len(facts))
        stores = [(one.name, one.place, None if one.roots is None else len(one.roots)) for one in report.stores]
        unit.write(
            store.REPORTED, host.id, node.certificate.id, now, report.agent, taken.certificates, taken.unreadable,
            json.dumps(stores), json.dumps(report.cut),
        )  # fmt: skip
        unit.write(store.FORGET, host.id, now - KEPT, MOST_PLACES)
        unit.record(
            Event(
                "inventory.reported",
                f"node:{host.id}",
                (host.ref, f"certificate:{node.certificate.id}"),
                {
                    "subject_id": str(host.id),
                    "name": host.name,
                    "certificates": taken.certificates,
                    "facts": {path: value for _, path, value, _ in facts},
                    "report_sha256": hashlib.sha256(node.payload).hexdigest(),
                },
            )
        )
        await self._database.commit(unit)
        return taken


def roots_of(report: Report) -> list[str] | None:
    """Roots that every trust store of the host that was read believes; None if none was read.

    A root that only some stores have is not trusted by that host: the program that uses another store would fail.
    """
    sets = [set(one.roots) for one in report.stores if one.roots is not None]
    return sorted(set.intersection(*sets)) if sets else None


def _facts(report: Report, now: datetime) -> Iterator[tuple[str, str, bool | int | str, datetime]]:
    """(source, path, value, observed at) of the facts that are attributes; of each path and source the last."""
    kept: dict[tuple[str, str], FactReport] = {}
    for fact in report.facts:
        known = VOCABULARY.get(fact.path)
        if known is not None and misfit(fact.value, known.type) is None:
            kept[fact.source if fact.source in SOURCES else OTHER_SOURCE, fact.path] = fact
    for (source, path), fact in sorted(kept.items()):
        age = min(max(report.at - fact.observed_at, timedelta(0)), _OLDEST_FACT)
        yield f"{SELF_REPORTED}:{source}", path, fact.value, now - age
