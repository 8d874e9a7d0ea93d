"""Forging, by chance: no octet of a sound statement can be changed so that it proves something else."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from functools import lru_cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.attesting import (
    FIXED_PARENT,
    FIXED_TPM,
    ORIGIN,
    RESTRICTED,
    SIGNS,
    USUAL,
    android,
    apple,
    new_key,
    roots,
    step,
    tpm,
)
from tests.unit.enroll.attest.conftest import AUTHORIZATION, NONE_REVOKED, NOW
from troth.enroll.attest.errors import AttestationRefused
from troth.enroll.attest.examine import examine
from troth.enroll.attest.model import DeviceId, Evidence, Known
from troth.enroll.attest.statement import read_attestation

SERIALS = {"apple": "C02TROTH01", "tpm": "LAB-SERIAL-1", "android-key": "PHONE-1", "step": "25515003"}


@lru_cache(maxsize=4)
def sound(kind: str) -> bytes:
    """A statement that passes."""
    key = new_key()
    if kind == "apple":
        return apple(key, AUTHORIZATION, begin=NOW - timedelta(minutes=1))
    if kind == "tpm":
        return tpm(key, AUTHORIZATION)
    return android(key, AUTHORIZATION) if kind == "android-key" else step(key, AUTHORIZATION)


def proved(data: bytes, device: DeviceId) -> Evidence | None:
    """What a statement proves; None if it is not believed."""
    known = Known(NOW, AUTHORIZATION, NOW, frozenset({device}), statuses=NONE_REVOKED)
    try:
        return examine(read_attestation(data), known, roots()).require()
    except AttestationRefused:
        return None


@pytest.mark.parametrize("kind", sorted(SERIALS))
@given(st.data())
def test_a_changed_bit_proves_nothing_new(kind: str, data: st.DataObject) -> None:
    statement, device = sound(kind), ("permanent-identifier", SERIALS[kind])
    before = proved(statement, device)
    assert before is not None
    forged = bytearray(statement)
    forged[data.draw(st.integers(0, len(forged) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    after = proved(bytes(forged), device)
    assert after is None or replace(after, facts={}) == replace(before, facts={})


FLAWS = (
    {"extra_data": b""},
    {"certify": {"name": b"\x00\x0b" + bytes(32)}},
    {"serial": "OTHER"},
    {"ver": "1.2"},
    {"alg": -257},
    {"ak_options": {"purpose": "1.3.6.1.5.5.7.3.2"}},
    {"ak_options": {"critical": False}},
    *({"attributes": USUAL & ~bit} for bit in (FIXED_TPM, FIXED_PARENT, ORIGIN, SIGNS)),
    {"attributes": USUAL | RESTRICTED},
)


@given(st.lists(st.sampled_from(FLAWS), min_size=1, max_size=4))
def test_no_flaw_is_made_good_by_another(flaws: list[dict[str, object]]) -> None:
    together: dict[str, object] = {}
    for flaw in flaws:
        together |= flaw
    assert proved(tpm(new_key(), AUTHORIZATION, **together), ("permanent-identifier", "LAB-SERIAL-1")) is None  # type: ignore[arg-type]
