"""``tpm``: each check passes for a sound statement and fails for one in which one thing is changed."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.support import attesting
from tests.support.attesting import (
    USUAL,
    certify_info,
    device_name,
    hardware_module,
    new_key,
    permanent_identifier,
    public_area,
    spki,
    tpm,
)
from tests.unit.enroll.attest.conftest import AUTHORIZATION, Examine, failing
from troth.enroll.attest.model import Rules, key_sha256

SERIAL = "LAB-SERIAL-1"


def _sha1(data: bytes) -> bytes:
    return hashlib.new("sha1", data).digest()  # noqa: S324  # the point of the tests


RSA = rsa.generate_private_key(65537, 2048)


def test_a_sound_statement_proves_key_and_device(judged: Examine) -> None:
    key, ak = new_key(), new_key()
    evidence = judged(tpm(key, AUTHORIZATION, ak=ak), SERIAL, spki=spki(key)).require()
    assert evidence.attested_by == key_sha256(spki(ak)) == evidence.facts["attestation_key"]
    assert evidence.facts["tpm_manufacturer"] == "id:54524F54"
    assert (evidence.facts["tpm_reset_count"], evidence.facts["tpm_restart_count"]) == (3, 1)


@pytest.mark.parametrize("raw", [True, False])
@pytest.mark.parametrize("ak", [None, RSA])
@pytest.mark.parametrize("key", [None, RSA])
def test_both_encodings_of_the_signature_and_both_kinds_of_keys_are_taken(
    judged: Examine, key: Any, ak: Any, raw: bool
) -> None:
    assert failing(judged(tpm(key or new_key(), AUTHORIZATION, ak=ak or new_key(), raw=raw), SERIAL)) == []


@pytest.mark.parametrize(
    ("changes", "checks"),
    [
        ({"ver": "1.2"}, ["tpm.ver"]),
        ({"ver": None}, ["tpm.ver"]),
        ({"extra_data": b""}, ["tpm.certify.extra_data"]),
        ({"extra_data": hashlib.sha256(b"other").digest()}, ["tpm.certify.extra_data"]),
        ({"extra_data": _sha1(AUTHORIZATION.encode())}, ["tpm.certify.extra_data"]),
        ({"certify": {"magic": 0xFF544348}}, ["tpm.certify"]),
        ({"certify": {"name": b"\x00\x0b" + bytes(32)}}, ["tpm.certify.name"]),
        ({"attributes": USUAL & ~attesting.FIXED_TPM}, ["tpm.key.fixed_tpm"]),
        ({"attributes": USUAL & ~attesting.FIXED_PARENT}, ["tpm.key.fixed_parent"]),
        ({"attributes": USUAL & ~attesting.ORIGIN}, ["tpm.key.made_inside"]),
        ({"attributes": USUAL & ~attesting.SIGNS}, ["tpm.key.signs"]),
        ({"attributes": USUAL | attesting.RESTRICTED}, ["tpm.key.unrestricted"]),
        ({"ak_options": {"subject": "AK"}}, ["tpm.ak.subject"]),
        ({"ak_options": {"purpose": "1.3.6.1.5.5.7.3.2"}}, ["tpm.ak.purpose"]),
        ({"ak_options": {"critical": False}}, ["tpm.ak.names_critical"]),
        ({"ak_options": {"ca": True}}, ["tpm.ak.not_ca"]),
        ({"names": []}, ["tpm.ak.names_critical", "tpm.ak.device", "identifier"]),
        ({"names": [permanent_identifier(SERIAL)]}, ["tpm.ak.device"]),
        ({"names": [device_name("id:xyz"), permanent_identifier(SERIAL)]}, ["tpm.ak.device"]),
        ({"serial": None}, ["identifier"]),
        ({"serial": "OTHER"}, ["identifier"]),
        ({"alg": -35}, ["tpm.signature"]),
        ({"alg": -37}, ["tpm.signature"]),
        ({"alg": 99}, ["tpm.alg", "tpm.signature"]),
        ({"alg": -65535}, ["tpm.alg", "tpm.signature"]),
        ({"sig": b"\x00"}, ["tpm.signature"]),
        ({"sig": None}, ["tpm.signature"]),
        ({"sig": "text"}, ["tpm.signature"]),
        ({"certInfo": b"\xff"}, ["tpm.certify", "tpm.signature"]),
        ({"certInfo": None}, ["tpm.certify", "tpm.signature"]),
        ({"certInfo": bytes(5000)}, ["tpm.certify", "tpm.signature"]),
        ({"pubArea": None}, ["tpm.public", "tpm.certify.name"]),
        ({"pubArea": bytes(5000)}, ["tpm.public", "tpm.certify.name"]),
        ({"pubArea": b"\x00\x25\x00\x0b" + bytes(10)}, ["tpm.public", "tpm.certify.name"]),
    ],
)
def test_one_thing_changed_fails_its_check(judged: Examine, changes: dict[str, Any], checks: list[str]) -> None:
    report = judged(tpm(new_key(), AUTHORIZATION, **changes), SERIAL)
    assert failing(report) == checks


def test_a_quote_or_a_creation_is_no_certification(judged: Examine) -> None:
    area = public_area(new_key())
    bound = hashlib.sha256(AUTHORIZATION.encode()).digest()
    quote = certify_info(area, bound, kind=0x8018)
    ak = new_key()
    made = tpm(new_key(), AUTHORIZATION, area=area, ak=ak, certInfo=quote, sig=attesting.wrapped_signature(ak, quote))
    report = judged(made, SERIAL)
    assert failing(report) == ["tpm.certify"]
    creation = certify_info(area, bound, kind=0x801A)
    made = tpm(
        new_key(), AUTHORIZATION, area=area, ak=ak, certInfo=creation, sig=attesting.wrapped_signature(ak, creation)
    )
    assert failing(judged(made, SERIAL)) == ["tpm.certify.type", "tpm.certify.name"]


def test_another_keys_public_area_is_refused(judged: Examine) -> None:
    assert failing(judged(tpm(new_key(), AUTHORIZATION, pubArea=public_area(new_key())), SERIAL)) == [
        "tpm.certify.name"
    ]


def test_a_name_over_sha1_says_nothing(judged: Examine) -> None:
    area = public_area(new_key())
    weak = area[:2] + b"\x00\x04" + area[4:]
    name = b"\x00\x04" + _sha1(weak)
    report = judged(tpm(new_key(), AUTHORIZATION, area=weak, certify={"name": name}), SERIAL)
    assert failing(report) == ["tpm.certify.name"]


def test_a_small_rsa_key_is_refused(judged: Examine) -> None:
    small = rsa.generate_private_key(65537, 1024)  # noqa: S505  # the point of the test
    assert {"tpm.key.size", "key.sound"} == set(failing(judged(tpm(small, AUTHORIZATION), SERIAL)))


def test_extra_data_may_be_over_the_algorithms_own_stronger_digest(judged: Examine) -> None:
    bound = hashlib.sha384(AUTHORIZATION.encode()).digest()
    # ES384 by a P-256 key is odd but sound; here only that the digest of the algorithm counts, and only a stronger one.
    report = judged(tpm(new_key(), AUTHORIZATION, extra_data=bound, alg=-35), SERIAL)
    assert failing(report) == ["tpm.signature"]
    assert failing(judged(tpm(new_key(), AUTHORIZATION, extra_data=bound), SERIAL)) == ["tpm.certify.extra_data"]


def test_hardware_modules_and_assigners_are_read_as_acme_writes_them(judged: Examine) -> None:
    names = [device_name(), hardware_module("1.3.6.1.4.1.99999.1", b"HW-7"), permanent_identifier("P", "1.2.3.4")]
    made = tpm(new_key(), AUTHORIZATION, names=names)
    assert failing(judged(made, "HW-7/1.3.6.1.4.1.99999.1", kind="hardware-module")) == []
    assert failing(judged(made, "P/1.2.3.4")) == []
    assert failing(judged(made, "P")) == ["identifier"]


@pytest.mark.parametrize("name", [hardware_module("1.2.3", b"\xff")])
def test_other_names_that_cannot_be_read_are_refused(judged: Examine, name: Any) -> None:
    assert failing(judged(tpm(new_key(), AUTHORIZATION, names=[device_name(), name]), SERIAL)) == [
        "tpm.ak.names", "identifier",
    ]  # fmt: skip


def test_sha1_is_taken_only_where_an_operator_says_so(judged: Examine) -> None:
    made = tpm(new_key(), AUTHORIZATION, ak=RSA, alg=-65535)
    assert "tpm.alg" in failing(judged(made, SERIAL))
    assert "tpm.alg" not in failing(judged(made, SERIAL, rules=Rules(rsa_sha1=True)))
