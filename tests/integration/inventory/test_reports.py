"""What agents report: certificates with their places, trust stores, and a posture that can only raise."""

from __future__ import annotations

import base64
import hashlib
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from prometheus_client.core import CollectorRegistry
from prometheus_client.exposition import generate_latest

from tests.support.mint import ca_certificate
from tests.support.workloads import BASE, Workloads
from troth.inventory import service
from troth.inventory.routes import PER_AGENT, REPORT
from troth.inventory.store import InventoryStore
from troth.ops.rollover.store import RolloverStore
from troth.status.metrics import _Collected, _operations_metrics
from troth.status.operations import OperationsWatch
from troth.trust.model import Kind
from troth.web.books.found import Found, FoundFilter, FoundView


def foreign(workloads: Workloads, name: str = "Elsewhere") -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    return ca_certificate(key, name, workloads.mint.clock.now()).public_bytes(Encoding.DER)


def report(workloads: Workloads, *certificates: bytes, **more: Any) -> dict[str, Any]:
    return {
        "agent": "troth-agent 0.1",
        "at": workloads.mint.clock.now().isoformat(),
        "certificates": [base64.b64encode(one).decode() for one in certificates],
        "sightings": [
            {"certificate": index, "place": f"/etc/{index}.pem", "kind": "file"} for index in range(len(certificates))
        ],
        **more,
    }  # fmt: skip


def fact(workloads: Workloads, path: str, value: object, *, age: int = 0, source: str = "proc") -> dict[str, Any]:
    at = workloads.mint.clock.now() - timedelta(seconds=age)
    return {"path": path, "value": value, "observed_at": at.isoformat(), "source": source}


async def found(workloads: Workloads, **wanted: Any) -> list[FoundView]:
    book = Found(workloads.mint.database, workloads.mint.clock)
    return list((await book.search(FoundFilter(**wanted))).items)


async def node(workloads: Workloads, name: str = "node-1") -> UUID:
    subject = await workloads.subjects.find(Kind.DEVICE, name)
    assert subject is not None
    return subject.id


async def test_what_is_found_is_told_with_place_host_and_whose_it_is(workloads: Workloads) -> None:
    own, other = workloads.agent.der, foreign(workloads)
    sightings = [
        {"certificate": 0, "place": "/etc/a.pem", "kind": "file", "key": True},
        {"certificate": 1, "place": "tcp:0.0.0.0:443", "kind": "listener"},
        {"certificate": 1, "place": "/etc/b.jks#b", "kind": "keystore"},
    ]
    status, said = await workloads.ask(REPORT, report(workloads, own, other, sightings=sightings))
    assert status == 200, said
    assert said == {"certificates": 2, "sightings": 3, "unreadable": 0, "facts": 0, "facts_unknown": 0}
    rows = {one.place: one for one in await found(workloads)}
    mine, theirs = rows["/etc/a.pem"], rows["tcp:0.0.0.0:443"]
    assert (mine.certificate_id is not None, mine.key_known, mine.has_key, mine.host) == (True, True, True, "node-1")
    assert (theirs.certificate_id, theirs.key_known, theirs.subject, theirs.kind) == (
        None,
        False,
        "CN=Elsewhere",
        "listener",
    )
    assert {one.place for one in await found(workloads, elsewhere=True)} == {"tcp:0.0.0.0:443", "/etc/b.jks#b"}
    assert {one.place for one in await found(workloads, unknown_key=True)} == {"tcp:0.0.0.0:443", "/etc/b.jks#b"}
    assert [one.place for one in await found(workloads, days=400)] == ["/etc/a.pem"]
    assert await found(workloads, host=await node(workloads, "node-2")) == []
    counts = await Found(workloads.mint.database, workloads.mint.clock).counts()
    assert (counts.found, counts.elsewhere, counts.hosts, counts.expired) == (2, 1, 1, 0)


async def test_pages_follow_each_other_without_gap_or_double(workloads: Workloads) -> None:
    certificates = [foreign(workloads, f"CA {number}") for number in range(7)]
    await workloads.ask(REPORT, report(workloads, *certificates))
    book = Found(workloads.mint.database, workloads.mint.clock)
    seen: list[str] = []
    cursor = ""
    while True:
        page = await book.search(FoundFilter(limit=3, cursor=cursor))
        seen += [one.sha256 for one in page.items]
        if page.next is None:
            break
        cursor = str(page.next)
    assert sorted(seen) == sorted(hashlib.sha256(one).hexdigest() for one in certificates)
    for junk in ("x", "a.b.c.d", cursor + "zz", "2026-01-01T00:00:00.00.00.00"):
        with pytest.raises(Exception, match=r"inventory\.cursor"):
            await book.search(FoundFilter(cursor=junk))


async def test_what_a_later_report_lacks_is_gone_and_forgotten_in_the_end(workloads: Workloads) -> None:
    first, second = foreign(workloads), foreign(workloads)
    await workloads.ask(REPORT, report(workloads, first))
    workloads.mint.clock.advance(timedelta(hours=6))
    await workloads.ask(REPORT, report(workloads, second))
    (row,) = await found(workloads)
    assert row.sha256 == hashlib.sha256(second).hexdigest()
    gone = {one.sha256: one.present for one in await found(workloads, gone=True)}
    assert gone == {hashlib.sha256(first).hexdigest(): False, hashlib.sha256(second).hexdigest(): True}
    workloads.mint.clock.advance(timedelta(days=200))
    agent = await workloads.enrolled("node-1")
    await workloads.ask(REPORT, report(workloads, second), agent=agent)
    assert len(await found(workloads, gone=True)) == 1


async def test_a_host_that_invents_new_ones_for_ever_is_forgotten_in_its_order(
    workloads: Workloads, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "MOST_PLACES", 3)
    shared, other = foreign(workloads), await workloads.enrolled("node-2")
    await workloads.ask(REPORT, report(workloads, shared), agent=other)
    await workloads.ask(REPORT, report(workloads, shared, foreign(workloads)))
    for _ in range(3):
        workloads.mint.clock.advance(timedelta(minutes=1))
        await workloads.ask(REPORT, report(workloads, foreign(workloads)))
    mine = await found(workloads, gone=True, host=await node(workloads))
    assert [one.present for one in sorted(mine, key=lambda one: one.last_seen_at)] == [False, False, True]
    count = await workloads.mint.database.fetchval("SELECT count(*) FROM found_certificate")
    assert count == 4  # three of this host, and the one that lies on another as well
    assert len(await found(workloads, host=await node(workloads, "node-2"))) == 1


async def test_posture_is_recorded_with_source_and_age_by_troths_clock(workloads: Workloads) -> None:
    facts = [
        fact(workloads, "posture.firewall", False, age=3600, source="nftables"),
        fact(workloads, "posture.updates_pending", 7),
        fact(workloads, "posture.os_version", "Debian 12.9"),
        fact(workloads, "posture.firewall", "yes"),  # of another type
        fact(workloads, "posture.unheard_of", True),
    ]
    skewed = report(workloads, facts=facts)
    workloads.mint.clock.advance(timedelta(seconds=90))  # the agent's clock is behind
    status, said = await workloads.ask(REPORT, skewed)
    assert (status, said["facts"], said["facts_unknown"]) == (200, 3, 2)
    now = workloads.mint.clock.now()
    known = {one.name: one for one in await workloads.subjects.facts([await node(workloads)])}
    assert (known["posture.firewall"].value, known["posture.firewall"].source) == (False, "agent:nftables")
    assert known["posture.firewall"].observed_at == now - timedelta(hours=1)
    assert known["posture.updates_pending"].value == 7
    events = await workloads.mint.database.fetch("SELECT convert_from(payload, 'UTF8') AS text FROM ledger_inbox")
    assert any("inventory.reported" in row["text"] and "posture.os_version" in row["text"] for row in events)


async def test_a_fact_from_the_future_is_no_younger_than_the_report(workloads: Workloads) -> None:
    await workloads.ask(REPORT, report(workloads, facts=[fact(workloads, "posture.firewall", False, age=-86_400)]))
    (known,) = await workloads.subjects.facts([await node(workloads)])
    assert known.observed_at == workloads.mint.clock.now()


async def test_roots_that_every_store_of_a_device_has_count_for_a_rollover(workloads: Workloads) -> None:
    both, one = "aa" * 32, "bb" * 32
    stores = [
        {"name": "system", "place": "/etc/ssl/certs", "roots": [both, one]},
        {"name": "java", "place": "/etc/ssl/certs/java/cacerts", "roots": [both]},
        {"name": "nss", "place": "/home/a/.pki/nssdb"},
    ]
    await workloads.ask(REPORT, report(workloads, stores=stores))
    rollovers = RolloverStore(workloads.mint.database)
    assert (await rollovers.devices(both)).covered == 1
    assert (await rollovers.devices(one)).covered == 0
    (host,) = await InventoryStore(workloads.mint.database).hosts()
    assert host.stores == (
        ("system", "/etc/ssl/certs", 2),
        ("java", stores[1]["place"], 1),
        ("nss", stores[2]["place"], None),
    )


async def test_a_report_is_signed_by_an_agent_or_not_heard(workloads: Workloads) -> None:
    elsewhere = workloads.agent.signed(BASE + "/workload/svid", workloads.nonces.issue(), {})
    status, said = await workloads.call(REPORT, elsewhere)
    assert (status, said["code"]) == (400, "workload.request")
    await workloads.hold("device", "node-1")
    status, said = await workloads.ask(REPORT, report(workloads))
    assert (status, said["code"]) == (403, "workload.node.not_good")
    assert await found(workloads) == []


async def test_a_certificate_that_lies_nowhere_is_not_kept(workloads: Workloads) -> None:
    """Nothing would ever forget it."""
    lying, elsewhere = foreign(workloads), foreign(workloads)
    places = [{"certificate": 0, "place": "/etc/a.pem", "kind": "file"}]
    status, said = await workloads.ask(REPORT, report(workloads, lying, elsewhere, sightings=places))
    assert (status, said["certificates"], said["sightings"]) == (200, 2, 1)
    kept = await workloads.mint.database.fetch("SELECT sha256 FROM found_certificate")
    assert [row["sha256"] for row in kept] == [hashlib.sha256(lying).digest()]


async def test_sources_that_a_host_invents_share_one_row(workloads: Workloads) -> None:
    facts = [fact(workloads, "posture.firewall", False, source=f"made-up-{number}") for number in range(5)]
    facts.append(fact(workloads, "posture.firewall", False, source="nftables"))
    status, said = await workloads.ask(REPORT, report(workloads, facts=facts))
    assert (status, said["facts"]) == (200, 2)
    rows = await workloads.mint.database.fetch("SELECT source FROM fact WHERE name = 'posture.firewall' ORDER BY 1")
    assert [row["source"] for row in rows] == ["agent:nftables", "agent:other"]


_BROKEN: list[dict[str, Any]] = [
    {"at": "2026-03-02T09:00:00"},  # without a zone
    {"sightings": [{"certificate": 5, "place": "/a", "kind": "file"}]},
    {"sightings": [{"certificate": 0, "place": "/a\0", "kind": "file"}]},
    {"sightings": [{"certificate": 0, "place": "", "kind": "file"}]},
    {"sightings": [{"certificate": 0, "place": "/a", "kind": "trust"}]},
    {"facts": [{"path": "risk.score", "value": 0, "observed_at": "2026-03-02T09:00:00Z", "source": "proc"}]},
    {"facts": [{"path": "posture.firewall", "value": 1, "observed_at": "2026-03-02T09:00:00Z", "source": "a:b"}]},
    {"stores": [{"name": "system", "place": "/a", "roots": ["zz"]}]},
    {"certificates": ["AAAA"] * 1001},
    {"more": 1},
]


async def test_a_report_is_read_strictly(workloads: Workloads) -> None:
    for change in _BROKEN:
        workloads.mint.clock.advance(timedelta(seconds=30))
        status, said = await workloads.ask(REPORT, {**report(workloads, foreign(workloads)), **change})
        assert (status, said["code"]) == (400, "inventory.report"), change
    assert await workloads.mint.database.fetchval("SELECT count(*) FROM host_report") == 0


async def test_what_is_no_certificate_is_counted_and_left_out(workloads: Workloads) -> None:
    broken = foreign(workloads)[:-20]
    status, said = await workloads.ask(REPORT, report(workloads, foreign(workloads), broken, b"junk"))
    assert (status, said["certificates"], said["unreadable"]) == (200, 1, 2)


async def test_an_agent_that_reports_again_and_again_is_told_to_wait(workloads: Workloads) -> None:
    for _ in range(PER_AGENT):
        assert (await workloads.ask(REPORT, report(workloads)))[0] == 200
    status, said = await workloads.ask(REPORT, report(workloads))
    assert (status, said["code"]) == (429, "inventory.too_often")


async def test_what_is_found_is_counted_for_metrics_every_few_minutes(workloads: Workloads) -> None:
    watch = OperationsWatch(workloads.mint.database, workloads.mint.clock)
    await watch.look()
    assert watch.last is not None
    assert watch.last.found.hosts == 0
    await workloads.ask(REPORT, report(workloads, workloads.agent.der, foreign(workloads)))
    await watch.look()
    assert watch.last.found.hosts == 0  # not counted again yet
    workloads.mint.clock.advance(timedelta(minutes=5))
    await watch.look()
    found = watch.last.found
    assert (found.hosts, found.certificates) == (1, {("ending", True): 1, ("good", False): 1})
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collected(_operations_metrics(watch.last, workloads.mint.clock.now())))
    told = generate_latest(registry)
    assert b'troth_found_certificates{issued="elsewhere",life="good"} 1.0' in told
    assert b"troth_host_report_age_seconds 300.0" in told
