"""``android-key``: a key of Android's keystore, in a trusted environment or a StrongBox.

The description of the key must stand in the first certificate and in no other: whoever holds an attested key may sign
certificates below it, with descriptions of his own making. Serial numbers and IMEIs count only where the hardware
vouches for them, which it does for applications that own the device or a work profile.
"""

from __future__ import annotations

from troth.enroll.attest import cbor, leaf, signatures
from troth.enroll.attest.android_description import (
    BOOT_STATES,
    LEVELS,
    ORIGINS,
    SIGN,
    VERIFY,
    Description,
    RootOfTrust,
    read_description,
    text_of,
)
from troth.enroll.attest.errors import BINDING, CERTIFICATE, DEVICE, KEY, REVOCATION_UNKNOWN, REVOKED, SIGNATURE
from troth.enroll.attest.model import (
    ANDROID_KEY,
    PERMANENT_IDENTIFIER,
    Checks,
    DeviceId,
    Evidence,
    Known,
)
from troth.enroll.attest.statement import Statement
from troth.kit.canonical import Json
from troth.pki import der

DESCRIPTION = "1.3.6.1.4.1.11129.2.1.17"
PROVISIONING = "1.3.6.1.4.1.11129.2.1.30"
_PURPOSES, _ORIGIN, _ROOT_OF_TRUST, _OS_VERSION, _OS_PATCH = 1, 702, 704, 705, 706
_SERIAL, _IMEI, _SECOND_IMEI = 713, 714, 723
_TEXTS = {
    _SERIAL: "hardware_serial", _IMEI: "imei", _SECOND_IMEI: "second_imei", 710: "brand", 716: "manufacturer",
    717: "model",
}  # fmt: skip
_NUMBERS = {_OS_PATCH: "os_patch_level", 718: "vendor_patch_level", 719: "boot_patch_level"}


def verify(statement: Statement, known: Known, checks: Checks) -> Evidence:
    """Note the checks of this format; what the hardware enforces."""
    extensions = [leaf.extensions(one) for one in statement.certificates]
    where = [depth for depth, found in enumerate(extensions) if DESCRIPTION in found]
    checks.hold("android.description", where == [0], "a description of the key in the first certificate alone",
                f"in {', '.join(map(str, where))}" if where else "in none", CERTIFICATE)  # fmt: skip
    facts: dict[str, Json] = {}
    identifiers, challenge = frozenset[DeviceId](), b""
    if 0 in where:
        try:
            description = read_description(extensions[0][DESCRIPTION])
        except der.DerError as error:
            checks.hold("android.readable", False, "DER with ascending tags", str(error), CERTIFICATE)
        else:
            checks.hold("android.readable", True, "DER with ascending tags", f"version {description.version}",
                        CERTIFICATE)  # fmt: skip
            challenge = description.challenge
            _hardware(description, known, checks)
            facts, identifiers = _facts(description)
    _binding(challenge, statement, known, checks)
    _revocation(statement, known, checks)
    for found in extensions[1:]:
        issued = _issued(found.get(PROVISIONING))
        if issued is not None:
            facts["certificates_issued"] = issued
    spki = leaf.attested_key(statement, checks)
    return Evidence(ANDROID_KEY, spki, identifiers, facts)


def _hardware(found: Description, known: Known, checks: Checks) -> None:
    level = min(found.level, found.keymint_level)
    checks.hold("android.level", known.rules.android_software or level in (1, 2), "TRUSTED_ENVIRONMENT or STRONG_BOX",
                LEVELS.get(level, str(level)), DEVICE)  # fmt: skip
    origin = found.hardware.get(_ORIGIN)
    checks.hold("android.origin", origin == 0, "GENERATED, by the hardware",
                ORIGINS.get(origin, str(origin)) if isinstance(origin, int) else "not enforced by the hardware",
                KEY)  # fmt: skip
    purposes = found.hardware.get(_PURPOSES)
    listed = set(purposes) if isinstance(purposes, list) else set()
    good = SIGN in listed and listed <= {SIGN, VERIFY}
    checks.hold("android.purposes", good, "signing (2), beside it at most verifying (3)",
                ", ".join(map(str, sorted(listed))) or "none", KEY)  # fmt: skip
    root = found.hardware.get(_ROOT_OF_TRUST)
    loose = known.rules.android_unlocked
    if not isinstance(root, RootOfTrust):
        checks.hold("android.boot", loose, "a root of trust that the hardware vouches for", "none", DEVICE)
        return
    checks.hold(
        "android.boot", loose or root.state == 0, "VERIFIED", BOOT_STATES.get(root.state, str(root.state)), DEVICE
    )
    checks.hold("android.locked", loose or root.locked, "a locked boot loader",
                "locked" if root.locked else "unlocked", DEVICE)  # fmt: skip


def _binding(challenge: bytes, statement: Statement, known: Known, checks: Checks) -> None:
    if known.key_authorization is None:
        checks.not_asked("android.challenge", "the key authorization", BINDING)
        checks.not_asked("android.signature", "a signature over the key authorization", BINDING)
        return
    data = known.key_authorization.encode()
    checks.hold("android.challenge", challenge == data, known.key_authorization, text_of(challenge), BINDING)
    number, sig = statement.members.get("alg"), statement.members.get("sig")
    algorithm = signatures.ALGORITHMS.get(number) if isinstance(number, int) else None
    taken = algorithm is not None and number != signatures.RS1
    checks.hold("android.alg", taken, "a COSE algorithm over SHA-256 or stronger", signatures.named(number), SIGNATURE)
    key = statement.leaf.public_key() if statement.certificates else None
    good = algorithm is not None and isinstance(sig, bytes) and signatures.verifies(key, algorithm, sig, data)
    checks.hold("android.signature", good, "a signature over the key authorization by the attested key",
                "it verifies" if good else "it does not verify", BINDING)  # fmt: skip


def _revocation(statement: Statement, known: Known, checks: Checks) -> None:
    """Every certificate against the maker's list. Without a fresh list nobody is let through (fail closed)."""
    statuses, expected = known.statuses, "no certificate on the maker's status list"
    if statuses is None:
        checks.hold("android.revocation", None, expected, "there is no status list", REVOCATION_UNKNOWN)
        return
    age = known.at - statuses.fetched_at
    if age > known.most_age:
        checks.hold("android.revocation", None, expected, f"the list is {int(age.total_seconds() // 3600)} hours old",
                    REVOCATION_UNKNOWN)  # fmt: skip
        return
    for one in statement.certificates:
        # Old entries are decimal, new ones hexadecimal without leading zeros.
        for serial in (f"{one.serial_number:x}", str(one.serial_number)):
            status = statuses.entries.get(serial)
            if status is not None:
                checks.hold("android.revocation", False, expected, f"{serial}: {status[0]} ({status[1]})", REVOKED)
                return
    got = f"none of {len(statement.certificates)}, list of {statuses.fetched_at:%Y-%m-%dT%H:%MZ}"
    checks.hold("android.revocation", True, expected, got, REVOKED)


def _facts(found: Description) -> tuple[dict[str, Json], frozenset[DeviceId]]:
    facts: dict[str, Json] = {
        "security_level": LEVELS.get(min(found.level, found.keymint_level), "unknown").lower(),
    }
    identifiers: set[DeviceId] = set()
    for tag, name in _TEXTS.items():
        value = found.hardware.get(tag)
        if isinstance(value, bytes) and value:
            facts[name] = text_of(value)
            if tag in (_SERIAL, _IMEI, _SECOND_IMEI) and "�" not in str(facts[name]) and len(value) <= 128:
                identifiers.add((PERMANENT_IDENTIFIER, str(facts[name])))
    for tag, name in _NUMBERS.items():
        value = found.hardware.get(tag)
        if isinstance(value, int):
            facts[name] = value
    version = found.hardware.get(_OS_VERSION)
    if isinstance(version, int) and version:
        # MMmmss: 140000 is 14.0.0.
        facts["os_version"] = f"{version // 10000}.{version // 100 % 100}.{version % 100}"
    root = found.hardware.get(_ROOT_OF_TRUST)
    if isinstance(root, RootOfTrust):
        facts["boot_state"] = BOOT_STATES.get(root.state, "unknown").lower()
        facts["boot_locked"] = root.locked
    return facts, frozenset(identifiers)


def _issued(value: bytes | None) -> int | None:
    """How many certificates the remote provisioning has given this device lately: many are a sign of abuse."""
    if value is None:
        return None
    try:
        found = cbor.decode_int_keyed(value).get(1)
    except cbor.CborError:
        return None
    return found if isinstance(found, int) and 0 <= found < 1 << 31 else None
