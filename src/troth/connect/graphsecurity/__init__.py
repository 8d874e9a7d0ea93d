"""Alerts of every Microsoft security product, by Microsoft Graph's ``alerts_v2``: polled, and hurried by notifications.

``mapping`` has every table of its words; ``reads`` asks for pages of them; ``notices`` reads what Graph pushes.
Documented behaviour, not tried live.
"""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from msgspec import Meta

from troth.connect import microsoft
from troth.connect.connector import Vendor
from troth.connect.definition import ConnectorDefinition
from troth.connect.graphsecurity.mapping import ENTRA_DEVICE, ENTRA_USER, MACHINE
from troth.connect.graphsecurity.reads import GraphSecurity


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``options:`` of a connector for Graph's security alerts.

    Attributes:
        lookback_hours: how far back the first look goes.
        notify_url: where Graph is to say that there is something new: ``https://<troth>/connect/graph-security/NAME``.
            Empty: it is asked for by ``poll_seconds`` alone.
        resource: what the subscription is for.
    """

    lookback_hours: Annotated[int, Meta(ge=1, le=720)] = 24
    notify_url: Annotated[str, Meta(max_length=500)] = ""
    resource: Annotated[str, Meta(max_length=300)] = "security/alerts_v2"


def _check(definition: ConnectorDefinition, options: Options) -> tuple[str, str] | None:
    if options.notify_url and not options.notify_url.startswith("https://"):
        return "options.notify_url", "an https address that Microsoft can reach"
    return microsoft.check(definition)


GRAPH_SECURITY: Final = Vendor(
    name="graph-security",
    title="Microsoft Graph security alerts",
    make=GraphSecurity,
    options=Options,
    secrets={**microsoft.SECRETS, "client_state": "what Graph repeats with each notification: 16 to 128 characters"},
    clouds=microsoft.GRAPH_CLOUDS,
    hosts=microsoft.HOSTS,
    tenancy="microsoft",
    check=_check,
    systems=(ENTRA_DEVICE, ENTRA_USER, MACHINE),
    push_secrets=frozenset({"client_state"}),
    pushes=True,
)
