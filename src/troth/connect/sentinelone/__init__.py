"""SentinelOne, by its documented API (v2.1): threats, agents, and who is cut off the network.

``mapping`` has every table of its words; ``reads`` asks for pages of them. Documented behaviour, not tried live.
Field names: samples of the management API 2.1 as integrations publish them, 2026.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from troth.connect.connector import Vendor
from troth.connect.definition import ConnectorDefinition
from troth.connect.sentinelone.mapping import AGENT
from troth.connect.sentinelone.reads import SentinelOne


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``options:`` of a SentinelOne connector.

    Attributes:
        read: what to read.
        lookback_hours: how far back the first look goes.
        trust_serial: whether the serial numbers that agents report are believed (see docs/connectors.md).
    """

    read: tuple[Literal["threats", "isolation", "agents"], ...] = ("threats", "isolation", "agents")
    lookback_hours: Annotated[int, Meta(ge=1, le=720)] = 24
    trust_serial: bool = False


def _check(definition: ConnectorDefinition, _options: Options) -> tuple[str, str] | None:
    if not definition.base_url:
        return "base_url", "the console's own address: https://corp.sentinelone.net"
    return None


SENTINELONE: Final = Vendor(
    name="sentinelone",
    title="SentinelOne",
    make=SentinelOne,
    options=Options,
    secrets={"api_token": "the API token of a service user"},
    hosts=("*.sentinelone.net",),
    check=_check,
    systems=(AGENT,),
)
