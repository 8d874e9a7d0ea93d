"""The recovery fence as the faces show it."""

from __future__ import annotations

from troth.pki.fence_store import FenceRow, read_fence
from troth.store.pool import Database
from troth.web.health import RecoveryView


class Recovery:
    """See :class:`troth.web.services.RecoveryBook`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def state(self) -> RecoveryView:
        return _view(await read_fence(self._database))


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
