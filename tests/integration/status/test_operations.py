"""What an operator would be woken for, as the status role sees it."""

from __future__ import annotations

from datetime import timedelta

import pytest
from prometheus_client.core import CollectorRegistry
from prometheus_client.exposition import generate_latest

from tests.support.clocks import START
from tests.support.enrolling import enrolling_for
from tests.support.mint import Mint
from tests.support.signals import Trust
from tests.support.vendors.harness import Connected
from troth.enroll.acme.attempt_store import ADD_ATTEMPT
from troth.enroll.acme.incident_store import Selector
from troth.enroll.acme.incidents import Incidents
from troth.enroll.acme.limit_store import SET_FAILING, LimitStore
from troth.enroll.attest.service import Attestations
from troth.enroll.attest.store import ADD_ATTESTATION, Attestation
from troth.enroll.credentials.model import Wanted
from troth.enroll.tpm.store import ADD_TPM
from troth.kit.ids import new_id
from troth.kit.sealing import SecretBox
from troth.pki.finding_store import CLEAR, NOTE
from troth.radius.nas.definition import NasDefinition, RadsecDefinition
from troth.radius.nas.desk import NasDesk
from troth.radius.nas.loading import NasBook
from troth.radius.nas.sightings import Sightings
from troth.status.metrics import _Collected, _operations_metrics
from troth.status.operations import Operations, OperationsWatch
from troth.store.errors import UNAVAILABLE, Unavailable
from troth.store.marks import MARK
from troth.store.unit import Unit


async def test_open_findings_are_counted_by_severity_and_code_and_marks_are_read(mint: Mint) -> None:
    now, watch = mint.clock.now(), OperationsWatch(mint.database, mint.clock)
    assert watch.last is None
    unit = Unit().write(MARK, "backup", now)
    for name, severity in (("a", "ERROR"), ("b", "ERROR"), ("c", "WARNING")):
        unit.write(NOTE, f"certificate:{name}", "lint.x", "lint", severity, "", now)
    await mint.database.commit(unit)
    await watch.look()
    assert watch.last == Operations({("ERROR", "lint.x"): 2, ("WARNING", "lint.x"): 1}, {"backup": now})
    mint.clock.advance(timedelta(seconds=1))
    await mint.database.commit(Unit().write(CLEAR, "certificate:a", "lint", mint.clock.now()))
    await watch.look()
    assert watch.last.findings == {("ERROR", "lint.x"): 1, ("WARNING", "lint.x"): 1}


async def test_a_database_that_is_away_is_no_news_of_no_findings(mint: Mint, monkeypatch: pytest.MonkeyPatch) -> None:
    watch = OperationsWatch(mint.database, mint.clock)
    await watch.look()
    assert watch.last == Operations()

    async def away(*_: object) -> None:
        raise Unavailable(UNAVAILABLE)

    monkeypatch.setattr(mint.database, "fetch", away)
    await watch.look()
    assert watch.last is None


async def test_enrolments_paused_names_and_tpms_are_counted(mint: Mint) -> None:
    watch = OperationsWatch(mint.database, mint.clock)
    enrolments = enrolling_for(mint.database, mint.clock).enrolments
    for _ in range(2):
        made = await enrolments.create(Wanted(kind="external-account", name="web", seconds=60), by="admin:alice")
    await enrolments.revoke(made.enrolment.id, by="admin:alice", closing=[])
    now = mint.clock.now()
    unit = Unit().claim(
        ADD_TPM, bytes(32), new_id(), "a", "id:00000000", "a", "a", now, "test", refuse=AssertionError()
    )
    for name, paused in (("a.test", now), ("b.test", None)):
        unit.write(SET_FAILING, new_id(), "dns", name, 9, now, now, paused)
    for kind, reason, accepted, age in (
        ("tpm", None, True, 1), ("tpm", None, False, 2), ("apple", "attest.chain", False, 3), ("step", None, True, 25),
    ):  # fmt: skip
        one = Attestation(
            new_id(), new_id(), new_id(), new_id(), None, now - timedelta(hours=age), kind, b"s", None,
            "permanent-identifier", "x", "permanent-identifier", "x", "enforce", accepted, accepted,
            reason, None, {}, {},
        )  # fmt: skip
        unit.write(ADD_ATTESTATION, *one.row())
    for hours, outcome in ((0, "again"), (0, "invalid"), (0, "valid"), (2, "invalid")):
        at, reason = now - timedelta(hours=hours), "acme.validation.dns"
        unit.write(ADD_ATTEMPT, new_id(), new_id(), new_id(), "a.test", "dns-01", outcome, reason, "", "[]", at)
    await mint.database.commit(unit)
    incidents = Incidents(mint.database, mint.clock, most=10)
    await incidents.start(Selector(profile="tls-server"), per_minute=1, note="", actor="test")
    await LimitStore(mint.database).refused({"orders_per_account": 2, "paused": 1})
    await LimitStore(mint.database).refused({"orders_per_account": 3})
    await Attestations(mint.database, mint.clock).put_statuses(b'{"entries":{}}', source="test", actor="test")
    await watch.look()
    assert watch.last is not None
    assert watch.last.refusals == {"orders_per_account": 5, "paused": 1}
    assert watch.last.enrolments == {("external-account", "valid"): 1, ("external-account", "revoked"): 1}
    assert watch.last.paused == 1
    assert watch.last.tpms == {False: 1}
    assert watch.last.attestations == {("tpm", "attested"): 1, ("tpm", "policy"): 1, ("apple", "attest.chain"): 1}
    mint.clock.advance(timedelta(minutes=2))
    await watch.look()
    assert watch.last.enrolments == {("external-account", "expired"): 1, ("external-account", "revoked"): 1}
    told = b"\n".join(line for line in generate(watch.last) if b"{" in line or b" " in line)
    assert b'troth_enrolments{kind="external-account",status="revoked"} 1.0' in told
    assert b"troth_acme_paused_names 1.0" in told
    assert b'troth_acme_refused_total{limit="orders_per_account"} 5.0' in told
    assert b'troth_acme_failed_validations{reason="acme.validation.dns"} 2.0' in told
    assert b"troth_renewal_incidents 1.0" in told
    assert b'troth_tpms{attested="no"} 1.0' in told
    assert b'troth_attestations_day{format="apple",result="attest.chain"} 1.0' in told
    assert b"troth_attestation_status_age_seconds" in told


def generate(seen: Operations) -> list[bytes]:
    """The lines of the metrics page that tell of ``seen``."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collected(_operations_metrics(seen, START)))
    return generate_latest(registry).splitlines()


async def test_streams_of_shared_signals_are_told(mint: Mint) -> None:
    from troth.connect.ssf import event_store, store
    from troth.connect.ssf.definitions import parse_streams
    from troth.store.unit import Unit

    document = {"ssf_streams": [{"name": "idp", "feed": "idp", "issuer": "https://i.example", "auth": "none"}]}
    unit = Unit()
    for one in parse_streams(document):
        store.create(unit, one, at=START, actor="test", refuse=AssertionError())
    await mint.database.commit(unit)
    unit = Unit()
    store.heard(unit, "idp", START - timedelta(seconds=7))
    for outcome in ("signals", "signals", "noted"):
        event_store.count(unit, "idp", outcome)
    await mint.database.commit(unit)
    watch = OperationsWatch(mint.database, mint.clock)
    await watch.look()
    assert watch.last is not None
    told = generate(watch.last)
    for line in (
        b'troth_ssf_stream_status{status="planned",stream="idp"} 1.0',
        b'troth_ssf_stream_silent_seconds{stream="idp"} 7.0',
        b'troth_ssf_tokens_total{outcome="signals",stream="idp"} 2.0',
        b"troth_ssf_waiting 0.0",
    ):
        assert line in told


async def test_streams_to_receivers_are_told(mint: Mint) -> None:
    from troth.connect.ssf.transmitter import queue_store, store
    from troth.connect.ssf.transmitter.definitions import parse_receivers
    from troth.store.unit import Unit

    (vpn,) = parse_receivers({"ssf_receivers": [{"name": "vpn", "audience": ["v"]}]})
    unit = Unit()
    store.put_receiver(unit, vpn, at=START, actor="test")
    store.make_stream(
        unit, "s1", "vpn", {"method": "m", "endpoint": "", "requested": [], "description": ""}, None, START
    )
    for number, jti in enumerate("abcd"):
        made = queue_store.new(new_id(), "s1", jti, "t", "eyJ", START - timedelta(seconds=10 - number))
        queue_store.queue(unit, made, jti)
    await mint.database.commit(unit)
    unit = Unit()
    queue_store.taken(unit, "s1", "a")
    queue_store.refuse(unit, "s1", "b", "no")
    await mint.database.commit(unit)
    watch = OperationsWatch(mint.database, mint.clock)
    await watch.look()
    assert watch.last is not None
    told = generate(watch.last)
    for line in (
        b'troth_ssf_out_status{receiver="vpn",status="enabled",stream="s1"} 1.0',
        b'troth_ssf_out_waiting{receiver="vpn",stream="s1"} 2.0',
        b'troth_ssf_out_lag_seconds{receiver="vpn",stream="s1"} 8.0',
        b'troth_ssf_out_tokens_total{outcome="delivered",receiver="vpn"} 1.0',
        b'troth_ssf_out_tokens_total{outcome="refused",receiver="vpn"} 1.0',
    ):
        assert line in told, told


async def test_what_est_clients_ask_is_told(mint: Mint) -> None:
    from troth.enroll.est.tally import Tally

    for _ in range(2):  # two processes
        tally = Tally(mint.database)
        tally.count("hosts", "simpleenroll", "issued")
        await tally.close()
    watch = OperationsWatch(mint.database, mint.clock)
    await watch.look()
    assert watch.last is not None
    assert watch.last.est == {("hosts", "simpleenroll", "issued"): 2}


async def test_silent_feeds_waiting_signals_and_failing_connectors_are_told(connected: Connected) -> None:
    from tests.support.vendors.falcon import Falcon
    from troth.connect import connector_store
    from troth.store.unit import Unit

    database, clock = connected.trust.database, connected.clock
    async with Falcon(clock) as falcon:
        await connected.connect(falcon, "crowdstrike", secrets={"client_secret": falcon.client_secret})
        falcon.alert(1, "nobody")
        await connected.pull("alerts")
        falcon.alert(2, "nobody")
        await connected.pull("alerts", act=False)
    failed = connector_store.failed(Unit(), "it", "hosts", at=clock.now(), code="connector.scope", detail="")
    await database.commit(failed)
    clock.advance(timedelta(seconds=150))
    watch = OperationsWatch(database, clock)
    await watch.look()
    assert watch.last is not None
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collected(_operations_metrics(watch.last, clock.now())))
    told = generate_latest(registry).decode()
    for line in (
        'troth_feed_state{feed="edr",state="stale"} 1.0',
        'troth_feed_state{feed="edr",state="fresh"} 0.0',
        'troth_inbox_waiting{feed="edr"} 1.0',
        'troth_inbox_oldest_seconds{feed="edr"} 150.0',
        'troth_signals_unresolved{feed="edr"} 1.0',
        'troth_connector_failures{connector="it",read="hosts"} 1.0',
        'troth_connector_failures{connector="it",read="alerts"} 0.0',
        'troth_connector_lag_seconds{connector="it",read="alerts"} 150.0',
        'troth_connector_signals_total{connector="it",read="alerts"}',
    ):
        assert line in told


async def test_standings_staged_actions_exemptions_and_suspended_feeds_are_told(trust: Trust) -> None:
    from troth.trust.enforcement.exemptions import Exemptions

    await trust.feed(cap={"percent": 0, "subjects": 2})
    one, two, three, four = await trust.subjects(4)
    await trust.take("edr.intrusion", one)
    await trust.take("edr.alert", two, severity=90)
    await trust.take("edr.intrusion", three)
    await Exemptions(trust.database, trust.clock, trust.enforcer).grant(
        four, reason="surgery", hours=24, proposed_by="admin:ann", approved_by=["admin:ben"]
    )
    await trust.feeds.suspend("edr", actor="admin:ann", reason="noise")
    watch = OperationsWatch(trust.database, trust.clock)
    await watch.look()
    assert watch.last is not None
    seen = watch.last.standings
    assert seen.subjects == {"quarantined": 2}
    assert (seen.staged, seen.exempt, seen.suspended, seen.overdue) == ({("raise", "cap"): 1}, 1, {"edr": False}, 0)
    trust.clock.advance(timedelta(days=20))
    await watch.look()
    assert watch.last is not None
    assert watch.last.standings.overdue == 3
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collected(_operations_metrics(watch.last, trust.clock.now())))
    told = generate_latest(registry).decode()
    for line in (
        'troth_subjects{standing="quarantined"} 2.0', 'troth_subjects{standing="distrusted"} 0.0',
        'troth_staged_actions{action="raise",why="cap"} 1.0', 'troth_feed_suspended{by="person",feed="edr"} 1.0',
        "troth_exemptions 0.0", "troth_standing_overdue 3.0",
    ):  # fmt: skip
        assert line in told


async def test_access_servers_are_counted_and_those_to_be_looked_at_are_named(mint: Mint) -> None:
    database, clock, box = mint.database, mint.clock, SecretBox(b"n" * 32, purpose="nas")
    desk, book, sightings = NasDesk(database, clock, box), NasBook(database, box), Sightings(clock)
    only = RadsecDefinition(("dns:a.example",), ("10.9.0.0/24",), only=True)
    await desk.apply(
        [NasDefinition("a", ("10.1.0.0/24",)), NasDefinition("b", ("10.2.0.0/24",)), NasDefinition("c", radsec=only),
         NasDefinition("d", ("10.4.0.0/24",))],
        actor="admin:x",
    )  # fmt: skip
    await desk.set_secret("a", actor="admin:x")
    await desk.retire("d", reason="", actor="admin:x")
    following = await desk.rotate("a", actor="admin:x")
    await book.refresh()
    nas = book.table.entries["a"]
    for number in (1, 2, 3):
        sightings.proved(nas, f"10.1.0.{number}", nas.secrets[0] or b"", signed=number > 1)
    await sightings.flush(database)
    clock.advance(timedelta(minutes=1))
    sightings.proved(nas, "10.1.0.3", following, signed=True)
    sightings.wrong(nas, "10.1.0.9")
    await sightings.flush(database)
    watch = OperationsWatch(database, clock)
    await watch.look()

    registry = CollectorRegistry()
    registry.register(_Collected(_operations_metrics(watch.last or Operations(), clock.now())))
    text = generate_latest(registry).decode()

    for line in (
        'troth_nas{state="ready"} 2.0', 'troth_nas{state="without_secret"} 1.0', 'troth_nas{state="retired"} 1.0',
        'troth_nas_suspicious_addresses{nas="a",what="unsigned"} 1.0',
        'troth_nas_suspicious_addresses{nas="a",what="wrong"} 1.0', 'troth_nas_rotation_behind{nas="a"} 2.0',
    ):  # fmt: skip
        assert line in text.splitlines(), text
