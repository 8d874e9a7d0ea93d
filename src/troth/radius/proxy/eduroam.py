"""What a roaming federation asks for: who operates this network, who the user is across visits, and a line of log.

Operator-Name (126, RFC 5580 section 4.1), Chargeable-User-Identity (89, RFC 4372), F-Ticks (RFC 7593 section 4).
Pure: octets and text in, octets and text out.
"""

from __future__ import annotations

import hmac
import re
from typing import Final

from troth.radius.wire.packet import Attribute, Packet

OPERATOR_NAME: Final = 126
CHARGEABLE_USER_IDENTITY: Final = 89
#: RFC 5580 section 4.1: namespace REALM.
_REALM: Final = b"1"
#: RFC 4372 section 2.2: a single NUL asks for an identity.
ASK: Final = b"\0"
#: Shortest key of a hash, in octets.
_KEY: Final = 16
_COUNTRY = re.compile(r"[A-Z]{2}\Z")


def operator_name(realm: str) -> Attribute:
    """Operator-Name of the organisation whose realm this is. Raises ValueError for one that does not fit."""
    value = _REALM + realm.encode("idna")
    if len(value) > 253:
        raise ValueError("an operator's realm has at most 252 octets")
    return OPERATOR_NAME, value


def chargeable_identity(request: Packet, user: str, key: bytes) -> Attribute | None:
    """What the home organisation answers who asks for a Chargeable-User-Identity; None: nothing is to be answered.

    A keyed hash of the user and of who asks: the same user is the same to one operator at each visit, and two operators
    cannot find out together that they had the same guest. So an operator that does not name himself is told nothing
    (eduroam service definition; RFC 4372 section 2.1 leaves the content to the home organisation).

    Args:
        request: proved to come from the federation.
        user: who was authenticated, as Troth knows him: not a name that the device has made up.
        key: of this installation, at least 16 octets; a new one makes a stranger of everybody.
    """
    if len(key) < _KEY:
        raise ValueError("a chargeable identity needs a key")
    operator = request.first(OPERATOR_NAME)
    if request.first(CHARGEABLE_USER_IDENTITY) is None or not operator or not user:
        return None
    # The length first: no user and operator together read like another pair. A realm has no case.
    said = operator.lower()
    named = len(said).to_bytes(2, "big") + said + user.encode()
    return CHARGEABLE_USER_IDENTITY, hmac.digest(key, named, "sha256").hex().encode()


def is_country(code: str) -> bool:
    """Whether it could be a country's two letters."""
    return _COUNTRY.match(code) is not None


def f_ticks(*, realm: str, operator: str, country: str, station: str | None, key: bytes, accepted: bool) -> str:
    """The line that a federation's statistics are made of (RFC 7593 section 4, F-Ticks 1.0 of eduroam).

    Args:
        realm: the user's. operator: this organisation's. country: its two letters.
        station: canonical MAC of the device; it does not stand in the line, but a keyed hash of it does: a plain one is
            guessed in minutes, since addresses are few.
        key: of this installation.
    """
    who = hmac.digest(key, (station or "").encode(), "sha256")[:16].hex() if station else "unknown"
    result = "OK" if accepted else "FAIL"
    return (
        f"F-TICKS/eduroam/1.0#REALM={_plain(realm)}#VISCOUNTRY={_plain(country)}#VISINST=1{_plain(operator)}"
        f"#CSI={who}#RESULT={result}#"
    )


def _plain(text: str) -> str:
    """Nothing that would end a field or a line: the realm comes from a stranger."""
    return re.sub(r"[^A-Za-z0-9._-]", "_", text)[:253]
