"""Devices that attest their keys: from the order to the certificate, and each way in which it ends before."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeAlias

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from tests.support.acme_door import BASE, Door, LaneTransport
from tests.support.attesting import (
    Key,
    android,
    apple,
    certificate,
    device_name,
    new_key,
    permanent_identifier,
    spki,
    step,
    tpm,
)
from troth.client.acme import AcmeClient, AcmeError
from troth.client.acme_objects import Challenge, Identifier, Order
from troth.client.csr import certificate_request
from troth.client.jose import SigningKey, b64url_encode
from troth.enroll.acme.attested import Attesting
from troth.enroll.acme.directories import Directory
from troth.enroll.acme.model import DEVICE_ATTEST_01
from troth.enroll.attest.model import Root, Rules, key_sha256
from troth.enroll.credentials.model import NameRules, Wanted
from troth.enroll.tpm.store import ADD_TPM
from troth.pki.names import canonical_names
from troth.pki.profile import shipped_profiles
from troth.pki.sid import read_sid_extension
from troth.pki.signer.class_rules import CLIENT_AUTH, PKINIT_CLIENT, SID_EXTENSION, SMARTCARD_LOGON
from troth.store.errors import UNAVAILABLE, Unavailable
from troth.store.unit import Unit
from troth.trust.model import Kind
from troth.trust.subjects.directory_plan import Directory as People
from troth.trust.subjects.store import PUT_FACT, SubjectStore, encoded

FLEET = """\
users:
  - {name: alice, enabled: true, email: alice@corp.example}
  - {name: bob, enabled: true}
devices:
  - {name: laptop-1, owner: alice, managed: true, serial: LAB-SERIAL-1, udid: U-1}
  - {name: laptop-2, owner: bob, managed: true, serial: LAB-SERIAL-2}
  - {name: stray, managed: false, serial: STRAY-1}
  - {name: unreported, serial: UNREPORTED-1}
  - {name: twin-1, managed: true, serial: TWIN}
  - {name: twin-2, managed: true, udid: TWIN}
  - {name: key-1, owner: alice, managed: true, serial: "25515003"}
  - {name: quiet, managed: true, udid: QUIET-9}
  - {name: orphan-key, managed: true, serial: "777"}
"""
IDENTIFIERS = ("permanent-identifier", "hardware-module")
SERIAL = "LAB-SERIAL-1"
Make: TypeAlias = Callable[[Key, str], bytes]


@dataclass
class Fleet:
    """A door whose directory ``devices`` takes attestations."""

    door: Door
    people: People

    async def open(self, profiles: tuple[str, ...] = ("device-identity",), **attesting: Any) -> AcmeClient:
        """A client of a directory with these rules."""
        directory = Directory(
            "devices",
            profiles,
            challenges=(DEVICE_ATTEST_01,),
            identifiers=IDENTIFIERS,
            attesting=Attesting(**attesting),
        )
        self.door.reopen(None, directory, secrets=self.door.enrolling.enrolments)
        return await self.door.client(profile="devices")

    async def order(self, client: AcmeClient, value: str = SERIAL, kind: str = IDENTIFIERS[0]) -> Order:
        """An order for a device."""
        return await client.new_order([(kind, value)])

    async def challenge(self, client: AcmeClient, order: Order) -> Challenge:
        """The order's one challenge."""
        found = (await client.authorization(order.authorizations[0])).challenge(DEVICE_ATTEST_01)
        assert found is not None
        return found

    async def attest(self, client: AcmeClient, order: Order, make: Make, key: Key) -> Challenge:
        """Answer it with a statement."""
        challenge = await self.challenge(client, order)
        made = make(key, client.key_authorization(challenge.token))
        return await client.answer(challenge, {"attObj": b64url_encode(made)})

    async def certified(
        self, client: AcmeClient, make: Make = tpm, *, key: Key | None = None, value: str = SERIAL, **order: Any
    ) -> x509.Certificate:
        """The whole way."""
        key = key or new_key()
        placed = await self.order(client, value, **order)
        assert (await self.attest(client, placed, make, key)).status == "valid"
        done = await client.finalize(await client.order(placed.url), certificate_request(key))
        return x509.load_pem_x509_certificate(await client.certificate(done))

    async def profile(self, name: str) -> None:
        """Apply a shipped profile."""
        await self.door.mint.catalogue.apply_profile(shipped_profiles()[name], actor="test")
        await self.door.mint.catalogue.refresh()

    async def rows(self) -> list[dict[str, Any]]:
        """All statements that were judged."""
        found = await self.door.mint.database.fetch("SELECT * FROM attestation ORDER BY id")
        return [dict(row) for row in found]

    async def report(self, device: str, **values: Any) -> None:
        """Let the manager report facts of a device."""
        clock, database = self.door.mint.clock, self.door.mint.database
        subject = await SubjectStore(database).find(Kind.DEVICE, device)
        assert subject is not None
        unit = Unit()
        for name, value in values.items():
            path = f"device.{name}"
            unit.write(PUT_FACT, subject.id, "mdm", path, encoded(value), clock.now(), clock.now())
        await database.commit(unit)


@pytest.fixture
async def fleet(door: Door) -> Fleet:
    """Devices in the directory, and the profile for their identities."""
    people = People(door.mint.database, door.mint.clock)
    await people.apply(await people.plan(FLEET), actor="admin:test")
    made = Fleet(door, people)
    await made.profile("device-identity")
    return made


def phone(door: Door, **changes: Any) -> Make:
    """An Apple device whose certificate begins now."""
    return lambda key, authorization: apple(key, authorization, begin=door.mint.clock.now(), **changes)


def names(certificate: x509.Certificate) -> list[bytes]:
    found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return [one.value for one in found if isinstance(one, x509.OtherName)]


# --- the way through -------------------------------------------------------------------------------------------------


async def test_a_tpm_gets_a_certificate_for_its_hardware_bound_key(fleet: Fleet) -> None:
    client, key = await fleet.open(), new_key()
    certificate = await fleet.certified(client, key=key)
    assert certificate.subject.rfc4514_string() == "2.5.4.5=LAB-SERIAL-1,CN=laptop-1"
    assert names(certificate) == [b"\x30\x0e\x0c\x0c" + SERIAL.encode()]
    row = await fleet.door.mint.database.fetchrow("SELECT key_assurance, decision_id FROM certificate")
    assert row is not None
    assert row["key_assurance"] == "attested"
    decided = await fleet.door.mint.database.fetchval("SELECT snapshot FROM decision WHERE id = $1", row["decision_id"])
    told = {one["path"]: one["value"] for one in json.loads(decided)["values"] if one["path"].startswith("evidence.")}
    (judged,) = await fleet.rows()
    assert told["evidence.attested"] is True
    assert told["evidence.hardware_key"] is True
    assert told["evidence.attestation_format"] == "tpm"
    assert told["evidence.attestation_digest"] == judged["sha256"].hex()
    assert told["evidence.permanent_identifier"] == SERIAL
    assert told["evidence.methods"] == ["device-attest-01"]
    assert told["evidence.tpm_model"] == "TROTH-SIM"
    assert (judged["attested"], judged["accepted"], judged["mode"], judged["reason"]) == (True, True, "enforce", None)
    assert all(one["result"] == "passed" for one in json.loads(judged["report"])["checks"])


async def test_every_format_leads_to_a_certificate(fleet: Fleet) -> None:
    await fleet.door.attestations.put_statuses(b'{"entries":{}}', source="test", actor="test")
    client = await fleet.open()
    made: dict[str, Make] = {
        "apple": phone(fleet.door, serial=SERIAL),
        "android-key": lambda key, bound: android(key, bound, serial=SERIAL),
        "step": lambda key, bound: step(key, bound, serial=25515003),
    }
    for kind, make in made.items():
        await fleet.certified(client, make, value="25515003" if kind == "step" else SERIAL)
    assert [row["format"] for row in await fleet.rows()] == list(made)


async def test_a_hardware_module_is_certified_under_its_type(fleet: Fleet) -> None:
    client = await fleet.open()
    certificate = await fleet.certified(
        client, phone(fleet.door, udid="U-1"), value="U-1/1.2.840.113635.100.8.9.2", kind="hardware-module"
    )
    assert any(one.endswith(b"\x04\x03U-1") for one in names(certificate))


async def test_code_signing_is_issued_to_the_owner_of_an_attested_security_key(fleet: Fleet) -> None:
    await fleet.profile("code-signing")
    client = await fleet.open(("code-signing",), about="owner")
    certificate = await fleet.certified(client, step, value="25515003")
    assert certificate.subject.rfc4514_string() == "CN=alice"
    bound = await fleet.door.mint.database.fetch("SELECT role FROM certificate_subject ORDER BY role")
    assert "carrier" in {row["role"] for row in bound}
    with pytest.raises(AcmeError) as refused:
        await fleet.order(client, "777")
    assert (refused.value.status, refused.value.problem.short_type) == (403, "unauthorized")


async def test_a_person_logs_on_with_the_attested_key_of_a_security_key(fleet: Fleet) -> None:
    """The key is the attested one, the names are the account's, and its SID is in it."""
    await fleet.profile("smartcard-logon")
    people = FLEET.replace(
        "alice@corp.example}", "alice@corp.example, upn: alice@corp.example, sid: S-1-5-21-1-2-3-1104}"
    )
    await fleet.people.apply(await fleet.people.plan(people), actor="admin:test")
    client = await fleet.open(("smartcard-logon",), about="owner", formats=frozenset({"step"}))
    key = new_key()
    certificate = await fleet.certified(client, step, key=key, value="25515003")
    assert certificate.public_key() == key.public_key()
    assert certificate.subject.rfc4514_string() == "CN=alice"
    usages = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert {one.dotted_string for one in usages} == {CLIENT_AUTH, SMARTCARD_LOGON, PKINIT_CLIENT}
    found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    upns = [one.value for one in found if isinstance(one, x509.OtherName)]
    assert [value[2:] for value in upns] == [b"alice@corp.example"]
    assert found.get_values_for_type(x509.RFC822Name) == ["alice@corp.example"]
    sid = certificate.extensions.get_extension_for_oid(SID_EXTENSION).value
    assert isinstance(sid, x509.UnrecognizedExtension)
    assert read_sid_extension(sid.value) == "S-1-5-21-1-2-3-1104"
    assert b"25515003" not in certificate.public_bytes(serialization.Encoding.DER)
    row = await fleet.door.mint.database.fetchrow("SELECT key_assurance, decision_id FROM certificate")
    assert row is not None
    assert row["key_assurance"] == "attested"
    decided = await fleet.door.mint.database.fetchval("SELECT snapshot FROM decision WHERE id = $1", row["decision_id"])
    told = {one["path"]: one["value"] for one in json.loads(decided)["values"] if one["path"].startswith("evidence.")}
    assert (told["evidence.pin_policy"], told["evidence.touch_policy"]) == ("once", "never")
    assert told["evidence.firmware_version"] == "5.7.4"


async def test_nobody_logs_on_with_a_key_that_nothing_attests_or_for_another_account(fleet: Fleet) -> None:
    await fleet.profile("smartcard-logon")
    people = FLEET.replace(
        "alice@corp.example}", "alice@corp.example, upn: alice@corp.example, sid: S-1-5-21-1-2-3-1104}"
    )
    await fleet.people.apply(await fleet.people.plan(people), actor="admin:test")
    client, key = await fleet.open(("smartcard-logon",), about="owner"), new_key()
    # Another key in the request than the one that the hardware attests.
    order = await fleet.order(client, "25515003")
    await fleet.attest(client, order, step, key)
    with pytest.raises(AcmeError) as refused:
        await client.finalize(await client.order(order.url), certificate_request(new_key()))
    assert refused.value.problem.short_type == "badCSR"
    # A statement that does not hold, where a directory only observes: policy wants hardware at once.
    watching = await fleet.open(("smartcard-logon",), about="owner", mode="observe")
    order = await fleet.order(watching, "25515003")
    observed = await fleet.attest(watching, order, lambda made, bound: step(made, bound, serial=777), key)
    assert observed.error is not None
    assert observed.error.reason == "acme.order.refused"
    # Another format than the directory takes; the security key of somebody who has no account name; a disabled account.
    strict = await fleet.open(("smartcard-logon",), about="owner", formats=frozenset({"step"}))
    order = await fleet.order(strict, "LAB-SERIAL-1")
    assert (await fleet.attest(strict, order, tpm, new_key())).error is not None
    off = people.replace("{name: alice, enabled: true", "{name: alice, enabled: false")
    order = await fleet.order(strict, "25515003")
    await fleet.attest(strict, order, step, key)
    await fleet.people.apply(await fleet.people.plan(off), actor="admin:test")
    with pytest.raises(AcmeError) as refused:
        await strict.finalize(await strict.order(order.url), certificate_request(key))
    assert (refused.value.status, refused.value.problem.short_type) == (403, "unauthorized")
    assert await fleet.door.count("certificate") == 0


async def test_an_account_without_a_log_on_name_gets_no_log_on(fleet: Fleet) -> None:
    await fleet.profile("smartcard-logon")
    client, key = await fleet.open(("smartcard-logon",), about="owner"), new_key()
    order = await fleet.order(client, "25515003")
    await fleet.attest(client, order, step, key)
    with pytest.raises(AcmeError, match="upn") as refused:
        await client.finalize(await client.order(order.url), certificate_request(key))
    assert (refused.value.status, refused.value.problem.short_type) == (403, "unauthorized")


async def test_privacy_mode_certifies_the_device_without_what_it_attested(fleet: Fleet) -> None:
    """A profile that takes over no device identifiers makes the names itself."""
    await fleet.profile("wifi-device")
    client = await fleet.open(("wifi-device",))
    certificate = await fleet.certified(client, phone(fleet.door, udid="QUIET-9"), value="QUIET-9")
    assert certificate.subject.rfc4514_string() == "CN=quiet"
    assert b"QUIET-9" not in certificate.public_bytes(serialization.Encoding.DER)


# --- newOrder --------------------------------------------------------------------------------------------------------


async def test_an_order_that_no_attestation_could_help_fails_at_once(fleet: Fleet) -> None:
    client = await fleet.open()
    for kind, value, reason in (
        ("permanent-identifier", "UNKNOWN", "attest.device_unknown"),
        ("permanent-identifier", "TWIN", "attest.device_ambiguous"),
        ("permanent-identifier", "lab-serial-1", "attest.device_unknown"),
        ("hardware-module", "UNKNOWN/1.2.3", "attest.device_unknown"),
        ("permanent-identifier", "STRAY-1", "acme.identifier.rejected"),
    ):
        with pytest.raises(AcmeError) as refused:
            await fleet.order(client, value, kind)
        problem = refused.value.problem
        assert (problem.short_type, problem.reason) == ("rejectedIdentifier", reason)
        assert problem.subproblems[0].identifier == Identifier(kind, value)
    assert await fleet.door.count("acme_order") == 0


async def test_an_order_is_for_one_device(fleet: Fleet) -> None:
    client = await fleet.open()
    with pytest.raises(AcmeError) as refused:
        await client.new_order([("permanent-identifier", SERIAL), ("permanent-identifier", "LAB-SERIAL-2")])
    assert refused.value.problem.short_type == "rejectedIdentifier"


async def test_other_directories_know_no_devices(fleet: Fleet) -> None:
    fleet.door.reopen(None, Directory("tls-server", ("tls-server",)))
    client = await fleet.door.client()
    with pytest.raises(AcmeError) as refused:
        await fleet.order(client)
    assert refused.value.problem.short_type == "unsupportedIdentifier"


# --- the challenge ---------------------------------------------------------------------------------------------------


async def test_what_cannot_be_read_ends_the_challenge_in_every_mode(fleet: Fleet) -> None:
    client = await fleet.open(mode="observe")
    payloads: list[tuple[dict[str, Any], str]] = [
        ({}, "attest.empty"),
        ({"attObj": ""}, "attest.empty"),
        ({"attObj": "e30"}, "attest.empty"),
        ({"attObj": "oA"}, "attest.empty"),
        ({"attObj": "!"}, "attest.malformed"),
        ({"attObj": 5}, "attest.malformed"),
        ({"attObj": "AAAA"}, "attest.malformed"),
        ({"error": "no attestation for you"}, "attest.device_reports"),
        ({"error": "x", "attObj": "oA"}, "attest.device_reports"),
    ]
    for payload, reason in payloads:
        order = await fleet.order(client)
        challenge = await client.answer(await fleet.challenge(client, order), payload)
        assert challenge.error is not None
        assert challenge.error.short_type == "badAttestationStatement"
        assert (challenge.status, challenge.error.reason) == ("invalid", reason), payload
        assert (await client.order(order.url)).status == "invalid"


async def test_a_statement_that_fails_a_check_ends_the_challenge(fleet: Fleet) -> None:
    client = await fleet.open()
    cases: list[tuple[Make, str]] = [
        (lambda key, _: tpm(key, "other.thumb"), "attest.binding"),
        (lambda key, bound: tpm(key, bound, attributes=0x40070), "attest.key"),
        (lambda key, bound: tpm(key, bound, serial="LAB-SERIAL-2"), "attest.identifier"),
        (lambda key, bound: tpm(key, bound, serial=None), "attest.identifier"),
        (lambda key, bound: tpm(key, bound, x5c=[]), "attest.chain"),
        (lambda key, bound: step(key, bound), "attest.identifier"),
    ]
    for make, reason in cases:
        order = await fleet.order(client)
        challenge = await fleet.attest(client, order, make, new_key())
        assert challenge.error is not None
        assert (challenge.status, challenge.error.reason) == ("invalid", reason)
        judged = (await fleet.rows())[-1]
        assert (judged["attested"], judged["accepted"], judged["reason"]) == (False, False, reason)
        # The device hears a reason and a reference; what was expected and what was found are the operator's.
        assert judged["detail"].partition(":")[0] not in challenge.error.detail
        assert str(judged["id"])[-12:] in challenge.error.detail
        named = [one.short_type for one in challenge.error.subproblems]
        assert named == (["rejectedIdentifier"] if reason == "attest.identifier" else [])
        assert (await client.order(order.url)).status == "invalid"
    assert await fleet.door.count("attested_key") == 0


async def test_a_format_that_the_directory_does_not_take_is_refused(fleet: Fleet) -> None:
    client = await fleet.open(formats=frozenset({"apple"}))
    challenge = await fleet.attest(client, await fleet.order(client), tpm, new_key())
    assert challenge.error is not None
    assert challenge.error.reason == "attest.format"


async def test_answering_again_shows_the_present_state(fleet: Fleet) -> None:
    client, key = await fleet.open(), new_key()
    order = await fleet.order(client)
    challenge = await fleet.challenge(client, order)
    payload = {"attObj": b64url_encode(tpm(key, client.key_authorization(challenge.token)))}
    assert [(await client.answer(challenge, payload)).status for _ in range(3)] == ["valid"] * 3
    assert len(await fleet.rows()) == 1


async def test_many_answers_at_once_decide_a_challenge_once(fleet: Fleet) -> None:
    client, keys = await fleet.open(), [new_key() for _ in range(8)]
    order = await fleet.order(client)
    challenge = await fleet.challenge(client, order)
    payloads = [{"attObj": b64url_encode(tpm(key, client.key_authorization(challenge.token)))} for key in keys]
    answers = await asyncio.gather(*(client.answer(challenge, payload) for payload in payloads))
    assert {answer.status for answer in answers} == {"valid"}
    accepted = [row for row in await fleet.rows() if row["accepted"]]
    assert len(accepted) == 1
    won = next(key for key in keys if hashlib.sha256(spki(key)).digest() == accepted[0]["spki_sha256"])
    lost = next(key for key in keys if key is not won)
    ready = await client.order(order.url)
    with pytest.raises(AcmeError) as refused:
        await client.finalize(ready, certificate_request(lost))
    assert refused.value.problem.short_type == "badCSR"
    assert (await client.finalize(ready, certificate_request(won))).status == "valid"


async def test_while_the_database_is_away_nothing_is_lost(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    client, key = await fleet.open(), new_key()
    order = await fleet.order(client)
    challenge = await fleet.challenge(client, order)
    payload = {"attObj": b64url_encode(tpm(key, client.key_authorization(challenge.token)))}

    async def away(*_: object) -> None:
        raise Unavailable(UNAVAILABLE)

    with monkeypatch.context() as patched:
        patched.setattr(fleet.door.mint.database, "commit", away)
        with pytest.raises(AcmeError) as later:
            await client.answer(challenge, payload)
    assert (later.value.status, later.value.problem.short_type) == (503, "serverInternal")
    assert (await fleet.challenge(client, order)).status == "pending"
    assert (await client.answer(challenge, payload)).status == "valid"


async def test_nobody_answers_for_another_account(fleet: Fleet) -> None:
    mine, theirs = await fleet.open(), await fleet.door.client(profile="devices")
    order = await fleet.order(mine)
    challenge = await fleet.challenge(mine, order)
    with pytest.raises(AcmeError) as refused:
        await theirs.answer(challenge, {"attObj": b64url_encode(tpm(new_key(), "x.y"))})
    assert (refused.value.status, refused.value.problem.short_type) == (403, "unauthorized")
    assert (await fleet.challenge(mine, order)).status == "pending"


async def test_without_a_status_list_android_waits_and_nothing_is_lost(fleet: Fleet) -> None:
    client = await fleet.open()
    order, key = await fleet.order(client), new_key()

    def make(key: Key, bound: str) -> bytes:
        return android(key, bound, serial=SERIAL)

    with pytest.raises(AcmeError) as later:
        await fleet.attest(client, order, make, key)
    assert (later.value.status, later.value.problem.short_type) == (503, "serverInternal")
    assert (await client.order(order.url)).status == "pending"
    await fleet.door.attestations.put_statuses(b'{"entries":{}}', source="test", actor="test")
    assert (await fleet.attest(client, order, make, key)).status == "valid"
    fleet.door.mint.clock.advance(timedelta(hours=25))
    with pytest.raises(AcmeError) as stale:
        await fleet.attest(client, await fleet.order(client), make, new_key())
    assert stale.value.status == 503


async def test_a_body_beyond_the_usual_limit_is_taken_here_and_nowhere_else(fleet: Fleet) -> None:
    client, key = await fleet.open(), new_key()
    order = await fleet.order(client)

    def large(key: Key, bound: str) -> bytes:
        return tpm(key, bound, padding=b"x" * 90_000)

    assert (await fleet.attest(client, order, large, key)).status == "valid"
    status, _, _ = await fleet.door.post(order.url, b"x" * 100_000)
    assert status == 413


# --- replay, clones, and the one key ---------------------------------------------------------------------------------


async def test_an_apple_certificate_is_presented_once(fleet: Fleet) -> None:
    client, key = await fleet.open(), new_key()
    tokens: list[bytes] = []

    def remembered(key: Key, bound: str) -> bytes:
        tokens.append(phone(fleet.door, serial=SERIAL)(key, bound))
        return tokens[0]

    await fleet.certified(client, remembered, key=key)
    challenge = await fleet.attest(client, await fleet.order(client), remembered, key)
    assert challenge.error is not None
    assert challenge.error.reason == "attest.binding"  # another token; and were it the same:
    async with fleet.door.mint.database.transaction() as connection:
        await connection.execute("DELETE FROM attestation")
    assert await fleet.door.count("attestation_seen") == 1


async def test_a_key_of_one_device_is_never_another_devices(fleet: Fleet) -> None:
    client, key = await fleet.open(), new_key()
    await fleet.certified(client, key=key)
    order = await fleet.order(client, "LAB-SERIAL-2")
    challenge = await fleet.attest(client, order, lambda k, b: tpm(k, b, serial="LAB-SERIAL-2"), key)
    assert challenge.error is not None
    assert (challenge.status, challenge.error.reason) == ("invalid", "attest.key_elsewhere")
    assert "attestation.clone_suspected" in await fleet.door.events()
    again = await fleet.certified(client, key=key)  # its own device may use it as long as it likes
    assert again.public_key().public_numbers() == key.public_key().public_numbers()  # type: ignore[union-attr]


async def test_no_other_key_than_the_attested_one_is_certified(fleet: Fleet) -> None:
    for mode in ("enforce", "observe"):
        client, key = await fleet.open(mode=mode), new_key()
        order = await fleet.order(client)
        await fleet.attest(client, order, tpm, key)
        with pytest.raises(AcmeError) as refused:
            await client.finalize(await client.order(order.url), certificate_request(new_key()))
        assert (refused.value.status, refused.value.problem.short_type) == (400, "badCSR")
        assert (await client.order(order.url)).status == "ready"
    assert await fleet.door.count("certificate") == 0


async def test_each_order_is_attested_anew(fleet: Fleet) -> None:
    client = await fleet.open()
    await fleet.certified(client)
    second = await fleet.order(client)
    assert second.status == "pending"
    assert (await fleet.challenge(client, second)).status == "pending"


async def test_an_attested_identifier_proves_no_dns_name(fleet: Fleet) -> None:
    await fleet.people.apply(
        await fleet.people.plan(FLEET + "  - {name: odd, managed: true, serial: a.test}\n"), actor="admin:test"
    )
    directory = Directory("devices", ("device-identity", "tls-server"), identifiers=("dns", *IDENTIFIERS),
                          challenges=("http-01", DEVICE_ATTEST_01))  # fmt: skip
    fleet.door.reopen(None, directory)
    client = await fleet.door.client(profile="devices")
    await fleet.certified(client, lambda k, b: tpm(k, b, serial="a.test"), value="a.test")
    order = await client.new_order([("dns", "a.test")], profile="tls-server")
    assert order.status == "pending"
    order = await fleet.door.prove(client, order)  # and the other way round: the proved name proves no device
    assert order.status == "ready"
    assert (await fleet.order(client, "a.test")).status == "pending"


async def test_a_request_may_leave_the_device_out_and_may_ask_for_nothing_else(fleet: Fleet) -> None:
    """Apple's requests carry whatever subject their payload has, and none of the device's names."""
    client, key = await fleet.open(), new_key()
    order = await fleet.order(client)
    await fleet.attest(client, order, tpm, key)
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "alice's phone")])

    def request(*asked: x509.GeneralName) -> bytes:
        builder = x509.CertificateSigningRequestBuilder(subject)
        if asked:
            builder = builder.add_extension(x509.SubjectAlternativeName(asked), critical=False)
        return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)

    for wrong in (
        permanent_identifier("LAB-SERIAL-2"), permanent_identifier(SERIAL, "1.2.3"), x509.DNSName("a.test"),
        x509.RFC822Name("alice@corp.example"), x509.UniformResourceIdentifier("spiffe://a/b"),
    ):  # fmt: skip
        with pytest.raises(AcmeError) as refused:
            await client.finalize(await client.order(order.url), request(permanent_identifier(SERIAL), wrong))
        assert refused.value.problem.short_type == "badCSR"
    done = await client.finalize(await client.order(order.url), request(permanent_identifier(SERIAL)))
    found = x509.load_pem_x509_certificate(await client.certificate(done))
    assert found.subject.rfc4514_string() == "2.5.4.5=LAB-SERIAL-1,CN=laptop-1"
    order = await fleet.order(client)
    await fleet.attest(client, order, tpm, key)
    assert (await client.finalize(await client.order(order.url), request())).status == "valid"


# --- the judge -------------------------------------------------------------------------------------------------------


async def test_a_device_that_is_not_ours_any_more_gets_nothing(fleet: Fleet) -> None:
    client, key = await fleet.open(), new_key()
    order = await fleet.order(client)
    await fleet.attest(client, order, tpm, key)
    without = FLEET.replace("  - {name: laptop-1, owner: alice, managed: true, serial: LAB-SERIAL-1, udid: U-1}\n", "")
    await fleet.people.apply(await fleet.people.plan(without, prune=True), actor="admin:test")
    with pytest.raises(AcmeError) as refused:
        await client.finalize(await client.order(order.url), certificate_request(key))
    assert (refused.value.status, refused.value.problem.short_type) == (403, "unauthorized")


async def test_facts_are_judged_at_the_challenge_and_at_finalize(fleet: Fleet) -> None:
    client, key = await fleet.open(), new_key()
    order, other = await fleet.order(client), await fleet.order(client)
    await fleet.attest(client, order, tpm, key)
    await fleet.report("laptop-1", managed=False)
    with pytest.raises(AcmeError) as refused:
        await client.finalize(await client.order(order.url), certificate_request(key))
    assert (refused.value.status, refused.value.problem.short_type) == (403, "unauthorized")
    assert (await client.order(order.url)).status == "ready"
    challenge = await fleet.attest(client, other, tpm, new_key())
    assert challenge.error is not None
    assert (challenge.status, challenge.error.short_type) == ("invalid", "unauthorized")
    rows = await fleet.rows()
    assert [(row["attested"], row["accepted"]) for row in rows] == [(True, True), (True, False)]
    fleet.door.mint.clock.advance(timedelta(seconds=5))
    await fleet.report("laptop-1", managed=True)
    done = await client.finalize(await client.order(order.url), certificate_request(key))
    assert done.status == "valid"


async def test_what_is_not_known_now_is_neither_a_refusal_nor_a_pass(fleet: Fleet) -> None:
    client, key = await fleet.open(), new_key()
    order = await fleet.order(client, "UNREPORTED-1")

    def make(key: Key, bound: str) -> bytes:
        return tpm(key, bound, serial="UNREPORTED-1")

    with pytest.raises(AcmeError) as later:
        await fleet.attest(client, order, make, key)
    assert (later.value.status, later.value.problem.short_type) == (503, "serverInternal")
    assert later.value.problem.reason == "enroll.undecided"
    assert (await fleet.challenge(client, order)).status == "pending"
    await fleet.report("unreported", managed=True)
    assert (await fleet.attest(client, order, make, key)).status == "valid"
    done = await client.finalize(await client.order(order.url), certificate_request(key))
    assert done.status == "valid"


# --- observing -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["observe", "warn"])
async def test_a_mode_that_looks_lets_pass_and_proves_nothing(fleet: Fleet, mode: str) -> None:
    """What enforcing would have said is recorded; a policy that asks for evidence is not moved."""
    await fleet.profile("wifi-device")
    client, key = await fleet.open(("device-identity", "wifi-device"), mode=mode), new_key()

    def weak(key: Key, bound: str) -> bytes:
        return tpm(key, bound, attributes=0x40070)

    order = await client.new_order([("permanent-identifier", SERIAL)], profile="wifi-device")
    assert (await fleet.attest(client, order, weak, key)).status == "valid"
    done = await client.finalize(await client.order(order.url), certificate_request(key))
    assert done.status == "valid"
    (judged,) = await fleet.rows()
    assert (judged["attested"], judged["accepted"], judged["mode"]) == (False, True, mode)
    assert judged["reason"] == "attest.key"
    row = await fleet.door.mint.database.fetchrow("SELECT key_assurance FROM certificate")
    assert row is not None
    assert row["key_assurance"] == "unproven"
    order = await client.new_order([("permanent-identifier", SERIAL)], profile="device-identity")
    challenge = await fleet.attest(client, order, weak, new_key())
    assert challenge.error is not None
    assert challenge.error.short_type == "unauthorized"


async def test_what_passed_while_the_directory_looked_is_no_good_once_it_enforces(fleet: Fleet) -> None:
    await fleet.profile("wifi-device")
    profiles, key = ("device-identity", "wifi-device"), new_key()
    await fleet.open(profiles, mode="observe")
    transport = LaneTransport(fleet.door.lane)
    url = f"{BASE}/acme/devices/directory"
    client = await AcmeClient.open(url, key=SigningKey.generate(), transport=transport)
    await client.register()
    order = await client.new_order([("permanent-identifier", SERIAL)], profile="wifi-device")
    assert (await fleet.attest(client, order, lambda k, b: tpm(k, b, attributes=0x40070), key)).status == "valid"
    await fleet.open(profiles, mode="enforce")
    transport.lane = fleet.door.lane
    with pytest.raises(AcmeError) as refused:
        await client.finalize(await client.order(order.url), certificate_request(key))
    assert refused.value.problem.short_type == "orderNotReady"
    assert await fleet.door.mint.database.fetchval("SELECT count(*) FROM certificate") == 0


async def test_modes_may_differ_by_profile(fleet: Fleet) -> None:
    await fleet.profile("wifi-device")
    client = await fleet.open(
        ("device-identity", "wifi-device"), mode="observe", modes={"wifi-device": "enforce"}, rules=Rules()
    )
    order = await client.new_order([("permanent-identifier", SERIAL)], profile="wifi-device")
    challenge = await fleet.attest(client, order, lambda k, _: tpm(k, "other.x"), new_key())
    assert challenge.status == "invalid"


# --- whose certificate names nobody, and identifiers that are good once ----------------------------------------------


async def test_a_recorded_attestation_key_names_its_device(fleet: Fleet) -> None:
    ak = new_key()
    known = FLEET.replace("serial: LAB-SERIAL-1", f"attestation_key: {key_sha256(spki(ak))}, serial: LAB-SERIAL-1")
    await fleet.people.apply(await fleet.people.plan(known), actor="admin:test")
    client = await fleet.open()
    await fleet.certified(client, lambda k, b: tpm(k, b, serial=None, ak=ak))
    challenge = await fleet.attest(
        client, await fleet.order(client, "LAB-SERIAL-2"), lambda k, b: tpm(k, b, serial=None, ak=ak), new_key()
    )
    assert challenge.error is not None
    assert challenge.error.reason == "attest.identifier"


async def test_our_own_attestation_ca_vouches_only_by_certificates_that_are_good(fleet: Fleet) -> None:
    """Whoever stole the authority's key attests nothing; nor does the attestation key of a device on hold."""
    mint, ak = fleet.door.mint, new_key()
    await fleet.profile("tpm-attestation-key")

    async def own() -> dict[str, tuple[Root, ...]]:
        return {"tpm": (Root(mint.issuer, "authority issuing"),)}

    fleet.door.attestations._own = own
    directory = "tpmManufacturer=id:54524F54,tpmModel=SIM,tpmVersion=id:00010000"
    issued = await mint.gate.issue(
        mint.request(
            "ak", profile="tpm-attestation-key", spki=spki(ak), key_assurance="attested",
            names=canonical_names(
                [("directory", directory), ("permanent-identifier", SERIAL), ("uri", "urn:ek:sha256:QUJD")]
            ),
        )
    )  # fmt: skip

    def by_ours(key: Key, bound: str) -> bytes:
        return tpm(key, bound, ak=ak, x5c=[issued.der])

    def by_thief(key: Key, bound: str) -> bytes:
        (stolen,) = mint.signer.keys.values()
        name = mint.issuer.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)[0].value
        forged = certificate(
            "", ak, stolen, str(name),
            extensions=[
                (x509.SubjectAlternativeName([device_name(), permanent_identifier(SERIAL)]), True),
                (x509.ExtendedKeyUsage([x509.ObjectIdentifier("2.23.133.8.3")]), False),
            ],
        )  # fmt: skip
        return tpm(key, bound, ak=ak, x5c=[forged.public_bytes(serialization.Encoding.DER)])

    client = await fleet.open()
    await fleet.certified(client, by_ours)
    challenge = await fleet.attest(client, await fleet.order(client), by_thief, new_key())
    assert challenge.error is not None
    assert challenge.error.reason == "attest.revoked"
    assert (await fleet.rows())[-1]["detail"] == "chain.own: expected issued here, and good, got not issued here"
    await mint.database.fetch("UPDATE certificate SET status = 'held', crl_entry = '' WHERE request_id = 'ak'")
    challenge = await fleet.attest(client, await fleet.order(client), by_ours, new_key())
    assert challenge.error is not None
    assert challenge.error.reason == "attest.revoked"


async def test_a_registered_tpm_may_have_an_identifier_of_its_own(fleet: Fleet) -> None:
    laptop = await SubjectStore(fleet.door.mint.database).find(Kind.DEVICE, "laptop-1")
    assert laptop is not None
    unit = Unit().claim(
        ADD_TPM, b"k" * 32, laptop.id, "ASSET-4711", "id:54524F54", "SIM", "id:00010000", fleet.door.mint.clock.now(),
        "admin:test", refuse=AssertionError(),
    )  # fmt: skip
    await fleet.door.mint.database.commit(unit)
    client = await fleet.open()
    found = await fleet.certified(client, lambda k, b: tpm(k, b, serial="ASSET-4711"), value="ASSET-4711")
    assert found.subject.rfc4514_string().endswith("CN=laptop-1")


async def test_an_identifier_that_is_good_once_stands_for_its_device(fleet: Fleet) -> None:
    made = await fleet.door.enrolling.enrolments.create(
        Wanted(kind="client-identifier", name="phone", seconds=3600, rules=NameRules(devices=(SERIAL,)), most_orders=1),
        by="admin:test",
    )
    client = await fleet.open()
    certificate = await fleet.certified(client, phone(fleet.door, serial=SERIAL), value=made.secret)
    assert names(certificate) == [b"\x30\x0e\x0c\x0c" + SERIAL.encode()]
    assert made.secret.encode() not in certificate.public_bytes(serialization.Encoding.DER)
    with pytest.raises(AcmeError) as used:
        await fleet.order(client, made.secret)
    assert used.value.status in (400, 403)


async def test_an_identifier_may_be_made_for_a_device_of_the_directory(fleet: Fleet) -> None:
    laptop = await SubjectStore(fleet.door.mint.database).find(Kind.DEVICE, "laptop-1")
    assert laptop is not None
    enrolments = fleet.door.enrolling.enrolments
    wanted = Wanted(kind="client-identifier", name="phone", seconds=3600, device_id=laptop.id, most_orders=1)
    made = await enrolments.create(wanted, by="admin:test")
    client = await fleet.open()
    found = await fleet.certified(client, phone(fleet.door, serial="", udid="U-1"), value=made.secret)
    assert found.subject.rfc4514_string().endswith("CN=laptop-1")
    second = await enrolments.create(wanted, by="admin:test")
    order = await fleet.order(client, second.secret)
    await enrolments.revoke(second.enrolment.id, by="admin:test", closing=[])
    with pytest.raises(AcmeError) as refused:
        await fleet.attest(client, order, phone(fleet.door, serial="", udid="U-1"), new_key())
    assert refused.value.problem.short_type == "rejectedIdentifier"


async def test_an_account_that_was_opened_for_a_device_enrols_no_other(fleet: Fleet) -> None:
    laptop = await SubjectStore(fleet.door.mint.database).find(Kind.DEVICE, "laptop-2")
    assert laptop is not None
    made = await fleet.door.enrolling.enrolments.create(
        Wanted(kind="directory", name="laptop-2", seconds=3600, device_id=laptop.id), by="admin:test"
    )
    await fleet.open()
    url = f"{BASE}/acme/devices/e/{made.secret}/directory"
    client = await AcmeClient.open(url, key=SigningKey.generate(), transport=LaneTransport(fleet.door.lane))
    await client.register()
    with pytest.raises(AcmeError, match="another device") as refused:
        await fleet.order(client)  # at once, before a device has to attest
    assert refused.value.problem.short_type == "rejectedIdentifier"
    own = await fleet.certified(client, lambda k, b: tpm(k, b, serial="LAB-SERIAL-2"), value="LAB-SERIAL-2")
    assert own.subject.rfc4514_string().endswith("CN=laptop-2")


async def test_an_account_of_a_user_enrols_a_device_only_as_long_as_it_is_his(fleet: Fleet) -> None:
    alice = await SubjectStore(fleet.door.mint.database).find(Kind.USER, "alice")
    assert alice is not None
    made = await fleet.door.enrolling.enrolments.create(
        Wanted(kind="directory", name="alice", seconds=3600, user_id=alice.id), by="admin:test"
    )
    await fleet.open()
    url = f"{BASE}/acme/devices/e/{made.secret}/directory"
    client = await AcmeClient.open(url, key=SigningKey.generate(), transport=LaneTransport(fleet.door.lane))
    await client.register()
    key, order = new_key(), await fleet.order(client)
    await fleet.attest(client, order, tpm, key)
    given_away = FLEET.replace("{name: laptop-1, owner: alice,", "{name: laptop-1, owner: bob,")
    await fleet.people.apply(await fleet.people.plan(given_away), actor="admin:test")
    with pytest.raises(AcmeError, match="another device") as refused:
        await client.finalize(await client.order(order.url), certificate_request(key))
    assert (refused.value.status, refused.value.problem.short_type) == (403, "unauthorized")


async def test_another_device_cannot_use_an_identifier_that_is_good_once(fleet: Fleet) -> None:
    made = await fleet.door.enrolling.enrolments.create(
        Wanted(kind="client-identifier", name="phone", seconds=3600, rules=NameRules(devices=(SERIAL,)), most_orders=1),
        by="admin:test",
    )
    client = await fleet.open()
    order = await fleet.order(client, made.secret)
    challenge = await fleet.attest(client, order, phone(fleet.door, serial="LAB-SERIAL-2"), new_key())
    assert challenge.error is not None
    assert challenge.error.reason == "attest.identifier"
