"""An enrolment as Apple's devices take it: the payload ``com.apple.security.acme``, in a profile or as asset data.

Apple's client knows no external account binding; what it can carry is a directory URL (with a secret in its path) and a
client identifier, which it sends as the ``permanent-identifier`` of its order. Both formats are those of Apple's public
device management schema: a configuration profile for any MDM, and the JSON document (``com.apple.credential.acme``)
that a declaration ``com.apple.asset.credential.acme`` refers to.
"""

from __future__ import annotations

import hashlib
import plistlib
from dataclasses import dataclass
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

import msgspec

from troth.enroll.credentials.errors import ENROLMENT_INVALID, EnrolmentRefused
from troth.kit.canonical import Json, canonical_json

_CLIENT_AUTH = "1.3.6.1.5.5.7.3.2"
_KEYS = {"p256": ("ECSECPrimeRandom", 256), "p384": ("ECSECPrimeRandom", 384), "rsa2048": ("RSA", 2048)}
_SHORT = frozenset({"C", "L", "ST", "O", "OU", "CN"})


class AppleWanted(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the operator chooses.

    Attributes:
        directory: name of the ACME directory.
        identifier: prefix of the payloads' identifiers, in reverse DNS form.
        client_identifier: for an enrolment that is a directory: the device's own (its serial number).
        subject: (attribute, value) pairs, as the device asks for them; the profile decides what it gets.
        key: ``p256`` or ``p384``, made in the Secure Enclave and attested; ``rsa2048``, in software.
    """

    directory: str
    identifier: str = "org.troth.acme"
    client_identifier: str = ""
    subject: tuple[tuple[str, str], ...] = ()
    key: str = "p256"


@dataclass(frozen=True, slots=True)
class ApplePayload:
    """The settings of one ACME identity."""

    identifier: str
    name: str
    content: dict[str, Any]

    @property
    def uuid(self) -> str:
        """Always the same for one client identifier at one directory, so that a profile replaces its former self."""
        text = f"{self.content['DirectoryURL']}#{self.content['ClientIdentifier']}"
        return str(uuid5(NAMESPACE_URL, text)).upper()

    def mobileconfig(self) -> bytes:
        """A configuration profile with this identity (property list, XML). Other payloads refer to its PayloadUUID."""
        payload = {
            **self.content,
            "PayloadType": "com.apple.security.acme",
            "PayloadVersion": 1,
            "PayloadIdentifier": f"{self.identifier}.{self.uuid}",
            "PayloadUUID": self.uuid,
            "PayloadDisplayName": self.name,
        }
        profile = {
            "PayloadType": "Configuration",
            "PayloadVersion": 1,
            "PayloadIdentifier": self.identifier,
            "PayloadUUID": str(uuid5(UUID(self.uuid), "profile")).upper(),
            "PayloadDisplayName": self.name,
            "PayloadContent": [payload],
        }
        return plistlib.dumps(profile)

    def credential(self) -> bytes:
        """The JSON document that a declaration's asset refers to."""
        return canonical_json(self.content)

    def declaration(self, data_url: str) -> bytes:
        """The declaration of the asset, for a document that is served at ``data_url``."""
        data = self.credential()
        reference: dict[str, Json] = {
            "DataURL": data_url,
            "ContentType": "application/json",
            "Size": len(data),
            "Hash-SHA-256": hashlib.sha256(data).hexdigest(),
        }
        return canonical_json(
            {
                "Type": "com.apple.asset.credential.acme",
                "Identifier": f"{self.identifier}.{self.uuid}",
                "ServerToken": hashlib.sha256(data).hexdigest()[:32],
                "Payload": {"Reference": reference},
            }
        )


def apple_payload(wanted: AppleWanted, *, name: str, directory_url: str, client_identifier: str) -> ApplePayload:
    """The payload. Raises EnrolmentRefused for what a device would not take."""
    kind = _KEYS.get(wanted.key)
    if kind is None:
        raise EnrolmentRefused(ENROLMENT_INVALID, f"key is one of {', '.join(_KEYS)}")
    if not client_identifier:
        raise EnrolmentRefused(ENROLMENT_INVALID, "client_identifier: say the device's serial number or UDID")
    if not directory_url.startswith("https://"):
        raise EnrolmentRefused(ENROLMENT_INVALID, "Apple's client takes directories at https:// only")
    for attribute, value in wanted.subject:
        dotted = all(one.isdigit() for one in attribute.split("."))
        if not value or not (attribute in _SHORT or dotted):
            raise EnrolmentRefused(
                ENROLMENT_INVALID, f"subject: {attribute[:40]!r} is none of C, L, ST, O, OU, CN, and no dotted number"
            )
    in_hardware = kind[0] != "RSA"
    content = {
        "DirectoryURL": directory_url,
        "ClientIdentifier": client_identifier,
        "KeyType": kind[0],
        "KeySize": kind[1],
        "HardwareBound": in_hardware,
        "Attest": in_hardware,
        "Subject": [[[attribute, value]] for attribute, value in wanted.subject or (("CN", client_identifier),)],
        "UsageFlags": 1,
        "ExtendedKeyUsage": [_CLIENT_AUTH],
        "KeyIsExtractable": False,
    }
    return ApplePayload(wanted.identifier, name, content)
