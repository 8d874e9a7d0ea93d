"""What a roaming federation asks for: who operates this network, who the user is across visits, and a line of log.

Operator-Name (126, RFC 5580 section 4.1), Chargeable-User-Identity (89, RFC 4372), F-Ticks (RFC 7593 section 4).
Pure: octets and text in, octets and text out.
"""

from __future__ import annotations

import hmac
import re
from typing import Final

from troth.radius.wire.packet import Attribute

OPERATOR_NAME: Final = 126
CHARGEABLE_USER_IDENTITY: Final = 89
#: RFC 5580 section 4.1: namespace REALM.
_REALM: Final = b"1"
#: RFC 4372 section 2.2: a single NUL asks for an identity.
ASK: Final = b"\0"
_COUNTRY = re.compile(r"[A-Z]{2}\Z")


def operator_name(realm: str) -> Attribute:
    """Operator-Name of the organisation whose realm this is. Raises ValueError for one that does not fit."""
    value = _REALM + realm.encode("idna")
    if len(value) > 253:
        raise ValueError("an operator's realm has at most 252 octets")
    return OPERATOR_NAME, value


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
