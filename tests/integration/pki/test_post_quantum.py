"""A post-quantum hierarchy beside a classical one, with the same profiles: a real signer, verified by cryptography."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import mldsa
from cryptography.hazmat.primitives.serialization import Encoding, load_der_private_key
from cryptography.x509 import ocsp as x509_ocsp

from tests.integration.pki.test_signer_process import SignerProcess
from tests.support.mint import new_spki
from troth.kit.clock import SystemClock
from troth.kit.ids import new_id
from troth.pki import algorithms, ocsp
from troth.pki.admission import Candidate, admit
from troth.pki.catalogue import Catalogue, add_authority
from troth.pki.clockguard import ClockGuard
from troth.pki.crl import CrlPublisher
from troth.pki.errors import AuthorityRefused
from troth.pki.gate import Gate
from troth.pki.issuer_classes import IssuerClass
from troth.pki.keys.algorithm import KeyAlgorithm, generate_private_key
from troth.pki.keys.model import KeyPurpose
from troth.pki.lifecycle import change_state
from troth.pki.model import IssuanceRequest
from troth.pki.profile import shipped_profiles
from troth.pki.responder import Responders
from troth.pki.revocation import OfCertificate, revoke
from troth.pki.signer.client import SignerClient
from troth.pki.store import CertificateStore
from troth.pki.template import subject_key_identifier
from troth.store.pool import Database
from troth.store.unit import Unit

ACTOR = "test:pq"


def _ca(
    name: str, spki: bytes, issuer: tuple[x509.Name, algorithms.PrivateKey, bytes], path_length: int | None
) -> bytes:
    """A CA certificate for ``spki`` under (name, key, key identifier) of ``issuer``."""
    now = SystemClock().now().replace(microsecond=0)
    usage = dict.fromkeys(
        ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
         "encipher_only", "decipher_only"), False,
    )  # fmt: skip
    key = algorithms.load_public(spki)
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)]))
        .issuer_name(issuer[0])
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1000 if path_length == 0 else 3000))
        .add_extension(x509.BasicConstraints(ca=True, path_length=path_length), critical=True)
        .add_extension(x509.KeyUsage(key_cert_sign=True, crl_sign=True, **usage), critical=True)
        .add_extension(x509.SubjectKeyIdentifier(subject_key_identifier(spki)), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier(issuer[2], None, None), critical=False)
    )
    digest = None if isinstance(issuer[1], mldsa.MLDSA87PrivateKey) else hashes.SHA256()
    return builder.sign(issuer[1], digest).public_bytes(Encoding.DER)


@dataclass
class Beside:
    """Both hierarchies, each with an authority for open enrolment."""

    database: Database
    clock: SystemClock
    catalogue: Catalogue
    gate: Gate
    worker: SignerClient
    status: SignerClient


async def _grow(
    setup: SignerClient,
    database: Database,
    catalogue: Catalogue,
    slug: str,
    root_kind: KeyAlgorithm,
    kind: KeyAlgorithm,
) -> None:
    """A root of ``root_kind``, and an active issuing authority of ``kind`` in the signer."""
    root_key = generate_private_key(root_kind)
    spki = algorithms.spki_of(root_key.public_key())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, f"{slug} root")])
    above = (name, root_key, subject_key_identifier(spki))
    made = await setup.generate_key(KeyPurpose.ISSUING, kind)
    signed = [_ca(f"{slug} root", spki, above, 1), _ca(f"{slug} issuing", made.public_key, above, 0)]
    await setup.attach_authority(made.key_id, signed[1])
    now = SystemClock().now()
    await catalogue.refresh()
    candidate = Candidate(slug, signed[1], (signed[0],), (IssuerClass.OPEN,), made.key_id)
    unit = Unit()
    added = admit(candidate, catalogue.authorities, made.public_key, "http://pki.test", now)
    for one in added:
        add_authority(unit, one, actor=ACTOR)
    await database.commit(unit)
    await database.commit(change_state(Unit(), added[-1], "active", actor=ACTOR))
    await catalogue.refresh()


@pytest.fixture
async def process(tmp_path: Path) -> AsyncIterator[SignerProcess]:
    running = SignerProcess(tmp_path)
    await running.start()
    yield running
    await running.kill()


@pytest.fixture
async def beside(database_url: str, process: SignerProcess) -> AsyncIterator[Beside]:
    clock = SystemClock()
    database = await Database.open(database_url, clock=clock)
    catalogue = Catalogue(database, clock)
    async with (
        process.client("setup") as setup,
        process.client("worker") as worker,
        process.client("status") as status,
    ):
        await _grow(setup, database, catalogue, "classical", KeyAlgorithm.P256, KeyAlgorithm.P256)
        await _grow(setup, database, catalogue, "quantum", KeyAlgorithm.MLDSA87, KeyAlgorithm.MLDSA65)
        for name in ("tls-server", "ocsp-responder"):
            await catalogue.apply_profile(shipped_profiles()[name], actor=ACTOR)
        interlock = ClockGuard(database, clock)
        gate = Gate(database, worker, catalogue, interlock, clock, instance=new_id())
        yield Beside(database, clock, catalogue, gate, worker, status)
    await database.close()


async def test_one_profile_is_signed_by_the_hierarchy_of_the_key(beside: Beside) -> None:
    spki = algorithms.spki_of(mldsa.MLDSA65PrivateKey.generate().public_key())
    assert beside.catalogue.issuer_for("tls-server", spki).slug == "quantum"
    assert beside.catalogue.issuer_for("tls-server", new_spki()).slug == "classical"
    assert beside.catalogue.issuer_for("tls-server").slug == "classical"
    names = (("dns", "pq.example"),)
    issued = await beside.gate.issue(IssuanceRequest("pq", "quantum", "tls-server", spki, names, ACTOR))
    # The whole way up, by cryptography: leaf, issuing authority (ML-DSA-65), root (ML-DSA-87).
    leaf = x509.load_der_x509_certificate(issued.der)
    authority, root = beside.catalogue.authority("quantum"), beside.catalogue.authority("quantum-root")
    leaf.verify_directly_issued_by(authority.x509)
    authority.x509.verify_directly_issued_by(root.x509)
    root.x509.verify_directly_issued_by(root.x509)
    assert leaf.signature_algorithm_oid.dotted_string == "2.16.840.1.101.3.4.3.18"  # id-ml-dsa-65
    assert issued.chain == (authority.certificate,)


async def test_an_ml_dsa_authority_signs_its_crl_and_has_an_ml_dsa_responder(beside: Beside) -> None:
    spki = algorithms.spki_of(mldsa.MLDSA44PrivateKey.generate().public_key())
    names = (("dns", "pq.example"),)
    issued = await beside.gate.issue(IssuanceRequest("pq", "quantum", "tls-server", spki, names, ACTOR))
    now = beside.clock.now()
    await beside.database.commit(revoke(Unit(), OfCertificate(issued.id), reason=4, actor=ACTOR, at=now))
    authority = beside.catalogue.authority("quantum")
    interlock = ClockGuard(beside.database, beside.clock)
    crl = await CrlPublisher(beside.database, beside.worker, beside.catalogue, interlock, beside.clock).publish(
        "quantum"
    )
    parsed = x509.load_der_x509_crl(crl.der)
    algorithms.verify(authority.public_key, parsed.signature, parsed.tbs_certlist_bytes)
    assert parsed.get_revoked_certificate_by_serial_number(int.from_bytes(issued.serial, "big")) is not None
    # The responder's key goes, sealed, to the status role, as classical ones do.
    made = await Responders(beside.database, beside.gate, beside.worker, beside.catalogue, beside.clock).ensure(
        "quantum"
    )
    private = load_der_private_key(await beside.status.release_key(made.key_id), None)
    assert isinstance(private, mldsa.MLDSA44PrivateKey)
    responder = x509.load_der_x509_certificate(made.certificate)
    responder.verify_directly_issued_by(authority.x509)
    writer = ocsp.ResponseWriter(made.certificate, lambda message: algorithms.sign_with(private, message))
    request = ocsp.parse_request(ocsp.build_request(issued.serial, authority.x509))
    statuses = await CertificateStore(beside.database).serial_status("quantum", [issued.serial])
    answer = ocsp.answer(
        writer, request, ocsp.IssuerIds(authority.x509), statuses, now=now, next_update=now + timedelta(seconds=9)
    )
    told = x509_ocsp.load_der_ocsp_response(answer)
    key = responder.public_key()
    assert isinstance(key, mldsa.MLDSA44PublicKey)
    key.verify(told.signature, told.tbs_response_bytes)
    assert told.certificate_status is x509_ocsp.OCSPCertStatus.REVOKED


async def test_a_post_quantum_key_is_not_certified_by_a_classical_signature(beside: Beside) -> None:
    quantum = beside.catalogue.authority("quantum")
    await beside.database.commit(change_state(Unit(), quantum, "retiring", actor=ACTOR))
    await beside.catalogue.refresh()
    spki = algorithms.spki_of(mldsa.MLDSA65PrivateKey.generate().public_key())
    with pytest.raises(AuthorityRefused) as caught:
        beside.catalogue.issuer_for("tls-server", spki)
    assert (caught.value.code, "classical signature" in caught.value.detail) == ("pki.authority.missing", True)
