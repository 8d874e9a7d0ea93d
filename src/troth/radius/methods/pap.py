"""PAP: a name and a password, in a request without EAP (RFC 2865 section 5.2).

Over UDP the password is hidden by MD5 under the access server's secret, which whoever knows that secret undoes; over
RadSec it is as safe as TLS. So an account is told over RadSec alone unless its maker has allowed otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass

from troth.radius.proxy.border import CHAP_PASSWORD
from troth.radius.wire.errors import PacketRefused
from troth.radius.wire.hiding import reveal_password
from troth.radius.wire.packet import EAP_MESSAGE, USER_NAME, USER_PASSWORD, Packet
from troth.radius.wire.signing import Protection

MAX_NAME = 63


@dataclass(frozen=True, slots=True)
class Claim:
    """Who somebody says he is. ``password``: None where it was told in a way that cannot be checked here (CHAP)."""

    name: str
    password: str | None

    def __repr__(self) -> str:
        return f"Claim({self.name!r}, …)"


def asked(packet: Packet, protection: Protection) -> Claim | None:
    """The claim of a request; None: it makes none that could be an account's."""
    name = packet.first(USER_NAME)
    if name is None or not 0 < len(name) <= MAX_NAME or packet.first(EAP_MESSAGE) is not None:
        return None
    if not name.isascii():
        return None
    text, hidden = name.decode("ascii"), packet.first(USER_PASSWORD)
    if hidden is None:
        return Claim(text, None) if packet.first(CHAP_PASSWORD) is not None else None
    try:
        return Claim(text, reveal_password(hidden, protection, packet.authenticator).decode("utf-8"))
    except (UnicodeDecodeError, PacketRefused):
        # A wrong secret gives octets that are no text; they are nobody's password.
        return Claim(text, "")
