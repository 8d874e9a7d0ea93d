"""CRLs and CA certificates as they are served, and CRLs as they come to be when something changes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from tests.integration.status.conftest import Client, StatusHouse
from tests.support.mint import new_spki
from troth.kit.ids import new_id
from troth.kit.status_settings import CrlSettings
from troth.pki.crl_settings import set_crls
from troth.status.publisher import CrlDuty, lease_name, publisher_of


def duty_of(house: StatusHouse, **settings: int) -> CrlDuty:
    mint = house.mint
    values = {"gather_seconds": 0} | settings
    return publisher_of(
        mint.database, mint.signer, mint.catalogue, mint.interlock, mint.clock, CrlSettings(**values), new_id()
    )


async def crl_of(
    client: Client, until: Callable[[x509.CertificateRevocationList], bool]
) -> x509.CertificateRevocationList:
    """The served CRL as soon as it satisfies ``until``; its signature is verified."""
    async with asyncio.timeout(120):
        while True:
            answer = await client.http.get("/crl/issuing.crl")
            if answer.status_code == 200:
                crl = x509.load_der_x509_crl(answer.content)
                assert crl.is_signature_valid(client.issuer.public_key())  # type: ignore[arg-type]
                if until(crl):
                    return crl
            await asyncio.sleep(0.02)


def has(serial: bytes, reason: x509.ReasonFlags | None) -> Callable[[x509.CertificateRevocationList], bool]:
    """Whether a CRL lists ``serial`` for ``reason``; None: does not list it."""

    def check(crl: x509.CertificateRevocationList) -> bool:
        entry = crl.get_revoked_certificate_by_serial_number(int.from_bytes(serial, "big"))
        if entry is None:
            return reason is None
        return entry.extensions.get_extension_for_class(x509.CRLReason).value.reason is reason

    return check


async def published(house: StatusHouse) -> int:
    count: int = await house.mint.database.fetchval("SELECT count(*) FROM crl_issue WHERE state = 'published'")
    return count


async def test_a_crl_follows_each_change_of_status(house: StatusHouse, client: Client) -> None:
    house.tasks.append(asyncio.create_task(duty_of(house).run(house.stop)))
    issued = await house.issue()
    await crl_of(client, has(issued.serial, None))
    await house.hold(issued.id)
    await crl_of(client, has(issued.serial, x509.ReasonFlags.certificate_hold))
    await house.release(issued.id)
    await crl_of(client, has(issued.serial, None))
    await house.revoke(issued.id)
    await crl_of(client, has(issued.serial, x509.ReasonFlags.key_compromise))


async def test_a_cached_crl_is_revalidated_by_tag_and_date(house: StatusHouse, client: Client) -> None:
    await duty_of(house).ensure()
    await crl_of(client, lambda _: True)
    answer = await client.http.get("/crl/issuing.crl")
    assert answer.headers["content-type"] == "application/pkix-crl"
    assert answer.headers["cache-control"].startswith("public, no-cache")
    same = await client.http.get("/crl/issuing.crl", headers={"if-none-match": answer.headers["etag"]})
    assert (same.status_code, same.content, same.headers["etag"]) == (304, b"", answer.headers["etag"])
    assert "content-length" not in same.headers
    since = {"if-modified-since": answer.headers["last-modified"]}
    assert (await client.http.get("/crl/issuing.crl", headers=since)).status_code == 304
    head = await client.http.head("/crl/issuing.crl")
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == str(len(answer.content))
    assert (await client.http.get("/crl/nobody.crl")).status_code == 404
    assert (await client.http.get("/crl/issuing")).status_code == 404


async def test_many_changes_make_few_crls(house: StatusHouse, client: Client) -> None:
    issued = [await house.issue(spki=new_spki()) for _ in range(12)]
    house.tasks.append(asyncio.create_task(duty_of(house, gather_seconds=1).run(house.stop)))
    await crl_of(client, lambda _: True)
    before = await published(house)
    for one in issued:
        await house.hold(one.id)
    await house.effective()
    await asyncio.sleep(0.3)
    house.mint.clock.advance(timedelta(seconds=1))
    await crl_of(client, lambda crl: len(crl) == 12)
    assert await published(house) - before <= 2


async def test_two_workers_publish_once(house: StatusHouse, client: Client) -> None:
    for _ in range(2):
        house.tasks.append(asyncio.create_task(duty_of(house).run(house.stop)))
    issued = await house.issue()
    await crl_of(client, lambda _: True)
    assert await published(house) == 1
    await house.hold(issued.id)
    await crl_of(client, has(issued.serial, x509.ReasonFlags.certificate_hold))
    await asyncio.sleep(0.3)
    assert await published(house) == 2
    holders = await house.mint.database.fetch("SELECT epoch FROM lease WHERE name = $1", lease_name(("issuing", 0)))
    assert [row["epoch"] for row in holders] == [1]


async def test_a_crl_is_made_by_age_alone(house: StatusHouse, client: Client) -> None:
    house.tasks.append(asyncio.create_task(duty_of(house, interval_seconds=3600).run(house.stop)))
    first = await crl_of(client, lambda _: True)
    house.mint.clock.advance(timedelta(minutes=50))
    await asyncio.sleep(0.2)
    assert await published(house) == 1
    house.mint.clock.advance(timedelta(minutes=11))
    second = await crl_of(client, lambda crl: crl.last_update_utc > first.last_update_utc)
    numbers = [crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number for crl in (first, second)]
    assert numbers[0] < numbers[1]


async def test_a_publisher_that_takes_over_makes_up_for_what_was_left_undone(
    house: StatusHouse, client: Client
) -> None:
    issued = await house.issue()
    await duty_of(house).ensure()
    await house.hold(issued.id)
    await house.effective()
    house.tasks.append(asyncio.create_task(duty_of(house).run(house.stop)))
    await crl_of(client, has(issued.serial, x509.ReasonFlags.certificate_hold))


async def test_a_publisher_that_takes_over_when_all_is_done_makes_nothing(house: StatusHouse, client: Client) -> None:
    await duty_of(house).ensure()
    await crl_of(client, lambda _: True)
    house.tasks.append(asyncio.create_task(duty_of(house).run(house.stop)))
    await asyncio.sleep(0.5)
    assert await published(house) == 1


async def test_a_signer_that_fails_is_tried_again(house: StatusHouse, client: Client) -> None:
    house.mint.signer.fail = ConnectionError("the signer died")
    house.tasks.append(asyncio.create_task(duty_of(house).run(house.stop)))
    await asyncio.sleep(0.3)
    assert await published(house) == 0
    house.mint.clock.advance(timedelta(seconds=2))
    await crl_of(client, lambda _: True)


@pytest.mark.parametrize(
    ("path", "kind", "body"),
    [
        ("/ca/issuing.cer", "application/pkix-cert", "issuer-der"),
        ("/ca/issuing.pem", "application/pem-certificate-chain", "issuer-pem"),
        ("/ca/issuing/chain.pem", "application/pem-certificate-chain", "issuer-pem"),
        ("/ca/root.cer", "application/pkix-cert", "root-der"),
        ("/root.pem", "application/pem-certificate-chain", "root-pem"),
    ],
)
async def test_certificates_of_authorities_are_served(
    house: StatusHouse, client: Client, path: str, kind: str, body: str
) -> None:
    whose, form = body.split("-")
    certificate = house.mint.issuer if whose == "issuer" else house.mint.root
    answer = await client.http.get(path)
    assert (answer.status_code, answer.headers["content-type"]) == (200, kind)
    assert answer.content == certificate.public_bytes(Encoding.DER if form == "der" else Encoding.PEM)
    tag = {"if-none-match": answer.headers["etag"]}
    assert (await client.http.get(path, headers=tag)).status_code == 304
    assert (await client.http.head(path)).headers["content-length"] == str(len(answer.content))


async def test_an_unknown_authority_has_no_documents(client: Client) -> None:
    for path in ("/ca/nobody.cer", "/ca/issuing.der", "/ca/nobody/chain.pem", "/ca/../root.pem", "/crl/../root.pem"):
        assert (await client.http.get(path)).status_code in {200, 404}
        assert (await client.http.get(path.replace("..", "%2e%2e"))).status_code == 404


async def test_metrics_are_for_this_machine_only(house: StatusHouse) -> None:
    worker = house.new_worker()
    await house.start(worker)
    transport = httpx.ASGITransport(worker.door.lane(), client=("203.0.113.7", 4711))
    async with httpx.AsyncClient(transport=transport, base_url="http://status") as far:
        assert (await far.get("/metrics")).status_code == 404
        assert (await far.get("/livez")).status_code == 200


async def test_a_publisher_that_missed_a_new_cut_makes_crls_of_the_new_scope(
    house: StatusHouse, client: Client
) -> None:
    await duty_of(house).ensure()
    await crl_of(client, lambda _: True)
    await set_crls(house.mint.database, house.mint.catalogue, "issuing", shards=2, deltas=False, actor="admin:a")
    await house.effective()
    house.tasks.append(asyncio.create_task(duty_of(house).run(house.stop)))

    def limited(crl: x509.CertificateRevocationList) -> bool:
        return any(isinstance(extension.value, x509.IssuingDistributionPoint) for extension in crl.extensions)

    await crl_of(client, limited)
    async with asyncio.timeout(120):
        while (await client.http.get("/crl/issuing/1.crl")).status_code != 200:
            await asyncio.sleep(0.05)
