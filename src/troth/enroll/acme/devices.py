"""Identifiers of devices (draft-ietf-acme-device-attest-09, section 3) and the names that certificates bear for them.

In ACME a permanent identifier is written ``VALUE`` or ``VALUE/ASSIGNER``, a hardware module ``SERIAL/TYPE``; both are
taken octet for octet, without folding or trimming. The draft's grammar would let control characters, and forms that
Unicode holds equal, into certificates; such values are refused here.
"""

from __future__ import annotations

from collections.abc import Sequence

from troth.enroll.acme import errors
from troth.enroll.acme.problems import AcmeProblem, Identifier
from troth.pki.errors import NameRefused
from troth.pki.names import GeneralName, canonical_name
from troth.pki.other_names import is_oid

PERMANENT_IDENTIFIER, HARDWARE_MODULE = "permanent-identifier", "hardware-module"
DEVICE_TYPES = frozenset({PERMANENT_IDENTIFIER, HARDWARE_MODULE})
#: hwSerialNum of a certificate has this many octets at most.
_SERIAL = 64


def read_device(kind: str, text: str) -> Identifier:
    """The identifier of a device. Raises AcmeProblem (malformed)."""
    identifier = Identifier(kind, text)
    value, slash, oid = text.partition("/")
    if kind == HARDWARE_MODULE and not slash:
        raise _malformed(identifier, "a hardware module is written SERIAL/TYPE, its type an object identifier")
    if slash and not is_oid(oid):
        raise _malformed(identifier, "what stands behind the / is no object identifier")
    if value.startswith("*."):
        raise _malformed(identifier, "there are no wildcards among devices")
    try:
        canonical = device_name(identifier)
    except (NameRefused, ValueError) as error:
        raise _malformed(identifier, getattr(error, "detail", str(error))) from None
    if kind == PERMANENT_IDENTIFIER and canonical[1] not in (value, f"{oid}/{value}"):
        raise _malformed(identifier, "write it in Unicode's composed form")
    return identifier


def device_name(identifier: Identifier) -> GeneralName:
    """The name that a certificate bears for it. Raises NameRefused, ValueError."""
    value, slash, oid = identifier.value.partition("/")
    if identifier.type == PERMANENT_IDENTIFIER:
        return canonical_name(identifier.type, f"{oid}/{value}" if slash else value)
    octets = value.encode()
    if not 0 < len(octets) <= _SERIAL or not value.isprintable():
        raise ValueError(f"a serial number has 1 to {_SERIAL} printable octets")
    return canonical_name(identifier.type, f"{oid}/{octets.hex()}")


def certified_name(identifier: Identifier) -> GeneralName:
    """The general name of any identifier of an order."""
    if identifier.type in DEVICE_TYPES:
        return device_name(identifier)
    return identifier.type, identifier.value


def device_of(identifiers: Sequence[Identifier]) -> Identifier | None:
    """The device of an order, which holds one at most (:func:`one_device`)."""
    return next((one for one in identifiers if one.type in DEVICE_TYPES), None)


def one_device(identifiers: Sequence[Identifier]) -> None:
    """Raise AcmeProblem where an order names several devices: one key is in one of them."""
    devices = [one for one in identifiers if one.type in DEVICE_TYPES]
    if len(devices) > 1:
        raise AcmeProblem(errors.IDENTIFIER_REJECTED, "an order is for one device", identifier=devices[1])


def _malformed(identifier: Identifier, why: str) -> AcmeProblem:
    return AcmeProblem(errors.IDENTIFIER_MALFORMED, why, identifier=identifier)
