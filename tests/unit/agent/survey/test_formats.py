"""Certificates in files of every format, and no octet of a key beside them."""

from __future__ import annotations

import base64
import contextlib
import struct

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    pkcs12,
)
from hypothesis import given
from hypothesis import strategies as st

from scripts import golden_lint
from tests.unit.fuzz.test_parsers import mutated
from troth.agent.survey import keystores
from troth.agent.survey.formats import Held, Unreadable, read

DER = golden_lint.certificate()
OTHER = golden_lint.certificate(base=golden_lint.CA, subject=golden_lint.name(cn="Golden CA"))
KEY = ec.derive_private_key(golden_lint._SECRET, ec.SECP256R1())
KEY_PEM = KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def pem(der: bytes, label: str = "CERTIFICATE") -> bytes:
    return f"-----BEGIN {label}-----\n{base64.encodebytes(der).decode()}-----END {label}-----\n".encode()


def text(value: str) -> bytes:
    return len(value).to_bytes(2, "big") + value.encode()


def keystore(*entries: bytes, version: int = 2, magic: bytes = keystores.MAGIC[0], count: int | None = None) -> bytes:
    return magic + struct.pack(">II", version, len(entries) if count is None else count) + b"".join(entries) + b"d" * 20


def one_certificate(der: bytes, version: int = 2) -> bytes:
    return (text("X.509") if version == 2 else b"") + struct.pack(">I", len(der)) + der


def trusted(alias: str, der: bytes, version: int = 2) -> bytes:
    return struct.pack(">I", 2) + text(alias) + b"\0" * 8 + one_certificate(der, version)


def private(alias: str, *chain: bytes) -> bytes:
    key = b"encrypted key of some length"
    head = struct.pack(">I", 1) + text(alias) + b"\0" * 8 + struct.pack(">I", len(key)) + key
    return head + struct.pack(">I", len(chain)) + b"".join(one_certificate(one) for one in chain)


def test_a_certificate_of_another_version_hides_no_other() -> None:
    """The library refuses it by an exception of its own kind."""
    odd = DER.replace(bytes.fromhex("a003020102"), bytes.fromhex("a003020101"), 1)
    assert read(odd) == ()
    assert read(pem(odd) + pem(DER)) == [Held(DER)]
    assert read(keystore(trusted("odd", odd), trusted("good", DER))) == [Held(DER, "good", False, True)]


def test_pem_and_der_are_read_with_all_that_they_hold() -> None:
    assert read(DER) == (Held(DER),)
    assert read(b"junk before\n" + pem(DER) + pem(OTHER, "TRUSTED CERTIFICATE")) == [Held(DER), Held(OTHER)]
    assert read(pem(DER, "X509 CERTIFICATE")) == [Held(DER)]
    assert read(pem(b"broken") + pem(DER)) == [Held(DER)]
    assert read(pem(DER).replace(b"\n", b"\r\n")) == [Held(DER)]
    for nothing in (b"", b"text", pem(DER)[:-40], b"-----BEGIN CERTIFICATE-----", b"\x30\x03\x02\x01\x00"):
        assert list(read(nothing)) == []


@pytest.mark.parametrize("label", ["PRIVATE KEY", "EC PRIVATE KEY", "ENCRYPTED PRIVATE KEY"])
def test_a_key_beside_a_certificate_is_noticed_and_not_read(label: str) -> None:
    found = read(pem(b"not even a key", label) + pem(DER) + pem(OTHER))
    assert [(one.der, one.key) for one in found] == [(DER, True), (OTHER, False)]
    assert KEY_PEM not in b"".join(one.der for one in read(KEY_PEM + pem(DER)))


def test_pkcs12_is_read_without_a_password_and_told_of_with_one() -> None:
    leaf, ca = x509.load_der_x509_certificate(DER), x509.load_der_x509_certificate(OTHER)
    plain = pkcs12.serialize_key_and_certificates(b"alias", None, leaf, [ca], NoEncryption())
    assert {(one.der, one.name, one.keystore) for one in read(plain)} == {(DER, "alias", True), (OTHER, "", True)}
    locked = pkcs12.serialize_key_and_certificates(b"a", None, leaf, None, BestAvailableEncryption(b"secret"))
    with pytest.raises(Unreadable, match="with a password"):
        read(locked)
    roots = pkcs12.serialize_java_truststore(
        [pkcs12.PKCS12Certificate(ca, b"root")], BestAvailableEncryption(b"changeit")
    )
    assert [one.der for one in read(roots)] == [OTHER]


@pytest.mark.parametrize("magic", keystores.MAGIC)
def test_a_java_keystore_is_read_with_its_aliases(magic: bytes) -> None:
    assert read(keystore(private("web", DER, OTHER), trusted("root", OTHER), magic=magic)) == [
        Held(DER, "web", True, True), Held(OTHER, "web", False, True), Held(OTHER, "root", False, True),
    ]  # fmt: skip
    assert read(keystore(trusted("root", OTHER, 1), version=1)) == [Held(OTHER, "root", False, True)]
    assert read(keystore(trusted("junk", b"no certificate"), trusted("root", OTHER))) == [
        Held(OTHER, "root", False, True)
    ]


@pytest.mark.parametrize(
    "broken",
    [
        keystore(version=3),
        keystore(count=1_000_000),
        keystore(trusted("a", DER), count=2)[:-20],
        keystore(struct.pack(">I", 3) + text("secret") + b"\0" * 8),
        keystore(private("a", *[DER] * 21)),
        keystore(trusted("a", DER).replace(b"X.509", b"X.500")),
        keystores.MAGIC[0],
    ],
)
def test_a_broken_keystore_is_told_of(broken: bytes) -> None:
    with pytest.raises(Unreadable, match="cannot be read"):
        read(broken)


_SEEDS = [
    DER, pem(DER) + pem(OTHER) + KEY_PEM, keystore(private("web", DER, OTHER), trusted("root", OTHER)),
    pkcs12.serialize_key_and_certificates(b"a", None, x509.load_der_x509_certificate(DER), None, NoEncryption()),
]  # fmt: skip


@given(st.sampled_from(_SEEDS), st.integers(0, 6), st.integers(0, 2**32))
def test_any_file_is_read_or_told_of(seed: bytes, changes: int, number: int) -> None:
    with contextlib.suppress(Unreadable):
        for one in read(mutated(seed, changes, number)):
            x509.load_der_x509_certificate(one.der)
