"""Settings of shared signals."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct


class SsfSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Shared signals (OpenID SSF 1.0), received. Transmitters must be allowed under `egress` as well."""

    keep_days: Annotated[
        int,
        Meta(
            ge=1,
            le=366,
            description="Tokens issued longer ago are refused, and those that were taken are remembered for so long: "
            "a repetition could not be told after it.",
            extra={"unit": "days"},
        ),
    ] = 30
    poll_seconds: Annotated[
        int,
        Meta(
            ge=5, le=300, description="How long a transmitter may keep a poll waiting for tokens.",
            extra={"unit": "seconds"},
        ),
    ] = 60  # fmt: skip
