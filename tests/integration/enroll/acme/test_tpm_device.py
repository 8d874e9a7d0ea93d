"""A TPM in software walks the whole way: endorsement key, attestation key, attested key, certificate."""

from __future__ import annotations

from pathlib import Path

import cbor2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from tests.support.acme_door import Door
from tests.support.attestation_ca import URL, AttestationCa
from tests.support.software_tpm import SoftwareTpm, tpm_of
from troth.agent.keys.tpm.enrol import enrol
from troth.agent.keys.tpm.keys import TpmKeys
from troth.client.acme import AcmeClient
from troth.client.csr import certificate_request
from troth.client.jose import b64url_encode
from troth.enroll.acme.directories import Directory
from troth.enroll.acme.model import DEVICE_ATTEST_01
from troth.enroll.attest.service import own_roots
from troth.enroll.tpm.registry import Registration
from troth.pki.profile import shipped_profiles
from troth.store.unit import Unit
from troth.trust.subjects.directory_plan import Directory as People

FLEET = "devices: [{name: laptop-17, managed: true, serial: SERIAL-17}]"


@pytest.fixture
async def client(door: Door, attestation_ca: AttestationCa) -> AcmeClient:
    """A client of a directory for devices; what our own attestation CA certified counts there."""
    await door.mint.catalogue.apply_profile(shipped_profiles()["device-identity"], actor="test")
    await door.mint.catalogue.refresh()
    people = People(door.mint.database, door.mint.clock)
    await people.apply(await people.plan(FLEET), actor="admin:test")
    door.attestations._own = own_roots(door.mint.catalogue)
    directory = Directory(
        "devices", ("device-identity",), challenges=(DEVICE_ATTEST_01,), identifiers=("permanent-identifier",)
    )
    door.reopen(None, directory)
    return await door.client(profile="devices")


async def test_a_tpm_gets_from_its_endorsement_key_to_the_certificate_of_a_key_in_it(
    door: Door, client: AcmeClient, attestation_ca: AttestationCa, software_tpm: SoftwareTpm, tmp_path: Path
) -> None:
    # 1. An operator vouches for the TPM; it proves which one it is, and its attestation key is certified.
    ek = x509.load_der_x509_certificate(software_tpm.ek_certificate).public_bytes(Encoding.PEM).decode()
    await attestation_ca.registry.register(
        [Registration("laptop-17", ek, identifier="SERIAL-17")], actor="admin:alice", joined=Unit()
    )
    place = TpmKeys(tmp_path / "keys", tpm_of(software_tpm))
    await enrol(place, URL, attestation_ca.transport())
    # 2. A key in the same TPM, certified by that attestation key for this challenge.
    key = place.load(place.create("web", "p256").label)
    order = await client.new_order([("permanent-identifier", "SERIAL-17")])
    challenge = (await client.authorization(order.authorizations[0])).challenge(DEVICE_ATTEST_01)
    assert challenge is not None
    attested = key.attest(client.key_authorization(challenge.token))
    statement = cbor2.dumps({"fmt": attested.format, "attStmt": dict(attested.statement)})
    answered = await client.answer(challenge, {"attObj": b64url_encode(statement)})
    assert answered.error is None
    # 3. The request is signed in the TPM; the certificate says that its key is attested.
    done = await client.finalize(await client.order(order.url), certificate_request(key.private_key()))
    certificate = x509.load_pem_x509_certificate(await client.certificate(done))
    assert certificate.subject.rfc4514_string() == "2.5.4.5=SERIAL-17,CN=laptop-17"
    assert certificate.public_key() == key.public_key
    assert await door.mint.database.fetchval(
        "SELECT key_assurance FROM certificate WHERE profile = 'device-identity'"
    ) == "attested"  # fmt: skip
