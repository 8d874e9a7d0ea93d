"""Settings of policies: the section ``[policy]``. See ``settings``."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct


class PolicySettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What may be applied unasked: a policy that takes from more of the fleet wants `--yes`. The larger counts."""

    guard_percent: Annotated[
        int,
        Meta(
            ge=0, le=100, description="Share of the certificates out that may lose by one policy.", extra={"unit": "%"}
        ),
    ] = 10
    guard_subjects: Annotated[int, Meta(ge=0, description="Number of subjects that may lose by one policy.")] = 10
