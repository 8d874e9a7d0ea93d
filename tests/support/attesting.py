"""Devices of our own making: valid attestation statements of each format, under authorities of this process alone.

``roots()`` pins those authorities; a test hands it where the makers' roots would stand. Every builder takes the key
that is attested and what it is bound to, and lets a test change one thing, so that one check fails:

    key = new_key()
    att_obj = tpm(key, key_authorization, serial="LAB-1")
    att_obj = tpm(key, key_authorization, serial="LAB-1", extra_data=b"")     # made for no challenge
    payload = {"attObj": b64url_encode(att_obj)}
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, TypeAlias

import cbor2
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.x509.oid import NameOID, ObjectIdentifier

from troth.enroll.attest.model import ANDROID_KEY, APPLE, STEP, TPM, Root
from troth.pki import der

Key: TypeAlias = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey

BEGIN, END = datetime(2020, 1, 1, tzinfo=UTC), datetime(2060, 1, 1, tzinfo=UTC)
MANUFACTURER = "id:54524F54"


@dataclass(frozen=True)
class Authority:
    """A key that signs certificates, and its own certificate."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.DER)


@dataclass(frozen=True)
class Maker:
    """A maker of hardware: a root that is pinned, and the authority below it that signs for devices."""

    root: Authority
    issuing: Authority


def new_key() -> ec.EllipticCurvePrivateKey:
    """A key such as a device's hardware would hold."""
    return ec.generate_private_key(ec.SECP256R1())


def spki(key: Key) -> bytes:
    """DER SubjectPublicKeyInfo."""
    return key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


@lru_cache(maxsize=16)
def maker(kind: str) -> Maker:
    """The maker for a format; the same one throughout the process."""
    root_key, key = new_key(), new_key()
    root = certificate(f"{kind} Root", root_key, root_key, f"{kind} Root", ca=1)
    issuing = certificate(f"{kind} Sub CA 1", key, root_key, f"{kind} Root", ca=0)
    return Maker(Authority(root, root_key), Authority(issuing, key))


def roots(*kinds: str) -> dict[str, tuple[Root, ...]]:
    """The makers' roots, pinned for their formats (all four without arguments)."""
    return {kind: (Root(maker(kind).root.certificate, "test"),) for kind in kinds or (APPLE, TPM, ANDROID_KEY, STEP)}


def certificate(
    name: str,
    key: Key,
    signed_by: ec.EllipticCurvePrivateKey,
    issuer: str,
    *,
    ca: int | None = None,
    extensions: Sequence[tuple[x509.ExtensionType, bool]] = (),
    begin: datetime = BEGIN,
    end: datetime = END,
    serial: int | None = None,
) -> x509.Certificate:
    """A certificate; ``ca`` is the path length of an authority. An empty ``name`` gives an empty subject."""
    builder = (
        x509.CertificateBuilder()
        .subject_name(_name(name))
        .issuer_name(_name(issuer))
        .public_key(key.public_key())
        .serial_number(serial or x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(end)
    )
    if ca is not None:
        builder = builder.add_extension(x509.BasicConstraints(True, ca), critical=True)
    for value, critical in extensions:
        builder = builder.add_extension(value, critical=critical)
    return builder.sign(signed_by, hashes.SHA256())


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)] if common else [])


def _issued(kind: str, name: str, key: Key, **options: Any) -> bytes:
    issuing = maker(kind).issuing
    made = certificate(name, key, issuing.key, f"{kind} Sub CA 1", **options)
    return made.public_bytes(serialization.Encoding.DER)


def _raw(values: Mapping[str, bytes | None]) -> list[tuple[x509.ExtensionType, bool]]:
    return [
        (x509.UnrecognizedExtension(ObjectIdentifier(oid), value), False)
        for oid, value in values.items()
        if value is not None
    ]


def statement(kind: str, **members: object) -> bytes:
    """CBOR of an attestation object; members that are None are left out."""
    return cbor2.dumps({"fmt": kind, "attStmt": {name: one for name, one in members.items() if one is not None}})


def _sign(key: Key, data: bytes) -> bytes:
    if isinstance(key, rsa.RSAPrivateKey):
        return key.sign(data, padding.PKCS1v15(), hashes.SHA256())
    return key.sign(data, ec.ECDSA(hashes.SHA256()))


def _alg(key: Key) -> int:
    return -257 if isinstance(key, rsa.RSAPrivateKey) else -7


# --- apple -----------------------------------------------------------------------------------------------------------


def apple(
    key: Key,
    key_authorization: str,
    *,
    serial: str = "C02TROTH01",
    udid: str = "00008103-0000000000000001",
    begin: datetime | None = None,
    **changes: bytes | None,
) -> bytes:
    """Apple's Managed Device Attestation. ``changes`` by the last arcs of the extension, ``_9_1=None`` drops it."""
    token = key_authorization.partition(".")[0].encode()
    values: dict[str, bytes | None] = {
        "9_1": serial.encode(), "9_2": udid.encode(), "9_4": b"J514sAP", "10_1": b"15.5", "10_2": b"15.5",
        "11_1": hashlib.sha256(token).digest(), "13_1": b"\x02\x01\x00", "13_2": b"Full Security",
        "13_3": b"\x02\x01\x00",
    }  # fmt: skip
    values |= {name.removeprefix("_"): value for name, value in changes.items()}
    extensions = _raw({f"1.2.840.113635.100.8.{name.replace('_', '.')}": value for name, value in values.items()})
    leaf = _issued(
        APPLE, "device", key, extensions=[(x509.BasicConstraints(False, None), True), *extensions],
        begin=begin or datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=5),
    )  # fmt: skip
    return statement(APPLE, x5c=[leaf, maker(APPLE).issuing.der])


# --- step ------------------------------------------------------------------------------------------------------------


def step(
    key: Key,
    key_authorization: str,
    *,
    serial: int | None = 25515003,
    sig: bytes | None = None,
    alg: int | None = None,
    extensions: Mapping[str, bytes] | None = None,
) -> bytes:
    """A YubiKey's PIV attestation. ``sig`` replaces the whole member, its inner CBOR included."""
    values: dict[str, bytes | None] = {
        "1.3.6.1.4.1.41482.3.3": bytes((5, 7, 4)),
        "1.3.6.1.4.1.41482.3.7": None if serial is None else der.integer(serial),
        "1.3.6.1.4.1.41482.3.8": bytes((2, 1)),
        "1.3.6.1.4.1.41482.3.9": bytes((0x83,)),
        **(extensions or {}),
    }
    leaf = _issued(STEP, "YubiKey PIV Attestation 9a", key, extensions=_raw(values))
    signed = cbor2.dumps(_sign(key, key_authorization.encode()))
    return statement(
        STEP, alg=alg if alg is not None else _alg(key), x5c=[leaf, maker(STEP).issuing.der],
        sig=sig if sig is not None else signed,
    )  # fmt: skip


# --- tpm -------------------------------------------------------------------------------------------------------------

FIXED_TPM, FIXED_PARENT, ORIGIN, WITH_AUTH, RESTRICTED, DECRYPT, SIGNS = (1 << bit for bit in (1, 4, 5, 6, 16, 17, 18))
USUAL = FIXED_TPM | FIXED_PARENT | ORIGIN | WITH_AUTH | SIGNS


def _two(data: bytes) -> bytes:
    return len(data).to_bytes(2, "big") + data


def public_area(key: Key, attributes: int = USUAL) -> bytes:
    """TPMT_PUBLIC with SHA-256 as its name algorithm."""
    head = attributes.to_bytes(4, "big") + _two(b"")
    if isinstance(key, rsa.RSAPrivateKey):
        numbers = key.public_key().public_numbers()
        size = key.key_size
        return (
            b"\x00\x01\x00\x0b" + head + b"\x00\x10\x00\x10" + size.to_bytes(2, "big") + bytes(4)
            + _two(numbers.n.to_bytes(size // 8, "big"))
        )  # fmt: skip
    point = key.public_key().public_numbers()
    return (
        b"\x00\x23\x00\x0b" + head + b"\x00\x10\x00\x10" + b"\x00\x03" + b"\x00\x10"
        + _two(point.x.to_bytes(32, "big")) + _two(point.y.to_bytes(32, "big"))
    )  # fmt: skip


def certify_info(
    area: bytes, extra_data: bytes, *, magic: int = 0xFF544347, kind: int = 0x8017, name: bytes | None = None
) -> bytes:
    """TPMS_ATTEST of TPM2_Certify over the object with this public area."""
    certified = name if name is not None else b"\x00\x0b" + hashlib.sha256(area).digest()
    return (
        magic.to_bytes(4, "big") + kind.to_bytes(2, "big") + _two(b"\x00\x0b" + bytes(32)) + _two(extra_data)
        + (1234567).to_bytes(8, "big") + (3).to_bytes(4, "big") + (1).to_bytes(4, "big") + b"\x01"
        + (0x2023051100162800).to_bytes(8, "big") + _two(certified) + _two(certified)
    )  # fmt: skip


def wrapped_signature(key: Key, data: bytes) -> bytes:
    """TPMT_SIGNATURE over SHA-256."""
    signed = _sign(key, data)
    if isinstance(key, rsa.RSAPrivateKey):
        return b"\x00\x14\x00\x0b" + _two(signed)
    r, s = decode_dss_signature(signed)
    return b"\x00\x18\x00\x0b" + _two(r.to_bytes(32, "big")) + _two(s.to_bytes(32, "big"))


def permanent_identifier(value: str, assigner: str | None = None) -> x509.OtherName:
    """RFC 4043."""
    inner = der.tlv(der.UTF8_STRING, value.encode()) + (b"" if assigner is None else der.oid(assigner))
    return x509.OtherName(ObjectIdentifier("1.3.6.1.5.5.7.8.3"), der.sequence(inner))


def hardware_module(kind: str, serial: bytes) -> x509.OtherName:
    """RFC 4108."""
    return x509.OtherName(ObjectIdentifier("1.3.6.1.5.5.7.8.4"), der.sequence(der.oid(kind), der.octets(serial)))


def device_name(manufacturer: str = MANUFACTURER) -> x509.DirectoryName:
    """The three attributes that name a TPM."""
    arcs = (("1", manufacturer), ("2", "TROTH-SIM"), ("3", "id:00010000"))
    return x509.DirectoryName(
        x509.Name([x509.NameAttribute(ObjectIdentifier(f"2.23.133.2.{arc}"), text) for arc, text in arcs])
    )


def ak_certificate(
    ak: Key,
    names: Sequence[x509.GeneralName],
    *,
    critical: bool = True,
    subject: str = "",
    purpose: str = "2.23.133.8.3",
    ca: bool = False,
    by: str = TPM,
) -> bytes:
    """The certificate of an attestation key, as an attestation CA makes it."""
    extensions: list[tuple[x509.ExtensionType, bool]] = [
        (x509.BasicConstraints(ca, None), True),
        (x509.ExtendedKeyUsage([ObjectIdentifier(purpose)]), False),
    ]
    if names:
        extensions.append((x509.SubjectAlternativeName(names), critical))
    return _issued(by, subject, ak, extensions=extensions)


def tpm(
    key: Key,
    key_authorization: str,
    *,
    serial: str | None = "LAB-SERIAL-1",
    ak: Key | None = None,
    names: Sequence[x509.GeneralName] | None = None,
    attributes: int = USUAL,
    area: bytes | None = None,
    extra_data: bytes | None = None,
    raw: bool = False,
    certify: Mapping[str, Any] | None = None,
    ak_options: Mapping[str, Any] | None = None,
    **members: object,
) -> bytes:
    """A certification by an attestation key. ``raw``: the signature without its TPMT_SIGNATURE, as Windows sends it."""
    ak = ak if ak is not None else new_key()
    if names is None:
        names = [device_name(), *([permanent_identifier(serial)] if serial is not None else [])]
    public = area if area is not None else public_area(key, attributes)
    bound = extra_data if extra_data is not None else hashlib.sha256(key_authorization.encode()).digest()
    info = certify_info(public, bound, **(certify or {}))
    found: dict[str, object] = {
        "ver": "2.0", "alg": _alg(ak), "x5c": [ak_certificate(ak, names, **(ak_options or {})), maker(TPM).issuing.der],
        "sig": _sign(ak, info) if raw else wrapped_signature(ak, info), "certInfo": info, "pubArea": public,
    }  # fmt: skip
    return statement(TPM, **{**found, **members})


# --- android-key -----------------------------------------------------------------------------------------------------


def tagged(number: int, content: bytes) -> bytes:
    """``[number] EXPLICIT``, with tags above 30."""
    if number < 31:
        return der.explicit(number, content)
    high = bytes((0xBF, 0x80 | number >> 7, number & 0x7F)) if number > 127 else bytes((0xBF, number))
    return high + der.octets(content)[1:]


def root_of_trust(*, locked: bytes = b"\xff", state: int = 0) -> bytes:
    """What the boot loader said."""
    return der.sequence(
        der.octets(bytes(32)), der.tlv(der.BOOLEAN, locked), der.enumerated(state), der.octets(bytes(32))
    )


def hardware_list(serial: str | None, changes: Mapping[int, bytes | None] | None = None) -> bytes:
    """The authorizations that the hardware enforces; ``changes`` by tag, None drops one."""
    found: dict[int, bytes | None] = {
        1: der.tlv(der.SET, der.integer(2)), 2: der.integer(3), 3: der.integer(256), 10: der.integer(1),
        503: der.NULL_VALUE, 702: der.integer(0), 704: root_of_trust(), 705: der.integer(150000),
        706: der.integer(202611), 713: None if serial is None else der.octets(serial.encode()),
        716: der.octets(b"Troth"), 717: der.octets(b"Phone 1"), 718: der.integer(20261105),
        719: der.integer(20261105), **(changes or {}),
    }  # fmt: skip
    return der.sequence(*(tagged(tag, one) for tag, one in sorted(found.items()) if one is not None))


def key_description(challenge: bytes, hardware: bytes, *, level: int = 1, keymint_level: int | None = None) -> bytes:
    """KeyDescription, version 300."""
    second = level if keymint_level is None else keymint_level
    return der.sequence(
        der.integer(300), der.enumerated(level), der.integer(300), der.enumerated(second), der.octets(challenge),
        der.octets(b""), der.sequence(tagged(701, der.integer(1700000000000))), hardware,
    )  # fmt: skip


def android(
    key: Key,
    key_authorization: str,
    *,
    serial: str | None = "PHONE-1",
    challenge: bytes | None = None,
    changes: Mapping[int, bytes | None] | None = None,
    level: int = 1,
    description: bytes | None = None,
    leaf_serial: int | None = None,
    **members: object,
) -> bytes:
    """A key of Android's keystore. ``changes`` to what the hardware enforces."""
    bound = challenge if challenge is not None else key_authorization.encode()
    value = description or key_description(bound, hardware_list(serial, changes), level=level)
    extensions = _raw({"1.3.6.1.4.1.11129.2.1.17": value})
    leaf = _issued(ANDROID_KEY, "Android Keystore Key", key, extensions=extensions, serial=leaf_serial)
    found: dict[str, object] = {
        "alg": _alg(key), "sig": _sign(key, key_authorization.encode()),
        "x5c": [leaf, maker(ANDROID_KEY).issuing.der, maker(ANDROID_KEY).root.der],
    }  # fmt: skip
    return statement(ANDROID_KEY, **{**found, **members})
