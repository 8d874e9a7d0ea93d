"""Microsoft Defender for Endpoint, by its own API: alerts, machines with their risk, and who is isolated.

``mapping`` has every table of its words; ``reads`` asks for pages of them. Documented behaviour, not tried live.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from troth.connect import microsoft
from troth.connect.connector import Vendor
from troth.connect.defender.mapping import ENTRA_DEVICE, MACHINE
from troth.connect.defender.reads import Defender
from troth.connect.definition import ConnectorDefinition


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``options:`` of a Defender connector.

    Attributes:
        read: what to read; each needs its permission.
        lookback_hours: how far back the first look goes.
        isolation_type: how ``defender.isolate`` cuts a machine off; ``Selective`` leaves mail and chat open.
    """

    read: tuple[Literal["alerts", "machines", "isolation"], ...] = ("alerts", "machines", "isolation")
    lookback_hours: Annotated[int, Meta(ge=1, le=720)] = 24
    isolation_type: Literal["Full", "Selective"] = "Full"


def _check(definition: ConnectorDefinition, _options: Options) -> tuple[str, str] | None:
    return microsoft.check(definition)


DEFENDER: Final = Vendor(
    name="defender",
    title="Microsoft Defender for Endpoint",
    make=Defender,
    options=Options,
    secrets=microsoft.SECRETS,
    clouds={
        "global": "https://api.security.microsoft.com",
        "us-gcc": "https://api-gcc.securitycenter.microsoft.us",
        "us-gov": "https://api-gov.securitycenter.microsoft.us",
    },
    hosts=microsoft.HOSTS,
    tenancy="microsoft",
    check=_check,
    systems=(MACHINE, ENTRA_DEVICE),
)
