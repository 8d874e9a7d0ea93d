"""From a TPM to the certificate of its attestation key, and to an attested key; and whatever must not lead there."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import cbor2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key
from cryptography.x509.oid import ObjectIdentifier

from tests.support.attestation_ca import URL, AttestationCa
from tests.support.refusals import FENCE, told_without_a_traceback
from tests.support.software_tpm import SoftwareTpm, tpm_of
from troth.agent.errors import ATTESTATION_REFUSED, KeyTrouble
from troth.agent.keys.tpm.enrol import enrol
from troth.agent.keys.tpm.keys import TpmKeys
from troth.enroll.attest.examine import examine
from troth.enroll.attest.model import Known, Root, Rules
from troth.enroll.attest.statement import read_attestation
from troth.enroll.errors import IssuanceRefused
from troth.enroll.issuance import Ask
from troth.enroll.tpm.desk import PROFILE, AttestationDesk
from troth.enroll.tpm.errors import IDENTIFIER_TAKEN, REGISTERED, REGISTRATION, UNREGISTERED, TpmRefused
from troth.enroll.tpm.registry import Registration
from troth.enroll.tpm.routes import ATTEST, SECRET, TpmDoor
from troth.pki.anchors import add_anchor, read_anchor
from troth.pki.errors import HARDWARE_REQUIRED, ProfileRefused
from troth.pki.names import canonical_names
from troth.store.errors import UNAVAILABLE, Unavailable
from troth.store.unit import Unit
from troth.trust.model import Kind

EK_OIDS = {"2.23.133.2.1": "manufacturer", "2.23.133.2.2": "model", "2.23.133.2.3": "version"}


@pytest.fixture
def place(software_tpm: SoftwareTpm, tmp_path: Path) -> TpmKeys:
    return TpmKeys(tmp_path / "keys", tpm_of(software_tpm))


def pem(certificate: bytes) -> str:
    return x509.load_der_x509_certificate(certificate).public_bytes(Encoding.PEM).decode()


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


async def register(ca: AttestationCa, software: SoftwareTpm, device: str = "laptop-17", **more: str) -> bytes:
    """Register the TPM's RSA endorsement key; its SHA-256."""
    wanted = Registration(device, pem(software.ek_certificate), **more)
    (made,) = await ca.registry.register([wanted], actor="admin:alice", joined=Unit())
    return made.tpm.ek_sha256


def evidence(place: TpmKeys, **changes: object) -> tuple[dict[str, Any], bytes]:
    """A request for a fresh attestation key as an agent sends it, and the key's file."""
    birth, endorsement = place.tpm.make_attestation_key(), place.tpm.endorsement()
    spki = load_pem_public_key(endorsement.public_pem).public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    body: dict[str, Any] = {
        # As smallstep's agent words it.
        "tpmInfo": {"version": 2, "manufacturer": "4116", "model": "swtpm", "firmwareVersion": "8217.4131"},
        "ek": b64(spki),
        "ekCerts": [b64(endorsement.certificate or b"")],
        "params": {
            "public": b64(birth.public),
            "createData": b64(birth.creation_data),
            "createAttestation": b64(birth.attestation),
            "createSignature": b64(birth.signature),
        },
    }
    return body | changes, birth.pem


async def opened(ca: AttestationCa, place: TpmKeys) -> bytes:
    """A challenge that the TPM opened."""
    body, key = evidence(place)
    status, said = await ca.call(ATTEST, body)
    assert status == 200, said
    return place.tpm.activate("EK-RSA2048", key, base64.b64decode(said["credential"]), base64.b64decode(said["secret"]))


async def test_a_registered_tpm_vouches_for_a_key_of_its_own(
    attestation_ca: AttestationCa, software_tpm: SoftwareTpm, place: TpmKeys
) -> None:
    """EK → AK → activated credential → AK certificate → certified key → a statement that the verifier takes."""
    digest = await register(attestation_ca, software_tpm, identifier="SERIAL-17")
    identity = await enrol(place, URL, attestation_ca.transport())
    mint = attestation_ca.mint
    certificate = identity.chain[0]
    certificate.verify_directly_issued_by(mint.issuer)
    assert not certificate.subject.rdns
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    assert names.critical
    assert names.value.get_values_for_type(x509.UniformResourceIdentifier) == [f"urn:ek:sha256:{b64(digest)}"]
    (directory,) = names.value.get_values_for_type(x509.DirectoryName)
    told = {EK_OIDS[one.oid.dotted_string]: one.value for one in directory}
    assert told["manufacturer"] == "id:00001014"
    (other,) = names.value.get_values_for_type(x509.OtherName)
    assert other.value.endswith(b"SERIAL-17")
    usages = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usages) == [ObjectIdentifier("2.23.133.8.3")]

    key = place.load(place.create("web", "p256").label)
    attested = key.attest("token.thumbprint")
    spki = key.public_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    att_obj = cbor2.dumps({"fmt": attested.format, "attStmt": dict(attested.statement)})
    roots = {"tpm": (Root(mint.root, "ours"),)}

    def judged(authorization: str = "token.thumbprint", key: bytes = spki, serial: str = "SERIAL-17") -> list[str]:
        known = Known(
            at=mint.clock.now(), key_authorization=authorization, spki=key,
            identifiers=frozenset({("permanent-identifier", serial)}), rules=Rules(),
        )  # fmt: skip
        report = examine(read_attestation(att_obj), known, roots)
        return [one.name for one in report.checks if one.result.value == "failed"]

    assert judged() == []
    # Another account's key authorization, another key in the request, another device.
    for wrong in (judged("token.other"), judged(key=place.create("other", "p256").pem), judged(serial="SERIAL-18")):
        assert len(wrong) == 1, wrong

    device = await attestation_ca.subjects.find(Kind.DEVICE, "laptop-17")
    row = await mint.database.fetchrow(
        "SELECT c.key_assurance, s.subject_id FROM certificate c JOIN certificate_subject s ON s.certificate_id = c.id"
    )
    assert device is not None
    assert row is not None
    assert tuple(row) == ("attested", device.id)
    await attestation_ca.orders.hold_by_person(device.id, person="alice", reason="a look")
    assert await mint.database.fetchval("SELECT status FROM certificate") == "held"
    (kept,) = await attestation_ca.registry.store.of_device(device.id)
    assert kept.attested_at == mint.clock.now()


async def test_the_makers_certificate_is_believed_under_an_anchor_for_it(
    attestation_ca: AttestationCa, software_tpm: SoftwareTpm, place: TpmKeys
) -> None:
    mint = attestation_ca.mint
    # The TPM was made just now, by the clock on the wall.
    mint.clock.advance(datetime.now(UTC) - mint.clock.now() + timedelta(hours=1))
    await register(attestation_ca, software_tpm)
    await enrol(place, URL, attestation_ca.transport())
    anchor = read_anchor(software_tpm.ek_root, ["2.23.133.8.1"], "admin:alice", mint.clock.now())
    await mint.database.commit(add_anchor(Unit(), anchor))
    await enrol(place, URL, attestation_ca.transport())
    rows = await mint.database.fetch("SELECT snapshot FROM decision ORDER BY id")
    told = [{one["path"]: one["value"] for one in json.loads(row["snapshot"])["values"]} for row in rows]
    assert [one["evidence.endorsement"] for one in told] == ["registered", "certificate"]


async def test_a_strict_house_wants_the_makers_word_too(
    attestation_ca: AttestationCa, software_tpm: SoftwareTpm, place: TpmKeys
) -> None:
    await register(attestation_ca, software_tpm)
    mint = attestation_ca.mint
    desk = AttestationDesk(
        mint.database, mint.clock, attestation_ca.issuance, lifetime=timedelta(minutes=5), require_certificate=True
    )
    attestation_ca.door = TpmDoor(desk, mint.clock)
    for changes in ({}, {"ekCerts": []}, {"ekCerts": None}):
        body, _ = evidence(place, **changes)
        status, said = await attestation_ca.call(ATTEST, body)
        assert (status, said["code"]) == (403, "tpm.endorsement.certificate")


async def test_a_tpm_that_nobody_registered_gets_nothing(
    attestation_ca: AttestationCa, software_tpm: SoftwareTpm, place: TpmKeys
) -> None:
    with pytest.raises(KeyTrouble, match="unregistered") as refused:
        await enrol(place, URL, attestation_ca.transport())
    assert refused.value.reason is ATTESTATION_REFUSED
    digest = await register(attestation_ca, software_tpm)
    secret = await opened(attestation_ca, place)
    # Removed between the two requests.
    await attestation_ca.registry.remove(digest.hex(), actor="admin:alice", joined=Unit())
    status, said = await attestation_ca.call(SECRET, {"secret": b64(secret)})
    assert (status, said["code"]) == (403, "tpm.endorsement.unregistered")


async def test_a_secret_is_good_once_and_for_a_while(
    attestation_ca: AttestationCa, software_tpm: SoftwareTpm, place: TpmKeys
) -> None:
    await register(attestation_ca, software_tpm)
    first, late = await opened(attestation_ca, place), await opened(attestation_ca, place)
    assert (await attestation_ca.call(SECRET, {"secret": b64(first)}))[0] == 200
    again = await attestation_ca.call(SECRET, {"secret": b64(first)})
    guessed = await attestation_ca.call(SECRET, {"secret": b64(bytes(32))})
    attestation_ca.mint.clock.advance(timedelta(minutes=5))
    too_late = await attestation_ca.call(SECRET, {"secret": b64(late)})
    assert [(status, said["code"]) for status, said in (again, guessed, too_late)] == [(403, "tpm.secret.wrong")] * 3
    # What is kept is a hash, and no longer than it has to be.
    await opened(attestation_ca, place)
    rows = await attestation_ca.mint.database.fetch("SELECT secret_sha256 FROM tpm_challenge")
    assert len(rows) == 1
    assert hashlib.sha256(late).digest() not in [row["secret_sha256"] for row in rows]


async def test_two_at_once_with_one_secret_get_one_certificate(
    attestation_ca: AttestationCa, software_tpm: SoftwareTpm, place: TpmKeys
) -> None:
    await register(attestation_ca, software_tpm)
    secret = b64(await opened(attestation_ca, place))
    answers = await asyncio.gather(*(attestation_ca.call(SECRET, {"secret": secret}) for _ in range(8)))
    assert {status for status, _ in answers} <= {200, 403, 409}
    assert len({tuple(said["chain"]) for status, said in answers if status == 200}) == 1
    assert await attestation_ca.mint.database.fetchval("SELECT count(*) FROM certificate") == 1


async def test_a_device_under_quarantine_gets_no_attestation_key(
    attestation_ca: AttestationCa, software_tpm: SoftwareTpm, place: TpmKeys
) -> None:
    await register(attestation_ca, software_tpm)
    device = await attestation_ca.subjects.find(Kind.DEVICE, "laptop-17")
    assert device is not None
    secret = await opened(attestation_ca, place)
    await attestation_ca.orders.hold_by_person(device.id, person="alice", reason="a look")
    status, said = await attestation_ca.call(SECRET, {"secret": b64(secret)})
    assert (status, said["code"]) == (403, "enroll.refused")
    # The refusal has used the secret up.
    status, said = await attestation_ca.call(SECRET, {"secret": b64(secret)})
    assert said["code"] == "tpm.secret.wrong"


async def test_a_signer_that_fails_costs_the_secret_and_nothing_else(
    attestation_ca: AttestationCa, software_tpm: SoftwareTpm, place: TpmKeys
) -> None:
    await register(attestation_ca, software_tpm)
    secret = b64(await opened(attestation_ca, place))
    attestation_ca.mint.signer.fail = Unavailable(UNAVAILABLE, "the signer's own words")
    status, said = await attestation_ca.call(SECRET, {"secret": secret})
    assert (status, said["code"]) == (503, "internal.error")
    assert "own words" not in json.dumps(said)
    status, said = await attestation_ca.call(SECRET, {"secret": secret})
    assert said["code"] == "tpm.secret.wrong"
    assert (await enrol(place, URL, attestation_ca.transport())).chain


async def test_a_fenced_installation_refuses_and_the_log_has_no_failure(
    attestation_ca: AttestationCa, software_tpm: SoftwareTpm, place: TpmKeys
) -> None:
    await register(attestation_ca, software_tpm)
    secret = b64(await opened(attestation_ca, place))
    attestation_ca.mint.interlock.refusal = FENCE
    with told_without_a_traceback("tpm.failed"):
        status, said = await attestation_ca.call(SECRET, {"secret": secret})
    assert (status, said["code"]) == (503, "internal.error")


async def test_nobody_else_can_have_such_a_certificate(attestation_ca: AttestationCa) -> None:
    """Not an operator, and no door that proves less: the profile wants an attested key, the policy a registered TPM."""
    mint = attestation_ca.mint
    names = canonical_names(
        [
            ("directory", "tpmManufacturer=id:00000000,tpmModel=a,tpmVersion=a"),
            ("permanent-identifier", "SERIAL-17"),
            ("uri", "urn:ek:sha256:AAAA"),
        ]
    )
    device = await attestation_ca.subjects.find(Kind.DEVICE, "laptop-17")
    by_hand = mint.request("by-hand", profile=PROFILE, names=names)
    with pytest.raises(ProfileRefused) as refused:
        await mint.gate.issue(by_hand, with_reserve=Unit(), with_store=lambda _: Unit())
    assert refused.value.reason is HARDWARE_REQUIRED
    ask = Ask(
        "acme", PROFILE, by_hand.spki, names, "acme:1", {"attested": True}, subject=device, key_assurance="attested"
    )
    with pytest.raises(IssuanceRefused):
        await attestation_ca.issuance.issue(ask, with_reserve=Unit, with_store=lambda _: Unit())


async def test_evidence_of_another_key_or_tpm_is_refused(
    attestation_ca: AttestationCa, software_tpm: SoftwareTpm, place: TpmKeys
) -> None:
    await register(attestation_ca, software_tpm)
    body, _ = evidence(place)
    other, _ = evidence(place)
    stranger = load_pem_public_key(place.tpm.public_endorsement("EK-ECC256")).public_bytes(
        Encoding.DER, PublicFormat.SubjectPublicKeyInfo
    )
    params = body["params"]
    mixed = {
        "tpm.creation.wrong": {"params": params | {"createAttestation": other["params"]["createAttestation"]}},
        "tpm.signature.wrong": {"params": params | {"createSignature": other["params"]["createSignature"]}},
        "tpm.endorsement.unregistered": {"ek": b64(stranger), "ekCerts": []},
        "tpm.endorsement.key": {"ek": None, "ekCerts": []},
        "tpm.endorsement.certificate": {"ek": None},
        "tpm.structure.malformed": {"params": params | {"public": b64(b"\0\x23")}},
        "tpm.request.malformed": {"params": params | {"public": "no base64!"}},
    }
    for code, changes in mixed.items():
        _, said = await attestation_ca.call(ATTEST, body | changes)
        assert said["code"] == code, said
    assert await attestation_ca.mint.database.fetchval("SELECT count(*) FROM tpm_challenge") == 0


async def test_nonsense_is_told_so(attestation_ca: AttestationCa) -> None:
    for body in (b"", b"[]", b"\xff", b"{}", b'{"secret":1}', b"[" * 900):
        for path in (ATTEST, SECRET):
            status, said = await attestation_ca.call(path, body)
            assert (status, said["code"]) == (400, "tpm.request.malformed")
    assert (await attestation_ca.call(SECRET, b" " * 1025))[0] == 413
    assert (await attestation_ca.call(ATTEST, b" " * 65_537))[0] == 413


async def test_a_network_that_asks_too_often_waits(attestation_ca: AttestationCa) -> None:
    for _ in range(30):
        await attestation_ca.call(SECRET, {"secret": ""}, client="2001:db8::1")
    status, said = await attestation_ca.call(SECRET, {"secret": ""}, client="2001:db8::2")
    assert (status, said["code"]) == (429, "tpm.request.too_many")
    assert (await attestation_ca.call(SECRET, {"secret": ""}, client="2001:db8:0:1::1"))[0] == 403


async def test_registering_refuses_what_is_no_device_or_no_key_or_there_already(
    attestation_ca: AttestationCa, software_tpm: SoftwareTpm
) -> None:
    registry, ek = attestation_ca.registry, pem(software_tpm.ek_certificate)
    digest = await register(attestation_ca, software_tpm)
    (found,) = await registry.store.page(after=b"", limit=10)
    assert (found.ek_sha256, found.identifier, found.make.model) == (digest, "laptop-17", "swtpm")
    assert [one.ek_sha256 for one in await registry.store.of_identifier("laptop-17")] == [digest]
    spare = "ab" * 32
    for wrong, reason in (
        (Registration("laptop-18", ek), REGISTERED),
        (Registration("laptop-18", b64(software_tpm.ek_certificate)), REGISTERED),
        (Registration("laptop-18", digest.hex(":").upper()), REGISTERED),
        (Registration("laptop-18", "ab:cd"), REGISTRATION),
        (Registration("laptop-18", "x" * 20_000), REGISTRATION),
        (Registration("laptop-18", spare, manufacturer="Intel"), REGISTRATION),
        (Registration("laptop-18", spare, model="\t"), REGISTRATION),
        (Registration("laptop-18", spare, identifier=" "), REGISTRATION),
        (Registration("laptop-18", spare, identifier="laptop-17"), IDENTIFIER_TAKEN),
    ):
        with pytest.raises(TpmRefused) as refused:
            await registry.register([wrong], actor="admin:alice", joined=Unit())
        assert refused.value.reason is reason, wrong
    two = [
        Registration(name, number * 32, identifier="S-1") for name, number in (("laptop-17", "01"), ("laptop-18", "02"))
    ]
    with pytest.raises(TpmRefused) as shared:
        await registry.plan(two, actor="admin:alice")
    assert shared.value.reason is IDENTIFIER_TAKEN
    # A device whose board was exchanged has two TPMs and one identifier.
    await registry.register([Registration("laptop-17", spare)], actor="admin:alice", joined=Unit())
    await registry.remove(spare, actor="admin:alice", joined=Unit())
    with pytest.raises(TpmRefused, match="the same TPM"):
        await registry.plan([Registration("laptop-17", spare), Registration("laptop-18", spare)], actor="admin:alice")
    for device in ("shop", "nobody"):
        with pytest.raises(Exception, match=r"no (device|subject)"):
            await registry.plan([Registration(device, spare)], actor="admin:alice")
    with pytest.raises(TpmRefused) as missing:
        await registry.find(spare)
    assert missing.value.reason is UNREGISTERED
