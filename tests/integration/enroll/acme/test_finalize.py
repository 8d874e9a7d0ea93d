"""One order, one certificate: whoever asks, however often, and whatever dies in between."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import timedelta
from uuid import UUID

import pytest
from cryptography import x509

from tests.support.acme_door import Door, csr_for
from tests.support.enrolling import enrolling_for
from tests.support.refusals import FENCE, told_without_a_traceback
from troth.client.acme import AcmeClient, AcmeError
from troth.client.acme_objects import Order
from troth.client.jose import b64url_encode
from troth.enroll.acme.attested import AttestedOrders, Devices
from troth.enroll.acme.directories import Directory
from troth.enroll.acme.finalize import Finalizer
from troth.enroll.attest.store import AttestationStore
from troth.enroll.issuance import Issuance
from troth.enroll.tpm.store import TpmStore
from troth.kit.errors import INTERNAL, TrothError
from troth.kit.ids import new_id
from troth.pki.burn import Burner
from troth.pki.catalogue import Catalogue
from troth.pki.gate import Gate
from troth.store.errors import UNAVAILABLE, Unavailable
from troth.store.pool import Database
from troth.trust.decision.decide import Judge
from troth.trust.subjects.store import SubjectStore
from troth.trust.subjects.whom import Subjects


async def refused(door: Door, client: AcmeClient, order: Order, csr: bytes) -> AcmeError:
    with pytest.raises(AcmeError) as caught:
        await client.finalize(order, csr)
    return caught.value


async def states(door: Door) -> Counter[str]:
    return Counter(row["state"] for row in await door.mint.database.fetch("SELECT state FROM certificate"))


async def test_finalizing_again_with_the_same_request_gives_the_same_certificate(door: Door) -> None:
    client, csr = await door.client(), csr_for(["a.test"])
    order = await door.ready(client, "a.test")
    first = await client.finalize(order, csr)
    second = await client.finalize(order, csr)
    assert (second.status, second.certificate) == ("valid", first.certificate)
    error = await refused(door, client, order, csr_for(["a.test"]))
    assert (error.status, error.problem.short_type) == (403, "orderNotReady")
    assert await door.count("certificate") == 1


async def test_a_pending_order_is_not_finalized(door: Door) -> None:
    client = await door.client()
    order = await client.new_order([("dns", "a.test")])
    error = await refused(door, client, order, csr_for(["a.test"]))
    assert (error.status, error.problem.short_type) == (403, "orderNotReady")
    assert (await client.order(order.url)).status == "pending"


async def test_fifty_requests_at_once_yield_one_certificate(door: Door) -> None:
    client, csr = await door.client(), csr_for(["a.test"])
    order = await door.ready(client, "a.test")
    answers = await asyncio.gather(*(client.finalize(order, csr) for _ in range(50)))
    assert {answer.status for answer in answers} <= {"valid", "processing"}
    assert "valid" in {answer.status for answer in answers}
    found = {(await client.order(order.url)).certificate for _ in range(3)}
    assert len(found) == 1
    assert {answer.certificate for answer in answers if answer.status == "valid"} == found
    assert await states(door) == {"issued": 1}
    assert len(door.mint.signer.certified) == 1


async def test_different_requests_at_once_yield_one_certificate_and_refusals(door: Door) -> None:
    client = await door.client()
    order = await door.ready(client, "a.test")
    answers = await asyncio.gather(
        *(client.finalize(order, csr_for(["a.test"])) for _ in range(12)), return_exceptions=True
    )
    won = [answer for answer in answers if isinstance(answer, Order)]
    lost = [answer for answer in answers if isinstance(answer, AcmeError)]
    assert len(won) == 1
    assert {(error.status, error.problem.short_type) for error in lost} == {(403, "orderNotReady")}
    assert await states(door) == {"issued": 1}


async def test_two_processes_at_once_yield_one_certificate(door: Door, database_url: str) -> None:
    client, mint = await door.client(), door.mint
    second = await Database.open(database_url, clock=mint.clock)
    catalogue = Catalogue(second, mint.clock)
    await catalogue.refresh()
    gate = Gate(second, mint.signer, catalogue, mint.interlock, mint.clock, instance=new_id())
    judge = Judge(door.cache, [], mint.clock)
    issuance = Issuance(second, Subjects(SubjectStore(second)), judge, gate, catalogue)
    enrolling = enrolling_for(second, mint.clock)
    devices = Devices(SubjectStore(second), enrolling.enrolments, TpmStore(second))
    attested = AttestedOrders(AttestationStore(second), devices)
    other = Finalizer(second, mint.clock, issuance, enrolling.admission, attested)
    account = await door.desks.store.account(_id(client.account_url))
    assert account is not None
    for number in range(10):
        name, csr = f"n{number}.test", csr_for([f"n{number}.test"])
        placed = await door.ready(client, name)
        order = await door.desks.store.order(_id(placed.url))
        assert order is not None
        payload = {"csr": b64url_encode(csr)}
        answers = await asyncio.gather(
            *(
                finalizer.finalize(
                    account, order, payload, Directory("tls-server", ("tls-server",)), account_uri="", client=None
                )
                for finalizer in (door.desks.finalizer, other) * 3
            )
        )
        assert {answer.status for answer in answers} <= {"valid", "processing"}
        assert (await client.order(placed.url)).status == "valid"
    await second.close()
    assert await states(door) == {"issued": 10}


async def test_an_order_cut_short_waits_for_its_serial_and_is_ready_again(door: Door) -> None:
    client, csr = await door.client(), csr_for(["a.test"])
    order = await door.ready(client, "a.test")
    door.mint.signer.fail = asyncio.CancelledError()  # type: ignore[assignment]
    with pytest.raises(asyncio.CancelledError):
        await client.finalize(order, csr)
    # The process is gone; what it reserved may still be signed for all that anybody knows.
    waiting = await client.order(order.url)
    assert (waiting.status, waiting.retry_after) == ("processing", 1)
    assert (await client.finalize(order, csr)).status == "processing"
    error = await refused(door, client, order, csr_for(["a.test"]))
    assert (error.status, error.problem.short_type) == (403, "orderNotReady")
    door.mint.clock.advance(timedelta(seconds=61))
    assert await Burner(door.mint.database, door.mint.clock).burn_abandoned() == 1
    assert (await client.order(order.url)).status == "ready"
    final = await client.finalize(order, csr)
    assert final.status == "valid"
    assert await states(door) == {"burnt": 1, "issued": 1}
    leaf = x509.load_pem_x509_certificates(await client.certificate(final))[0]
    serials = {row["serial"]: row["state"] for row in await door.mint.database.fetch("SELECT * FROM certificate")}
    assert serials[leaf.serial_number.to_bytes(16, "big")] == "issued"


async def test_finalize_itself_moves_a_burnt_order_on(door: Door) -> None:
    client, csr = await door.client(), csr_for(["a.test"])
    order = await door.ready(client, "a.test")
    door.mint.signer.fail = asyncio.CancelledError()  # type: ignore[assignment]
    with pytest.raises(asyncio.CancelledError):
        await client.finalize(order, csr)
    door.mint.clock.advance(timedelta(seconds=61))
    await Burner(door.mint.database, door.mint.clock).burn_abandoned()
    assert (await client.finalize(order, csr_for(["a.test"]))).status == "valid"


async def test_an_order_whose_certificate_was_stored_becomes_valid(door: Door) -> None:
    client, csr = await door.client(), csr_for(["a.test"])
    order = await door.ready(client, "a.test")
    done = await client.finalize(order, csr)
    await door.mint.database.fetchval("UPDATE acme_order SET status = 'processing', certificate_id = NULL")
    again = await client.order(order.url)
    assert (again.status, again.certificate) == ("valid", done.certificate)


async def test_a_failing_signer_costs_a_serial_and_not_the_order(door: Door) -> None:
    client, csr = await door.client(), csr_for(["a.test"])
    order = await door.ready(client, "a.test")
    door.mint.signer.fail = TrothError(INTERNAL, "the HSM at 10.0.0.1 is out of paper")
    error = await refused(door, client, order, csr)
    assert (error.status, error.problem.short_type) == (500, "serverInternal")
    assert "HSM" not in error.problem.detail
    assert (await client.order(order.url)).status == "ready"
    assert (await client.finalize(order, csr)).status == "valid"
    assert await states(door) == {"burnt": 1, "issued": 1}


async def test_a_database_that_is_away_is_told_as_503_and_may_be_tried_again(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, csr = await door.client(), csr_for(["a.test"])
    order = await door.ready(client, "a.test")

    async def away(_unit: object) -> None:
        raise Unavailable(UNAVAILABLE, "cannot connect to /srv/troth/pg")

    with monkeypatch.context() as patch:
        patch.setattr(door.mint.database, "commit", away)
        error = await refused(door, client, order, csr)
    assert (error.status, error.problem.short_type, error.retry_after) == (503, "serverInternal", 5)
    assert "/srv" not in error.problem.detail
    assert (await client.finalize(order, csr)).status == "valid"


async def test_a_fenced_installation_refuses_and_the_log_has_no_failure(door: Door) -> None:
    client, csr = await door.client(), csr_for(["a.test"])
    order = await door.ready(client, "a.test")
    door.mint.interlock.refusal = FENCE
    with told_without_a_traceback("acme.refused"):
        error = await refused(door, client, order, csr)
    assert (error.status, error.problem.short_type, error.retry_after) == (503, "serverInternal", 5)
    door.mint.interlock.refusal = None
    assert (await client.finalize(order, csr)).status == "valid"


async def test_a_denied_request_is_recorded_and_its_order_stays_ready(door: Door) -> None:
    client, csr = await door.client(), csr_for(["a.test"])
    await door.issued(client, "a.test")
    database = door.mint.database
    await database.fetchval("UPDATE subject SET standing = 'distrusted', standing_version = standing_version + 1")
    order = await client.new_order([("dns", "a.test")])
    before = await door.count("decision")
    error = await refused(door, client, order, csr)
    assert (error.status, error.problem.short_type, error.problem.reason) == (403, "unauthorized", "acme.order.refused")
    assert "distrusted" not in error.problem.detail
    assert (await client.order(order.url)).status == "ready"
    assert await door.count("decision") == before + 1
    row = await database.fetchrow("SELECT id, outcome FROM decision ORDER BY id DESC LIMIT 1")
    assert row is not None
    assert row["outcome"] == "deny"
    assert str(row["id"])[-12:] in error.problem.detail
    assert await door.count("certificate") == 1
    await database.fetchval("UPDATE subject SET standing = 'trusted', standing_version = standing_version + 1")
    assert (await client.finalize(order, csr)).status == "valid"


async def test_a_quarantined_server_gets_the_short_profile_that_heals(door: Door) -> None:
    client = await door.client()
    await door.issued(client, "a.test")
    await door.mint.database.fetchval("UPDATE subject SET standing = 'quarantined', standing_version = 9")
    order = await client.new_order([("dns", "a.test")])
    order = await client.finalize(order, csr_for(["a.test"]))
    leaf = x509.load_pem_x509_certificates(await client.certificate(order))[0]
    assert leaf.not_valid_after_utc - door.mint.clock.now() <= timedelta(hours=4)
    profile = "SELECT profile FROM certificate ORDER BY id DESC LIMIT 1"
    assert await door.mint.database.fetchval(profile) == "quarantine"


async def test_the_decision_sees_what_was_proved_and_how(door: Door) -> None:
    client = await door.client()
    order = await client.new_order([("dns", "*.a.test"), ("dns", "a.test"), ("dns", "b.test")])
    authzs = [await client.authorization(url) for url in order.authorizations]
    for authz in authzs:
        chosen = authz.challenge("dns-01" if authz.identifier.value == "a.test" else "http-01")
        assert chosen is not None
        door.serve(client, chosen.token)
        said = [value.strip('"') for value in door.dns.values("_acme-challenge.a.test", "TXT")]
        door.dns.set_txt("_acme-challenge.a.test", *said, client.dns_value(chosen.token))
        await client.answer(chosen)
    await door.validate()
    await client.finalize(order, csr_for(["*.a.test", "a.test", "b.test"]))
    seen = await door.mint.database.fetchval("SELECT convert_from(snapshot, 'UTF8') FROM decision LIMIT 1")
    for said in ('"dns-01"', '"http-01"', '"*.a.test"', '"192.0.2.7"', client.account_url.rpartition("/")[2]):
        assert said in seen


async def test_a_standing_that_moves_under_the_request_is_decided_anew(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, csr = await door.client(), csr_for(["a.test"])
    await door.issued(client, "a.test")
    order = await client.new_order([("dns", "a.test")])
    commit, moved = door.mint.database.commit, []

    async def moving(unit: object) -> None:
        if not moved:
            moved.append(True)
            await door.mint.database.fetchval("UPDATE subject SET standing = 'distrusted', standing_version = 7")
        await commit(unit)  # type: ignore[arg-type]

    monkeypatch.setattr(door.mint.database, "commit", moving)
    error = await refused(door, client, order, csr)
    assert (error.status, error.problem.short_type) == (403, "unauthorized")
    assert await door.count("certificate") == 1


def _id(url: str) -> UUID:
    return UUID(url.rpartition("/")[2])
