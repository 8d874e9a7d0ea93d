"""Entra ID, by Microsoft Graph v1.0: users at risk, accounts disabled or deleted, devices and their compliance.

``mapping`` has every table of its words; ``reads`` asks for pages of them. Documented behaviour, not tried live.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from troth.connect import microsoft
from troth.connect.connector import Vendor
from troth.connect.definition import ConnectorDefinition
from troth.connect.entra.mapping import DEVICE, OBJECT, USER
from troth.connect.entra.reads import Entra


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``options:`` of an Entra ID connector.

    Attributes:
        read: what to read; each needs its permission, and ``risk`` a licence (P2).
        lookback_hours: how far back the first look at risks goes.
    """

    read: tuple[Literal["risk", "users", "devices"], ...] = ("risk", "users", "devices")
    lookback_hours: Annotated[int, Meta(ge=1, le=720)] = 24


def _check(definition: ConnectorDefinition, _options: Options) -> tuple[str, str] | None:
    return microsoft.check(definition)


ENTRA: Final = Vendor(
    name="entra",
    title="Microsoft Entra ID",
    make=Entra,
    options=Options,
    secrets=microsoft.SECRETS,
    clouds=microsoft.GRAPH_CLOUDS,
    hosts=microsoft.HOSTS,
    tenancy="microsoft",
    check=_check,
    systems=(USER, DEVICE, OBJECT),
)
