"""A restore that dies, or meets a failure, at a named step. Run in a process forked from one that imported all this."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
from collections.abc import Awaitable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from troth.assembly import restoring, state
from troth.assembly.layout import Layout
from troth.kit.clock import SystemClock
from troth.kit.errors import TrothError
from troth.ops.backup import restore as steps
from troth.ops.backup.restore import Order
from troth.ops.backup.sealing import Opener
from troth.ops.backup.store import RestoreStore
from troth.ops.backup.target import DirectoryTarget
from troth.store.snapshot import Loader

DONE, REFUSED, FAILED = 0, 7, 3

#: Step → whose function, and at which call of it. What a step has done is done when it is its turn to fail.
STEPS: dict[str, tuple[Any, str, int]] = {
    "looked at the database": (restoring, "_refuse_used", 1),
    "marked the database": (restoring, "mark", 1),
    "made the staging directory": (Layout, "prepare", 1),
    "verified the archive": (steps, "verify", 1),
    "made the schema of the archive": (steps, "migrate", 1),
    "put a file down": (steps, "_put_file", 2),
    "put a table down": (Loader, "copy_in", 5),
    "loaded everything": (steps, "_load", 1),
    "brought the schema up": (steps, "migrate", 2),
    "replayed a bundle": (RestoreStore, "append", 1),
    "replayed everything": (steps, "_replay", 1),
    "proved the ledger": (steps, "_prove", 1),
    "began a CRL anew": (RestoreStore, "restart_crls", 1),
    "settled": (steps, "_settle", 1),
    "brought the notary forward": (steps, "bring_forward", 1),
    "told the ledger": (steps, "_record", 1),
    "named the ledger": (state, "write", 1),
    "took its place": (os, "rename", 1),
    "unmarked the database": (restoring, "unmark", 1),
}
#: From here on the installation is whole and in its place.
PLACED = ("took its place", "unmarked the database")


@dataclass(frozen=True)
class Loss:
    """What is restored, and whereto."""

    archive: Path
    identity: Path
    tiles: Path
    data: Path
    url: str = ""


def restore(loss: Loss, step: str, how: str) -> None:
    """Restore ``loss``; at ``step`` fall dead (``kill``), raise (``fail``) or go on (``""``). Ends the process."""
    if how:
        _trap(*STEPS[step], how)
    order = Order(
        archive=loss.archive, opener=Opener.of(loss.identity), actor="test:chaos", tiles=DirectoryTarget(loss.tiles)
    )
    try:
        asyncio.run(
            restoring.restore_into(order, loss.data, SystemClock(), database_url=loss.url, progress=lambda _line: None)
        )
    except TrothError as error:
        os._exit(REFUSED if error.code == "ops.restore.not_empty" else FAILED)
    os._exit(DONE)


def _trap(owner: Any, name: str, call: int, how: str) -> None:
    left, real = [call], getattr(owner, name)

    def strike() -> None:
        left[0] -= 1
        if left[0] == 0:
            if how == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            raise OSError(errno.ENOSPC, "no space left")

    async def awaited(result: Awaitable[Any]) -> Any:
        found = await result
        strike()
        return found

    def trapped(*arguments: Any, **named: Any) -> Any:
        result = real(*arguments, **named)
        if asyncio.iscoroutine(result):
            return awaited(result)
        strike()
        return result

    setattr(owner, name, trapped)
