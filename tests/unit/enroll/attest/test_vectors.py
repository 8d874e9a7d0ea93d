"""Statements of real devices, and the published vectors: each judged right, and decoded as its maker decodes it.

WebAuthn's vectors are bound to a browser's ceremony and not to an ACME challenge: of a real Windows TPM everything
holds but that binding (and its SHA-1, where no operator allowed it).
"""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from tests.unit.enroll.attest.conftest import NOW, failing
from troth.enroll.attest.anchors import shipped_roots
from troth.enroll.attest.examine import examine
from troth.enroll.attest.model import Known, Report, Result, Root, Rules, StatusList
from troth.enroll.attest.statement import Statement, read_any, read_attestation, read_encoded

VECTORS = Path(__file__).parents[3] / "vectors" / "attest"
ANDROID = VECTORS / "android-keyattestation" / "testdata"
UNLOCKED = ["android.boot", "android.locked"]


def _received(statement: Statement) -> datetime:
    """The first moment at which all certificates are valid: chains are judged when they come, not later."""
    return max(one.not_valid_before_utc for one in statement.certificates) + timedelta(seconds=1)


def _unasked(report: Report) -> list[str]:
    return [one.name for one in report.checks if one.result is Result.FAILED]


def _android(name: str) -> Report:
    statement = read_any((ANDROID / name).read_bytes())
    at = _received(statement)
    return examine(statement, Known(at=at, statuses=StatusList({}, at)), shipped_roots())


@pytest.mark.parametrize(
    ("name", "failed", "root"),
    [
        ("caiman/sdk36/SB_EC_RKP.pem", [], "2.5.4.5=f92009e853b6b045"),
        ("caiman/sdk36/TEE_EC_RKP.pem", [], "2.5.4.5=f92009e853b6b045"),
        ("tegu/sdk36/SB_EC_2026_ROOT.pem", [], "C=US,O=Google LLC,OU=Android,CN=Key Attestation CA1"),
        ("tegu/sdk36/TEE_EC_2026_ROOT.pem", [], "C=US,O=Google LLC,OU=Android,CN=Key Attestation CA1"),
        ("akita/sdk34/SB_RSA_NONE.pem", UNLOCKED, "2.5.4.5=f92009e853b6b045"),
        ("akita/sdk34/TEE_EC_NONE.pem", UNLOCKED, "2.5.4.5=f92009e853b6b045"),
        ("akita/sdk34/TEE_RSA_BASE+IMEI.pem", UNLOCKED, "2.5.4.5=f92009e853b6b045"),
        ("akita/sdk34/TEE_RSA_NONE.pem", UNLOCKED, "2.5.4.5=f92009e853b6b045"),
        ("akita/sdk34/TEE_RSA_NONE_USERAUTH.pem", UNLOCKED, "2.5.4.5=f92009e853b6b045"),
        ("blueline/sdk28/SB_RSA_NONE.pem", UNLOCKED, "2.5.4.5=f92009e853b6b045"),
        ("blueline/sdk28/SB_RSA_NONE_USERAUTH.pem", UNLOCKED, "2.5.4.5=f92009e853b6b045"),
        ("blueline/sdk28/TEE_EC_NONE.pem", UNLOCKED, "2.5.4.5=f92009e853b6b045"),
        ("blueline/sdk28/TEE_RSA_BASE+IMEI.pem", UNLOCKED, "2.5.4.5=f92009e853b6b045"),
        ("blueline/sdk28/TEE_RSA_NONE.pem", UNLOCKED, "2.5.4.5=f92009e853b6b045"),
        ("tegu/sdk37/TEE_MAX_USAGE_COUNT.pem", UNLOCKED, "C=US,O=Google LLC,OU=Android,CN=Key Attestation CA1"),
        ("tegu/sdk37/TEE_TRUSTED_CONF.pem", UNLOCKED, "C=US,O=Google LLC,OU=Android,CN=Key Attestation CA1"),
        ("tokay/sdk37/TEE_MLDSA_FACTORY.pem", UNLOCKED, "2.5.4.5=f92009e853b6b045"),
        ("tokay/sdk37/TEE_MLDSA_RKP.pem", UNLOCKED, "C=US,O=Google LLC,OU=Android,CN=Key Attestation CA1"),
        # Its batch certificate says in its basic constraints that it is no authority.
        ("sony-xperia10-iii/sdk33/TEE_EC.pem", ["chain.path"], None),
        ("marlin/sdk29/TEE_EC_NONE.pem", ["chain.path", "android.level", "android.boot"], None),
        ("marlin/sdk29/TEE_RSA_NONE.pem", ["chain.path", "android.level", "android.boot"], None),
        ("invalid/malformed_rot_device_locked.pem", ["android.readable"], "2.5.4.5=f92009e853b6b045"),
        ("invalid/tags_not_in_ascending_order.pem", ["chain.path", "android.readable"], None),
        ("allow_while_on_body.pem", ["chain.path"], None),
        ("p256_sha384_intermediate.pem", ["chain.path", "android.readable"], None),
    ],
)
def test_android_chains_of_real_devices(name: str, failed: list[str], root: str | None) -> None:
    report = _android(name)
    assert _unasked(report) == failed
    assert (report.root[0] if report.root else None) == root


def test_every_android_chain_that_is_here_stands_in_the_table_above() -> None:
    assert len(list(ANDROID.rglob("*.pem"))) == 25


@pytest.mark.parametrize("path", sorted(ANDROID.rglob("sdk*/*.json")), ids=lambda one: f"{one.parent.name}-{one.stem}")
def test_android_descriptions_are_decoded_as_androids_own_verifier_decodes_them(path: Path) -> None:
    text = "\n".join(line for line in path.read_text().splitlines() if not line.lstrip().startswith("//"))
    wanted: dict[str, Any] = json.loads(text)
    for side in ("softwareEnforced", "hardwareEnforced"):
        assert wanted[side].pop("areTagsOrdered", True) is True  # others are refused here
    assert _android(str(path.with_suffix(".pem").relative_to(ANDROID))).fields["key_description"] == wanted


def test_expired_android_chains_are_refused_today() -> None:
    statement = read_any((ANDROID / "akita/sdk34/TEE_EC_NONE.pem").read_bytes())
    assert "chain.path" not in _unasked(examine(statement, Known(at=_received(statement)), shipped_roots()))
    later = max(one.not_valid_after_utc for one in statement.certificates[1:2]) + timedelta(days=1)
    assert "chain.path" in _unasked(examine(statement, Known(at=later), shipped_roots()))


@pytest.mark.parametrize("serial", ["25515003", "28751258"])
def test_yubikeys_of_a_public_ceremony(serial: str) -> None:
    place = VECTORS / "yubikey-piv" / serial
    pem = (place / "Slot9CAttestation.pem").read_bytes() + (place / "SlotF9Intermediate.pem").read_bytes()
    report = examine(read_any(pem), Known(at=NOW), shipped_roots())
    assert _unasked(report) == []
    assert report.evidence.identifiers == {("permanent-identifier", serial)}
    assert report.evidence.facts == {
        "firmware_version": "5.4.3", "pin_policy": "always", "touch_policy": "never",
        "form_factor": "usb-c keychain", "fips": True, "hardware_serial": serial,
    }  # fmt: skip
    assert report.root is not None
    assert report.root[0] == "CN=Yubico PIV Root CA Serial 263751"


def test_a_yubikeys_chain_proves_nothing_as_another_format() -> None:
    place = VECTORS / "yubikey-piv" / "25515003"
    pem = (place / "Slot9CAttestation.pem").read_bytes() + (place / "SlotF9Intermediate.pem").read_bytes()
    found = read_any(pem)
    for kind in ("apple", "tpm", "android-key"):
        other = Statement(kind, found.members, found.chain, found.certificates, found.sha256)
        assert "chain.path" in _unasked(examine(other, Known(at=NOW), shipped_roots()))


def test_a_real_apple_leaf_without_its_intermediate() -> None:
    statement = read_any((VECTORS / "nanoca-apple" / "apple_mda_leaf.pem").read_bytes())
    report = examine(statement, Known(at=datetime(2025, 8, 1, tzinfo=UTC)), shipped_roots())
    assert _unasked(report) == ["chain.path"]
    assert report.evidence.facts == {
        "hardware_serial": "TMWFWWWP67", "udid": "00006030-000651690A84001C", "software_update_id": "J514sAP",
        "os_version": "15.5", "sepos_version": "15.5", "boot_loader_version": "15.5", "secure_boot": "Full Security",
        "sip_enabled": True, "kernel_extensions_allowed": False,
    }  # fmt: skip


SWTPM = json.loads((VECTORS / "swtpm" / "cases.json").read_text())


@pytest.mark.parametrize(
    ("name", "failed"),
    [
        ("ok_base", []),
        ("bad_extradata", ["tpm.certify.extra_data"]),
        ("wrong_eku", ["tpm.ak.purpose"]),
        ("foreign_pubarea", ["tpm.certify.name"]),
        ("empty_extradata", ["tpm.certify.extra_data"]),
    ],
)
def test_a_software_tpm(name: str, failed: list[str]) -> None:
    root = x509.load_pem_x509_certificate((VECTORS / "swtpm" / "attestation-ca.pem").read_bytes())
    case = SWTPM["cases"][name]
    known = Known(
        at=NOW,
        key_authorization=SWTPM["keyauth"],
        identifiers=frozenset({("permanent-identifier", SWTPM["identifier"])}),
        spki=base64.b64decode(case["spki"]),
    )
    report = examine(read_encoded(case["attObj"]), known, {"tpm": (Root(root, "test"),)})
    assert failing(report) == failed
    assert (case["expect"] == "valid") is (not failed)


def _webauthn(name: str) -> Statement:
    found = json.loads((VECTORS / "py_webauthn" / f"{name}.json").read_text())
    text = found["credential"]["response"]["attestationObject"].translate({ord("+"): "-", ord("/"): "_"}).rstrip("=")
    return read_encoded(text)


WINDOWS = [
    "tpm__test_verify_attestation_surface_pro_4",
    "tpm__test_verify_attestation_dell_xps_13",
    "tpm__test_verify_attestation_lenovo_carbon_x1",
    "tpm__test_verify_tpm_with_ecc_public_area_type",
]


@pytest.mark.parametrize("name", WINDOWS)
@pytest.mark.parametrize("allowed", [True, False])
def test_real_windows_tpms(name: str, allowed: bool) -> None:
    statement = _webauthn(name)
    known = Known(at=_received(statement), key_authorization="a.b", rules=Rules(rsa_sha1=allowed))
    report = examine(statement, known, shipped_roots())
    assert _unasked(report) == ["tpm.certify.extra_data", *([] if allowed else ["tpm.alg"])]
    assert report.root is not None
    assert report.root[0].startswith("CN=Microsoft TPM Root Certificate Authority 2014")
    assert report.evidence.identifiers == frozenset()
    assert report.evidence.attested_by is not None


@pytest.mark.parametrize(
    ("name", "failed"),
    [
        ("android_key__test_verify_attestation_android_key_hardware_authority", ["android.challenge",
                                                                                 "android.signature"]),
        ("apple__test_verify_attestation_apple_passkey", ["chain.path", "apple.extensions", "apple.freshness"]),
        ("packed__test_verify_attestation_from_yubikey_firefox", ["format"]),
        ("packed__test_verify_attestation_with_okp_public_key", ["format"]),
    ],
)  # fmt: skip
def test_real_statements_of_browsers(name: str, failed: list[str]) -> None:
    statement = _webauthn(name)
    at = _received(statement) if statement.certificates else NOW
    report = examine(statement, Known(at=at, key_authorization="a.b", statuses=StatusList({}, at)), shipped_roots())
    assert _unasked(report) == failed


W3C = json.loads((VECTORS / "w3c-webauthn" / "registration_vectors.json").read_text())


@pytest.mark.parametrize("name", sorted(name for name, one in W3C.items() if "attestationObject" in one))
def test_the_vectors_of_webauthns_specification(name: str) -> None:
    statement = read_attestation(bytes.fromhex(W3C[name]["attestationObject"]))
    known = Known(at=NOW, key_authorization="a.b", statuses=StatusList({}, NOW))
    failed = set(_unasked(examine(statement, known, shipped_roots())))
    if statement.format == "tpm":
        # Sound for WebAuthn, whose keys may leave their TPM; for a device's certificate they may not. Its TPMS_ATTEST
        # holds random octets where a TPM writes yes or no.
        assert failed == {
            "chain.path", "tpm.certify", "tpm.key.fixed_tpm", "tpm.key.fixed_parent", "tpm.key.made_inside",
        }  # fmt: skip
    elif statement.format == "apple":
        assert failed == {"chain.path", "apple.extensions", "apple.freshness"}
    elif statement.format == "android-key":
        assert {"chain.path", "android.level", "android.challenge", "android.signature"} <= failed
    else:
        assert failed == {"format"}
