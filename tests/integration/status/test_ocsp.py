"""OCSP on real parts: a database, the ledger's stream, HTTP, and parsers that are not ours."""

from __future__ import annotations

import asyncio
import base64
from datetime import timedelta
from unittest.mock import AsyncMock
from uuid import UUID

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp

from tests.integration.status.conftest import OCSP_TYPE, Client, StatusHouse
from tests.support.mint import new_spki
from troth.audit.store import LedgerStore
from troth.kit.clock import to_seconds
from troth.pki import der
from troth.pki.serial import new_serial
from troth.status.model import Found
from troth.status.store import StatusReader
from troth.store.errors import UNAVAILABLE, Unavailable

UNSIGNED = {1: b"\x30\x03\x0a\x01\x01", 3: b"\x30\x03\x0a\x01\x03", 6: b"\x30\x03\x0a\x01\x06"}


async def test_a_certificate_goes_from_good_to_hold_and_back_and_at_last_is_revoked(
    house: StatusHouse, client: Client
) -> None:
    issued = await house.issue()
    assert await client.status(issued.der) == "good"
    await house.hold(issued.id)
    await house.effective()
    assert await client.status(issued.der) == "revoked:certificate_hold"
    await house.hold(issued.id, "admin:alice")
    await house.release(issued.id)
    await house.effective()
    assert await client.status(issued.der) == "revoked:certificate_hold"
    await house.release(issued.id, "admin:alice")
    await house.effective()
    assert await client.status(issued.der) == "good"
    await house.revoke(issued.id)
    await house.effective()
    assert await client.status(issued.der) == "revoked:key_compromise"


async def test_a_hold_is_told_within_a_second(house: StatusHouse, client: Client) -> None:
    issued = await house.issue()
    assert await client.status(issued.der) == "good"
    loop = asyncio.get_running_loop()
    begun = loop.time()
    await house.hold(issued.id)
    while await client.status(issued.der) == "good":
        await asyncio.sleep(0.005)
    assert loop.time() - begun < 1.0


async def test_an_answer_says_what_cryptography_expects(house: StatusHouse, client: Client) -> None:
    issued = await house.issue()
    now = house.mint.clock.now()
    for algorithm in (hashes.SHA1(), hashes.SHA256()):
        nonce = bytes(range(32))
        answer = await client.post(client.request(issued.der, nonce=nonce, algorithm=algorithm))
        parsed = ocsp.load_der_ocsp_response(answer.content)
        client.verify(parsed)
        assert parsed.certificate_status is ocsp.OCSPCertStatus.GOOD
        assert parsed.serial_number == int.from_bytes(issued.serial, "big")
        assert parsed.hash_algorithm.name == algorithm.name
        assert parsed.extensions.get_extension_for_class(x509.OCSPNonce).value.nonce == nonce
        assert parsed.this_update_utc == parsed.produced_at_utc == to_seconds(now)
        assert parsed.next_update_utc == to_seconds(now) + timedelta(seconds=60)
        assert parsed.responder_name is None
        assert answer.headers["cache-control"] == "no-store"


async def test_get_and_post_tell_the_same_and_no_cache_may_answer_by_itself(house: StatusHouse, client: Client) -> None:
    issued = await house.issue()
    body = client.request(issued.der)
    for answer in (await client.get(body), await client.post(body)):
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "application/ocsp-response"
        assert answer.headers["cache-control"] == "max-age=0, public, no-transform, must-revalidate"
        assert ocsp.load_der_ocsp_response(answer.content).certificate_status is ocsp.OCSPCertStatus.GOOD
    headers = (await client.get(body)).headers
    assert {"etag", "last-modified", "expires"} <= set(headers)
    # Base64 sent as it is, with its plus, slash and equals signs, is as good as percent-encoded.
    raw = await client.http.get(f"/ocsp/issuing/{base64.b64encode(body).decode()}")
    assert ocsp.load_der_ocsp_response(raw.content).certificate_status is ocsp.OCSPCertStatus.GOOD


async def test_a_serial_that_nobody_made_is_unknown_and_stays_so(house: StatusHouse, client: Client) -> None:
    issued = await house.issue()
    serial = new_serial(house.mint.clock.now())
    identifier = x509.SubjectKeyIdentifier.from_public_key(client.issuer.public_key())  # SHA-1 of the key's bits
    sha1 = hashes.Hash(hashes.SHA1())
    sha1.update(client.issuer.subject.public_bytes())
    body = (
        ocsp.OCSPRequestBuilder()
        .add_certificate_by_hash(sha1.finalize(), identifier.digest, int.from_bytes(serial, "big"), hashes.SHA1())
        .build()
        .public_bytes(Encoding.DER)
    )
    for _ in range(3):
        parsed = ocsp.load_der_ocsp_response((await client.post(body)).content)
        client.verify(parsed)
        assert parsed.certificate_status is ocsp.OCSPCertStatus.UNKNOWN
    # Not remembered either: were it reserved now, it would not be hidden.
    metrics = (await client.http.get("/metrics")).text
    assert "troth_status_table_seen 0.0" in metrics
    assert 'troth_ocsp_answers_total{result="unknown"} 3.0' in metrics
    assert await client.status(issued.der) == "good"


async def test_a_reserved_serial_is_unknown_and_a_burnt_one_revoked(house: StatusHouse, client: Client) -> None:
    seen: list[tuple[bytes, str]] = []
    sign = house.mint.signer.certify

    async def certify(key_id: str, reserved: bytes, reservation_id: UUID) -> bytes:
        signature = await sign(key_id, reserved, reservation_id)
        # What a thief of the signature could show while the serial number is only reserved.
        early = der.sequence(reserved, der.sequence(der.oid("1.2.840.10045.4.3.2")), der.bits(signature))
        seen.append((early, await client.status(early)))
        if len(seen) == 2:
            raise ConnectionError("the signer died")
        return signature

    house.mint.signer.certify = certify  # type: ignore[method-assign]
    issued = await house.issue()
    assert seen == [(issued.der, "unknown")]
    assert await client.status(issued.der) == "good"
    with pytest.raises(ConnectionError):
        await house.issue()
    burnt, before = seen[1]
    assert before == "unknown"
    await house.effective()
    assert await client.status(burnt) == "revoked:cessation_of_operation"


async def test_another_authoritys_certificate_is_unauthorized(house: StatusHouse, client: Client) -> None:
    issued = await house.issue()
    other = client.request(issued.der, issuer=house.mint.root)
    assert (await client.post(other)).content == UNSIGNED[6]
    assert (await client.post(client.request(issued.der), "nobody")).content == UNSIGNED[6]
    assert (await client.get(client.request(issued.der), "nobody")).content == UNSIGNED[6]


async def test_a_serial_of_one_authority_is_unknown_to_another(house: StatusHouse, client: Client) -> None:
    issued = await house.issue()
    await house.mint.database.fetch("UPDATE certificate SET authority = 'elsewhere' WHERE id = $1", issued.id)
    assert await client.status(issued.der) == "unknown"


@pytest.mark.parametrize("body", [b"", b"\x30\x00", b"not asn.1", b"\x30\x80\x00\x00", b"\xff" * 5000])
async def test_bad_bytes_are_a_malformed_request_by_both_methods(client: Client, body: bytes) -> None:
    answer = await client.post(body)
    assert (answer.status_code, answer.content) == (200, UNSIGNED[1])
    assert answer.headers["cache-control"] == "no-store"
    if body:
        assert (await client.get(body)).content == UNSIGNED[1]


async def test_the_door_refuses_what_is_no_ocsp_request(client: Client) -> None:
    http = client.http
    assert (await http.get("/ocsp/issuing/***")).content == UNSIGNED[1]
    assert (await http.get("/ocsp/issuing/")).content == UNSIGNED[1]
    assert (await http.post("/ocsp/issuing", content=b"x", headers={"content-type": "text/plain"})).status_code == 415
    assert (await http.post("/ocsp/issuing", content=b"x")).status_code == 415
    too_long = await http.post("/ocsp/issuing", content=b"x" * 9000, headers=OCSP_TYPE)
    assert (too_long.status_code, too_long.content) == (413, UNSIGNED[1])
    assert (await http.get("/ocsp/issuing")).status_code == 405
    assert (await http.delete("/ocsp/issuing")).status_code == 405
    assert (await http.get("/nothing")).status_code == 404


async def test_many_clients_at_once_share_look_ups(house: StatusHouse, client: Client) -> None:
    issued = await asyncio.gather(*(house.issue(spki=new_spki()) for _ in range(30)))
    told = await asyncio.gather(*(client.status(one.der) for one in issued for _ in range(3)))
    assert set(told) == {"good"}
    metrics = (await client.http.get("/metrics")).text
    queries = next(line for line in metrics.splitlines() if line.startswith("troth_status_lookup_queries_total"))
    assert float(queries.split()[1]) < 45


async def test_a_hold_that_overtakes_a_look_up_wins(
    house: StatusHouse, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    issued = await house.issue()
    read = StatusReader.by_serials
    has_row, go_on = asyncio.Event(), asyncio.Event()

    async def slow(self: StatusReader, serials: list[bytes]) -> dict[bytes, Found]:
        rows = await read(self, serials)
        has_row.set()
        await go_on.wait()
        return rows

    monkeypatch.setattr(StatusReader, "by_serials", slow)
    asking = asyncio.create_task(client.status(issued.der))
    await has_row.wait()
    await house.hold(issued.id)
    await house.effective()
    go_on.set()
    assert await asking == "revoked:certificate_hold"


@pytest.mark.parametrize("patience", [50])
async def test_a_lapsed_lease_answers_try_later_and_says_so(
    house: StatusHouse, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    issued = await house.issue()
    assert await client.told(issued.der) == "good"
    assert (await client.http.get("/readyz")).json() == {"ready": True}

    # The stream is cut: what the worker has in memory was true a moment ago, and that is not enough.
    async def cut(*_: object) -> None:
        raise Unavailable(UNAVAILABLE)

    monkeypatch.setattr(LedgerStore, "read_on", cut)
    house.mint.clock.advance(timedelta(seconds=1.1))
    assert await client.status(issued.der) == "try_later"
    answer = await client.http.get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["reasons"][0]["code"] == "status.lease.lapsed"
    assert "troth_status_lease_live 0.0" in (await client.http.get("/metrics")).text
    assert (await client.http.get("/livez")).status_code == 200


async def test_a_lease_that_has_lapsed_for_a_moment_is_waited_for(
    house: StatusHouse, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    issued = await house.issue()
    assert await client.status(issued.der) == "good"
    with monkeypatch.context() as cut:
        cut.setattr(LedgerStore, "read_on", AsyncMock(side_effect=Unavailable(UNAVAILABLE)))
        house.mint.clock.advance(timedelta(seconds=1.1))
        asking = asyncio.create_task(client.status(issued.der))
        await house.hold(issued.id)
        while await LedgerStore(house.mint.database).oldest_unsequenced() is not None:
            await asyncio.sleep(0.01)
        assert not asking.done()
    assert await asking == "revoked:certificate_hold"


async def test_a_restarted_worker_knows_from_its_snapshot(house: StatusHouse) -> None:
    held, revoked, good = [await house.issue(spki=new_spki()) for _ in range(3)]
    await house.hold(held.id)
    await house.revoke(revoked.id, 4)
    ledger = LedgerStore(house.mint.database)
    while await ledger.oldest_unsequenced() is not None:
        await asyncio.sleep(0.01)
    worker = house.new_worker()
    url = await house.start(worker)
    assert worker.gauges()["table_not_good"] == 2
    async with httpx.AsyncClient(base_url=url) as http:
        client = Client(http, house.mint.issuer)
        assert await client.status(held.der) == "revoked:certificate_hold"
        assert await client.status(revoked.der) == "revoked:superseded"
        assert await client.status(good.der) == "good"


async def test_an_expired_revocation_is_still_told_from_the_database(house: StatusHouse, client: Client) -> None:
    issued = await house.issue()
    await house.revoke(issued.id)
    await house.effective()
    house.mint.clock.advance(issued.not_after - house.mint.clock.now() + timedelta(seconds=1))
    await house.responders.ensure("issuing")
    assert await client.told(issued.der) == "revoked:key_compromise"
