"""What can be wrong with a place, and with what a vendor can make of it."""

from __future__ import annotations

from troth.kit.errors import TrothError, reason

PLACE_INVALID = reason(
    "radius.place.invalid",
    "the definition of this place does not hold together",
    fix="Correct the named field and apply the file again; nothing of it was applied.",
    status=422,
)
PLACE_UNKNOWN = reason(
    "radius.place.unknown",
    "there is no such place",
    fix="List the places with `troth place list`; define one under `places:` and apply it.",
    status=404,
)
PLACE_IN_USE = reason(
    "radius.place.in_use",
    "networks still lead to this place",
    fix="Have the named networks lead elsewhere first, then remove it.",
    status=409,
)
NOT_EXPRESSIBLE = reason(
    "radius.place.not_expressible",
    "this equipment cannot be told of the place, and a milder one is not given instead",
    fix="Give the place a VLAN (every vendor takes one by its number), or say in `essential:` what it can do without.",
    status=422,
)
VENDOR_UNKNOWN = reason(
    "radius.place.vendor_unknown",
    "there is no data for this vendor",
    fix="The detail lists the vendors there are; `generic` is what the RFCs say and nothing else.",
    status=422,
)
SNIPPET_INVALID = reason(
    "radius.place.snippet",
    "no configuration can be written for this",
    fix="Name the IP address and the ports by which the equipment reaches Troth.",
    status=422,
)


class PlaceError(TrothError):
    """Something is wrong with a place."""


class PlaceInvalid(PlaceError):
    """A definition was refused; ``facts`` holds place and field."""


class PlaceUnknown(PlaceError):
    """No place of that name."""


class NotExpressible(PlaceError):
    """What is essential to a place cannot be said to this equipment: reject instead."""


class VendorUnknown(PlaceError):
    """No vendor of that name."""


class VendorDataWrong(Exception):
    """A file that ships with Troth is wrong; its name and the field are in the message. A defect of ours."""
