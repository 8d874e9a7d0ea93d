"""The octets of EAP (RFC 3748, 4) and of EAP-TLS within it (RFC 5216, 3.1).

Pure. What comes from outside is bounded by RADIUS already (a packet has 4096 octets); lengths inside are checked here.
"""

from __future__ import annotations

import msgspec

from troth.radius.eap.errors import MALFORMED, EapRefused

REQUEST, RESPONSE, SUCCESS, FAILURE = 1, 2, 3, 4
IDENTITY, NOTIFICATION, NAK, TLS, EXPANDED = 1, 2, 3, 13, 254

LENGTH, MORE, START = 0x80, 0x40, 0x20

#: What a supplicant offers in place of EAP-TLS, by the IANA registry: words for a timeline.
METHODS = {
    4: "MD5-Challenge", 6: "GTC", 13: "EAP-TLS", 17: "LEAP", 18: "EAP-SIM", 21: "EAP-TTLS", 23: "EAP-AKA", 25: "PEAP",
    26: "MSCHAPv2", 43: "EAP-FAST", 47: "EAP-PSK", 50: "EAP-AKA'", 52: "EAP-PWD", 55: "TEAP", 56: "EAP-NOOB",
}  # fmt: skip


class EapResponse(msgspec.Struct, frozen=True, gc=False):
    """What a device answered.

    Attributes:
        identifier: of the request that it answers.
        type: 1 Identity, 3 Nak, 13 EAP-TLS, …
        data: what follows the type.
    """

    identifier: int
    type: int
    data: bytes


class TlsFrame(msgspec.Struct, frozen=True, gc=False):
    """One EAP-TLS response: a TLS message, a fragment of one, or (with nothing in it) an acknowledgement.

    Attributes:
        total: length of the whole TLS message when the frame says so (flag L), else None.
        more: whether fragments follow.
        data: the fragment.
    """

    total: int | None
    more: bool
    data: bytes


def read_response(packet: bytes) -> EapResponse:
    """The EAP response in ``packet``; what lies beyond its length is padding (RFC 3748, 4). Raises EapRefused."""
    if len(packet) < 5:
        raise EapRefused(MALFORMED, "an EAP response has at least five octets")
    length = packet[2] << 8 | packet[3]
    if packet[0] != RESPONSE or not 5 <= length <= len(packet):
        raise EapRefused(MALFORMED, "not an EAP response, or shorter than it says")
    return EapResponse(packet[1], packet[4], packet[5:length])


def read_tls(data: bytes) -> TlsFrame:
    """The EAP-TLS frame in a response's data. Reserved flags, and S in a response, mean nothing. Raises EapRefused."""
    if not data:
        raise EapRefused(MALFORMED, "an EAP-TLS response without flags")
    flags = data[0]
    if flags & LENGTH:
        if len(data) < 5:
            raise EapRefused(MALFORMED, "an EAP-TLS length that is cut off")
        return TlsFrame(int.from_bytes(data[1:5], "big"), bool(flags & MORE), data[5:])
    return TlsFrame(None, bool(flags & MORE), data[1:])


def read_nak(response: EapResponse) -> tuple[int, ...]:
    """The methods that a Nak or an Expanded Nak asks for instead (RFC 3748, 5.3); 0 is none at all.

    Of an Expanded Nak those of the IETF alone; of any vendor's, 254.
    """
    if response.type == NAK:
        return tuple(response.data)
    # Each entry: 254, vendor (3), type (4); the first seven octets are the Nak's own vendor and type.
    entries = [response.data[at : at + 8] for at in range(7, len(response.data) - 7, 8)]
    return tuple(int.from_bytes(one[4:8], "big") if one[1:4] == b"\0\0\0" else EXPANDED for one in entries)


def is_nak(response: EapResponse) -> bool:
    """Whether the device asks for another method."""
    return response.type == NAK or (response.type == EXPANDED and response.data[:7] == b"\0\0\0\0\0\0\3")


def methods_in_words(offered: tuple[int, ...]) -> str:
    """``PEAP, EAP-TTLS``; "none" for what offers nothing."""
    return ", ".join(METHODS.get(one, f"method {one}") for one in offered if one) or "none"


def request(identifier: int, kind: int, data: bytes = b"") -> bytes:
    """An EAP request of a type."""
    return bytes((REQUEST, identifier)) + (5 + len(data)).to_bytes(2, "big") + bytes((kind,)) + data


def tls_request(identifier: int, data: bytes, flags: int = 0, total: int | None = None) -> bytes:
    """An EAP-TLS request; ``total`` goes with flag L."""
    head = flags.to_bytes(1, "big") if total is None else (flags | LENGTH).to_bytes(1, "big") + total.to_bytes(4, "big")
    return request(identifier, TLS, head + data)


def outcome(code: int, identifier: int) -> bytes:
    """EAP-Success or EAP-Failure; its identifier is that of the response which it answers (RFC 3748, 4.2)."""
    return bytes((code, identifier, 0, 4))
