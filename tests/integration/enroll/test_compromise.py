"""Anybody may prove over HTTPS that a key is no secret; and what the doors then do."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.support.mint import Mint
from troth.enroll import compromise
from troth.enroll.compromise import PATH, Allowance, CompromiseDoor, network_of
from troth.enroll.errors import ProofsLimited
from troth.kit.clock import FakeClock
from troth.kit.lane import Lane, Request, Response
from troth.pki.blocked import MAX_PROOF, PROOF_NAME, BlockedKeys
from troth.pki.blocked_store import BlockedStore


def proof() -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, PROOF_NAME)])
    return (
        x509.CertificateSigningRequestBuilder(name)
        .sign(key, hashes.SHA256())
        .public_bytes(serialization.Encoding.PEM)
    )  # fmt: skip


async def asked(lane: Lane, method: str, body: bytes, client: str = "192.0.2.7") -> tuple[int, Any]:
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": method, "path": PATH, "headers": [], "client": (client, 1)}
    await lane(scope, receive, send)
    return sent[0]["status"], sent[1]["body"]


@pytest.fixture
def lane(mint: Mint) -> Lane:
    async def fail(request: Request, error: Exception) -> Response:
        raise error

    door = CompromiseDoor(BlockedKeys(mint.database, mint.clock), mint.clock)
    return Lane(door.routes(), on_error=fail)


async def test_a_stranger_blocks_a_key_by_a_proof(mint: Mint, lane: Lane) -> None:
    status, body = await asked(lane, "POST", proof())
    assert status == 200
    digest = bytes.fromhex(msgspec.json.decode(body)["spki_sha256"])
    found = await BlockedStore(mint.database).get(digest)
    assert found is not None
    assert (found.source, found.actor) == ("proof", "public:key-holder")


async def test_junk_is_refused_and_the_page_says_how(mint: Mint, lane: Lane) -> None:
    for body in (b"", b"junk", proof()[:-80]):
        status, told = await asked(lane, "POST", body)
        assert (status, msgspec.json.decode(told)["code"]) == (400, "pki.key.proof_malformed")
    assert (await asked(lane, "POST", b"x" * (MAX_PROOF + 1)))[0] == 413
    status, told = await asked(lane, "GET", b"")
    assert status == 200
    assert PROOF_NAME.encode() in told


async def test_a_network_has_so_many_proofs_a_minute(mint: Mint, lane: Lane, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(compromise.PER_NETWORK):
        assert (await asked(lane, "POST", b""))[0] == 400
    assert (await asked(lane, "POST", b""))[0] == 429
    assert (await asked(lane, "POST", b"", client="192.0.2.8"))[0] == 400


def test_an_allowance_refills_and_forgets(clock: FakeClock) -> None:
    from datetime import timedelta

    allowance = Allowance(clock, 2)
    allowance.take("a")
    allowance.take("a")
    with pytest.raises(ProofsLimited):
        allowance.take("a")
    clock.advance(timedelta(seconds=31))
    allowance.take("a")
    for n in range(5000):
        allowance.take(str(n))
    assert len(allowance._left) <= 4096


def test_addresses_of_one_subscriber_are_one_network() -> None:
    assert network_of("2001:db8:1:2::1") == network_of("2001:db8:1:2:ffff::9")
    assert network_of("::ffff:192.0.2.1") == network_of("192.0.2.1")
    assert network_of(None) == network_of("nonsense") == "unknown"
