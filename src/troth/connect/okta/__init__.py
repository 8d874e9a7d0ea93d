"""Okta, by its documented API: the System Log, users, and event hooks.

``mapping`` has every table of its words; ``reads`` asks for pages of them; ``hook`` reads what Okta pushes.
Documented behaviour, not tried live. Sources: Okta's reference of the System Log, users and event hooks as of 2026.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from troth.connect.connector import Vendor
from troth.connect.definition import ConnectorDefinition
from troth.connect.okta.mapping import USER
from troth.connect.okta.reads import Okta


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``options:`` of an Okta connector.

    Attributes:
        read: what to read; each needs its scope.
        lookback_hours: how far back the first look at the log goes.
        key_id: ``kid`` of the private key, as the application shows it.
    """

    read: tuple[Literal["log", "users"], ...] = ("log", "users")
    lookback_hours: Annotated[int, Meta(ge=1, le=720)] = 24
    key_id: Annotated[str, Meta(pattern=r"\A[\x21-\x7e]{0,128}\Z")] = ""


def _check(definition: ConnectorDefinition, _options: Options) -> tuple[str, str] | None:
    if not definition.base_url:
        return "base_url", "the organisation's own address: https://corp.okta.com"
    return None


OKTA: Final = Vendor(
    name="okta",
    title="Okta",
    make=Okta,
    options=Options,
    secrets={
        "private_key": "PEM key of the API services application whose client_id stands in the definition",
        "api_token": "an API token (SSWS) in its place",
        "hook_secret": "what event hooks send as Authorization",
    },
    hosts=("*.okta.com", "*.oktapreview.com", "*.okta-emea.com", "*.okta-gov.com", "*.okta.mil"),
    check=_check,
    systems=(USER,),
    push_secrets=frozenset({"hook_secret"}),
    pushes=True,
)
