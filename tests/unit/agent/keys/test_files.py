"""Keys in files."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa, x25519
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from troth.agent.errors import KEY_MISSING, KEY_STORE, KeyTrouble
from troth.agent.keys.files import FileKeys
from troth.agent.keys.model import AttestingKey, HeldKey, KeyPlace
from troth.client.csr import certificate_request


def spki(key: HeldKey) -> bytes:
    return key.public_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def test_a_key_is_made_found_again_signs_and_is_gone(tmp_path: Path) -> None:
    place: KeyPlace = FileKeys(tmp_path / "keys")
    made = place.create("web-1", "p256")
    found = place.load("web-1")

    assert spki(found) == spki(made)
    assert (tmp_path / "keys").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "keys" / "web-1.pem").stat().st_mode & 0o777 == 0o600
    assert certificate_request(found.private_key(), dns=["www.example.org"])
    assert not isinstance(found, AttestingKey)
    place.remove("web-1")
    with pytest.raises(KeyTrouble) as refused:
        place.load("web-1")
    assert refused.value.reason is KEY_MISSING


def test_what_the_consumer_gets_is_the_key_itself(tmp_path: Path) -> None:
    made = FileKeys(tmp_path).create("web", "p384")
    access = made.access()
    installed = load_pem_private_key(access.pem, None)

    assert isinstance(installed, ec.EllipticCurvePrivateKey)
    assert isinstance(installed.curve, ec.SECP384R1)
    assert access.exportable
    assert installed.public_key() == made.public_key


def test_a_second_key_of_a_label_replaces_the_first(tmp_path: Path) -> None:
    place = FileKeys(tmp_path)
    first, second = place.create("web", "p256"), place.create("web", "rsa2048")

    assert spki(first) != spki(second) == spki(place.load("web"))
    assert isinstance(second.public_key, rsa.RSAPublicKey)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
        x25519.X25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
    ],
    ids=["empty", "broken", "no signing key"],
)
def test_a_file_that_holds_no_signing_key_is_told_without_its_content(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "web.pem").write_bytes(content)
    with pytest.raises(KeyTrouble) as refused:
        FileKeys(tmp_path).load("web")
    assert refused.value.reason is KEY_STORE
    assert "AAAA" not in str(refused.value)
