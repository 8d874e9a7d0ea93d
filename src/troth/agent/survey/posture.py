"""How the host is: facts that the kernel, the firmware and the distribution tell. Linux; screen locks are not asked.

A fact that cannot be told for certain is not told: silence is *unknown*, and unknown is not good. Everything here is
the host's own word, which Troth counts only against it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, TypeAlias

from troth.agent.survey.osquery_store import root_disk_encrypted

#: Runs a program and gives its standard output, None if it is not there, fails or takes too long.
Run: TypeAlias = "Callable[[Sequence[str]], str | None]"

_SECURE_BOOT = "sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"
_MAX_DEVICES = 64
_UPGRADE = re.compile(r"^Inst ", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Fact:
    """One fact and how it is known."""

    path: str
    value: bool | int | str
    source: str


def posture(run: Run, now: datetime, root: Path = Path("/")) -> list[Fact]:
    """All facts that can be told."""
    return [
        *_disk(run, root), *_secure_boot(root), *_system(now, root), *_restart(root), *_updates(run, root),
        *_firewall(run),
    ]  # fmt: skip


def _disk(run: Run, root: Path) -> Iterator[Fact]:
    """Whether the root file system lies on dm-crypt, every disk of it."""
    source = _root_device(root)
    if source is not None:
        encrypted = _encrypted(root / "sys/class/block" / source, 0)
        if encrypted is not None:
            yield Fact("posture.disk_encrypted", encrypted, "dm-crypt")
    told = root_disk_encrypted(run, root)
    if told is not None:
        yield Fact("posture.disk_encrypted", told, "osquery")


def _root_device(root: Path) -> str | None:
    """The kernel's name of the block device that ``/`` is mounted from; None for one that is none (overlay, NFS)."""
    for line in _text(root / "proc/self/mountinfo").splitlines():
        before, dash, after = line.partition(" - ")
        fields, rest = before.split(), after.split()
        if dash and len(fields) > 4 and fields[4] == "/" and len(rest) > 1 and rest[1].startswith("/dev/"):
            name = rest[1].removeprefix("/dev/")
            if name.startswith("mapper/"):
                return _mapped(root, name.removeprefix("mapper/"))
            return name if "/" not in name and ".." not in name else None
    return None


def _mapped(root: Path, name: str) -> str | None:
    """``/dev/mapper/NAME`` as the kernel calls it: ``dm-0``."""
    for one in sorted((root / "sys/class/block").glob("dm-*"))[:_MAX_DEVICES]:
        if _text(one / "dm/name").strip() == name:
            return one.name
    return None


def _encrypted(device: Path, depth: int) -> bool | None:
    """Whether all that ``device`` is made of lies on dm-crypt; None if it is not there."""
    if not device.exists() or depth > 8:
        return None
    if _text(device / "dm/uuid").startswith("CRYPT-"):
        return True
    below = sorted((device / "slaves").glob("*"))[:_MAX_DEVICES] if (device / "slaves").is_dir() else []
    answers = [_encrypted(device.parent / one.name, depth + 1) for one in below]
    return bool(answers) and all(answer is True for answer in answers)


def _secure_boot(root: Path) -> Iterator[Fact]:
    """The variable SecureBoot (UEFI 2.10, 3.3): four octets of attributes, then 1 while it is in force."""
    try:
        value = (root / _SECURE_BOOT).read_bytes()
    except OSError:
        return
    if len(value) == 5:
        yield Fact("posture.secure_boot", value[4] == 1, "efi")


def _system(now: datetime, root: Path) -> Iterator[Fact]:
    """os-release(5)."""
    found: dict[str, str] = {}
    for line in _text(root / "etc/os-release").splitlines():
        name, equals, value = line.partition("=")
        if equals:
            found[name.strip()] = value.strip().strip("\"'")
    name = found.get("PRETTY_NAME", "").replace("\0", "")[:200]
    if name:
        yield Fact("posture.os_version", name, "os-release")
    try:
        end = date.fromisoformat(found["SUPPORT_END"])
    except (KeyError, ValueError):
        return
    yield Fact("posture.os_supported", now.astimezone(UTC).date() <= end, "os-release")


def _restart(root: Path) -> Iterator[Fact]:
    """Debian and its kin leave a note when an update counts only after a restart; others are not asked."""
    if (root / "var/lib/dpkg/status").exists():
        yield Fact("posture.reboot_required", (root / "run/reboot-required").exists(), "dpkg")


def _updates(run: Run, root: Path) -> Iterator[Fact]:
    """What an upgrade would install, by the package lists that are there (nobody is asked over the network)."""
    if (root / "var/lib/dpkg/status").exists():
        said = run(["apt-get", "--simulate", "--quiet", "-o", "Debug::NoLocking=1", "upgrade"])
        if said is not None:
            yield Fact("posture.updates_pending", len(_UPGRADE.findall(said)), "apt")


def _firewall(run: Run) -> Iterator[Fact]:
    """Whether nftables has anything that stops a packet on its way in. Also behind ufw, firewalld and iptables-nft."""
    said = run(["nft", "--json", "list", "ruleset"])
    if said is None:
        return
    try:
        items = json.loads(said)["nftables"]
        yield Fact("posture.firewall", _stops([one for one in items if isinstance(one, dict)]), "nftables")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return


def _stops(items: Sequence[Mapping[str, Any]]) -> bool:
    chains = [one["chain"] for one in items if isinstance(one.get("chain"), dict)]
    incoming = [one for one in chains if one.get("hook") == "input"]
    if any(one.get("policy") == "drop" for one in incoming):
        return True
    if not incoming:
        return False
    # A rule that drops may stand in a chain that the base chain jumps to.
    rules = [one["rule"] for one in items if isinstance(one.get("rule"), dict)]
    tables = {(one.get("family"), one.get("table")) for one in incoming}
    return any(
        isinstance(step, dict) and ("drop" in step or "reject" in step)
        for rule in rules
        if (rule.get("family"), rule.get("table")) in tables
        for step in rule.get("expr", ())
    )


def _text(path: Path) -> str:
    try:
        with path.open("rb") as opened:
            return opened.read(65_536).decode("utf-8", "replace")
    except OSError:
        return ""
