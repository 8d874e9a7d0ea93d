"""Intune, by Microsoft Graph v1.0: compliance, threats that its partners report, devices that are wiped or retired.

``mapping`` has every table of its words; ``reads`` asks for pages of them. Documented behaviour, not tried live.
"""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from msgspec import Meta

from troth.connect import microsoft
from troth.connect.connector import Vendor
from troth.connect.definition import ConnectorDefinition
from troth.connect.intune.mapping import ENTRA_DEVICE, MANAGED
from troth.connect.intune.reads import Intune


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``options:`` of an Intune connector.

    Attributes:
        lookback_hours: how far back the first look goes.
        trust_serial: whether the serial numbers that devices report to Intune are believed (docs/connectors.md).
        quarantine_group: object id of the group that ``intune.withdraw_profiles`` puts a device into.
    """

    lookback_hours: Annotated[int, Meta(ge=1, le=720)] = 24
    trust_serial: bool = False
    quarantine_group: Annotated[str, Meta(max_length=64)] = ""


def _check(definition: ConnectorDefinition, _options: Options) -> tuple[str, str] | None:
    return microsoft.check(definition)


INTUNE: Final = Vendor(
    name="intune",
    title="Microsoft Intune",
    make=Intune,
    options=Options,
    secrets=microsoft.SECRETS,
    clouds=microsoft.GRAPH_CLOUDS,
    hosts=microsoft.HOSTS,
    tenancy="microsoft",
    check=_check,
    systems=(MANAGED, ENTRA_DEVICE),
)
