"""Settings of networks: the section ``[network]``. See ``settings``."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct


class NetworkSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is kept of who joined a network. Networks themselves are a document: `troth apply`."""

    keep_conversations_days: Annotated[
        int,
        Meta(description="Days for which attempts to join are kept with their timelines.", ge=1, le=3_650),
    ] = 30
