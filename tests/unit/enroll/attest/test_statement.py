"""Reading ``attObj``."""

from __future__ import annotations

import base64
import json

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.attesting import apple, maker, new_key, statement, step
from troth.enroll.attest.errors import EMPTY, MALFORMED, Unreadable
from troth.enroll.attest.statement import read_any, read_attestation, read_encoded

TOKEN = "token.thumb"


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def test_a_statement_is_read_and_authdata_and_strange_members_are_ignored() -> None:
    made = cbor2.loads(step(new_key(), TOKEN))
    made["authData"] = b"\x00" * 37
    made["attStmt"]["later"] = 1
    found = read_attestation(cbor2.dumps(made))
    assert found.format == "step"
    assert len(found.certificates) == len(found.chain) == 2
    assert len(found.sha256) == 64


@pytest.mark.parametrize(
    "made",
    [
        [],
        {"attStmt": {}},
        {"fmt": 1, "attStmt": {}},
        {"fmt": "", "attStmt": {}},
        {"fmt": "a\nb", "attStmt": {}},
        {"fmt": "x" * 33, "attStmt": {}},
        {"fmt": "tpm"},
        {"fmt": "tpm", "attStmt": []},
        {"fmt": "tpm", "attStmt": {"x5c": b"x"}},
        {"fmt": "tpm", "attStmt": {"x5c": ["x"]}},
        {"fmt": "tpm", "attStmt": {"x5c": [b"no certificate"]}},
        {"fmt": "tpm", "attStmt": {"x5c": [maker("apple").root.der] * 11}},
    ],
)
def test_what_has_not_the_shape_is_refused(made: object) -> None:
    with pytest.raises(Unreadable) as refused:
        read_attestation(cbor2.dumps(made))
    assert refused.value.reason is MALFORMED


@pytest.mark.parametrize("text", ["", "e30", "oA"])
def test_an_empty_attestation_has_a_reason_of_its_own(text: str) -> None:
    with pytest.raises(Unreadable) as refused:
        read_encoded(text)
    assert refused.value.reason is EMPTY


@pytest.mark.parametrize("text", [None, 5, "oA==", "o+/A", "x" * 200_000, "…"])
def test_what_is_not_canonical_base64url_is_refused(text: object) -> None:
    with pytest.raises(Unreadable) as refused:
        read_encoded(text)
    assert refused.value.reason is MALFORMED


def test_a_person_may_give_json_base64url_cbor_or_pem() -> None:
    data = step(new_key(), TOKEN)
    ways = [
        data,
        _text(data).encode(),
        (_text(data) + "==\n").encode(),
        json.dumps({"attObj": _text(data)}).encode(),
        json.dumps({"protected": "e30", "payload": _text(json.dumps({"attObj": _text(data)}).encode())}).encode(),
        json.dumps({"id": "x", "response": {"attestationObject": _text(data), "clientDataJSON": "e30"}}).encode(),
    ]
    assert {read_any(one).sha256 for one in ways} == {read_attestation(data).sha256}
    chain = cbor2.loads(apple(new_key(), TOKEN))["attStmt"]["x5c"]
    pem = "".join(
        f"-----BEGIN CERTIFICATE-----\n{base64.b64encode(one).decode()}\n-----END CERTIFICATE-----\n" for one in chain
    )
    found = read_any(pem.encode())
    assert (found.format, list(found.chain)) == ("apple", chain)


@pytest.mark.parametrize(
    "data",
    [
        b"{",
        b"[1]",
        b'{"x": 1}',
        b"{}",
        b'{"payload": "e30"}',
        b'{"payload": "eyJwYXlsb2FkIjoiZTMwIn0"}',
        b'{"payload": "!"}',
        b'{"payload": "_w"}',
        b'{"response": [], "payload": 5}',
        b"-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----",
        b"-----BEGIN CERTIFICATE-----",
        b"x" * 300_000,
        statement("tpm") + b"\x00",
    ],
)
def test_what_a_person_gives_may_be_unreadable(data: bytes) -> None:
    with pytest.raises(Unreadable):
        read_any(data)


@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    for read in (read_any, read_attestation):
        try:
            read(data)
        except Unreadable:
            continue
