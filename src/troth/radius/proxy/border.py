"""What crosses between two neighbours, each under its own secret; and what does not.

Hidden values are taken out of one neighbour's hiding and put into the other's (RFC 2865 section 5.2, RFC 2868 section
3.5, RFC 2548 section 2.4). Message-Authenticator is of one hop and never crosses; Proxy-State crosses with requests, so
that every proxy can see where they have been, and never with replies, which get those of their request. A CHAP-Password
whose challenge was the Request Authenticator takes that along as CHAP-Challenge (RFC 2865 section 5.40, RFC 9765
section 5.1).

Others' users bring their keys, and that they were accepted. Where in this network they belong is not for their home to
say: VLANs, filters, roles and every vendor's attributes but Microsoft's keys stay outside.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final

from troth.radius.wire.hiding import (
    MICROSOFT,
    MS_MPPE_RECV_KEY,
    MS_MPPE_SEND_KEY,
    hide_password,
    hide_salted,
    reveal_password,
    reveal_salted,
    salts,
)
from troth.radius.wire.packet import (
    EAP_MESSAGE,
    MESSAGE_AUTHENTICATOR,
    PROXY_STATE,
    STATE,
    USER_NAME,
    USER_PASSWORD,
    VENDOR_SPECIFIC,
    Attribute,
    sub_attributes,
)
from troth.radius.wire.signing import Secret

CHAP_PASSWORD: Final = 3
CHAP_CHALLENGE: Final = 60
TUNNEL_PASSWORD: Final = 69
CHARGEABLE_USER_IDENTITY: Final = 89
_REPLY_MESSAGE: Final = 18
_SESSION_TIMEOUT: Final = 27
_IDLE_TIMEOUT: Final = 28
_CLASS: Final = 25
_ERROR_CAUSE: Final = 101
_EAP_KEY_NAME: Final = 102
#: What another organisation's reply may say (RFC 7593 has eduroam's list). Session-Timeout only shortens.
_OF_STRANGERS: Final = frozenset({
    USER_NAME, _REPLY_MESSAGE, STATE, _CLASS, _SESSION_TIMEOUT, _IDLE_TIMEOUT, EAP_MESSAGE, CHARGEABLE_USER_IDENTITY,
    _ERROR_CAUSE, _EAP_KEY_NAME,
})  # fmt: skip
#: Types by the names under which definitions may have them dropped.
DROPPABLE: Final[Mapping[str, int]] = {
    "NAS-IP-Address": 4, "NAS-IPv6-Address": 95, "NAS-Identifier": 32, "NAS-Port": 5, "NAS-Port-Id": 87,
    "Called-Station-Id": 30, "Calling-Station-Id": 31, "Filter-Id": 11, "Class": 25, "Vendor-Specific": 26,
    "Session-Timeout": 27, "Idle-Timeout": 28, "Termination-Action": 29, "Reply-Message": 18,
    "Tunnel-Type": 64, "Tunnel-Medium-Type": 65, "Tunnel-Private-Group-ID": 81, "Egress-VLANID": 56,
    "Egress-VLAN-Name": 58, "NAS-Filter-Rule": 92, "Operator-Name": 126, "Chargeable-User-Identity": 89,
    "Connect-Info": 77, "Framed-IP-Address": 8, "Location-Information": 127, "Location-Data": 128,
}  # fmt: skip
_KEYS: Final = frozenset({MS_MPPE_SEND_KEY, MS_MPPE_RECV_KEY})
_MS: Final = MICROSOFT.to_bytes(4, "big")


def outward(
    attributes: Iterable[Attribute],
    authenticator: bytes,
    secret: Secret,
    onward: Secret,
    onward_authenticator: bytes,
    *,
    drop: Collection[int] = (),
) -> list[Attribute]:
    """A request's attributes for the next server.

    Args:
        authenticator, secret: of the request as it came.
        onward, onward_authenticator: of the request as it goes on.
        drop: types that do not cross.

    Raises PacketRefused for a User-Password that cannot be read.
    """
    made: list[Attribute] = []
    chap, challenged = False, False
    for kind, value in attributes:
        if kind == MESSAGE_AUTHENTICATOR or kind in drop:
            continue
        if kind == USER_PASSWORD:
            plain = reveal_password(value, secret, authenticator)
            value = hide_password(plain, onward, onward_authenticator)
        chap |= kind == CHAP_PASSWORD
        challenged |= kind == CHAP_CHALLENGE
        made.append((kind, value))
    if chap and not challenged:
        made.append((CHAP_CHALLENGE, authenticator))
    return made


def inward(
    attributes: Sequence[Attribute],
    authenticator: bytes,
    secret: Secret,
    onward: Secret,
    onward_authenticator: bytes,
    *,
    foreign: bool,
    drop: Collection[int] = (),
) -> list[Attribute]:
    """A reply's attributes for who asked.

    Args:
        authenticator, secret: of our request to the server, under which it hid what is hidden.
        onward, onward_authenticator: of the request that is answered.
        foreign: only what strangers may say crosses.
        drop: types that do not.

    Raises PacketRefused for hidden values that cannot be read: the secrets differ.
    """
    fresh = iter(salts(len(attributes) + 8))
    made: list[Attribute] = []
    for kind, value in attributes:
        if kind in (MESSAGE_AUTHENTICATOR, PROXY_STATE) or kind in drop:
            continue
        if kind == VENDOR_SPECIFIC:
            found = _vendor(value, authenticator, secret, onward, onward_authenticator, fresh, foreign=foreign)
            made.extend(found)
        elif foreign and kind not in _OF_STRANGERS:
            continue
        elif kind == TUNNEL_PASSWORD and value:
            # The tag stays where it is; what is behind it is hidden.
            plain = reveal_salted(value[1:], secret, authenticator)
            made.append((kind, value[:1] + hide_salted(plain, onward, onward_authenticator, salt=next(fresh))))
        else:
            made.append((kind, value))
    return made


def _vendor(
    value: bytes,
    authenticator: bytes,
    secret: Secret,
    onward: Secret,
    onward_authenticator: bytes,
    fresh: Iterable[bytes],
    *,
    foreign: bool,
) -> list[Attribute]:
    if not value.startswith(_MS):
        return [] if foreign else [(VENDOR_SPECIFIC, value)]
    made: list[Attribute] = []
    salt = iter(fresh)
    for kind, inner in sub_attributes(value[4:]):
        if kind in _KEYS:
            inner = hide_salted(
                reveal_salted(inner, secret, authenticator), onward, onward_authenticator, salt=next(salt)
            )
        elif foreign:
            continue
        made.append((VENDOR_SPECIFIC, b"".join((_MS, bytes((kind, len(inner) + 2)), inner))))
    return made
