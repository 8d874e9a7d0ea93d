"""The webhook's body: strict, bounded, and refused with the name of the field."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.clocks import START
from troth.connect.webhook.body import read
from troth.connect.webhook.errors import BodyInvalid
from troth.trust.signals.errors import SignalError
from troth.trust.signals.model import Effect, Signal, Whom
from troth.trust.standing import Standing

GOOD: dict[str, Any] = {
    "kind": "edr.intrusion",
    "subject": {"kind": "device", "name": "laptop-1"},
    "observed_at": "2026-03-02T09:00:00Z",
}


def parse(document: Any) -> Signal:
    data = document if isinstance(document, bytes) else json.dumps(document).encode()
    return read(data, feed="edr", message_id="m1", now=START)


def test_a_minimal_signal_takes_its_kinds_defaults() -> None:
    made = parse(GOOD)
    assert (made.kind.name, made.effect, made.level, made.cause) == (
        "edr.intrusion", Effect.RAISE, Standing.QUARANTINED, "edr",
    )  # fmt: skip
    assert made.whom == Whom(kind="device", name="laptop-1")


def test_everything_can_be_said() -> None:
    made = parse(
        GOOD
        | {"effect": "clear", "cause": "alert/17", "evidence": "mimikatz\x1b[31m", "subject": {"device_serial": "C0"}}
    )
    assert (made.effect, made.level, made.cause) == (Effect.CLEAR, Standing.TRUSTED, "alert/17")
    assert made.evidence == "mimikatz\N{REPLACEMENT CHARACTER}[31m"
    assert parse(GOOD | {"level": "distrusted"}).level is Standing.DISTRUSTED


@pytest.mark.parametrize(
    ("document", "names"),
    [
        (b"", "truncated"),
        (b"[]", "object"),
        (b"{", "truncated"),
        (b"[" * 60_000, ""),
        (GOOD | {"colour": 9}, "colour"),
        # Times that have no place in UTC's calendar, nor in a database.
        (GOOD | {"observed_at": "0001-01-01T00:00:00+23:59"}, "years 1 to 9999"),
        (GOOD | {"expires_at": "9999-12-31T23:59:59-23:59"}, "years 1 to 9999"),
        (GOOD | {"severity": 900}, "$.severity"),
        (GOOD | {"fields": {"a": [1]}}, "$.fields"),
        (GOOD | {"fields": {str(n): n for n in range(33)}}, "fields"),
        (GOOD | {"subject": {"alias": {"system": "Entra", "value": "x"}}}, "system"),
        (GOOD | {"subject": {"certificate": {"serial": "4018"}}}, "a certificate is named by"),
        (GOOD | {"subject": {"certificate": {"issuer": "CN=a", "serial": "zz"}}}, "hexadecimal"),
        (GOOD | {"kind": 5}, "$.kind"),
        (GOOD | {"subject": {}}, "a subject is named by"),
        (GOOD | {"subject": {"kind": "device"}}, "a subject is named by"),
        (GOOD | {"subject": {"kind": "toaster", "name": "x"}}, "$.subject.kind"),
        (GOOD | {"subject": {"id": "1"}}, "$.subject.id"),
        (GOOD | {"subject": {"kind": "device", "name": "a\0b"}}, "$.subject.name"),
        (GOOD | {"subject": {"kind": "device", "name": "x" * 254}}, "$.subject.name"),
        (GOOD | {"observed_at": "2026-03-02T09:00:00"}, "$.observed_at"),
        (GOOD | {"observed_at": "yesterday"}, "$.observed_at"),
        (GOOD | {"effect": "explode"}, "$.effect"),
        (GOOD | {"level": "trusted"}, "$.level"),
        (GOOD | {"cause": "a b"}, "$.cause"),
        (GOOD | {"evidence": "x" * 1001}, "$.evidence"),
        ({"kind": "edr.intrusion"}, "subject"),
        (b'{"kind": "edr.intrusion", "subject": {"kind": "device", "name": "\\ud800"}, "observed_at": 1}', ""),
    ],
)
def test_what_is_no_signal_is_refused_with_the_field(document: Any, names: str) -> None:
    with pytest.raises(BodyInvalid) as caught:
        parse(document)
    assert names in caught.value.detail


@pytest.mark.parametrize("change", [{"kind": "edr.explodes"}, {"observed_at": "2026-03-02T10:00:00Z"}])
def test_what_makes_no_sense_has_its_own_reason(change: dict[str, str]) -> None:
    with pytest.raises(SignalError):
        parse(GOOD | change)


@given(st.binary(max_size=300))
def test_no_bytes_make_the_reader_fail_otherwise(data: bytes) -> None:
    with pytest.raises(BodyInvalid):
        parse(data)
