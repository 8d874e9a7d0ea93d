"""``step``: each check passes for a sound statement and fails for one in which one thing is changed."""

from __future__ import annotations

from typing import Any

import cbor2
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.support.attesting import new_key, spki, step
from tests.unit.enroll.attest.conftest import AUTHORIZATION, Examine, failing
from troth.enroll.attest.step import MANAGED_DEVICE
from troth.pki import der

_YUBICO = "1.3.6.1.4.1.41482.3."


def test_a_sound_statement_proves_key_and_card(judged: Examine) -> None:
    key = new_key()
    evidence = judged(step(key, AUTHORIZATION), "25515003", spki=spki(key)).require()
    assert evidence.facts == {
        "firmware_version": "5.7.4", "pin_policy": "once", "touch_policy": "never", "form_factor": "usb-c keychain",
        "fips": True, "hardware_serial": "25515003",
    }  # fmt: skip


def test_rsa_keys_sign_with_pkcs1(judged: Examine) -> None:
    assert failing(judged(step(rsa.generate_private_key(65537, 2048), AUTHORIZATION), "25515003")) == []


def test_without_alg_the_usual_one_of_the_key_is_meant(judged: Examine) -> None:
    made = cbor2.loads(step(new_key(), AUTHORIZATION))
    del made["attStmt"]["alg"]
    assert failing(judged(cbor2.dumps(made), "25515003")) == []


@pytest.mark.parametrize(
    ("changes", "checks"),
    [
        ({"serial": None}, ["step.serial", "identifier"]),
        ({"serial": -5}, ["step.extensions", "step.serial", "identifier"]),
        ({"serial": 1 << 70}, ["step.extensions", "step.serial", "identifier"]),
        ({"extensions": {f"{_YUBICO}7": b"\x02\x01"}}, ["step.extensions", "step.serial", "identifier"]),
        ({"extensions": {f"{_YUBICO}3": b"\x05"}}, ["step.extensions"]),
        ({"extensions": {f"{_YUBICO}8": b"\x05"}}, ["step.extensions"]),
        ({"extensions": {f"{_YUBICO}9": b""}}, ["step.extensions"]),
        ({"sig": b"\x40"}, ["step.signature"]),
        ({"sig": b"\x01"}, ["step.signature"]),
        ({"sig": b"\xff"}, ["step.signature"]),
        ({"alg": -257}, ["step.signature"]),
        ({"alg": -65535}, ["step.alg", "step.signature"]),
        ({"alg": 5}, ["step.alg", "step.signature"]),
    ],
)
def test_one_thing_changed_fails_its_check(judged: Examine, changes: dict[str, Any], checks: list[str]) -> None:
    assert failing(judged(step(new_key(), AUTHORIZATION, **changes), "25515003")) == checks


def test_a_signature_over_another_challenge_is_refused(judged: Examine) -> None:
    assert failing(judged(step(new_key(), "other.thumb"), "25515003")) == ["step.signature"]


def test_without_sig_nothing_is_bound(judged: Examine) -> None:
    made = cbor2.loads(step(new_key(), AUTHORIZATION))
    del made["attStmt"]["sig"]
    assert failing(judged(cbor2.dumps(made), "25515003")) == ["step.signature"]


def test_smallsteps_managed_device_is_an_identifier(judged: Examine) -> None:
    named = der.sequence(der.tlv(der.UTF8_STRING, b"device-7"))
    made = step(new_key(), AUTHORIZATION, serial=None, extensions={MANAGED_DEVICE: named})
    assert failing(judged(made, "device-7")) == []
    for broken in (
        b"\x30\x00",
        der.sequence(der.tlv(der.UTF8_STRING, b"")),
        der.sequence(der.tlv(der.UTF8_STRING, b"\x80")),
    ):
        made = step(new_key(), AUTHORIZATION, extensions={MANAGED_DEVICE: broken})
        assert "step.extensions" in failing(judged(made, "25515003"))
