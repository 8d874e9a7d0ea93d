"""Passwords and keys, hidden under the shared secret.

RFC 2865 section 5.2 (User-Password), RFC 2868 section 3.5 (Tunnel-Password), RFC 2548 sections 2.4.2 and 2.4.3 (MS-MPPE
keys). All three are one stream of MD5 blocks; they differ in where the stream begins. It keeps nothing secret from
somebody who guesses the shared secret, and it does not notice a change: that is what the Message-Authenticator is for.

RADIUS/1.1 hides nothing (RFC 9765 section 5.1): the functions then leave the value as it is.
"""

from __future__ import annotations

import hashlib
import secrets
from typing import Final

from troth.radius.wire.errors import VALUE, PacketRefused
from troth.radius.wire.packet import VENDOR_SPECIFIC, Attribute
from troth.radius.wire.signing import Protection, Secret

MICROSOFT: Final = 311
MS_MPPE_SEND_KEY: Final = 16
MS_MPPE_RECV_KEY: Final = 17
MAX_PASSWORD: Final = 128
#: 253 octets of value less tag and salt, in whole blocks, less the octet that says how long the value is.
MAX_SALTED: Final = 239


def hide_password(password: bytes, secret: Secret, authenticator: bytes) -> bytes:
    """The value of User-Password in a request with that authenticator. Raises PacketRefused beyond 128 octets."""
    if len(password) > MAX_PASSWORD:
        raise PacketRefused(VALUE, f"a password of {len(password)} octets; {MAX_PASSWORD} fit")
    key = _key(secret)
    if key is None:
        return password
    padded = password + bytes(-len(password) % 16 if password else 16)
    return _hide(padded, key, authenticator)


def reveal_password(value: bytes, secret: Secret, authenticator: bytes) -> bytes:
    """The password behind a User-Password, without the NULs it was filled up with. Raises PacketRefused.

    A wrong secret gives a wrong password and no error.
    """
    key = _key(secret)
    if key is None:
        return value
    if not 16 <= len(value) <= MAX_PASSWORD or len(value) % 16:
        raise PacketRefused(VALUE, f"User-Password has {len(value)} octets, not 16 to 128 in blocks of 16")
    return _reveal(value, key, authenticator).rstrip(b"\0")


def hide_salted(value: bytes, secret: Secret, authenticator: bytes, *, salt: bytes) -> bytes:
    """Salt and hidden value, as in Tunnel-Password and the MS-MPPE keys.

    ``authenticator``: of the request that is answered. ``salt``: two octets, the top bit set, and no other attribute of
    the packet may have the same (:func:`salts`). Raises PacketRefused for a value of more than 239 octets.
    """
    key = _key(secret)
    if key is None:
        return value
    if len(value) > MAX_SALTED:
        raise PacketRefused(VALUE, f"a secret of {len(value)} octets; {MAX_SALTED} fit")
    if len(salt) != 2 or not salt[0] & 0x80:
        raise ValueError("a salt has two octets, and its top bit is set")
    plain = bytes((len(value),)) + value
    return salt + _hide(plain + bytes(-len(plain) % 16), key, authenticator + salt)


def reveal_salted(value: bytes, secret: Secret, authenticator: bytes) -> bytes:
    """What :func:`hide_salted` has hidden. Raises PacketRefused: it has another form, or the secrets differ."""
    key = _key(secret)
    if key is None:
        return value
    if len(value) < 18 or (len(value) - 2) % 16:
        raise PacketRefused(VALUE, f"a hidden value of {len(value)} octets, not a salt and blocks of 16")
    plain = _reveal(value[2:], key, authenticator + value[:2])
    if plain[0] >= len(plain):
        raise PacketRefused(VALUE, "a hidden value that is longer than its blocks: the secrets differ")
    return plain[1 : 1 + plain[0]]


def salts(count: int) -> list[bytes]:
    """``count`` salts that differ from each other, each with its top bit set (RFC 2868 section 3.5)."""
    start = int.from_bytes(secrets.token_bytes(2), "big")
    return [(0x8000 | ((start + step) & 0x7FFF)).to_bytes(2, "big") for step in range(count)]


def mppe_keys(msk: bytes, secret: Secret, request_authenticator: bytes) -> list[Attribute]:
    """MS-MPPE-Recv-Key and MS-MPPE-Send-Key of an Access-Accept (RFC 2548 section 2.4, RFC 5216 section 2.3).

    ``msk``: 64 octets; the first half is received with by the access server's peer (Recv), the second is sent with.
    """
    if len(msk) != 64:
        raise ValueError("an MSK has 64 octets")
    made: list[Attribute] = []
    parts = ((MS_MPPE_RECV_KEY, msk[:32]), (MS_MPPE_SEND_KEY, msk[32:]))
    for (kind, key), salt in zip(parts, salts(2), strict=True):
        value = hide_salted(key, secret, request_authenticator, salt=salt)
        made.append((VENDOR_SPECIFIC, b"".join((MICROSOFT.to_bytes(4, "big"), bytes((kind, len(value) + 2)), value))))
    return made


def _hide(plain: bytes, secret: bytes, start: bytes) -> bytes:
    # Written out: for each Accept this goes round six times.
    done, chain, number = [], start, int.from_bytes
    for at in range(0, len(plain), 16):
        stream = hashlib.md5(secret + chain, usedforsecurity=False).digest()
        chain = (number(plain[at : at + 16], "big") ^ number(stream, "big")).to_bytes(16, "big")
        done.append(chain)
    return b"".join(done)


def _reveal(hidden: bytes, secret: bytes, start: bytes) -> bytes:
    done, chain = [], start
    for at in range(0, len(hidden), 16):
        block = hidden[at : at + 16]
        done.append(_xor(block, _md5(secret + chain)))
        chain = block
    return b"".join(done)


def _xor(one: bytes, other: bytes) -> bytes:
    return (int.from_bytes(one, "big") ^ int.from_bytes(other, "big")).to_bytes(16, "big")


def _md5(data: bytes) -> bytes:
    return hashlib.md5(data, usedforsecurity=False).digest()


def _key(secret: Secret) -> bytes | None:
    if isinstance(secret, Protection):
        return None if secret.bare else secret.secret
    return secret
