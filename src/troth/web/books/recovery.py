"""The recovery fence as the faces show it."""

from __future__ import annotations

from typing import Literal

from troth.access.model import Principal
from troth.kit.clock import Clock
from troth.pki.fence import settle
from troth.pki.fence_store import FenceRow, read_fence
from troth.store.pool import Database
from troth.web.health import RecoveryView


class Recovery:
    """See :class:`troth.web.services.RecoveryBook`."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def state(self) -> RecoveryView:
        return _view(await read_fence(self._database))

    async def decide(
        self, by: Principal, resume: Literal["accept-loss", "revoke-unknown"], reason: str
    ) -> RecoveryView:
        row = await settle(
            self._database,
            choice="accepted" if resume == "accept-loss" else "revoked",
            actor=by.actor,
            why=reason,
            at=self._clock.now(),
        )
        return _view(row)


def _view(row: FenceRow) -> RecoveryView:
    return RecoveryView(
        row.state,
        row.reason,
        row.closed_at,
        row.unknown_from,
        row.unknown_until,
        row.settled_at,
        row.settled_by,
        row.settled_why,
    )
