"""Why a device's configuration is not written."""

from __future__ import annotations

from troth.kit.errors import TrothError, reason

SUPPLICANT_INVALID = reason(
    "radius.supplicant.invalid",
    "no configuration can be written for devices from this",
    fix="Correct what the detail names: SSID, the server's names, its root, or where the device has its certificate.",
    status=422,
)


class SupplicantRefused(TrothError):
    """What was asked for makes no configuration."""
