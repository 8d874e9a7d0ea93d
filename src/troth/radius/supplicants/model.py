"""A network as a device needs to know it."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Final
from uuid import UUID, uuid5

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from troth.pki.unreadable import UNREADABLE
from troth.radius.supplicants.errors import SUPPLICANT_INVALID, SupplicantRefused

_NAME: Final = re.compile(r"(?=.{1,253}\Z)[A-Za-z0-9]([A-Za-z0-9-]{0,62})(\.[A-Za-z0-9]([A-Za-z0-9-]{0,62}))+\Z")
_PATH: Final = re.compile(r"[A-Za-z0-9._/:+-]{1,255}\Z")
_IDENTITY: Final = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]{1,253}\Z")
#: Longest file of roots.
ROOTS_OCTETS: Final = 65_536
#: Names of everything that is made here, so that a profile that is made again replaces its former.
_SPACE: Final = UUID("6f0c9f3e-6f2f-5d2b-9a0e-2f6c0a3f7b11")


@dataclass(frozen=True, slots=True, kw_only=True)
class Joining:
    """How to join one network.

    Attributes:
        ssid: 1 to 32 octets; None: a wired network.
        server_names: what the server's certificate must be for, exactly.
        roots: the authorities that may stand above it, and no others.
        identity: the outer identity, seen by everybody on the way; ``@realm`` is enough.
        certificate, key, ca: where the device has them (Linux).
    """

    ssid: bytes | None
    server_names: tuple[str, ...]
    roots: tuple[x509.Certificate, ...]
    identity: str = "anonymous"
    certificate: str = "/etc/troth/device.pem"
    key: str = "/etc/troth/device.key"
    ca: str = "/etc/troth/radius-root.pem"

    def __post_init__(self) -> None:
        """Refuse what could not be told to a device, or would end a line of its file. Raises SupplicantRefused."""
        if self.ssid is not None and not 0 < len(self.ssid) <= 32:
            raise refused("an SSID has 1 to 32 octets")
        if not self.server_names or not all(_NAME.match(one) for one in self.server_names):
            raise refused("name the server as its certificate does: radius.example.com, each name in full")
        if not self.roots:
            raise refused("without a root every impostor would be believed")
        if not _IDENTITY.match(self.identity):
            raise refused("an identity is printable ASCII without blanks, quotes and backslashes")
        if not all(_PATH.match(one) for one in (self.certificate, self.key, self.ca)):
            raise refused("paths hold letters, digits and ._/:+- alone")

    @property
    def name(self) -> str:
        """What people see it called."""
        text = "wired network" if self.ssid is None else self.ssid.decode("utf-8", "replace")
        return "".join(one if one.isprintable() else "\N{REPLACEMENT CHARACTER}" for one in text)

    def id(self, what: str) -> UUID:
        """The same for the same network each time."""
        return uuid5(_SPACE, f"{what}:{'wired' if self.ssid is None else self.ssid.hex()}")


def roots_in(pem: bytes) -> tuple[x509.Certificate, ...]:
    """The certificates in a PEM file of at most 64 KiB. Raises SupplicantRefused."""
    try:
        if len(pem) > ROOTS_OCTETS:
            raise ValueError("too large")
        found = tuple(x509.load_pem_x509_certificates(pem))
    except UNREADABLE as error:
        raise refused("the file with the roots holds no certificates in PEM") from error
    return found


def der_of(root: x509.Certificate) -> bytes:
    """DER."""
    return root.public_bytes(Encoding.DER)


def thumbprint(root: x509.Certificate) -> str:
    """SHA-1 of the certificate, as Windows names it: a name, not a proof."""
    return hashlib.sha1(der_of(root), usedforsecurity=False).hexdigest()


def refused(detail: str) -> SupplicantRefused:
    """A refusal in words."""
    return SupplicantRefused(SUPPLICANT_INVALID, detail)
