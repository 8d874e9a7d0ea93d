"""What proves a RADIUS packet: Message-Authenticator, Request Authenticator, Response Authenticator.

RFC 2865 section 3, RFC 2866 section 3, RFC 3579 section 3.2, RFC 5176 section 2.3, RFC 5997 section 3. The order in
which a packet is made and verified is always the same: first the Message-Authenticator over the packet with itself as
zeros, then the authenticator over the whole. A reply begins with its Message-Authenticator, so that nobody can put a
chosen prefix between the header and it (CVE-2024-3596, *Blast-RADIUS*).

In RADIUS/1.1 (RFC 9765) TLS does all this: there is no Message-Authenticator, and the authenticator is a token. Where
a function takes a secret it takes a :class:`Protection` as well, which says which of the two a transport speaks.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Sequence
from functools import lru_cache
from typing import Final, TypeAlias

import msgspec

from troth.radius.wire.errors import (
    AUTHENTICATOR,
    MESSAGE_AUTHENTICATOR_FORM,
    MESSAGE_AUTHENTICATOR_MISSING,
    TOO_LONG,
    PacketRefused,
)
from troth.radius.wire.errors import MESSAGE_AUTHENTICATOR as WRONG
from troth.radius.wire.packet import (
    EAP_MESSAGE,
    HEADER,
    MAX_PACKET,
    MAX_VALUE,
    MESSAGE_AUTHENTICATOR,
    PROXY_STATE,
    Attribute,
    Code,
    Packet,
    encode_attributes,
)

ZEROS: Final = bytes(16)
#: Octets that MD5 works on at once.
_BLOCK: Final = 64
_MA_AT_FRONT: Final = bytes((MESSAGE_AUTHENTICATOR, 18))
_UNPROVED: Final = _MA_AT_FRONT + ZEROS
#: Requests whose authenticator is computed, not random (RFC 2866 section 3, RFC 5176 section 2.3).
_COMPUTED: Final = frozenset({Code.ACCOUNTING_REQUEST, Code.DISCONNECT_REQUEST, Code.COA_REQUEST})
#: Packets that go without Message-Authenticator unless the caller asks for one: RFC 2869 section 5.19 has none there.
_UNSIGNED: Final = frozenset({Code.ACCOUNTING_REQUEST, Code.ACCOUNTING_RESPONSE})
_OURS_IN_A_REQUEST: Final = frozenset({MESSAGE_AUTHENTICATOR})
_OURS_IN_A_REPLY: Final = frozenset({MESSAGE_AUTHENTICATOR, PROXY_STATE})


class Protection(msgspec.Struct, frozen=True):
    """How packets of one transport are protected.

    Attributes:
        secret: the shared secret; within TLS ``radsec`` (RFC 6614 section 2.3).
        bare: RADIUS/1.1: nothing is computed and nothing is hidden, since TLS does both (RFC 9765).
    """

    secret: bytes
    bare: bool = False

    def __repr__(self) -> str:
        return f"Protection(secret=…, bare={self.bare})"


Secret: TypeAlias = bytes | Protection


def message_authenticator_ok(packet: Packet, secret: bytes, request_authenticator: bytes | None = None) -> bool | None:
    """Whether the Message-Authenticator of a packet is right; None: it has none.

    ``request_authenticator``: for replies, the one of their request. Raises PacketRefused
    (``radius.packet.message_authenticator_form``) for more than one, or one that is not 18 octets long.
    """
    found = packet.firsts.get(MESSAGE_AUTHENTICATOR)
    if found is None:
        return None
    if len(found) != 16 or len(packet.all(MESSAGE_AUTHENTICATOR)) > 1:
        raise PacketRefused(MESSAGE_AUTHENTICATOR_FORM)
    at = HEADER
    for kind, value in packet.attributes:
        if kind == MESSAGE_AUTHENTICATOR:
            break
        at += len(value) + 2
    raw = packet.raw
    if packet.code in _COMPUTED:
        request_authenticator = ZEROS
    elif request_authenticator is None:
        request_authenticator = packet.authenticator
    covered = b"".join((raw[:4], request_authenticator, raw[HEADER : at + 2], ZEROS, raw[at + 18 :]))
    return hmac.compare_digest(_hmac(secret, covered), found)


def request_authenticator_ok(packet: Packet, secret: bytes) -> bool:
    """Whether the Request Authenticator of an Accounting-, CoA- or Disconnect-Request is right."""
    raw = packet.raw
    computed = _md5(b"".join((raw[:4], ZEROS, raw[HEADER:], secret)))
    return hmac.compare_digest(computed, packet.authenticator)


def encode_reply(
    request: Packet,
    code: int,
    attributes: Sequence[Attribute],
    secret: Secret,
    *,
    message_authenticator: bool | None = None,
) -> bytes:
    """The reply to ``request``: Message-Authenticator first, then ``attributes``, then its Proxy-States as they came.

    ``message_authenticator``: whether there is one; None: in all but accounting. Raises PacketRefused
    (``radius.packet.too_long``); ValueError for attributes that are this function's own.
    """
    body = encode_attributes(attributes, refused=_OURS_IN_A_REPLY)
    if PROXY_STATE in request.firsts:
        body += encode_attributes([pair for pair in request.attributes if pair[0] == PROXY_STATE])
    if isinstance(secret, Protection):
        if secret.bare:
            return _head(code, request.identifier, body) + request.authenticator + body
        secret = secret.secret
    if message_authenticator is None:
        message_authenticator = code not in _UNSIGNED
    head, body = _signed(code, request.identifier, request.authenticator, body, secret, signed=message_authenticator)
    return b"".join((head, _md5(b"".join((head, request.authenticator, body, secret))), body))


def encode_request(
    code: int,
    identifier: int,
    attributes: Sequence[Attribute],
    secret: Secret,
    *,
    authenticator: bytes | None = None,
    message_authenticator: bool | None = None,
) -> bytes:
    """A request, its Message-Authenticator first.

    ``authenticator``: 16 octets, for an Access-Request in which something is hidden under it, or the token of
    RADIUS/1.1 with its zeros; None: a random one. That of accounting, CoA and Disconnect is computed.
    ``message_authenticator``: as in :func:`encode_reply`. Raises as it does.
    """
    body = encode_attributes(attributes, refused=_OURS_IN_A_REQUEST)
    if authenticator is None:
        authenticator = secrets.token_bytes(16)
    if isinstance(secret, Protection):
        if secret.bare:
            return _head(code, identifier, body) + authenticator + body
        secret = secret.secret
    if message_authenticator is None:
        message_authenticator = code not in _UNSIGNED
    if code in _COMPUTED:
        authenticator = ZEROS
    head, body = _signed(code, identifier, authenticator, body, secret, signed=message_authenticator)
    if code in _COMPUTED:
        authenticator = _md5(b"".join((head, ZEROS, body, secret)))
    return b"".join((head, authenticator, body))


def verify_reply(
    reply: Packet, request_authenticator: bytes, secret: Secret, *, require_message_authenticator: bool
) -> None:
    """Believe ``reply``, or raise PacketRefused (``radius.packet.*authenticator*``).

    That its identifier, source and transport are those of the request is the caller's to know. A reply with EAP in it
    needs a Message-Authenticator whatever is required (RFC 3579 section 3.2).
    """
    if isinstance(secret, Protection):
        if secret.bare:
            if not hmac.compare_digest(reply.authenticator, request_authenticator):
                raise PacketRefused(AUTHENTICATOR, "its token is another one")
            return
        secret = secret.secret
    raw = reply.raw
    computed = _md5(b"".join((raw[:4], request_authenticator, raw[HEADER:], secret)))
    if not hmac.compare_digest(computed, reply.authenticator):
        raise PacketRefused(AUTHENTICATOR)
    signed = message_authenticator_ok(reply, secret, request_authenticator)
    if signed is False:
        raise PacketRefused(WRONG)
    if signed is None and (require_message_authenticator or reply.first(EAP_MESSAGE) is not None):
        raise PacketRefused(MESSAGE_AUTHENTICATOR_MISSING)


def eap_attributes(eap: bytes) -> list[Attribute]:
    """An EAP packet as EAP-Messages, in order (RFC 3579 section 3.1); an empty one is one of no octets (EAP-Start)."""
    if len(eap) <= MAX_VALUE:
        return [(EAP_MESSAGE, eap)]
    return [(EAP_MESSAGE, eap[at : at + MAX_VALUE]) for at in range(0, len(eap), MAX_VALUE)]


def _signed(
    code: int, identifier: int, authenticator: bytes, body: bytes, secret: bytes, *, signed: bool
) -> tuple[bytes, bytes]:
    """The head without its authenticator, and the attributes, with the Message-Authenticator first if ``signed``."""
    if not signed:
        return _head(code, identifier, body), body
    head = _head(code, identifier, body, _UNPROVED)
    proof = _hmac(secret, b"".join((head, authenticator, _UNPROVED, body)))
    return head, b"".join((_MA_AT_FRONT, proof, body))


def _head(code: int, identifier: int, body: bytes, before: bytes = b"") -> bytes:
    length = HEADER + len(before) + len(body)
    if length > MAX_PACKET:
        raise PacketRefused(TOO_LONG, f"{length} octets")
    return bytes((code, identifier)) + length.to_bytes(2, "big")


def _hmac(secret: bytes, data: bytes) -> bytes:
    """HMAC-MD5 (RFC 2104). ``hmac.digest`` has OpenSSL fetch its MAC anew each time: a third more than two copies."""
    inner, outer = _keyed(secret)
    inner, outer = inner.copy(), outer.copy()
    inner.update(data)
    outer.update(inner.digest())
    return outer.digest()


@lru_cache(maxsize=4096)
def _keyed(secret: bytes) -> tuple[hashlib._Hash, hashlib._Hash]:
    """The two halves of HMAC-MD5 with their key in; copied, never changed."""
    key = (_md5(secret) if len(secret) > _BLOCK else secret).ljust(_BLOCK, b"\0")
    inner, outer = (hashlib.md5(bytes([one ^ pad for one in key]), usedforsecurity=False) for pad in (0x36, 0x5C))
    return inner, outer


def _md5(data: bytes) -> bytes:
    return hashlib.md5(data, usedforsecurity=False).digest()
