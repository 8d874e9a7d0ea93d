"""The RADIUS server's own certificate, as API and pages show it."""

from __future__ import annotations

from datetime import datetime

from msgspec import Struct


class AnchorView(Struct, frozen=True, kw_only=True):
    """The root that devices are to trust. ``sha256`` is hexadecimal."""

    subject: str
    sha256: str
    not_after: datetime
    pem: str


class RadiusIdentityView(Struct, frozen=True, kw_only=True):
    """What the RADIUS server shows devices.

    ``name``: what they are told to expect. ``chain``: PEM, leaf first, as it is sent. ``authority``, ``renewed_at``:
    who issued it, and when there will be a new one; empty and null for a certificate that people keep in a file.
    ``anchor``: null where the file has no root. ``supplicant``: lines of wpa_supplicant's network block that say all
    that matters of it. ``second``: shown to devices that do not do ECDSA, where there is one.
    """

    name: str
    serial: str
    sha256: str
    issuer: str
    authority: str
    not_before: datetime
    not_after: datetime
    renewed_at: datetime | None
    chain: str
    anchor: AnchorView | None
    supplicant: str
    second: RadiusIdentityView | None = None
