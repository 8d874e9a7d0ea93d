"""Enrolments as Apple's devices take them."""

from __future__ import annotations

import hashlib
import json
import plistlib

import pytest

from troth.enroll.credentials.apple import ApplePayload, AppleWanted, apple_payload
from troth.enroll.credentials.errors import EnrolmentRefused

URL = "https://ca.example/acme/devices/e/secret/directory"


def payload(url: str = URL, client: str = "C02X", **more: object) -> ApplePayload:
    wanted = AppleWanted(directory="devices", **more)  # type: ignore[arg-type]
    return apple_payload(wanted, name="Laptop", directory_url=url, client_identifier=client)


def test_a_profile_holds_what_apples_schema_requires() -> None:
    profile = plistlib.loads(payload(subject=(("CN", "laptop-1"), ("2.5.4.5", "C02X"))).mobileconfig())
    assert profile["PayloadType"] == "Configuration"
    [inner] = profile["PayloadContent"]
    assert inner["PayloadType"] == "com.apple.security.acme"
    assert inner["PayloadUUID"] != profile["PayloadUUID"]
    assert {key: inner[key] for key in ("DirectoryURL", "ClientIdentifier", "KeyType", "KeySize")} == {
        "DirectoryURL": URL,
        "ClientIdentifier": "C02X",
        "KeyType": "ECSECPrimeRandom",
        "KeySize": 256,
    }
    assert inner["HardwareBound"] is True
    assert inner["Attest"] is True
    assert inner["Subject"] == [[["CN", "laptop-1"]], [["2.5.4.5", "C02X"]]]
    assert inner["ExtendedKeyUsage"] == ["1.3.6.1.5.5.7.3.2"]


def test_a_key_in_software_is_neither_bound_nor_attested() -> None:
    content = payload(key="rsa2048").content
    assert (content["KeyType"], content["KeySize"]) == ("RSA", 2048)
    assert content["HardwareBound"] is False
    assert content["Attest"] is False
    assert payload(key="p384").content["KeySize"] == 384


def test_a_declaration_refers_to_the_document_by_its_hash() -> None:
    made = payload()
    document = made.credential()
    assert json.loads(document)["ClientIdentifier"] == "C02X"
    said = json.loads(made.declaration("https://mdm.example/asset"))
    assert said["Type"] == "com.apple.asset.credential.acme"
    assert said["Payload"]["Reference"] == {
        "DataURL": "https://mdm.example/asset",
        "ContentType": "application/json",
        "Size": len(document),
        "Hash-SHA-256": hashlib.sha256(document).hexdigest(),
    }


def test_the_same_device_gets_the_same_identifiers_and_another_others() -> None:
    assert payload().uuid == payload(subject=(("CN", "other"),)).uuid
    assert payload().uuid != payload(client="C02Y").uuid


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"key": "p521"}, "key is one of"),
        ({"client": ""}, "serial number"),
        ({"url": "http://ca.example/acme"}, "https"),
        ({"subject": (("GN", "x"),)}, "GN"),
        ({"subject": (("CN", ""),)}, "CN"),
    ],
)
def test_what_a_device_would_not_take_is_refused(changes: dict[str, object], told: str) -> None:
    with pytest.raises(EnrolmentRefused, match=told):
        payload(**changes)  # type: ignore[arg-type]
