"""What platform tokens opened goes when it is over, or every run of a pipeline would leave its rows behind.

A credential made of a token lives for minutes, and its one account for as long as it has orders (which go by
themselves, long after their certificates). When neither has been of use for ``keep``, credential, evidence and account
go; the ledger keeps that they were. A client that comes back after that brings a new token anyhow.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

from troth.enroll.tokens import store
from troth.kit.clock import Clock
from troth.store.pool import Database
from troth.store.unit import Unit

_STEP = 500


class TokenPruner:
    """See the module. A step looks at the next few by age and remembers where it stopped; at the end it begins anew.

    Several may be at work; they come to the same.
    """

    def __init__(self, database: Database, clock: Clock, *, keep: timedelta, step: int = _STEP) -> None:
        self._database = database
        self._store = store.TokenStore(database)
        self._clock = clock
        self._keep = keep
        self._step = step
        self._after: tuple[datetime, UUID] | None = None

    async def run_once(self) -> int:
        """Take one step; how many credentials went."""
        before = self._clock.now() - self._keep
        looked_at = await self._store.over(self._after, before, self._step)
        gone = [one.enrolment for one in looked_at if one.over]
        if gone:
            unit = Unit()
            for enrolment in gone:
                unit.write(store.DROP_PROOFS, enrolment).write(store.DROP_FAILING, enrolment)
                unit.write(store.DROP_ACCOUNT, enrolment, before)
                unit.write(store.DROP_EVIDENCE, enrolment).write(store.DROP_ENROLMENT, enrolment)
            await self._database.commit(unit)
        self._after = (looked_at[-1].at, looked_at[-1].enrolment) if len(looked_at) == self._step else None
        return len(gone)
