"""``android-key``: each check passes for a sound statement and fails for one in which one thing is changed."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import cbor2
import pytest
from cryptography.hazmat.primitives import serialization
from hypothesis import given
from hypothesis import strategies as st

from tests.support import attesting
from tests.support.attesting import (
    android,
    certificate,
    hardware_list,
    key_description,
    maker,
    new_key,
    root_of_trust,
    spki,
    tagged,
)
from tests.unit.enroll.attest.conftest import AUTHORIZATION, NONE_REVOKED, NOW, Examine, failing
from troth.enroll.attest.android import DESCRIPTION, PROVISIONING
from troth.enroll.attest.android_description import as_json, read_description
from troth.enroll.attest.errors import REVOCATION_UNKNOWN, AttestationRefused
from troth.enroll.attest.model import Rules, StatusList
from troth.pki import der

SERIAL = "PHONE-1"


def test_a_sound_statement_proves_key_device_and_boot(judged: Examine) -> None:
    key = new_key()
    evidence = judged(android(key, AUTHORIZATION), SERIAL, spki=spki(key)).require()
    assert evidence.facts == {
        "security_level": "trusted_environment", "hardware_serial": SERIAL, "manufacturer": "Troth", "model": "Phone 1",
        "os_patch_level": 202611, "vendor_patch_level": 20261105, "boot_patch_level": 20261105,
        "os_version": "15.0.0", "boot_state": "verified", "boot_locked": True,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "checks"),
    [
        ({"level": 0}, ["android.level"]),
        ({"challenge": b"other"}, ["android.challenge"]),
        ({"changes": {702: der.integer(2)}}, ["android.origin"]),
        ({"changes": {702: None}}, ["android.origin"]),
        ({"changes": {1: None}}, ["android.purposes"]),
        ({"changes": {1: der.tlv(der.SET, der.integer(3))}}, ["android.purposes"]),
        ({"changes": {1: der.tlv(der.SET, der.integer(0) + der.integer(2))}}, ["android.purposes"]),
        ({"changes": {704: None}}, ["android.boot"]),
        ({"changes": {704: root_of_trust(state=1)}}, ["android.boot"]),
        ({"changes": {704: root_of_trust(locked=b"\x00")}}, ["android.locked"]),
        ({"changes": {704: root_of_trust(locked=b"\x01")}}, ["android.readable", "android.challenge", "identifier"]),
        ({"changes": {713: None}}, ["identifier"]),
        ({"serial": "OTHER"}, ["identifier"]),
        ({"description": b"\x30\x00"}, ["android.readable", "android.challenge", "identifier"]),
        ({"alg": -257}, ["android.signature"]),
        ({"alg": None}, ["android.alg", "android.signature"]),
        ({"alg": -65535}, ["android.alg", "android.signature"]),
        ({"sig": b""}, ["android.signature"]),
        ({"sig": None}, ["android.signature"]),
        ({"x5c": []}, ["chain.path", "android.description", "android.challenge", "android.signature", "key.sound",
                       "identifier"]),
    ],
)  # fmt: skip
def test_one_thing_changed_fails_its_check(judged: Examine, changes: dict[str, Any], checks: list[str]) -> None:
    assert failing(judged(android(new_key(), AUTHORIZATION, **changes), SERIAL)) == checks


def test_the_weaker_of_both_levels_counts(judged: Examine) -> None:
    described = key_description(AUTHORIZATION.encode(), hardware_list(SERIAL), level=2, keymint_level=0)
    assert failing(judged(android(new_key(), AUTHORIZATION, description=described), SERIAL)) == ["android.level"]


def test_imeis_are_identifiers_and_what_software_claims_is_none(judged: Examine) -> None:
    changes = {714: der.octets(b"351163520096208"), 723: der.octets(b"351163520096216")}
    for imei in ("351163520096208", "351163520096216"):
        assert failing(judged(android(new_key(), AUTHORIZATION, changes=changes), imei)) == []
    claimed = der.sequence(tagged(713, der.octets(SERIAL.encode())))
    rebuilt = _rebuilt(claimed)
    assert read_description(rebuilt).software == {713: SERIAL.encode()}
    assert failing(judged(android(new_key(), AUTHORIZATION, description=rebuilt), SERIAL)) == ["identifier"]


def _rebuilt(software: bytes) -> bytes:
    return der.sequence(
        der.integer(300), der.enumerated(1), der.integer(300), der.enumerated(1), der.octets(AUTHORIZATION.encode()),
        der.octets(b""), software, hardware_list(None),
    )  # fmt: skip


def test_a_description_below_an_attested_key_counts_for_nothing(judged: Examine) -> None:
    """Whoever holds an attested key may sign certificates with it, and write into them what he likes."""
    attested, own = new_key(), new_key()
    chain = cbor2.loads(android(attested, AUTHORIZATION))["attStmt"]["x5c"]
    forged = certificate(
        "forged", own, attested, "Android Keystore Key",
        extensions=attesting._raw({DESCRIPTION: key_description(AUTHORIZATION.encode(), hardware_list("VICTIM"))}),
    ).public_bytes(serialization.Encoding.DER)  # fmt: skip
    report = judged(android(own, AUTHORIZATION, x5c=[forged, *chain]), "VICTIM")
    assert {"chain.path", "android.description"} <= set(failing(report))


def test_the_laboratorys_rules_are_the_operators(judged: Examine) -> None:
    loose = Rules(android_software=True, android_unlocked=True)
    made = android(new_key(), AUTHORIZATION, level=0, changes={704: root_of_trust(locked=b"\x00", state=2)})
    assert failing(judged(made, SERIAL)) == ["android.level", "android.boot", "android.locked"]
    assert failing(judged(made, SERIAL, rules=loose)) == []


@pytest.mark.parametrize("serial", [f"{0xABC123:x}", str(0xABC123), "rooted"])
def test_every_certificate_is_held_against_the_status_list(judged: Examine, serial: str) -> None:
    issuing = maker("android-key").issuing.certificate.serial_number
    listed = f"{issuing:x}" if serial == "rooted" else serial
    statuses = replace(NONE_REVOKED, entries={listed: ("REVOKED", "KEY_COMPROMISE")})
    report = judged(android(new_key(), AUTHORIZATION, leaf_serial=0xABC123), SERIAL, statuses=statuses)
    assert failing(report) == ["android.revocation"]


@pytest.mark.parametrize("statuses", [None, StatusList({}, NOW - timedelta(hours=25))])
def test_without_a_fresh_status_list_nobody_passes_and_nobody_is_refused(judged: Examine, statuses: Any) -> None:
    with pytest.raises(AttestationRefused) as refused:
        judged(android(new_key(), AUTHORIZATION), SERIAL, statuses=statuses).require()
    assert (refused.value.reason, refused.value.reason.status) == (REVOCATION_UNKNOWN, 503)


def test_a_failure_outweighs_what_is_not_known(judged: Examine) -> None:
    with pytest.raises(AttestationRefused) as refused:
        judged(android(new_key(), AUTHORIZATION, level=0), SERIAL, statuses=None).require()
    assert refused.value.facts["check"] == "android.level"


def test_remote_provisioning_tells_how_much_was_issued(judged: Examine) -> None:
    for value, told in ((cbor2.dumps({1: 8}), 8), (b"\xff", None), (cbor2.dumps({1: -1}), None)):
        key, middle = new_key(), new_key()
        issuing = maker("android-key").issuing
        between = certificate(
            "batch", middle, issuing.key, "android-key Sub CA 1",
            extensions=attesting._raw({PROVISIONING: value}),
        ).public_bytes(serialization.Encoding.DER)  # fmt: skip
        made = cbor2.loads(android(key, AUTHORIZATION))["attStmt"]["x5c"]
        report = judged(android(key, AUTHORIZATION, x5c=[made[0], between]), SERIAL)
        assert report.evidence.facts.get("certificates_issued") == told


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (tagged(702, der.integer(0)) + tagged(3, der.integer(256)), "ascending"),
        (tagged(3, der.integer(1)) * 2, "ascending"),
        (b"\xbf\x1e\x03" + der.integer(1), "shortest"),
        (b"\xbf\x80\x03" + der.integer(1), "shortest"),
        (b"\xbf\xff\xff\xff\x03" + der.integer(1), "two octets"),
        (b"\xbf", "cut short"),
        (der.integer(1), "explicitly"),
        (tagged(503, der.integer(1)), "tag 0x05"),
        (tagged(503, b"\x05\x01\x00"), "NULL"),
        (tagged(3, der.tlv(der.INTEGER, b"\x01" * 10)), "64 bits"),
        (tagged(1, der.tlv(der.SET, der.integer(1) * 33)), "32 numbers"),
        (tagged(3, der.integer(1) + der.integer(1)), "trailing"),
    ],
)
def test_lists_that_are_not_der_are_refused(content: bytes, why: str) -> None:
    with pytest.raises(der.DerError, match=why):
        read_description(_rebuilt(der.sequence(content)))


def test_unknown_tags_are_kept_by_their_number() -> None:
    found = read_description(_rebuilt(der.sequence(tagged(801, der.integer(5)))))
    assert as_json(found)["softwareEnforced"] == {"tag801": "AgEF"}


@given(st.binary(max_size=200))
def test_any_octets_are_read_or_refused(data: bytes) -> None:
    for one in (data, _rebuilt(der.sequence(data))):
        try:
            as_json(read_description(one))
        except der.DerError:
            continue
