"""Downloadable ACLs (Cisco): the switch is told a name, and asks for the rules by a request of its own.

The name is ``#ACSACL#-IP-PLACE-HASH``; the hash is of the rules, so that changed rules have another name and a switch
that has the old ones asks anew. The request has that name as its User-Name and carries the pair
``aaa:event=acl-download``; it proves itself by its Message-Authenticator alone, and is answered with the rules, whoever
is behind the port. Rules are no secret to a switch that enforces them, but to others: only equipment that was
told a name can know the hash.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from typing import Final

from troth.radius.places.lines import encoded
from troth.radius.places.model import Place
from troth.radius.places.rules import ios, of_family
from troth.radius.wire.packet import Attribute, Code, Packet

PREFIX: Final = "#ACSACL#-IP-"
_BEGINNING: Final = PREFIX.encode()
#: Octets of rules that one answer holds, with room for Proxy-States.
MAX_OCTETS: Final = 3_600
_CISCO: Final = 9
_USER_NAME: Final = 1
_EVENT: Final = b"aaa:event=acl-download"
_NAME: Final = re.compile(rb"#ACSACL#-IP-[a-z][a-z0-9-]{0,31}-[0-9a-f]{16}\Z")


def acl_name(place: Place) -> str:
    """The name by which a switch asks for the rules of ``place``."""
    text = "\n".join(_texts(place))
    return f"{PREFIX}{place.name}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"


def acl_attributes(place: Place) -> list[Attribute]:
    """The rules as the answer to the request carries them."""
    return [encoded("Cisco-AVPair", f"ip:inacl#{n}={text}") for n, text in enumerate(_texts(place), 1)]


def fits_download(place: Place) -> bool:
    """Whether the rules fit into one answer."""
    return sum(len(value) + 2 for _, value in acl_attributes(place)) <= MAX_OCTETS


def is_download(request: Packet) -> bool:
    """Whether a switch asks for an ACL: such a request opens no session, and is no failed log-in either."""
    # Asked of each request: nearly all are told apart by their name's beginning.
    if not (request.first(_USER_NAME) or b"").startswith(_BEGINNING) or request.code != Code.ACCESS_REQUEST:
        return False
    return _EVENT in request.vendor(_CISCO, 1)


class Downloads:
    """The ACLs that can be asked for: of the places in force, and the rules that they had just before.

    A switch asks within moments of being told, but the places may change in those moments.
    """

    def __init__(self, places: Iterable[Place], before: Downloads | None = None) -> None:
        now = {acl_name(place): place for place in places if place.acl_rules}
        self._now: Mapping[str, Place] = now
        self._former: Mapping[str, Place] = before._now if before is not None else {}

    def acl_download(self, request: Packet) -> list[Attribute] | None:
        """The attributes of the Access-Accept for a request that asks for an ACL; None if there is no such ACL.

        The caller has checked the Message-Authenticator, and answers None with an Access-Reject.
        """
        name = request.first(_USER_NAME) or b""
        if not is_download(request) or not _NAME.match(name):
            return None
        place = self._now.get(name.decode()) or self._former.get(name.decode())
        return None if place is None else acl_attributes(place)


def _texts(place: Place) -> list[str]:
    return [ios(rule, 4) for rule in of_family(place.acl_rules, 4)]
