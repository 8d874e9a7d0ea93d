"""Taking over a CA that ran on ``openssl ca``: its key, what it had issued, its CRL; judged by openssl."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from tests.integration.pki.test_signer_process import SignerProcess
from tests.support.mint import ca_certificate, new_spki
from tests.support.openssl_ca import CRL_NUMBER, OpensslCa
from troth.kit.clock import SystemClock
from troth.kit.ids import new_id
from troth.pki.admission import Candidate, admit, read_authority
from troth.pki.algorithms import spki_of
from troth.pki.authorities import Authority
from troth.pki.catalogue import Catalogue, add_authority
from troth.pki.clockguard import ClockGuard
from troth.pki.crl import CrlPublisher
from troth.pki.crl_import import check_crl, import_crl
from troth.pki.crl_store import CrlStore
from troth.pki.errors import AuthorityRefused, CrlRefused
from troth.pki.gate import Gate
from troth.pki.issuer_classes import IssuerClass
from troth.pki.keys.model import KeyMetadata
from troth.pki.lifecycle import change_state, check_transition
from troth.pki.model import IssuanceRequest
from troth.pki.profile import shipped_profiles
from troth.pki.responder import Responders
from troth.pki.revocation import OfCertificate, release, revoke
from troth.pki.signer.client import SignerClient
from troth.pki.signer.custody_protocol import TakeKey
from troth.pki.signer.errors import SignerRefused
from troth.pki.store import CertificateStore
from troth.pki.takeover import entries_in, take_entries, take_issued
from troth.store.pool import Database
from troth.store.unit import Unit

pytestmark = pytest.mark.client
BASE, ACTOR = "http://pki.test", "test:takeover"


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> OpensslCa:
    return OpensslCa.make(tmp_path_factory.mktemp("old") / "ca")


@pytest.fixture
async def process(tmp_path: Path) -> AsyncIterator[SignerProcess]:
    running = SignerProcess(tmp_path)
    await running.start()
    yield running
    await running.kill()


@dataclass
class Taken:
    """The old CA in the hands of a signer and a database."""

    database: Database
    clock: SystemClock
    worker: SignerClient
    catalogue: Catalogue
    authority: Authority

    async def become(self, state: str) -> None:
        await self.catalogue.refresh()
        await self.database.commit(
            change_state(Unit(), self.catalogue.authority("old"), state, actor=ACTOR)  # type: ignore[arg-type]
        )
        await self.catalogue.refresh()

    def gate(self) -> Gate:
        interlock = ClockGuard(self.database, self.clock)
        return Gate(self.database, self.worker, self.catalogue, interlock, self.clock, instance=new_id())


async def _key(process: SignerProcess, old: OpensslCa) -> KeyMetadata:
    private = load_pem_private_key((old.directory / "issuing.key").read_bytes(), None)
    async with process.client("setup") as setup:
        made = await setup.take_key(private.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()))
        again = await setup.take_key(private.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()))
        assert again == made
        return await setup.attach_authority(made.key_id, old.der("issuing"))


def _candidate(old: OpensslCa, key_id: str) -> Candidate:
    return Candidate("old", old.der("issuing"), (old.der("root"),), (IssuerClass.OPEN,), key_id, old.crl())


@pytest.fixture
async def taken(database_url: str, process: SignerProcess, old: OpensslCa) -> AsyncIterator[Taken]:
    clock = SystemClock()
    key = await _key(process, old)
    database = await Database.open(database_url, clock=clock)
    added = admit(_candidate(old, key.key_id), {}, key.public_key, BASE, clock.now())
    unit = Unit()
    for one in added:
        add_authority(unit, one, actor=ACTOR)
    await take_entries(database, unit, added[-1], entries_in(old.crl()), actor=ACTOR, now=clock.now())
    await import_crl(database, added[-1], old.crl(), clock)
    await database.commit(unit)
    catalogue = Catalogue(database, clock)
    await catalogue.refresh()
    async with process.client("worker") as worker:
        yield Taken(database, clock, worker, catalogue, added[-1])
    await database.close()


def _issued(old: OpensslCa) -> list[bytes]:
    return [old.der(f"newcerts/{path.stem}") for path in sorted((old.directory / "newcerts").iterdir())]


async def test_a_ca_of_openssl_goes_on_in_troth(taken: Taken, old: OpensslCa, tmp_path: Path) -> None:
    database = taken.database
    assert await take_issued(database, taken.authority, _issued(old), actor=ACTOR, clock=taken.clock) == (3, 0)
    assert await take_issued(database, taken.authority, _issued(old), actor=ACTOR, clock=taken.clock) == (0, 3)
    statuses = await CertificateStore(database).serial_status("old", [bytes([n]) for n in (1, 2, 3, 4, 5)])
    told = {serial.hex(): (one.status, one.reason) for serial, one in statuses.items()}
    assert told == {"01": ("good", None), "02": ("revoked", 1), "03": ("held", 6), "04": ("revoked", 4)}
    with pytest.raises(AuthorityRefused):
        taken.catalogue.authority("old").crl_key()  # planned: nothing is signed yet
    await taken.become("active")
    for name in ("tls-server", "ocsp-responder"):
        await taken.catalogue.apply_profile(shipped_profiles()[name], actor=ACTOR)
    publisher = CrlPublisher(database, taken.worker, taken.catalogue, ClockGuard(database, taken.clock), taken.clock)
    # Numbering goes on above the imported CRL, and nothing that was revoked is forgotten.
    crl = await publisher.publish("old")
    parsed = x509.load_der_x509_crl(crl.der)
    assert crl.number > CRL_NUMBER
    assert sorted(entry.serial_number for entry in parsed) == [2, 3, 4]
    # What was on hold can be released, what was good be revoked, by the rules that hold for our own.
    store = CertificateStore(database)
    held, good = await store.by_serial(b"\x03"), await store.by_serial(b"\x01")
    assert held is not None
    assert good is not None
    now = taken.clock.now()
    await database.commit(release(Unit(), OfCertificate(held.id), cause=ACTOR, actor=ACTOR, at=now))
    await database.commit(revoke(Unit(), OfCertificate(good.id), reason=4, actor=ACTOR, at=now))
    second = await publisher.publish("old", scheduled=False)
    (old.directory / "new-crl.pem").write_bytes(x509.load_der_x509_crl(second.der).public_bytes(Encoding.PEM))
    check = ("-crl_check", "-CRLfile", "new-crl.pem", "-x509_strict")
    assert [old.verify(Path(f"newcerts/{n}.pem"), *check)[0] for n in ("01", "02", "03")] == [False, False, True]
    # New certificates and the responder come from the old key.
    fresh = await taken.gate().issue(
        IssuanceRequest("new", "old", "tls-server", new_spki(), (("dns", "new.example"),), ACTOR)
    )
    leaf = tmp_path / "fresh.pem"
    leaf.write_bytes(x509.load_der_x509_certificate(fresh.der).public_bytes(Encoding.PEM))
    assert old.verify(leaf, *check, "-purpose", "sslserver") == (True, f"{leaf}: OK\n")
    responder = await Responders(database, taken.gate(), taken.worker, taken.catalogue, taken.clock).ensure("old")
    x509.load_der_x509_certificate(responder.certificate).verify_directly_issued_by(taken.authority.x509)


async def test_a_serial_number_that_is_taken_refuses_the_import(taken: Taken, old: OpensslCa) -> None:
    entries = entries_in(old.crl())
    with pytest.raises(CrlRefused) as caught:
        await take_entries(taken.database, Unit(), taken.authority, entries, actor=ACTOR, now=taken.clock.now())
    assert (caught.value.code, "02" in caught.value.detail) == ("pki.import.refused", True)


async def test_a_certificate_of_another_ca_is_not_taken_for_one_of_ours(taken: Taken, old: OpensslCa) -> None:
    with pytest.raises(CrlRefused, match="is not old's"):
        await take_issued(
            taken.database, taken.authority, [*_issued(old), old.der("root")], actor=ACTOR, clock=taken.clock
        )
    assert await CertificateStore(taken.database).by_serial(b"\x01") is None


async def test_a_retired_authority_issues_nothing_and_keeps_crl_and_responder(taken: Taken, old: OpensslCa) -> None:
    await take_issued(taken.database, taken.authority, _issued(old), actor=ACTOR, clock=taken.clock)
    await taken.become("active")
    for name in ("tls-server", "ocsp-responder"):
        await taken.catalogue.apply_profile(shipped_profiles()[name], actor=ACTOR)
    await taken.become("retiring")
    await taken.become("retired")
    with pytest.raises(AuthorityRefused) as caught:
        await taken.gate().issue(IssuanceRequest("x", "old", "tls-server", new_spki(), (("dns", "a.example"),), ACTOR))
    assert caught.value.code == "pki.authority.inactive"
    responders = Responders(taken.database, taken.gate(), taken.worker, taken.catalogue, taken.clock)
    await responders.ensure_all()
    assert await responders.current("old") is not None
    publisher = CrlPublisher(
        taken.database, taken.worker, taken.catalogue, ClockGuard(taken.database, taken.clock), taken.clock
    )
    assert (await publisher.publish("old")).number > CRL_NUMBER
    with pytest.raises(AuthorityRefused):
        check_transition(taken.catalogue.authority("old"), "retiring", taken.clock.now())


async def test_an_authority_that_has_nothing_alive_gets_no_responder_once_retiring(taken: Taken) -> None:
    await taken.become("active")
    await taken.catalogue.apply_profile(shipped_profiles()["ocsp-responder"], actor=ACTOR)
    await taken.become("retiring")
    await Responders(taken.database, taken.gate(), taken.worker, taken.catalogue, taken.clock).ensure_all()
    assert await CrlStore(taken.database).responder("old") is None


def test_an_outside_ca_may_sign_with_another_hash_than_ours_but_not_with_a_broken_one(old: OpensslCa) -> None:
    now = SystemClock().now()
    root_key, key = ec.generate_private_key(ec.SECP384R1()), ec.generate_private_key(ec.SECP256R1())
    root = ca_certificate(root_key, "Outside", now)  # P-384 with SHA-256
    made = ca_certificate(key, "Issuing", now, (root, root_key)).public_bytes(Encoding.DER)
    candidate = Candidate("new", made, (root.public_bytes(Encoding.DER),), (IssuerClass.OPEN,), "key")
    spki = spki_of(key.public_key())
    above, authority = admit(candidate, {}, spki, BASE, now)
    crl = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(root.subject)
        .last_update(now)
        .next_update(now + timedelta(days=1))
        .add_extension(x509.CRLNumber(7), critical=False)
    )
    assert check_crl(above, crl.sign(root_key, hashes.SHA512()).public_bytes(Encoding.DER))[1] == 7
    with pytest.raises(CrlRefused):
        check_crl(authority, crl.sign(root_key, hashes.SHA512()).public_bytes(Encoding.DER))
    with pytest.raises(CrlRefused):
        check_crl(above, crl.sign(ec.generate_private_key(ec.SECP384R1()), hashes.SHA384()).public_bytes(Encoding.DER))
    old.sign_with_sha1()
    with pytest.raises(AuthorityRefused, match="hash that is broken"):
        read_authority(old.der("sha1"), now)


async def test_no_role_but_setup_hands_a_key_over(process: SignerProcess) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    encoded = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    for role in ("web", "worker", "status", "radius"):
        async with process.client(role) as client:
            with pytest.raises(SignerRefused) as caught:
                await client.take_key(encoded)
            assert caught.value.code == "signer.role"
    async with process.client("setup") as setup:
        with pytest.raises(SignerRefused) as caught:
            await setup.take_key(b"\x30\x03\x02\x01\x00")
        assert caught.value.code == "keys.algorithm_unsupported"


def test_no_message_shows_the_key() -> None:
    assert "secret" not in repr(TakeKey(1, b"secret"))


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ("key", "pki.authority.certificate"),
        ("leaf", "pki.authority.certificate"),
        ("chain", "pki.authority.unchained"),
        ("name", "pki.authority.exists"),
        ("garbage", "pki.authority.certificate"),
        ("subject", "pki.authority.certificate"),
    ],
)
def test_what_proves_nothing_is_not_admitted(old: OpensslCa, change: str, code: str) -> None:
    candidate = _candidate(old, "key")
    spki = spki_of(x509.load_der_x509_certificate(candidate.certificate).public_key())  # type: ignore[arg-type]
    now = SystemClock().now()
    admitted = admit(candidate, {}, spki, BASE, now)
    assert [one.slug for one in admitted] == ["old-root", "old"]
    known = {one.slug: one for one in admitted} if change == "name" else {}
    if change == "subject":
        known = {"other": replace(admitted[-1], slug="other")}
    if change == "key":
        spki = new_spki()
    elif change == "leaf":
        candidate = replace(candidate, certificate=old.der("newcerts/01"))
    elif change == "chain":
        candidate = replace(candidate, chain=())
    elif change == "garbage":
        candidate = replace(candidate, certificate=b"\x30\x00")
    with pytest.raises(AuthorityRefused) as caught:
        admit(candidate, known, spki, BASE, now)
    assert caught.value.code == code
