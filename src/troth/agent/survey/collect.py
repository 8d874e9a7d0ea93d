"""One report: everything that was found, within what the server takes."""

from __future__ import annotations

import base64
import hashlib
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import troth
from troth.agent.survey import listeners
from troth.agent.survey.formats import MANY, Held, Unreadable, read
from troth.agent.survey.posture import Fact, posture
from troth.agent.survey.settings import EXCLUDE, PATHS, SurveySettings
from troth.agent.survey.stores import Store, stores
from troth.agent.survey.walk import Walk
from troth.kit.clock import Clock

MAX_CERTIFICATES, MAX_SIGHTINGS, MAX_STORES = 1000, 4000, 16
MAX_OCTETS = 2 * 1024 * 1024
_RUN_SECONDS = 60.0
_MAX_OUTPUT = 4 * 1024 * 1024


@dataclass(slots=True)
class _Finds:
    """Certificates, each once, and where they lie."""

    walk: Walk
    certificates: list[bytes] = field(default_factory=list)
    known: dict[str, int] = field(default_factory=dict)
    sightings: list[dict[str, Any]] = field(default_factory=list)
    octets: int = 0

    def add(self, der: bytes, place: str, kind: str, *, key: bool = False) -> None:
        digest = hashlib.sha256(der).hexdigest()
        if digest not in self.known:
            if len(self.certificates) >= MAX_CERTIFICATES or self.octets + len(der) > MAX_OCTETS:
                self.walk.tell(f"{place}: more certificates than a report takes")
                return
            self.known[digest] = len(self.certificates)
            self.certificates.append(der)
            self.octets += len(der)
        if len(self.sightings) < MAX_SIGHTINGS:
            shown = place.encode("utf-8", "replace").decode().replace("\0", "")[:1024]
            self.sightings.append({"certificate": self.known[digest], "place": shown, "kind": kind, "key": key})


def collect(settings: SurveySettings, clock: Clock, served: Iterable[listeners.Served] = ()) -> dict[str, Any]:
    """The report, but for what is served, which was asked before. Blocks: call it on a thread."""
    exclude = frozenset((*EXCLUDE, *settings.exclude))
    walk = Walk(clock, exclude)
    finds = _Finds(walk)
    for one in served:
        finds.add(one.der, one.place, "listener")
    usual = PATHS if settings.usual_paths else ()
    for path in walk.files([Path(one) for one in (*settings.paths, *usual)]):
        _file(walk, finds, path)
    trusted: list[Store] = list(stores(walk))[:MAX_STORES]
    now = clock.now()
    facts = posture(run, now) if settings.posture else []
    return {
        "agent": f"troth-agent {troth.__version__}",
        "at": now.isoformat(),
        "certificates": [base64.b64encode(der).decode() for der in finds.certificates],
        "sightings": finds.sightings,
        "stores": [_store(one) for one in trusted],
        "facts": [_fact(one, now.isoformat()) for one in facts],
        "cut": walk.cut,
    }


def _file(walk: Walk, finds: _Finds, path: Path) -> None:
    data = walk.read(path)
    if data is None:
        return
    try:
        held: Sequence[Held] = read(data)
    except Unreadable as error:
        walk.tell(f"{path}: {error}")
        return
    if len(held) > MANY:
        walk.tell(f"{path}: a bundle of {len(held)} certificates")
        return
    for index, one in enumerate(held):
        key = one.key or (index == 0 and not one.keystore and _key_beside(path))
        place = f"{path}#{one.name}" if one.name else str(path)
        finds.add(one.der, place, "keystore" if one.keystore else "file", key=key)


def _key_beside(path: Path) -> bool:
    """Whether a key lies beside, by its name alone; it is not opened."""
    names = {path.stem + ".key"}
    if path.name in ("fullchain.pem", "cert.pem"):
        names |= {"privkey.pem", "key.pem"}
    return any((path.parent / name).exists() for name in names)


def _store(one: Store) -> dict[str, Any]:
    return {"name": one.name, "place": one.place, "roots": None if one.roots is None else list(one.roots)}


def _fact(one: Fact, at: str) -> dict[str, Any]:
    return {"path": one.path, "value": one.value, "observed_at": at, "source": one.source}


def run(command: Sequence[str]) -> str | None:
    """A program's standard output, in the C locale; None if it is not there, fails, or takes longer than a minute."""
    environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"}
    try:
        done = subprocess.run(  # noqa: S603 -- fixed programs and arguments of our own
            list(command), stdin=subprocess.DEVNULL, capture_output=True, timeout=_RUN_SECONDS, check=False,
            env=environment,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout[:_MAX_OUTPUT].decode("utf-8", "replace") if done.returncode == 0 else None
