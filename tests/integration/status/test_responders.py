"""Responder certificates: found when they come, renewed without a pause, never used past their end."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import httpx
from cryptography import x509
from cryptography.x509 import ocsp

from tests.integration.status.conftest import Client, StatusHouse
from troth.kit.ids import new_id
from troth.pki.keys.model import KeyPurpose
from troth.pki.model import Responder


async def signer_of(client: Client, der: bytes) -> int:
    parsed = ocsp.load_der_ocsp_response((await client.post(client.request(der))).content)
    return parsed.certificates[0].serial_number


async def test_without_a_responder_the_answer_is_try_later_until_there_is_one(quiet_house: StatusHouse) -> None:
    url = await quiet_house.start(quiet_house.new_worker())
    async with httpx.AsyncClient(base_url=url) as http:
        client = Client(http, quiet_house.mint.issuer)
        issued = await quiet_house.issue()
        assert await client.status(issued.der) == "try_later"
        reasons = (await http.get("/readyz")).json()["reasons"]
        assert [(one["code"], one["authority"]) for one in reasons] == [("status.responder.missing", "issuing")]
        await quiet_house.responders.ensure("issuing")
        async with asyncio.timeout(120):
            while await client.status(issued.der) != "good":
                await asyncio.sleep(0.02)


async def test_a_renewed_responder_is_taken_over_by_the_event(house: StatusHouse, client: Client) -> None:
    issued = await house.issue()
    first = await signer_of(client, issued.der)
    house.mint.clock.advance(timedelta(days=4))
    renewed = await house.responders.ensure("issuing")
    serial = x509.load_der_x509_certificate(renewed.certificate).serial_number
    assert serial != first
    async with asyncio.timeout(120):
        while True:
            answer = ocsp.load_der_ocsp_response((await client.post(client.request(issued.der))).content)
            if answer.response_status is ocsp.OCSPResponseStatus.SUCCESSFUL:
                break
            await asyncio.sleep(0.02)
        while await signer_of(client, issued.der) != serial:
            await asyncio.sleep(0.02)


async def test_an_expired_responder_signs_nothing(house: StatusHouse, client: Client) -> None:
    issued = await house.issue()
    assert await client.status(issued.der) == "good"
    house.mint.clock.advance(timedelta(days=8))
    async with asyncio.timeout(120):
        while (await client.http.get("/readyz")).json()["reasons"][0]["code"] != "status.responder.missing":
            await asyncio.sleep(0.02)
    assert await client.status(issued.der) == "try_later"


async def test_a_responder_that_was_revoked_signs_nothing(house: StatusHouse, client: Client) -> None:
    issued = await house.issue()
    responder = await house.responders.current("issuing")
    assert responder is not None
    await house.revoke(responder.certificate_id)
    await house.effective()
    assert await client.status(issued.der) == "try_later"


async def test_a_responder_that_was_revoked_is_replaced_at_once(house: StatusHouse, client: Client) -> None:
    issued = await house.issue()
    first, before = await house.responders.current("issuing"), await signer_of(client, issued.der)
    assert first is not None
    await house.revoke(first.certificate_id)
    await house.effective()
    assert await house.responders.current("issuing") is None
    await house.responders.ensure_all()
    second = await house.responders.current("issuing")
    assert second is not None
    assert second.key_id != first.key_id
    async with asyncio.timeout(120):
        while await client.status(issued.der) != "good":
            await asyncio.sleep(0.02)
    assert await signer_of(client, issued.der) != before


async def test_a_certificate_whose_key_the_signer_does_not_hold_is_not_taken(
    house: StatusHouse, client: Client
) -> None:
    issued = await house.issue()
    present = await house.responders.current("issuing")
    assert present is not None
    before = await signer_of(client, issued.der)
    other = await house.mint.signer.generate_key(KeyPurpose.OCSP)
    forged = Responder(
        new_id(),
        "issuing",
        other.key_id,
        present.certificate,
        present.not_before,
        present.not_after + timedelta(days=1),
    )
    await house.mint.database.fetch(
        "INSERT INTO ocsp_responder (certificate_id, authority, key_id, certificate, not_before, not_after)"
        " VALUES ($1, $2, $3, $4, $5, $6)",
        forged.certificate_id, forged.authority, forged.key_id, forged.certificate, forged.not_before, forged.not_after,
    )  # fmt: skip
    house.mint.clock.advance(timedelta(seconds=61))
    await asyncio.sleep(0.3)
    assert await signer_of(client, issued.der) == before


async def test_no_answer_outlives_the_responders_certificate(house: StatusHouse, client: Client) -> None:
    issued = await house.issue()
    responder = await house.responders.current("issuing")
    assert responder is not None
    house.mint.clock.advance(responder.not_after - house.mint.clock.now() - timedelta(seconds=10))
    async with asyncio.timeout(120):
        while await client.status(issued.der) == "try_later":
            await asyncio.sleep(0.02)
    parsed = ocsp.load_der_ocsp_response((await client.post(client.request(issued.der))).content)
    assert parsed.next_update_utc is not None
    assert parsed.next_update_utc <= responder.not_after
