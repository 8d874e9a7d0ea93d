"""Why a RADIUS packet is not read, not believed or not sent."""

from __future__ import annotations

from troth.kit.errors import TrothError, reason

SHORT = reason(
    "radius.packet.short",
    "the packet is shorter than a RADIUS packet, or than it says",
    fix="Something on the way cuts datagrams, or it is no RADIUS: look at path MTU and firewall.",
)
LENGTH = reason(
    "radius.packet.length",
    "the packet gives a length that RADIUS does not allow",
    fix="RADIUS packets have 20 to 4096 octets. Find out what sends something else to this port.",
)
ATTRIBUTE = reason(
    "radius.packet.attribute",
    "an attribute of the packet does not fit into it",
    fix="The access server's RADIUS is broken: update it, and report the packet to its vendor.",
)
ATTRIBUTES = reason(
    "radius.packet.attributes",
    "the packet has more attributes than any access server sends",
    fix="Find out what sends this; 255 attributes are the most that are read.",
)
MESSAGE_AUTHENTICATOR_FORM = reason(
    "radius.packet.message_authenticator_form",
    "the packet has several Message-Authenticators, or one that is not 18 octets long",
    fix="RFC 3579 section 3.2 allows exactly one. The access server, or a proxy before Troth, is broken.",
)
MESSAGE_AUTHENTICATOR_MISSING = reason(
    "radius.packet.message_authenticator_missing",
    "the packet has no Message-Authenticator",
    fix="Update the other side, or have it send one: without it answers can be forged (CVE-2024-3596).",
)
MESSAGE_AUTHENTICATOR = reason(
    "radius.packet.message_authenticator",
    "the Message-Authenticator is wrong",
    fix="The shared secrets differ, or somebody forges packets. Compare the secret on both sides first.",
)
AUTHENTICATOR = reason(
    "radius.packet.authenticator",
    "the authenticator of the packet is wrong",
    fix="The shared secrets differ, or somebody forges packets. Compare the secret on both sides first.",
)
TOO_LONG = reason(
    "radius.packet.too_long",
    "the attributes do not fit into a packet of 4096 octets",
    fix="Give the place fewer or shorter access rules: name an access list that stands on the equipment itself.",
)
VALUE = reason(
    "radius.packet.value",
    "an attribute cannot hold this value",
    fix="Correct the value that is named; the form of each attribute is in its RFC.",
    status=422,
)
UNKNOWN_ATTRIBUTE = reason(
    "radius.attribute.unknown",
    "the dictionary has no attribute of that name",
    fix="Write the name as its RFC or its vendor does; docs/radius.md says which vendors are known.",
    status=422,
)


class PacketRefused(TrothError):
    """A packet that is not read or not believed (it is dropped without an answer), or that cannot be made."""
