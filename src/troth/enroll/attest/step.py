"""``step``: a key in a slot of a YubiKey (PIV), or in a device that smallstep's own kind of certificate names.

The slot's attestation certificate is static: made once, good for ever. What is fresh is the signature over the key
authorization by the attested key, which is a CBOR byte string inside the byte string ``sig``.
"""

from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric import ec, rsa

from troth.enroll.attest import cbor, leaf, signatures
from troth.enroll.attest.errors import BINDING, CERTIFICATE, DEVICE, SIGNATURE
from troth.enroll.attest.model import PERMANENT_IDENTIFIER, STEP, Checks, DeviceId, Evidence, Known
from troth.enroll.attest.statement import Statement
from troth.kit.canonical import Json
from troth.pki import der

_YUBICO = "1.3.6.1.4.1.41482.3."
_FIRMWARE, _SERIAL, _POLICY, _FORM, _FIPS = (f"{_YUBICO}{number}" for number in (3, 7, 8, 9, 10))
#: smallstep's extension for devices of its own roots: SEQUENCE { DeviceID }.
MANAGED_DEVICE = "1.3.6.1.4.1.37476.9000.64.4"
_PIN = {1: "never", 2: "once", 3: "always"}
_TOUCH = {1: "never", 2: "always", 3: "cached"}
_FORMS = {
    1: "usb-a keychain", 2: "usb-a nano", 3: "usb-c keychain", 4: "usb-c nano", 5: "lightning and usb-c",
    6: "usb-a biometric", 7: "usb-c biometric",
}  # fmt: skip


def verify(statement: Statement, known: Known, checks: Checks) -> Evidence:
    """Note the checks of this format; what the slot's certificate says."""
    found = leaf.extensions(statement.leaf) if statement.certificates else {}
    facts, identifiers, bad = _facts(found)
    checks.hold("step.extensions", not bad, "readable extensions", f"unreadable: {', '.join(bad)}" if bad else
                f"{len(facts)} facts", CERTIFICATE)  # fmt: skip
    checks.hold("step.serial", bool(identifiers), "a serial number or managed device identifier",
                ", ".join(sorted(value for _, value in identifiers)) or "neither", DEVICE)  # fmt: skip
    if len(statement.certificates) > 1 and _FIPS in leaf.extensions(statement.certificates[1]):
        facts["fips"] = True
    _signature(statement, known, checks)
    spki = leaf.attested_key(statement, checks)
    return Evidence(STEP, spki, identifiers, facts)


def _signature(statement: Statement, known: Known, checks: Checks) -> None:
    key = statement.leaf.public_key() if statement.certificates else None
    number = statement.members.get("alg", _usual(key))
    algorithm = signatures.ALGORITHMS.get(number) if isinstance(number, int) else None
    sig = statement.members.get("sig")
    if known.key_authorization is None:
        checks.not_asked("step.signature", "a signature over the key authorization", BINDING)
        return
    good_algorithm = algorithm is not None and number != signatures.RS1
    checks.hold("step.alg", good_algorithm, "ES256, ES384, ES512, RS256 or EdDSA", signatures.named(number), SIGNATURE)
    expected = "a signature over the key authorization by the attested key"
    if algorithm is None or not isinstance(sig, bytes):
        checks.hold("step.signature", False, expected, "no sig" if algorithm else "an unknown algorithm", BINDING)
        return
    inner = _unwrapped(sig)
    good = inner is not None and signatures.verifies(key, algorithm, inner, known.key_authorization.encode())
    got = "sig is no CBOR byte string" if inner is None else "it verifies" if good else "it does not verify"
    checks.hold("step.signature", good, expected, got, BINDING)


def _usual(key: object) -> int:
    """Without ``alg``, smallstep's client means SHA-256."""
    if isinstance(key, ec.EllipticCurvePublicKey):
        return -7
    return -257 if isinstance(key, rsa.RSAPublicKey) else -8


def _unwrapped(sig: bytes) -> bytes | None:
    try:
        inner = cbor.decode(sig)
    except cbor.CborError:
        return None
    return inner if isinstance(inner, bytes) else None


def _facts(found: dict[str, bytes]) -> tuple[dict[str, Json], frozenset[DeviceId], list[str]]:
    facts: dict[str, Json] = {}
    bad: list[str] = []
    identifiers: set[DeviceId] = set()
    firmware, policy, form = found.get(_FIRMWARE), found.get(_POLICY), found.get(_FORM)
    if firmware is not None:
        if len(firmware) == 3:
            facts["firmware_version"] = ".".join(str(one) for one in firmware)
        else:
            bad.append("firmware")
    if policy is not None:
        if len(policy) == 2:
            facts["pin_policy"] = _PIN.get(policy[0], str(policy[0]))
            facts["touch_policy"] = _TOUCH.get(policy[1], str(policy[1]))
        else:
            bad.append("policy")
    if form is not None:
        if len(form) == 1:
            facts["form_factor"] = _FORMS.get(form[0] & 0x0F, str(form[0] & 0x0F))
            facts["fips"] = bool(form[0] & 0x80)
        else:
            bad.append("form factor")
    try:
        if _SERIAL in found:
            serial = str(_one(found[_SERIAL], der.INTEGER))
            facts["hardware_serial"] = serial
            identifiers.add((PERMANENT_IDENTIFIER, serial))
        if MANAGED_DEVICE in found:
            managed = _managed(found[MANAGED_DEVICE])
            facts["managed_device"] = managed
            identifiers.add((PERMANENT_IDENTIFIER, managed))
    except (der.DerError, ValueError):
        bad.append("serial")
    return facts, frozenset(identifiers), bad


def _one(value: bytes, tag: int) -> int:
    reader = der.Reader(value)
    content = reader.read(tag)
    reader.close()
    number = der.read_integer(content)
    if number < 0 or len(content) > 8:
        raise ValueError("a serial number below zero or longer than 8 octets")
    return number


def _managed(value: bytes) -> str:
    outer = der.Reader(value)
    reader = outer.enter(der.SEQUENCE)
    outer.close()
    text = reader.take(der.PRINTABLE_STRING)
    found = (text if text is not None else reader.read(der.UTF8_STRING)).decode()
    if not 0 < len(found) <= 128 or not found.isprintable():
        raise ValueError("no text of 1 to 128 printable characters")
    return found
