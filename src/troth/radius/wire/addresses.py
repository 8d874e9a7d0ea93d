"""Stations' addresses: one spelling for what vendors spell in many ways, and text that is safe to show.

RFC 3580 sections 3.20 and 3.21 have Called-Station-Id as ``00-10-A4-23-19-C0:SSID`` and Calling-Station-Id without the
SSID. Equipment writes ``00:10:a4:23:19:c0``, ``0010.a423.19c0`` (Cisco), ``0010a4-2319c0`` (HP), ``0010a42319c0``
(Aruba) and ``0010-a423-19c0`` (Huawei, H3C) as well, and some put the name of the access point where
its address belongs.
"""

from __future__ import annotations

import ipaddress
import re
from functools import lru_cache
from typing import Final

_MAC = re.compile(
    r"""\s*(?:
        ([0-9a-f]{2}) ([-:.\ ]) ([0-9a-f]{2}) \2 ([0-9a-f]{2}) \2 ([0-9a-f]{2}) \2 ([0-9a-f]{2}) \2 ([0-9a-f]{2})
      | ([0-9a-f]{4}) ([-.:]) ([0-9a-f]{4}) \9 ([0-9a-f]{4})
      | ([0-9a-f]{6}) [-:.] ([0-9a-f]{6})
      | ([0-9a-f]{12})
    )(?![-.0-9a-z])""",
    re.VERBOSE | re.ASCII | re.IGNORECASE,
)
_MAX_SSID: Final = 32
_MAX_TEXT: Final = 253


def mac(text: str | bytes) -> str | None:
    """The address that a Calling- or Called-Station-Id begins with, as ``00-10-a4-23-19-c0``; None: it is none.

    A Calling-Station-Id may just as well be a telephone number or, from a VPN gateway, ``192.0.2.7[4500]``.
    """
    found = _match(text)
    return found[0] if found is not None else None


def ssid(text: str | bytes) -> str | None:
    """The SSID behind the address (or the access point's name) in a Called-Station-Id; None: there is none.

    Octets that are no printable text stand there as ``\\xNN``, so no such SSID is mistaken for another.
    """
    data = text.encode(errors="surrogateescape") if isinstance(text, str) else text
    found = _match(text)
    if found is not None:
        rest = data[found[1] :]
        if not rest.startswith(b":"):
            return None
        name = rest[1:]
    else:
        _, colon, name = data.partition(b":")
        if not colon or _is_ip(data):
            return None
    return safe_text(name) if 0 < len(name) <= _MAX_SSID else None


def safe_text(data: bytes, *, most: int = _MAX_TEXT) -> str:
    """Octets of an attribute as text that may stand in a log, a terminal and a page, at most ``most`` characters.

    Control characters, what is no UTF-8, line and paragraph separators and what turns the direction of writing are
    written out (``\\x1b``), and so is the backslash before them: two different values never look alike for that.
    """
    text = data.decode("utf-8", "surrogateescape")
    if "\\" in text or not text.isprintable():
        text = "".join(
            character if character.isprintable() and character != "\\" else _escaped(character) for character in text
        )
    return text if len(text) <= most else text[: most - 1] + "…"


def _escaped(character: str) -> str:
    point = ord(character)
    if character == "\\":
        return "\\\\"
    if 0xDC80 <= point <= 0xDCFF:
        point -= 0xDC00
    return f"\\x{point:02x}" if point < 0x100 else f"\\u{point:04x}" if point < 0x10000 else f"\\U{point:08x}"


def _match(text: str | bytes) -> tuple[str, int] | None:
    """The address at the beginning, and how many characters it takes."""
    head = text[:48]
    return _matched(head if isinstance(head, str) else head.decode("latin-1"))


@lru_cache(maxsize=8192)
def _matched(head: str) -> tuple[str, int] | None:
    """The same few stations and access points come again and again."""
    found = _MAC.match(head)
    if found is None:
        return None
    digits = re.sub(r"[^0-9a-f]", "", found.group().lower())
    return "-".join(digits[at : at + 2] for at in range(0, 12, 2)), found.end()


def _is_ip(data: bytes) -> bool:
    try:
        ipaddress.ip_address(data.decode("ascii"))
    except ValueError:
        return False
    return True
