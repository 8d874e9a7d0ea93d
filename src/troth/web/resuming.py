"""What was approved and is still undone is taken up again, and what has lapsed is ended, for as long as we serve."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from troth.access.approvals.service import Approvals
from troth.audit.lull import Lull
from troth.kit.errors import TrothError
from troth.kit.log import get_logger
from troth.kit.rhythm import Rhythm

log = get_logger("web")

_PAUSE_SECONDS = 5.0
#: While nothing happens that could have been approved.
_QUIET = Rhythm("approvals.quiet", 60.0, "web", statements=2)


class Resuming:
    """``start`` and ``stop`` belong to the application's lifespan. Several processes may do this at once."""

    def __init__(self, approvals: Approvals) -> None:
        self._approvals = approvals
        self._lull = Lull(_QUIET, approvals.database)
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to look now and then."""
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """End it; an act under way is committed whole or not at all."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def _run(self) -> None:
        never = asyncio.Event()
        async with self._lull.noticed(never):
            while True:
                await self._lull.rest(_PAUSE_SECONDS, never)
                try:
                    await self._approvals.resume()
                except TrothError as error:
                    log.warning("approvals.postponed", code=error.code, detail=error.detail)
                except Exception:
                    log.exception("approvals.failed")
