"""The listeners' own certificate is renewed when clients would turn away from it."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

from tests.support.mint import Mint
from troth.assembly.identity import ServiceIdentity
from troth.assembly.state import State
from troth.pki import algorithms
from troth.pki.blocked import BlockedKeys, read_key
from troth.pki.revocation import OfCertificate, hold
from troth.pki.store import CertificateStore
from troth.store.unit import Unit

STATE = State(listeners={}, public_url="https://pki.test", public_http_url="", admin_url="https://pki.test:8444")


@pytest.fixture
def identity(mint: Mint, tmp_path: Path) -> ServiceIdentity:
    return ServiceIdentity(mint.database, mint.gate, mint.catalogue, tmp_path / "server.pem", STATE, mint.clock)


def certificate(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


async def test_it_is_made_once_and_anew_at_half_of_its_life(
    mint: Mint, identity: ServiceIdentity, tmp_path: Path
) -> None:
    path = tmp_path / "server.pem"
    assert [await identity.ensure(), await identity.ensure()] == [True, False]
    first = certificate(path)
    mint.clock.advance((first.not_valid_after_utc - first.not_valid_before_utc) / 2 + timedelta(minutes=1))
    assert [await identity.ensure(), await identity.ensure()] == [True, False]
    assert certificate(path).serial_number != first.serial_number


async def test_a_key_that_is_blocked_serves_no_longer(mint: Mint, identity: ServiceIdentity, tmp_path: Path) -> None:
    path = tmp_path / "server.pem"
    await identity.ensure()
    first = certificate(path)
    given = read_key(first.public_bytes(Encoding.PEM))
    await BlockedKeys(mint.database, mint.clock).block(
        given, reason="compromised", note="", actor="admin:ann", confirmed=1
    )
    assert [await identity.ensure(), await identity.ensure()] == [True, False]
    second, private = certificate(path), load_pem_private_key(path.read_bytes(), None)
    assert isinstance(private, algorithms.PrivateKey)
    assert algorithms.spki_of(private.public_key()) == algorithms.spki_of(second.public_key())
    assert algorithms.spki_of(second.public_key()) != algorithms.spki_of(first.public_key())


async def test_one_on_hold_or_unknown_to_the_database_is_made_anew(
    mint: Mint, identity: ServiceIdentity, tmp_path: Path
) -> None:
    path = tmp_path / "server.pem"
    await identity.ensure()
    row = await CertificateStore(mint.database).by_serial(_serial(path))
    assert row is not None
    now = mint.clock.now()
    await mint.database.commit(hold(Unit(), OfCertificate(row.id), cause="odd", actor="admin:ann", at=now))
    assert [await identity.ensure(), await identity.ensure()] == [True, False]
    # As after a restore of what was saved before it was issued.
    await mint.database.fetch("UPDATE certificate SET sha256 = sha256(serial)")
    assert await identity.ensure()


def _serial(path: Path) -> bytes:
    number = certificate(path).serial_number
    return number.to_bytes(number.bit_length() // 8 + 1, "big")
