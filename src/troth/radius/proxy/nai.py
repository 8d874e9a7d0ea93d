"""Network access identifiers: whose user is it, and is that a realm at all (RFC 7542)."""

from __future__ import annotations

import re
from typing import Final

import msgspec

MAX_OCTETS: Final = 253
#: RFC 7542 section 2.2: a realm is host-name labels, two at least; here in UTF-8, compared in lower case.
_LABEL = re.compile(r"[^\W_](?:(?:[^\W_]|-){0,61}[^\W_])?\Z")


class Nai(msgspec.Struct, frozen=True):
    """A user name, taken apart.

    Attributes:
        user: before the last @; empty for one who does not say who he is (RFC 7542 section 2.4).
        realm: after it, in lower case; empty: there is none.
    """

    user: str
    realm: str


def parse(name: bytes) -> Nai | None:
    """``alice@example.org`` → alice, example.org. None: no UTF-8, control characters, or longer than fits.

    The last @ counts: ``alice@home@proxy`` is the proxy's. ``DOMAIN\\alice`` is a name without a realm.
    """
    if len(name) > MAX_OCTETS:
        return None
    try:
        text = name.decode("utf-8")
    except UnicodeDecodeError:
        return None
    if not text.isprintable():
        return None
    user, at, realm = text.rpartition("@")
    return Nai(user, realm.lower()) if at else Nai(realm, "")


def fault(nai: Nai) -> str | None:
    """Why no federation would know where to send this; None: nothing is wrong with it.

    What devices are set up with by mistake: blanks, a realm without a dot, a dot at the end. Handed on, each would
    travel to the top of a federation and come back as a Reject that nobody understands.
    """
    realm = nai.realm
    if not realm:
        return "no realm"
    if realm != realm.strip() or " " in realm or " " in nai.user:
        return "a blank in it"
    if realm.startswith(".") or realm.endswith("."):
        return "a dot at an end of the realm"
    labels = realm.split(".")
    if len(labels) < 2:
        return "a realm without a dot"
    if not all(_LABEL.match(label) for label in labels):
        return "a realm that is no host name"
    return None


def serves(pattern: str, realm: str) -> bool:
    """Whether ``pattern`` means ``realm``: itself, ``*.example.org`` (all below), ``-`` (none), ``*`` (any)."""
    if pattern == "*":
        return bool(realm)
    if pattern == "-":
        return not realm
    if pattern.startswith("*."):
        return realm.endswith(pattern[1:])
    return pattern == realm


def weight(pattern: str) -> tuple[int, int]:
    """How narrow a pattern is; the greatest that serves a realm decides."""
    if pattern == "*":
        return 0, 0
    if pattern.startswith("*."):
        return 1, len(pattern)
    return 2, len(pattern)
