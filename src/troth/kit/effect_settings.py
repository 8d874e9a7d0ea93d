"""Settings of effects: the section ``[effects]``. See ``settings``."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct


class EffectSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a change of standing sets going outside (docs/enforcement.md): how long it is tried and remembered."""

    timeout_seconds: Annotated[
        int, Meta(ge=1, le=50, description="Longest time for one try at a target.", extra={"unit": "seconds"})
    ] = 20
    give_up_hours: Annotated[
        int,
        Meta(ge=1, le=720, description="What has failed that long is a dead letter.", extra={"unit": "hours"}),
    ] = 24
    keep_days: Annotated[
        int, Meta(ge=1, le=3650, description="Effects that ended are kept for so long.", extra={"unit": "days"})
    ] = 90
