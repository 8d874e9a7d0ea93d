"""Android's KeyDescription (1.3.6.1.4.1.11129.2.1.17): DER with tags above 30, which the house's reader refuses.

Schema: https://source.android.com/docs/security/features/keystore/attestation. Tags stand in strictly ascending order,
none twice; what is not known is kept by its number, since new versions add some.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from troth.kit.canonical import Json
from troth.pki import der

MAX_BYTES = 16_384
LEVELS = {0: "SOFTWARE", 1: "TRUSTED_ENVIRONMENT", 2: "STRONG_BOX"}
ORIGINS = {0: "GENERATED", 1: "DERIVED", 2: "IMPORTED", 3: "RESERVED", 4: "SECURELY_IMPORTED"}
BOOT_STATES = {0: "VERIFIED", 1: "SELF_SIGNED", 2: "UNVERIFIED", 3: "FAILED"}
SIGN, VERIFY = 2, 3


@dataclass(frozen=True, slots=True)
class RootOfTrust:
    """What the boot loader said. ``state``: of :data:`BOOT_STATES`; 0 is what the maker's system boots with."""

    key: bytes
    locked: bool
    state: int
    hash: bytes | None


Value: TypeAlias = "int | bytes | bool | list[int] | RootOfTrust"


@dataclass(frozen=True, slots=True)
class Description:
    """KeyDescription. The lists are by tag: what the system claims, and what the hardware enforces."""

    version: int
    level: int
    keymint_version: int
    keymint_level: int
    challenge: bytes
    unique_id: bytes
    software: Mapping[int, Value]
    hardware: Mapping[int, Value]


def read_description(data: bytes) -> Description:
    """Raises DerError."""
    if len(data) > MAX_BYTES:
        raise der.DerError(f"longer than {MAX_BYTES:,} octets")
    outer = der.Reader(data)
    reader = outer.enter(der.SEQUENCE)
    outer.close()
    version, level = _integer(reader, der.INTEGER), _integer(reader, der.ENUMERATED)
    keymint, keymint_level = _integer(reader, der.INTEGER), _integer(reader, der.ENUMERATED)
    challenge, unique = reader.read(der.OCTET_STRING), reader.read(der.OCTET_STRING)
    software, hardware = reader.read(der.SEQUENCE), reader.read(der.SEQUENCE)
    reader.close()
    return Description(
        version, level, keymint, keymint_level, challenge, unique,
        _authorizations(software), _authorizations(hardware),
    )  # fmt: skip


def _integer(reader: der.Reader, tag: int) -> int:
    content = reader.read(tag)
    if len(content) > 9:
        raise der.DerError("a number above 64 bits")
    return der.read_integer(content)


def _authorizations(content: bytes) -> dict[int, Value]:
    found: dict[int, Value] = {}
    last = -1
    for tag, inner in _tagged(content):
        if tag <= last:
            raise der.DerError("tags not in strictly ascending order")
        last = tag
        reader = der.Reader(inner)
        kind = _TAGS.get(tag)
        found[tag] = _KINDS[kind[1]](reader) if kind is not None else reader.whole()
        reader.close()
    return found


def _tagged(content: bytes) -> Iterator[tuple[int, bytes]]:
    """The ``[number] EXPLICIT`` elements of a SEQUENCE's content, with numbers of up to two octets."""
    at = 0
    while at < len(content):
        first = content[at]
        at += 1
        if first & 0xE0 != 0xA0:
            raise der.DerError("an element that is not explicitly tagged")
        number = first & 0x1F
        if number == 0x1F:
            number = 0
            for count in range(3):
                if at >= len(content):
                    raise der.DerError("element cut short")
                octet = content[at]
                at += 1
                if count == 0 and octet == 0x80:
                    raise der.DerError("tag not in its shortest form")
                number = number << 7 | octet & 0x7F
                if not octet & 0x80:
                    break
            else:
                raise der.DerError("tag number above two octets")
            if number < 31:
                raise der.DerError("tag not in its shortest form")
        # The rest is an element whose tag takes one octet: read with one that stands for it.
        reader = der.Reader(b"\x30" + content[at:])
        inner = reader.read(der.SEQUENCE)
        at = len(content) - len(reader.rest())
        yield number, inner


def _number(reader: der.Reader) -> int:
    return _integer(reader, der.INTEGER)


def _numbers(reader: der.Reader) -> list[int]:
    inner = reader.enter(der.SET)
    found = []
    while not inner.empty:
        found.append(_number(inner))
        if len(found) > 32:
            raise der.DerError("a set of more than 32 numbers")
    return found


def _null(reader: der.Reader) -> bool:
    if reader.read(der.NULL):
        raise der.DerError("a NULL with content")
    return True


def _octets(reader: der.Reader) -> bytes:
    return reader.read(der.OCTET_STRING)


def _boolean(reader: der.Reader) -> bool:
    content = reader.read(der.BOOLEAN)
    # X.690, 11.1: TRUE is FF in DER. A vector with 01 here must fail: other parsers read it as false, or as true.
    if content not in (b"\x00", b"\xff"):
        raise der.DerError("a BOOLEAN that is neither 00 nor FF")
    return content == b"\xff"


def _root_of_trust(reader: der.Reader) -> RootOfTrust:
    inner = reader.enter(der.SEQUENCE)
    key, locked, state = _octets(inner), _boolean(inner), _integer(inner, der.ENUMERATED)
    digest = inner.take(der.OCTET_STRING)
    inner.close()
    return RootOfTrust(key, locked, state, digest)


_KINDS: Mapping[str, Callable[[der.Reader], Value]] = {
    "number": _number, "numbers": _numbers, "null": _null, "octets": _octets, "root": _root_of_trust,
}  # fmt: skip

#: Tag → (name as Android's own tools write it, kind).
_TAGS: Mapping[int, tuple[str, str]] = {
    1: ("purposes", "numbers"), 2: ("algorithms", "number"), 3: ("keySize", "number"), 4: ("blockModes", "numbers"),
    5: ("digests", "numbers"), 6: ("paddings", "numbers"), 10: ("ecCurve", "number"), 11: ("mlDsaVariant", "number"),
    200: ("rsaPublicExponent", "number"), 203: ("rsaOaepMgfDigests", "numbers"), 303: ("rollbackResistance", "null"),
    305: ("earlyBootOnly", "null"), 400: ("activeDateTime", "number"), 401: ("originationExpireDateTime", "number"),
    402: ("usageExpireDateTime", "number"), 405: ("usageCountLimit", "number"), 503: ("noAuthRequired", "null"),
    504: ("userAuthType", "number"), 505: ("authTimeout", "number"), 506: ("allowWhileOnBody", "null"),
    507: ("trustedUserPresenceRequired", "null"), 508: ("trustedConfirmationRequired", "null"),
    509: ("unlockedDeviceRequired", "null"), 600: ("allApplications", "null"), 701: ("creationDateTime", "number"),
    702: ("origin", "number"), 703: ("rollbackResistant", "null"), 704: ("rootOfTrust", "root"),
    705: ("osVersion", "number"), 706: ("osPatchLevel", "number"), 709: ("attestationApplicationId", "octets"),
    710: ("attestationIdBrand", "octets"), 711: ("attestationIdDevice", "octets"),
    712: ("attestationIdProduct", "octets"), 713: ("attestationIdSerial", "octets"),
    714: ("attestationIdImei", "octets"), 715: ("attestationIdMeid", "octets"),
    716: ("attestationIdManufacturer", "octets"), 717: ("attestationIdModel", "octets"),
    718: ("vendorPatchLevel", "number"), 719: ("bootPatchLevel", "number"),
    720: ("deviceUniqueAttestation", "null"), 721: ("identityCredentialKey", "null"),
    723: ("attestationIdSecondImei", "octets"), 724: ("moduleHash", "octets"),
}  # fmt: skip


def as_json(found: Description) -> dict[str, Json]:
    """Every field, named and written as Android's own verifier does: numbers as text, octets in base64."""
    return {
        "attestationVersion": str(found.version),
        "attestationSecurityLevel": LEVELS.get(found.level, str(found.level)),
        "keyMintVersion": str(found.keymint_version),
        "keyMintSecurityLevel": LEVELS.get(found.keymint_level, str(found.keymint_level)),
        "attestationChallenge": base64.b64encode(found.challenge).decode(),
        "uniqueId": base64.b64encode(found.unique_id).decode(),
        "softwareEnforced": _list_json(found.software),
        "hardwareEnforced": _list_json(found.hardware),
    }


def _list_json(found: Mapping[int, Value]) -> dict[str, Json]:
    return {_TAGS[tag][0] if tag in _TAGS else f"tag{tag}": _value_json(tag, value) for tag, value in found.items()}


def _value_json(tag: int, value: Value) -> Json:
    if isinstance(value, RootOfTrust):
        written: dict[str, Json] = {
            "verifiedBootKey": base64.b64encode(value.key).decode(),
            "deviceLocked": value.locked,
            "verifiedBootState": BOOT_STATES.get(value.state, str(value.state)),
        }
        if value.hash is not None:
            written["verifiedBootHash"] = base64.b64encode(value.hash).decode()
        return written
    if isinstance(value, bool):
        return value
    if isinstance(value, int):
        return ORIGINS.get(value, str(value)) if tag == 702 else str(value)
    if isinstance(value, list):
        return [str(one) for one in value]
    if tag == 709:
        return _application(value)
    if 710 <= tag <= 723:
        return text_of(value)
    return base64.b64encode(value).decode()


def text_of(value: bytes) -> str:
    """An identifier's octets as text, with what is no UTF-8 or not printable made visible."""
    return "".join(one if one.isprintable() else "�" for one in value.decode("utf-8", "replace"))[:128]


def _application(value: bytes) -> Json:
    """The packages that share the asking application's user id, with the digests of their signers."""
    try:
        outer = der.Reader(value)
        reader = outer.enter(der.SEQUENCE)
        outer.close()
        packages, signers = reader.enter(der.SET), reader.enter(der.SET)
        reader.close()
        named: list[Json] = []
        while not packages.empty:
            one = packages.enter(der.SEQUENCE)
            named.append({"name": text_of(one.read(der.OCTET_STRING)), "version": str(_number(one))})
            one.close()
        digests: list[Json] = []
        while not signers.empty:
            digests.append(base64.b64encode(signers.read(der.OCTET_STRING)).decode())
    except der.DerError:
        return base64.b64encode(value).decode()
    return {"packages": named, "signatures": digests}
