"""Jamf Pro, by its documented API: computers, the smart group of those that do not comply, and webhooks.

``mapping`` has every table of its words; ``reads`` asks for pages of them; ``hook`` reads what Jamf pushes. Mobile
devices are not read. Documented behaviour, not tried live. Sources: the Jamf Pro API reference (11.x) and its webhooks.
"""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from msgspec import Meta

from troth.connect.connector import Vendor
from troth.connect.definition import ConnectorDefinition
from troth.connect.jamf.mapping import COMPUTER, UDID
from troth.connect.jamf.reads import Jamf


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``options:`` of a Jamf Pro connector.

    Attributes:
        lookback_hours: how far back the first look goes.
        noncompliant_group: number of the smart group whose members do not comply; empty: none is read.
        trust_serial: whether the serial numbers in Jamf's inventory are believed (docs/connectors.md).
        quarantine_group: number of the static group that ``jamf.withdraw_profiles`` puts a computer into.
    """

    lookback_hours: Annotated[int, Meta(ge=1, le=720)] = 24
    noncompliant_group: Annotated[str, Meta(pattern=r"\A[0-9]{0,10}\Z")] = ""
    trust_serial: bool = False
    quarantine_group: Annotated[str, Meta(pattern=r"\A[0-9]{0,10}\Z")] = ""


def _check(definition: ConnectorDefinition, _options: Options) -> tuple[str, str] | None:
    if not definition.base_url:
        return "base_url", "the server's own address: https://corp.jamfcloud.com"
    if not definition.client_id:
        return "client_id", "the client id of an API client"
    return None


JAMF: Final = Vendor(
    name="jamf",
    title="Jamf Pro",
    make=Jamf,
    options=Options,
    secrets={
        "client_secret": "the API client's secret",
        "webhook_secret": "what webhooks send: user:password, or the value of the Authorization header",
    },
    hosts=("*.jamfcloud.com",),
    check=_check,
    systems=(UDID, COMPUTER),
    push_secrets=frozenset({"webhook_secret"}),
    pushes=True,
)
