"""Google Workspace, by its documented APIs: log-ins and administrators' acts (Reports), suspended users (Directory).

``mapping`` has every table of its words; ``reads`` asks for pages of them; ``channel`` reads what Google pushes. The
Alert Center and devices are not read. Documented behaviour, not tried live. Sources: the Admin SDK's reference, 2026.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from troth.connect.connector import Vendor
from troth.connect.definition import ConnectorDefinition
from troth.connect.google.mapping import USER
from troth.connect.google.reads import Google


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``options:`` of a Google Workspace connector.

    Attributes:
        admin: address of the administrator for whom the service account acts (domain-wide delegation).
        read: what to read; each needs its scope.
        lookback_hours: how far back the first look goes.
        notify_url: where Google is to say that there is something new: ``https://<troth>/connect/google/NAME``.
    """

    admin: Annotated[str, Meta(max_length=254)] = ""
    read: tuple[Literal["logins", "admin", "suspended", "users"], ...] = ("logins", "admin", "suspended", "users")
    lookback_hours: Annotated[int, Meta(ge=1, le=720)] = 24
    notify_url: Annotated[str, Meta(max_length=500)] = ""


def _check(_definition: ConnectorDefinition, options: Options) -> tuple[str, str] | None:
    if "@" not in options.admin:
        return "options.admin", "the address of an administrator for whom the service account may act"
    if options.notify_url and not options.notify_url.startswith("https://"):
        return "options.notify_url", "an https address that Google can reach"
    return None


GOOGLE: Final = Vendor(
    name="google",
    title="Google Workspace",
    make=Google,
    options=Options,
    secrets={
        "service_account": "the JSON key of a service account",
        "channel_token": "what Google repeats with each notification: 16 to 128 characters",
    },
    clouds={"global": "https://admin.googleapis.com"},
    hosts=("admin.googleapis.com", "oauth2.googleapis.com"),
    check=_check,
    systems=(USER,),
    push_secrets=frozenset({"channel_token"}),
    pushes=True,
)
