"""What a process's control group says of it: its systemd unit, its container, its pod.

A path counts only from the root down, through groups that no ordinary user can make: a user's own manager
(``user.slice``) is handed a subtree of its own, in which anybody may have a ``shop.service``, and so is a unit with
``Delegate=``. What comes below the first unit, container or pod is that one's own business.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

MAX_BYTES = 65_536

_POD = re.compile(r"(?:.+-)?pod([0-9a-f]{8}(?:[-_][0-9a-f]{4}){3}[-_][0-9a-f]{12}|[0-9a-f]{32})(?:\.slice)?\Z")
_CONTAINER = re.compile(r"(?:(?:docker|cri-containerd|crio|libpod|containerd)[-:])?([0-9a-f]{64})(?:\.scope)?\Z")
_SERVICE = re.compile(r"[A-Za-z0-9:_.\\@-]{1,250}\.service\Z")
_KUBEPODS = re.compile(r"(?:kubelet-)?kubepods(?:\.slice)?\Z")


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a process lives. Empty: not there, or not to be believed."""

    unit: str = ""
    container: str = ""
    pod: str = ""


NOWHERE = Placement()


def read(text: str) -> Placement:
    """The placement in the contents of ``/proc/PID/cgroup``.

    The unified hierarchy counts; where there is none (cgroup v1), systemd's own. Anything malformed places nowhere.
    """
    paths: dict[str, str] = {}
    for line in text[:MAX_BYTES].splitlines():
        number, _, rest = line.partition(":")
        controllers, colon, path = rest.partition(":")
        if colon and path.startswith("/"):
            paths.setdefault("" if number == "0" else controllers, path)
    unified = paths.get("", "/")
    return place(unified if unified != "/" else paths.get("name=systemd", "/"))


def place(path: str) -> Placement:
    """The placement of one control group, as seen from the root of the hierarchy."""
    parts = path.strip("/").split("/")
    if ".." in parts or parts == [""]:
        # Seen from inside a namespace: what lies above is hidden, so nothing can be said.
        return NOWHERE
    if parts[0] == "docker" and len(parts) > 1:
        return Placement(container=_match(_CONTAINER, parts[1]))
    at = 0
    if parts[0] == "kubelet.slice":
        at = 1
    if at < len(parts) and _KUBEPODS.match(parts[at]):
        return _pod(parts[at + 1 :])
    for part in parts:
        if part == "user.slice":
            return NOWHERE
        if part.endswith(".slice"):
            continue
        if _SERVICE.match(part):
            return Placement(unit=part)
        return Placement(container=_match(_CONTAINER, part))
    return NOWHERE


def _pod(parts: list[str]) -> Placement:
    """Below kubepods: at most a class of service, then the pod, then its container."""
    for index, part in enumerate(parts[:2]):
        pod = _match(_POD, part)
        if pod:
            below = parts[index + 1] if index + 1 < len(parts) else ""
            return Placement(container=_match(_CONTAINER, below), pod=pod.replace("_", "-"))
    return NOWHERE


def _match(pattern: re.Pattern[str], text: str) -> str:
    found = pattern.match(text)
    return found[1] if found else ""
