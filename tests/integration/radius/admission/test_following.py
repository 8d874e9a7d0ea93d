from __future__ import annotations

import asyncio
import random
from unittest.mock import AsyncMock

import pytest
from cryptography import x509

from tests.integration.radius.admission.conftest import NETWORKS, POLICY, Campus
from tests.unit.radius.admission.partner import KEY, PARTNER
from tests.unit.radius.admission.world import issue
from troth.audit.store import LedgerStore
from troth.pki.revocation import OfCertificate, hold, release, revoke
from troth.radius.admission import source_store
from troth.radius.admission.breaker import Opened
from troth.radius.admission.document import parse_networks
from troth.store.errors import UNAVAILABLE, Unavailable
from troth.store.unit import Unit
from troth.trust.outbox import store


async def test_a_certificate_that_was_issued_a_moment_ago_waits_for_its_birth_and_is_let_in(campus: Campus) -> None:
    _, certificate = await campus.device()
    assert await campus.outcome(certificate) == "allow"


async def test_once_a_hold_is_effective_it_lets_nobody_in_and_its_release_does(campus: Campus) -> None:
    _, certificate = await campus.device()
    database, at = campus.trust.database, campus.trust.clock.now()
    assert await campus.outcome(certificate) == "allow"
    await database.commit(hold(Unit(), OfCertificate(certificate), cause="admin:a", actor="admin:a", at=at))
    await campus.effective()
    assert await campus.outcome(certificate) == "trust.connect.certificate_held"
    await database.commit(release(Unit(), OfCertificate(certificate), cause="admin:a", actor="admin:a", at=at))
    await campus.effective()
    assert await campus.outcome(certificate) == "allow"
    await database.commit(revoke(Unit(), OfCertificate(certificate), reason=1, actor="admin:a", at=at))
    await campus.effective()
    assert await campus.outcome(certificate) == "trust.connect.certificate_revoked"


async def test_a_signal_that_quarantines_moves_the_next_attempt_to_the_healing_place(campus: Campus) -> None:
    subject, certificate = await campus.device()
    assert await campus.outcome(certificate) == "allow"
    await campus.trust.desk.take(campus.trust.signal("edr.contained", subject))
    assert await campus.trust.status(certificate) == "held"
    await campus.effective()
    verdict = await campus.admit(certificate)
    assert verdict is not None
    assert (verdict.outcome.value, verdict.place.name) == ("quarantine", "healing")


async def test_what_a_manager_reports_is_effective_at_the_next_attempt(campus: Campus) -> None:
    subject, certificate = await campus.device()
    assert await campus.outcome(certificate) == "allow"
    await campus.say(subject, compliant=False)
    await campus.effective()
    assert await campus.outcome(certificate) == "quarantine"
    await campus.say(subject, compliant=True)
    await campus.effective()
    assert await campus.outcome(certificate) == "allow"


async def test_a_policy_that_reads_what_none_has_read_before_finds_it(campus: Campus) -> None:
    subject, certificate = await campus.device()
    assert await campus.outcome(certificate) == "allow"
    await campus.trust.database.fetchval(
        """INSERT INTO fact (subject_id, source, name, value, observed_at, received_at)
           VALUES ($1, 'mdm', 'posture.jailbroken', 'true', $2, $2)""",
        subject, campus.trust.clock.now(),
    )  # fmt: skip
    stricter = POLICY.replace(
        "rules:\n",
        "rules:\n  - rule: jailbroken\n    moments: [connect]\n"
        "    match: has(posture.jailbroken) && posture.jailbroken\n    then: deny\n    unknown: deny\n",
    )
    await campus.policies.apply(await campus.policies.plan(stricter), actor="admin:alice")
    await campus.effective()
    assert await campus.outcome(certificate) == "policy.conditions_met"


async def test_a_profile_that_a_network_admits_from_now_on_is_loaded(campus: Campus) -> None:
    _, certificate = await campus.device(profile="quarantine")
    await campus.effective()
    assert await campus.outcome(certificate) == "trust.connect.certificate_unknown"
    wider = NETWORKS.replace("[client-device]", "[client-device, quarantine]")
    await campus.desk.apply(parse_networks(wider), actor="admin:alice")
    await campus.effective()
    assert await campus.outcome(certificate) == "quarantine"


async def test_a_person_closes_the_breaker_of_every_worker(campus: Campus) -> None:
    closed: list[tuple[str, float]] = []
    campus.follower.on_closed = lambda network, seconds: closed.append((network, seconds))
    calling = NETWORKS + "    breaker: {notify: [noc]}\n"
    await campus.desk.apply(parse_networks(calling), actor="admin:alice")
    await campus.effective()
    campus.follower.call(Opened("corp", "policy.condition_false", 40, 50, campus.trust.clock.monotonic() + 60))
    await campus.desk.close_breaker("corp", actor="admin:alice", note="the patch is due")
    await campus.effective()
    assert closed == [("corp", 86_400.0)]
    async with asyncio.timeout(120):
        while True:
            newest = await LedgerStore(campus.trust.database).latest(50)
            told = [dict(one.data) for one in newest if one.kind == "network.breaker_opened"]
            if told:
                break
            await asyncio.sleep(0.02)
    assert (told[0]["refused"], told[0]["asked"]) == (40, 50)
    [call] = await store.listed(campus.trust.database)
    assert (call.port, call.target, call.notice.name) == ("notify", "noc", "corp")


async def test_where_strangers_certificates_point_is_written_down_for_the_worker(campus: Campus) -> None:
    point = x509.DistributionPoint([x509.UniformResourceIdentifier("http://p.example/x")], None, None, None)
    leaf = issue("Bob", PARTNER, signer=KEY, lists=(point,))
    campus.follower.decider.paths.learned.see(1, "Partner Root", [leaf])
    async with asyncio.timeout(120):
        while not (found := await source_store.sources(campus.trust.database)):
            await asyncio.sleep(0.05)
    assert [(one.anchor, one.url, one.origin) for one in found] == [
        ("Partner Root", "http://p.example/x", "certificate")
    ]


async def test_a_network_that_is_removed_lets_nobody_in(campus: Campus) -> None:
    _, certificate = await campus.device()
    await campus.desk.remove("corp", actor="admin:alice")
    await campus.effective()
    assert await campus.outcome(certificate) == "radius.admission.no_network"


@pytest.mark.chaos
async def test_a_worker_that_is_cut_off_from_the_stream_lets_nobody_in(
    campus: Campus, sequencer: asyncio.Task[None]
) -> None:
    subject, certificate = await campus.device()
    assert await campus.outcome(certificate) == "allow"
    sequencer.cancel()
    await asyncio.gather(sequencer, return_exceptions=True)
    # An event waits without an index: nobody knows what it is about.
    await campus.say(subject, compliant=False)
    campus.admissions._hold_back = 0.1
    async with asyncio.timeout(60):
        while await campus.outcome(certificate) != "radius.admission.stale":
            await asyncio.sleep(0.05)


@pytest.mark.chaos
async def test_a_stream_that_is_interrupted_for_a_moment_makes_attempts_wait_and_refuses_none(
    campus: Campus, monkeypatch: pytest.MonkeyPatch
) -> None:
    subject, certificate = await campus.device()
    assert await campus.outcome(certificate) == "allow"
    with monkeypatch.context() as cut:
        cut.setattr(LedgerStore, "read_on", AsyncMock(side_effect=Unavailable(UNAVAILABLE)))
        while campus.follower.lease.live:
            await asyncio.sleep(0.05)
        campus.admissions._hold_back = 60.0  # however slow this machine is
        waiting = asyncio.create_task(campus.outcome(certificate))
        await campus.say(subject, compliant=False)
        while await LedgerStore(campus.trust.database).oldest_unsequenced() is not None:
            await asyncio.sleep(0.01)
        assert not waiting.done()
    # What was told meanwhile is applied before the lease is renewed, and counts.
    assert await waiting == "quarantine"
    assert campus.admissions.held_back == {("corp", "renewed"): 1}


@pytest.mark.chaos
async def test_no_accept_leaves_above_a_standing_that_is_effective(campus: Campus) -> None:
    """Attempts at random moments while the standing changes; what leaves is weighed against what was effective then."""
    subject, certificate = await campus.device()
    chance = random.Random(7)
    attempt = await campus.attempt(certificate)
    #: From when on the device must not be let in to staff.
    closed = asyncio.Event()
    wrong, tried = 0, 0

    async def knock() -> None:
        nonlocal wrong, tried
        while not done.is_set():
            verdict = await campus.admissions.admit(attempt)
            if verdict is not None and verdict.admitted:
                await campus.admissions.record(attempt, verdict, [])
                await asyncio.sleep(chance.random() * 0.02)  # the round trip to the station
                if campus.admissions.holds(attempt, verdict):
                    tried += 1
                    wrong += closed.is_set() and verdict.outcome.value == "allow"
            await asyncio.sleep(0)

    done = asyncio.Event()
    knocking = [asyncio.create_task(knock()) for _ in range(4)]
    for _ in range(6):
        await campus.trust.desk.take(campus.trust.signal("edr.contained", subject))
        await campus.effective()
        closed.set()
        await asyncio.sleep(chance.random() * 0.05)
        closed.clear()
        await campus.trust.desk.take(campus.trust.signal("edr.containment_lifted", subject))
        await asyncio.sleep(0.15)
    done.set()
    await asyncio.gather(*knocking)
    assert wrong == 0
    assert tried > 20
    await campus.drain.once()
