"""``python -m tests.support.preforking DIRECTORY PLACES``: a master whose workers say who they are, and nothing else.

Its material is the file ``material``; each worker appends ``NUMBER PLACE GENERATION PID TEXT`` to ``log`` when it
serves, ``drained NUMBER`` and ``stopped NUMBER`` at its end; a worker that finds the file ``fail`` ends at once.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Mapping, Set
from pathlib import Path

from troth.assembly.prefork import Master
from troth.assembly.worker_process import Seat
from troth.kit import log as logging


class Saying:
    """The trade."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def look(self) -> str:
        """The file's text."""
        return (self._directory / "material").read_text()

    def build(self, material: str) -> str:
        """Something that only the master could have made."""
        return f"{material}@{os.getpid()}"

    def gone(self, number: int) -> None:
        """Said in the log."""
        self._say(f"gone {number}")

    def seated(self, owners: Mapping[int, int], served: Set[int]) -> None:
        """Said in the log."""
        self._say(f"seated {sorted(owners.items())} {sorted(served)}")

    async def work(self, built: str, seat: Seat) -> None:
        """Say it and wait."""
        if (self._directory / "fail").exists():
            raise RuntimeError("as asked")
        self._say(f"{seat.number} {seat.place} {seat.generation} {os.getpid()} {built}")
        seat.channel.ready()
        waiting = [asyncio.create_task(one.wait()) for one in (seat.stop, seat.draining)]
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        self._say(f"{'stopped' if seat.stop.is_set() else 'drained'} {seat.number}")

    def _say(self, line: str) -> None:
        with (self._directory / "log").open("a") as log:
            log.write(f"{line}\n")


def main() -> int:
    """The master's life."""
    logging.configure(role="preforking")
    directory = Path(sys.argv[1])
    master = Master(
        Saying(directory),
        places=int(sys.argv[2]),
        title="troth preforking",
        directory=directory / "mailboxes",
        lifeline=None,
        ready=lambda: print("ready", flush=True),
        gate=None,
        drain_seconds=5.0,
        look_seconds=0.05,
    )
    return master.run()


if __name__ == "__main__":
    sys.exit(main())
