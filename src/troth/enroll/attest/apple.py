"""``apple``: Managed Device Attestation. The maker's servers sign a certificate over the device's own key.

Not WebAuthn's format of the same name, whose root is another one and whose certificates name nobody. There is no
signature in the statement: that the asker holds the key is shown by the certificate request, and so freshness hangs on
one extension alone, which is therefore required (a server that skips it when it is absent believes old attestations).

The values are the octets of the extension itself for text and nonce, and DER for the flags. Apple leaves out what it
could not verify, so a missing flag is not a false one.
"""

from __future__ import annotations

import hashlib

from troth.enroll.attest import leaf
from troth.enroll.attest.errors import BINDING, CERTIFICATE
from troth.enroll.attest.model import (
    APPLE,
    HARDWARE_MODULE,
    PERMANENT_IDENTIFIER,
    Checks,
    DeviceId,
    Evidence,
    Known,
)
from troth.enroll.attest.statement import Statement
from troth.kit.canonical import Json
from troth.pki import der

_ARC = "1.2.840.113635.100.8."
SERIAL, UDID, FRESHNESS = f"{_ARC}9.1", f"{_ARC}9.2", f"{_ARC}11.1"
_TEXTS = {
    SERIAL: "hardware_serial", UDID: "udid", f"{_ARC}9.4": "software_update_id",
    f"{_ARC}10.1": "os_version", f"{_ARC}10.2": "sepos_version", f"{_ARC}10.3": "boot_loader_version",
    f"{_ARC}13.2": "secure_boot",
}  # fmt: skip
_SIP, _EXTENSIONS_ALLOWED = f"{_ARC}13.1", f"{_ARC}13.3"
_LONGEST = 128


def verify(statement: Statement, known: Known, checks: Checks) -> Evidence:
    """Note the checks of this format; what the certificate says."""
    found = leaf.extensions(statement.leaf) if statement.certificates else {}
    facts, bad = _facts(found)
    checks.hold(
        "apple.extensions", not bad and bool(facts), "Apple's extensions, readable", _told(facts, bad), CERTIFICATE
    )
    _freshness(found.get(FRESHNESS), known, checks)
    if statement.certificates and known.challenged_at is not None:
        begin = statement.leaf.not_valid_before_utc
        earliest = known.challenged_at - known.rules.backdating
        expected = f"a certificate that begins after {earliest:%Y-%m-%dT%H:%MZ}"
        checks.hold("apple.not_before", begin >= earliest, expected, f"{begin:%Y-%m-%dT%H:%MZ}", BINDING)
    spki = leaf.attested_key(statement, checks)
    return Evidence(APPLE, spki, _identifiers(facts), facts)


def _freshness(got: bytes | None, known: Known, checks: Checks) -> None:
    if known.token is None:
        checks.not_asked("apple.freshness", "SHA-256 of the challenge's token", BINDING)
        return
    expected = hashlib.sha256(known.token.encode()).digest()
    checks.hold("apple.freshness", got == expected, expected, got if got is not None else "no such extension", BINDING)


def _facts(found: dict[str, bytes]) -> tuple[dict[str, Json], list[str]]:
    facts: dict[str, Json] = {}
    bad: list[str] = []
    for oid, name in _TEXTS.items():
        value = found.get(oid)
        if not value:
            continue  # absent, or blanked because it could not be verified
        text = value.decode("utf-8", "replace")
        if "�" in text or not text.isprintable() or len(text) > _LONGEST:
            bad.append(name)
        else:
            facts[name] = text
    for oid, name, when in ((_SIP, "sip_enabled", 0), (_EXTENSIONS_ALLOWED, "kernel_extensions_allowed", 1)):
        value = found.get(oid)
        if not value:
            continue
        try:
            number = _integer(value)
        except der.DerError:
            bad.append(name)
        else:
            # 13.1 counts what is switched off (0: protected), 13.3 what is allowed (0: nothing of third parties).
            facts[name] = number == 0 if when == 0 else number != 0
    return facts, bad


def _integer(value: bytes) -> int:
    reader = der.Reader(value)
    number = der.read_integer(reader.read(der.INTEGER))
    reader.close()
    return number


def _told(facts: dict[str, Json], bad: list[str]) -> str:
    return f"unreadable: {', '.join(bad)}" if bad else ", ".join(facts) or "none"


def _identifiers(facts: dict[str, Json]) -> frozenset[DeviceId]:
    """Serial number and UDID; as hardware module names under the object identifiers of their extensions."""
    found: set[DeviceId] = set()
    for name, oid in (("hardware_serial", SERIAL), ("udid", UDID)):
        value = facts.get(name)
        if isinstance(value, str):
            found |= {(PERMANENT_IDENTIFIER, value), (HARDWARE_MODULE, f"{value}/{oid}")}
    return frozenset(found)
