"""The Workload API's messages as protocol buffers, as few of them as there are (workload.proto of SPIFFE)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

SERVICE = "SpiffeWorkloadAPI"
FETCH_X509_SVID = f"/{SERVICE}/FetchX509SVID"
FETCH_X509_BUNDLES = f"/{SERVICE}/FetchX509Bundles"

_LENGTH_DELIMITED = 2


@dataclass(frozen=True, slots=True)
class X509Svid:
    """One identity of a workload.

    Attributes:
        chain: DER, the leaf first.
        key: PKCS#8, DER.
        roots: DER.
        hint: the workload's own name, for a process that has several identities.
    """

    spiffe_id: str
    chain: tuple[bytes, ...]
    key: bytes
    roots: tuple[bytes, ...]
    hint: str = ""

    @property
    def trust_domain(self) -> str:
        """``spiffe://corp.example``"""
        return "/".join(self.spiffe_id.split("/")[:3])


def x509_svid_response(svids: Sequence[X509Svid]) -> bytes:
    """X509SVIDResponse."""
    return b"".join(field(1, _svid(one)) for one in svids)


def x509_bundles_response(bundles: Mapping[str, Sequence[bytes]]) -> bytes:
    """X509BundlesResponse: trust domain → its roots."""
    return b"".join(
        field(2, field(1, domain.encode()) + field(2, b"".join(roots))) for domain, roots in sorted(bundles.items())
    )


def _svid(one: X509Svid) -> bytes:
    return (
        field(1, one.spiffe_id.encode())
        + field(2, b"".join(one.chain))
        + field(3, one.key)
        + field(4, b"".join(one.roots))
        + field(5, one.hint.encode())
    )


def field(number: int, value: bytes) -> bytes:
    """A length-delimited field; an empty one is left out, as proto3 does."""
    return whole(number, value) if value else b""


def whole(number: int, value: bytes) -> bytes:
    """The same, and an empty one as such."""
    return varint(number << 3 | _LENGTH_DELIMITED) + varint(len(value)) + value


def varint(value: int) -> bytes:
    """A number."""
    octets = bytearray()
    while value > 0x7F:
        octets.append(value & 0x7F | 0x80)
        value >>= 7
    octets.append(value)
    return bytes(octets)
