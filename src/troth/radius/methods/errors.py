"""Why a device without a certificate does not get in, and what can be wrong with the lists."""

from __future__ import annotations

from troth.kit.errors import TrothError, reason

CERTIFIED = reason(
    "radius.mab.certified",
    "this address belongs to a device that has a certificate",
    fix="Somebody may have taken its address. If the device lost its certificate, enrol it again.",
    status=403,
)
UNLISTED = reason(
    "radius.mab.unlisted",
    "this address is on no list of devices that may join without a certificate",
    fix="Put the device into the directory under its address, or `troth mab add ADDRESS --note WHY`.",
    status=403,
)
WRONG_PASSWORD = reason(
    "radius.pap.refused",
    "no such account, or not its password",
    fix="`troth pap list` shows the accounts; `troth pap add NAME` makes a new password.",
    status=403,
)
OPEN_WAY = reason(
    "radius.pap.udp",
    "this account's password may not be told over UDP",
    fix="Have the access server speak RadSec, or make the account with --udp.",
    status=403,
)
NO_CHAP = reason(
    "radius.pap.chap",
    "CHAP needs a password that can be read, and none is kept",
    fix="Set the access server to PAP (inside RadSec), or give the device a certificate.",
    status=403,
)
GUESSES = reason(
    "radius.pap.guesses",
    "too many wrong passwords",
    fix="Wait a minute. If nobody here mistyped, look at the access server they came from.",
    status=429,
)
ADDRESS_INVALID = reason(
    "radius.mab.address_invalid",
    "this is no address of a device",
    fix="Write it as 02-00-5e-10-00-01 or in any usual way.",
    status=422,
)
ADDRESS_UNKNOWN = reason(
    "radius.mab.address_unknown",
    "this address is not on the list",
    fix="List them with `troth mab list`.",
    status=404,
)
ACCOUNT_INVALID = reason(
    "radius.pap.account_invalid",
    "this is no name for an account",
    fix="1 to 63 letters, digits, dots, hyphens and underscores, and no address of a device.",
    status=422,
)
ACCOUNT_UNKNOWN = reason(
    "radius.pap.account_unknown",
    "there is no such account",
    fix="List them with `troth pap list`.",
    status=404,
)
LISTS_FULL = reason(
    "radius.methods.full",
    "as many devices without certificates as may be",
    fix="Give certificates to those that can have one, and remove the others that are gone.",
    status=409,
)


class MethodError(TrothError):
    """Something about devices without certificates is not right."""
