"""Settings of sessions on the network: the section ``[radius_sessions]``. See ``settings``."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct


class SessionSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who is on the network: accounting, and how sessions are ended and moved (docs/radius.md)."""

    interim_seconds: Annotated[
        int,
        Meta(
            ge=60,
            le=86_400,
            description="How often access servers tell how a session goes, as each Accept says "
            "(Acct-Interim-Interval). A session that has told so and is silent for three of them is over.",
            extra={"unit": "seconds"},
        ),
    ] = 600
    silent_hours: Annotated[
        int,
        Meta(
            ge=1,
            le=8_760,
            description="A session that neither tells how it goes nor has a Session-Timeout is over after so long.",
            extra={"unit": "hours"},
        ),
    ] = 24
    keep_days: Annotated[
        int, Meta(ge=1, le=3_650, description="Sessions that ended are kept for so long.", extra={"unit": "days"})
    ] = 90
    at_once: Annotated[
        int, Meta(ge=1, le=255, description="Requests (CoA, Disconnect) that wait for one access server at most.")
    ] = 16
    per_second: Annotated[
        int, Meta(ge=1, le=10_000, description="New requests to one access server in a second at most.")
    ] = 100
    rejudge_per_minute: Annotated[
        int,
        Meta(
            ge=0,
            le=100_000,
            description="When a policy, network or place is applied, so many sessions in a minute are judged anew. "
            "0: none; they are when their Session-Timeout is over.",
        ),
    ] = 600
