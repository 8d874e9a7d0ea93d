"""Waiting a moment for a validation's result, so that the client need not ask for it again and again.

A validation is a worker's job and takes milliseconds; an answer "processing" costs every client at least one more
round trip, and most of them a second. So the answer to a challenge is held back for up to ``patience``: whoever waits
in this process is looked up in one statement, when a worker says that something came to a result, or at the latest
every tick. RFC 8555 lets a server validate before it answers (7.5.1); step-ca always does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from uuid import UUID

from troth.enroll.acme.model import Authorization
from troth.enroll.acme.orders import ANSWERED_CHANNEL
from troth.enroll.acme.store import AcmeStore
from troth.kit.log import get_logger
from troth.store.errors import StoreError
from troth.store.pool import Database

log = get_logger("acme")

#: Seconds between two looks when nobody says anything.
_TICK = 0.1


class Results:
    """The results that this process waits for.

    Args:
        patience: seconds for which an answer is held back at most. A client that answers the challenges of a hundred
            names one by one waits that long for each, if they are slow.
    """

    def __init__(self, database: Database, *, patience: float = 0.3) -> None:
        self._database = database
        self._store = AcmeStore(database.lookups)
        self._patience = patience
        self._waiting: dict[UUID, asyncio.Future[Authorization]] = {}
        self._wake = asyncio.Event()
        self._listening = False
        self._looking: asyncio.Task[None] | None = None

    async def of(self, authz: Authorization) -> Authorization:
        """``authz`` as it is once a validation that is under way has come to a result, or when patience ends."""
        if self._patience <= 0 or not _is_under_way(authz):
            return authz
        if not self._listening:
            self._listening = True
            await self._database.listen(ANSWERED_CHANNEL, self._wake.set)
        result = self._waiting.setdefault(authz.id, asyncio.get_running_loop().create_future())
        if self._looking is None:
            self._looking = asyncio.create_task(self._look())
        try:
            async with asyncio.timeout(self._patience):
                return await asyncio.shield(result)
        except TimeoutError:
            return authz
        finally:
            self._waiting.pop(authz.id, None)

    async def _look(self) -> None:
        """Look for as long as anybody waits."""
        try:
            while self._waiting:
                try:
                    async with asyncio.timeout(_TICK):
                        await self._wake.wait()
                except TimeoutError:
                    pass  # the wake-up is only a hint
                self._wake.clear()
                self._tell({authz.id: authz for authz in await self._store.answered(self._waiting)})
        except StoreError as error:
            log.warning("acme.results_postponed", error=str(error))
        finally:
            self._looking = None

    def _tell(self, found: Mapping[UUID, Authorization]) -> None:
        for identifier, authz in found.items():
            result = self._waiting.get(identifier)
            if result is not None and not result.done():
                result.set_result(authz)


def _is_under_way(authz: Authorization) -> bool:
    """Whether a first validation runs, or is about to."""
    return authz.status == "pending" and any(
        challenge.status == "processing" and challenge.error is None for challenge in authz.challenges
    )
