"""The agent's own directory: one agent at a time, and what each certificate's keeper has written down.

What is trusted there, what may be lost and what must not be copied is told in docs/agent.md. Every file is written
whole (:mod:`troth.agent.disk`); one that cannot be read is as good as lost, and is said to be.
"""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path
from typing import Literal, TypeAlias, TypeVar

import msgspec

from troth.agent import disk, system
from troth.agent.errors import STATE_BUSY, AgentError
from troth.kit.log import get_logger

log = get_logger("agent")

T = TypeVar("T", bound=msgspec.Struct)

#: What has been done, durably. ``keyed``: a label is chosen, the key may exist. ``obtained``: the chain is here and
#: fits. ``staged``: its generation is whole. What follows (turn the link, reload, prove) can be done twice, so a kill
#: there begins it again.
Phase: TypeAlias = Literal["keyed", "obtained", "staged"]


class Wanted(msgspec.Struct, frozen=True):
    """What a certificate was ordered for; other words in the configuration mean another certificate."""

    issuer: str
    names: tuple[str, ...]
    profile: str
    key: str


class Attempt(msgspec.Struct, frozen=True):
    """A certificate on its way: written before each step, so that a kill resumes and never begins twice.

    Attributes:
        label: of the key. bookmark: the source's own (an order's URL).
        chain: PEM, from ``obtained`` on.
        generation: its number, from ``staged`` on; previous: the one before, 0 for none.
    """

    wanted: Wanted
    label: str
    begun: datetime
    why: str
    phase: Phase = "keyed"
    bookmark: dict[str, str] = {}
    replaces: str = ""
    chain: str = ""
    generation: int = 0
    previous: int = 0


class Trouble(msgspec.Struct, frozen=True):
    """What went wrong last."""

    code: str
    detail: str
    at: datetime


class Window(msgspec.Struct, frozen=True):
    """When the server suggests to renew (RFC 9773, 4.2)."""

    start: datetime
    end: datetime
    explanation: str = ""


class Record(msgspec.Struct, frozen=True):
    """What a keeper remembers of a certificate.

    Attributes:
        draw: where in a window this generation renews, 0 to 1; drawn once, or every poll would draw another time.
        ask_again: when to ask for the window again.
        failures: of the present attempt, in a row; not_before: no try earlier than this.
        held: a person rolled back; nothing is renewed until a person says so or the end is near.
    """

    draw: float = 0.5
    window: Window | None = None
    ask_again: datetime | None = None
    failures: int = 0
    not_before: datetime | None = None
    trouble: Trouble | None = None
    held: bool = False
    proved_at: datetime | None = None


class StateDirectory:
    """The directory, held by one agent; or only looked at, beside the one that holds it.

    Raises AgentError (STATE_BUSY) if it is to be held and another agent holds it.
    """

    def __init__(self, root: Path, *, hold: bool = True) -> None:
        self.root = root
        self._lock: int | None = None
        if hold:
            # Consumers walk through it to the certificates; what is secret inside has modes of its own.
            disk.make_directory(root, 0o711)
            self._lock = _lock(root / "lock")

    def close(self) -> None:
        """Let another agent have it."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def private(self, *parts: str) -> Path:
        """A directory below, for the agent alone; made if it is not there."""
        path = self.root.joinpath(*parts)
        disk.make_directory(path, 0o700)
        return path

    def certificate(self, name: str) -> Path:
        """The directory of a certificate, in which consumers read; made if it is not there."""
        path = self.root / "certificates" / name
        if self._lock is not None:
            disk.make_directory(path.parent, 0o755)
            disk.make_directory(path, 0o755)
        return path


def _lock(path: Path) -> int:
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise AgentError(STATE_BUSY, f"{path}: {error.strerror}") from error
    try:
        system.hold(descriptor)
    except OSError:
        os.close(descriptor)
        raise AgentError(STATE_BUSY, f"another agent holds {path}") from None
    return descriptor


def save(path: Path, value: msgspec.Struct | None) -> None:
    """Write ``value`` down; None takes what was there away. Raises AgentError."""
    if value is None:
        disk.remove(path)
    else:
        disk.write(path, msgspec.json.format(msgspec.json.encode(value), indent=1))


def restore(path: Path, kind: type[T]) -> T | None:
    """What was written at ``path``; None if nothing was, or nothing that can be read."""
    found = disk.read(path)
    if found is None:
        return None
    try:
        return msgspec.json.decode(found, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        log.error("agent.state_unreadable", file=str(path), error=str(error))
        return None
