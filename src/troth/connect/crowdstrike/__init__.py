"""CrowdStrike Falcon, by its documented API: alerts, containment, hosts, Zero Trust Assessment, and the event stream.

``mapping`` has every table of its words; ``reads`` asks for pages of them; ``stream`` holds the event stream.
Documented behaviour, not tried live. Field names: CrowdStrike's OpenAPI documents as of 2026, by way of falconpy 1.6.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from troth.connect.connector import Vendor
from troth.connect.crowdstrike.reads import Falcon
from troth.connect.definition import ConnectorDefinition


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``options:`` of a CrowdStrike connector.

    Attributes:
        read: what to read; each needs its scope.
        lookback_hours: how far back the first look at alerts goes.
        score_seconds: pause between two readings of assessments.
        app_id: by which the event stream knows its one consumer; needed with ``stream``.
        trust_serial: whether the serial numbers that sensors report are believed: what is known by them may then clear
            and grant. Without it they may only raise (nothing attests them).
    """

    read: tuple[Literal["alerts", "containment", "hosts", "scores", "stream"], ...] = (
        "alerts", "containment", "hosts", "scores",
    )  # fmt: skip
    lookback_hours: Annotated[int, Meta(ge=1, le=720)] = 24
    score_seconds: Annotated[int, Meta(ge=60, le=86_400)] = 3600
    app_id: Annotated[str, Meta(pattern=r"\A[A-Za-z0-9]{0,32}\Z")] = ""
    trust_serial: bool = False


def _check(definition: ConnectorDefinition, options: Options) -> tuple[str, str] | None:
    if not definition.client_id:
        return "client_id", "the client id of an API client of Falcon's"
    if "stream" in options.read and not options.app_id:
        return "options.app_id", "the event stream needs a name of 1 to 32 letters and digits, one for each consumer"
    return None


CROWDSTRIKE: Final = Vendor(
    name="crowdstrike",
    title="CrowdStrike Falcon",
    make=Falcon,
    options=Options,
    secrets={"client_secret": "the API client's secret"},
    clouds={
        "us-1": "https://api.crowdstrike.com",
        "us-2": "https://api.us-2.crowdstrike.com",
        "eu-1": "https://api.eu-1.crowdstrike.com",
        "us-gov-1": "https://api.laggar.gcw.crowdstrike.com",
        "us-gov-2": "https://api.us-gov-2.crowdstrike.mil",
    },
    hosts=("*.crowdstrike.com", "api.us-gov-2.crowdstrike.mil", "firehose.us-gov-2.crowdstrike.mil"),
    systems=("crowdstrike.aid",),
    check=_check,
)
