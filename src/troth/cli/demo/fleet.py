"""The invented fleet: forty devices of twelve people. Nobody and nothing in it exists, and every page says so.

Most devices are well. A few are not, each in another way, so that a policy has something to decide.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import yaml

#: Everything that the demonstration makes is of this source, in this group, and named like this.
SOURCE: Final = "demo"
GROUP: Final = "demo"
PREFIX: Final = "demo-"
DOMAIN: Final = "demo.example"
LABEL: Final = "Invented by `troth demo`; it does not exist."

#: The device that the story is about.
HERO: Final = "demo-laptop-07"
#: The server that proves control of its address by ACME. All of 127.0.0.0/8 is this machine, and no DNS is needed.
SERVER: Final = "demo-server"
SERVER_ADDRESS: Final = "127.0.40.40"

EDR, MDM, SENSOR = "demo-edr", "demo-mdm", "demo-sensor"
#: The sensor's signals reach this many subjects in a window before a person must look.
SENSOR_CAP: Final = 3
SENSOR_WINDOW: Final = 60

_PEOPLE = ("ada", "ben", "cleo", "dev", "eva", "finn", "gita", "hugo", "ines", "jon", "kira", "leo")
#: Gone from the company; the account is disabled.
_FORMER = "leo"
_KINDS = (("laptop", 24, "linux"), ("phone", 10, "android"), ("tablet", 6, "ios"))


@dataclass(frozen=True, slots=True)
class Device:
    """One invented device.

    Attributes:
        risk: what the invented EDR makes of it, 0 to 100; None: it never said.
        compliant: what the invented MDM says; None: it never said.
        reported: how long ago that was.
    """

    name: str
    owner: str
    platform: str
    risk: int | None = 8
    compliant: bool | None = True
    reported: timedelta = timedelta(minutes=4)

    @property
    def dns_name(self) -> str:
        """The name in its certificate."""
        return f"{self.name}.{DOMAIN}"


#: The devices that are not like the others.
_ODD: dict[str, dict[str, Any]] = {
    "demo-laptop-11": {"reported": timedelta(hours=3)},
    "demo-laptop-19": {"risk": 64},
    "demo-phone-03": {"compliant": None},
    "demo-phone-08": {"compliant": False},
    "demo-tablet-02": {"risk": None},
    "demo-tablet-05": {"risk": 91},
    "demo-laptop-24": {"owner": f"{PREFIX}{_FORMER}"},
}


def devices() -> tuple[Device, ...]:
    """The forty."""
    return tuple(_devices())


def _devices() -> Iterator[Device]:
    present = [person for person in _PEOPLE if person != _FORMER]
    number = 0
    for kind, count, platform in _KINDS:
        for place in range(1, count + 1):
            name = f"{PREFIX}{kind}-{place:02}"
            fields: dict[str, Any] = {"owner": f"{PREFIX}{present[number % len(present)]}", "platform": platform}
            yield Device(name=name, **(fields | _ODD.get(name, {})))
            number += 1


def storm() -> tuple[Device, ...]:
    """Those that the broken sensor accuses: twelve healthy laptops, the hero not among them."""
    healthy = [one for one in devices() if "laptop" in one.name and one.name not in _ODD and one.name != HERO]
    return tuple(healthy[:12])


def directory(now: datetime) -> str:
    """The directory file of the fleet, as it was observed just before ``now``."""
    users = [
        {
            "name": f"{PREFIX}{person}",
            "enabled": person != _FORMER,
            "email": f"{person}@{DOMAIN}",
            "groups": [GROUP],
            "attributes": {"description": LABEL},
        }
        for person in _PEOPLE
    ]
    workloads = [
        {
            "name": SERVER,
            "environment": "demo",
            "groups": [GROUP],
            "names": [SERVER_ADDRESS],
            "attributes": {"description": LABEL},
        }
    ]
    document = {
        "source": SOURCE,
        "users": users,
        "devices": [_declared(one, now) for one in devices()],
        "workloads": workloads,
    }
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True)


def nobody() -> str:
    """The directory file of an empty fleet: with pruning, it removes the other."""
    return yaml.safe_dump({"source": SOURCE, "users": [], "devices": [], "workloads": []}, sort_keys=False)


def _declared(one: Device, now: datetime) -> dict[str, Any]:
    posture = []
    if one.compliant is not None:
        posture.append(_report(MDM, now - one.reported, {"posture.compliant": one.compliant}))
    if one.risk is not None:
        posture.append(_report(EDR, now - timedelta(minutes=2), {"risk.score": one.risk}))
    return {
        "name": one.name,
        "owner": one.owner,
        "managed": True,
        "platform": one.platform,
        "groups": [GROUP],
        "names": [one.dns_name],
        "attributes": {"description": LABEL},
        "posture": posture,
    }


def _report(source: str, at: datetime, values: dict[str, Any]) -> dict[str, Any]:
    return {"source": source, "observed_at": at.replace(microsecond=0), "values": values}


def feeds(*, suspended: bool = False) -> str:
    """The feeds of the fleet: what each may say, about the fleet alone, and how far it may go."""
    cap = {"percent": 0, "subjects": SENSOR_CAP, "window_seconds": SENSOR_WINDOW}

    def feed(name: str, *kinds: str, **more: Any) -> dict[str, Any]:
        # Each with a scope of its own: what two shared would be written as an alias, which documents may not hold.
        scope = {"subjects": ["device"], "groups": [GROUP]}
        return {
            "name": name, "kinds": list(kinds), **more, "scope": scope, "greatest_effect": "quarantined",
            "suspended": suspended,
        }  # fmt: skip

    defined = [feed(EDR, "edr.*"), feed(MDM, "mdm.*", "edr.*"), feed(SENSOR, "network.*", "edr.*", cap=cap)]
    return yaml.safe_dump({"feeds": defined}, sort_keys=False)
