"""What a vendor's equipment must be configured with, to be copied: servers, times, dynamic authorization, accounting.

A secret stands in none of these: where it belongs, :data:`PLACEHOLDER` is written, and people put it there themselves.
"""

from __future__ import annotations

import ipaddress
import string
from importlib import resources
from typing import Final

from troth.radius.places.errors import SNIPPET_INVALID, PlaceError
from troth.radius.places.vendors import vendor

#: Stands where the shared secret belongs.
PLACEHOLDER: Final = "THE-SHARED-SECRET"


def snippet(vendor_name: str, *, server: str, auth_port: int = 1812, acct_port: int = 1813) -> str:
    """The configuration for a vendor's equipment that asks ``server`` (an IP address).

    Raises VendorUnknown; PlaceError (``radius.place.snippet``) for what is no address or port.
    """
    known = vendor(vendor_name)
    try:
        address = ipaddress.ip_address(server)
    except ValueError as error:
        raise PlaceError(SNIPPET_INVALID, f"{server[:80]!r} is no IP address") from error
    if not (0 < auth_port < 65_536 and 0 < acct_port < 65_536) or "%" in server:
        raise PlaceError(SNIPPET_INVALID, "a port is a number from 1 to 65535, an address has no zone")
    text = resources.files("troth.radius.places").joinpath("snippets").joinpath(f"{known.name}.txt").read_text("utf-8")
    values = {"server": str(address), "auth_port": auth_port, "acct_port": acct_port, "secret": PLACEHOLDER}
    return string.Template(text).substitute(values)
