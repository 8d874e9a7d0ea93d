"""``apple``: each check passes for a sound statement and fails for one in which one thing is changed."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import cbor2
import pytest

from tests.support.attesting import apple, maker, new_key, spki
from tests.unit.enroll.attest.conftest import AUTHORIZATION, NOW, Examine, failing
from troth.enroll.attest.errors import BINDING, AttestationRefused

SERIAL, UDID = "C02TROTH01", "00008103-0000000000000001"


def _made(**changes: Any) -> bytes:
    return apple(new_key(), AUTHORIZATION, **{"begin": NOW - timedelta(minutes=5), **changes})


def test_a_sound_statement_proves_key_device_and_state(judged: Examine) -> None:
    key = new_key()
    report = judged(apple(key, AUTHORIZATION, begin=NOW), SERIAL, spki=spki(key), challenged_at=NOW)
    evidence = report.require()
    assert evidence.spki == spki(key)
    assert evidence.facts == {
        "hardware_serial": SERIAL, "udid": UDID, "software_update_id": "J514sAP", "os_version": "15.5",
        "sepos_version": "15.5", "sip_enabled": True, "secure_boot": "Full Security",
        "kernel_extensions_allowed": False,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("permanent-identifier", UDID),
        ("hardware-module", f"{SERIAL}/1.2.840.113635.100.8.9.1"),
        ("hardware-module", f"{UDID}/1.2.840.113635.100.8.9.2"),
    ],
)
def test_the_udid_and_both_hardware_modules_are_attested_too(judged: Examine, kind: str, value: str) -> None:
    assert failing(judged(_made(), value, kind=kind)) == []


@pytest.mark.parametrize("value", ["c02troth01", "C02TROTH01 ", "C02TROTH0", f"{SERIAL}/1.2.3"])
def test_identifiers_are_held_octet_for_octet(judged: Examine, value: str) -> None:
    assert failing(judged(_made(), value)) == ["identifier"]


@pytest.mark.parametrize(
    ("changes", "check"),
    [
        ({"_11_1": None}, "apple.freshness"),
        ({"_11_1": bytes(32)}, "apple.freshness"),
        ({"_9_1": b"\xff\xfe"}, "apple.extensions"),
        ({"_9_1": b"x\n"}, "apple.extensions"),
        ({"_9_1": b"x" * 129}, "apple.extensions"),
        ({"_13_1": b"\x02\x01"}, "apple.extensions"),
        ({"_13_3": b"\x02\x01\x00\x00"}, "apple.extensions"),
        ({"begin": NOW + timedelta(seconds=1)}, "chain.path"),
        ({"begin": NOW - timedelta(days=4)}, "apple.not_before"),
    ],
)
def test_one_thing_changed_fails_one_check(judged: Examine, changes: dict[str, Any], check: str) -> None:
    report = judged(_made(**changes), UDID, challenged_at=NOW)
    assert failing(report) == [check]
    with pytest.raises(AttestationRefused) as refused:
        report.require()
    assert refused.value.facts["check"] == check


def test_user_enrolment_without_serial_names_no_device(judged: Examine) -> None:
    report = judged(_made(_9_1=None, _9_2=None), SERIAL)
    assert failing(report) == ["identifier"]
    assert report.evidence.identifiers == frozenset()


def test_a_flag_that_was_left_out_is_not_false(judged: Examine) -> None:
    facts = judged(_made(_13_1=None, _13_3=b""), SERIAL).require().facts
    assert "sip_enabled" not in facts
    assert "kernel_extensions_allowed" not in facts


def test_flags_say_what_they_are_called(judged: Examine) -> None:
    facts = judged(_made(_13_1=b"\x02\x01\x01", _13_3=b"\x02\x01\x01"), SERIAL).require().facts
    assert (facts["sip_enabled"], facts["kernel_extensions_allowed"]) == (False, True)


def test_the_token_alone_is_bound_and_not_the_account(judged: Examine) -> None:
    assert failing(judged(_made(), SERIAL, key_authorization=AUTHORIZATION.partition(".")[0] + ".other")) == []
    assert failing(judged(_made(), SERIAL, key_authorization="other.thumb")) == ["apple.freshness"]


def test_without_a_key_authorization_nothing_is_proved(judged: Examine) -> None:
    report = judged(_made(), SERIAL, key_authorization=None)
    with pytest.raises(AttestationRefused) as refused:
        report.require()
    assert (refused.value.reason, refused.value.facts["result"]) == (BINDING, "not asked")


def test_the_attested_key_is_the_requests_key(judged: Examine) -> None:
    assert failing(judged(_made(), SERIAL, spki=spki(new_key()))) == ["key.same"]


def test_the_authority_of_the_maker_is_no_device(judged: Examine) -> None:
    made = cbor2.dumps({"fmt": "apple", "attStmt": {"x5c": [maker("apple").issuing.der]}})
    assert set(failing(judged(made, SERIAL))) == {"apple.extensions", "apple.freshness", "identifier"}
