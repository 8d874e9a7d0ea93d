"""What a refusal of a Disconnect-Request or CoA-Request means to us (RFC 5176, section 3.5: Error-Cause)."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final


class Meaning(StrEnum):
    """What to do about it."""

    #: The session is not there (any more): close it; nothing is left to be done.
    GONE = "gone"
    #: The request is not what this equipment takes: our data or the site's settings are wrong. Tell people, go on.
    WRONG = "wrong"
    #: Dynamic authorization is switched off there, or not for us. Tell people; no further rung can succeed.
    FORBIDDEN = "forbidden"
    #: Not now: try the same again later.
    BUSY = "busy"
    #: This cannot be done to this session: go on to the next rung.
    CANNOT = "cannot"
    #: It was done, or the equipment goes on with it: as good as an ACK.
    DONE = "done"


#: Error-Cause → meaning, where the vendor does not say otherwise.
MEANINGS: Final[Mapping[int, Meaning]] = {
    201: Meaning.DONE,  # Residual Session Context Removed: only leftovers were there, and they are gone
    202: Meaning.WRONG,  # Invalid EAP Packet (Ignored)
    401: Meaning.WRONG,  # Unsupported Attribute
    402: Meaning.WRONG,  # Missing Attribute
    403: Meaning.WRONG,  # NAS Identification Mismatch
    404: Meaning.WRONG,  # Invalid Request
    405: Meaning.CANNOT,  # Unsupported Service
    406: Meaning.CANNOT,  # Unsupported Extension
    407: Meaning.WRONG,  # Invalid Attribute Value
    501: Meaning.FORBIDDEN,  # Administratively Prohibited
    502: Meaning.BUSY,  # Request Not Routable (Proxy)
    503: Meaning.GONE,  # Session Context Not Found
    504: Meaning.CANNOT,  # Session Context Not Removable
    505: Meaning.CANNOT,  # Other Proxy Processing Error
    506: Meaning.BUSY,  # Resources Unavailable
    507: Meaning.CANNOT,  # Request Initiated: it wants an Authorize Only round that we do not offer
    508: Meaning.WRONG,  # Multiple Session Selection Unsupported: what we named fits several
}
