"""A configuration profile for iOS, iPadOS, macOS, tvOS and visionOS (Apple, «Device Management», payload WiFi).

The device's own certificate comes by ACME with hardware attestation (payload ``com.apple.security.acme``) if a
directory is named; otherwise the profile must be put together with an identity by whoever installs it.
"""

from __future__ import annotations

import plistlib
import re
from typing import Any, Final

from troth.radius.supplicants.model import Joining, der_of, refused

_TLS = 13
_DIRECTORY: Final = re.compile(r"https://[\x21-\x7e]{1,1000}\Z")


def mobileconfig(one: Joining, *, acme_directory: str = "", client_identifier: str = "") -> bytes:
    """The profile, an XML property list, not signed. Raises SupplicantRefused."""
    if one.ssid is not None and one.name.encode() != one.ssid:
        raise refused("Apple's devices take an SSID in printable UTF-8 alone")
    if acme_directory and not (_DIRECTORY.match(acme_directory) and client_identifier.strip().isprintable()):
        raise refused("an ACME directory is an https address")
    if bool(acme_directory) != bool(client_identifier.strip()):
        raise refused("an ACME directory needs a client identifier, and a client identifier a directory")
    roots = [_root(one, number, der_of(root)) for number, root in enumerate(one.roots)]
    identity = [_identity(one, acme_directory, client_identifier)] if acme_directory else []
    network = _network(one, [root["PayloadUUID"] for root in roots], identity[0]["PayloadUUID"] if identity else "")
    profile = _payload(one, "Configuration", "profile", f"Join {one.name}") | {
        "PayloadContent": [*roots, *identity, network],
        "PayloadDescription": "Trusts the network's server by its name and root, and nothing else.",
    }
    return plistlib.dumps(profile, fmt=plistlib.FMT_XML)


def _network(one: Joining, anchors: list[str], identity: str) -> dict[str, Any]:
    eap = {
        "AcceptEAPTypes": [_TLS],
        "TLSTrustedServerNames": list(one.server_names),
        "PayloadCertificateAnchorUUID": anchors,
        # With this the user is not asked, and cannot agree to an impostor.
        "TLSAllowTrustExceptions": False,
        "TLSMinimumVersion": "1.2",
        "TLSMaximumVersion": "1.3",
        "UserName": one.identity,
    }
    identified = {"PayloadCertificateUUID": identity} if identity else {}
    if one.ssid is None:
        payload = _payload(one, "com.apple.firstactiveethernet.managed", "network", "Ethernet")
        return payload | {"Interface": "FirstActiveEthernet", "EAPClientConfiguration": eap} | identified
    payload = _payload(one, "com.apple.wifi.managed", "network", one.name)
    return payload | identified | {
        "SSID_STR": one.name, "EncryptionType": "WPA2", "AutoJoin": True, "HIDDEN_NETWORK": False, "ProxyType": "None",
        "EAPClientConfiguration": eap,
    }  # fmt: skip


def _root(one: Joining, number: int, der: bytes) -> dict[str, Any]:
    payload = _payload(one, "com.apple.security.root", f"root-{number}", f"Root of {one.name}")
    return payload | {"PayloadContent": der}


def _identity(one: Joining, directory: str, client_identifier: str) -> dict[str, Any]:
    payload = _payload(one, "com.apple.security.acme", "identity", "Certificate of this device")
    return payload | {
        "DirectoryURL": directory, "ClientIdentifier": client_identifier, "KeyType": "ECSECPrimeRandom", "KeySize": 384,
        "HardwareBound": True, "Attest": True, "Subject": [[["CN", client_identifier]]],
    }  # fmt: skip


def _payload(one: Joining, kind: str, what: str, title: str) -> dict[str, Any]:
    identifier = one.id(what)
    return {
        "PayloadType": kind, "PayloadVersion": 1, "PayloadIdentifier": f"troth.{identifier}",
        "PayloadUUID": str(identifier).upper(), "PayloadDisplayName": title,
    }  # fmt: skip
