"""Sessions: server-side, 30 minutes idle and 12 hours in all, ended by log-out or by an administrator."""

from __future__ import annotations

from datetime import timedelta
from typing import Literal

from troth.access.errors import NOT_FOUND, AccessError
from troth.access.model import Account, NewSession, Principal, SessionRow, Visitor
from troth.access.secrets import new_secret, secret_hash
from troth.access.store import SESSION_ADD, SESSION_END, SESSION_SEEN, SESSION_SWEEP, AccessStore
from troth.audit.event import Event
from troth.kit.clock import Clock
from troth.store.pool import Database
from troth.store.unit import Unit

IDLE = timedelta(minutes=30)
ABSOLUTE = timedelta(hours=12)
#: A session's last use is written at most this often.
_GRAIN = timedelta(minutes=1)


class Sessions:
    """Opens, believes and ends sessions. The secret lives in the browser's cookie alone."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._store = AccessStore(database)

    def open(
        self,
        unit: Unit,
        account: Account,
        visitor: Visitor,
        method: Literal["password", "passkey"],
        replaces: str | None = None,
    ) -> NewSession:
        """Add a new session to ``unit``, with its ledger event; the browser's former one ends (no fixation)."""
        now = self._clock.now()
        secret = new_secret()
        expires_at = now + ABSOLUTE
        unit.write(SESSION_SWEEP, now, now - IDLE)
        if replaces:
            unit.write(SESSION_END, secret_hash(replaces))
        unit.write(
            SESSION_ADD, secret_hash(secret), account.id, method, visitor.address, visitor.agent[:200], now, expires_at
        )
        principal = _principal(account.name, account, secret_hash(secret))
        unit.record(
            Event(
                "access.login",
                principal.actor,
                (f"account:{account.id}",),
                {"method": method, "address": visitor.address, "role": account.role.value},
            )
        )
        return NewSession(secret, principal, expires_at)

    async def believe(self, secret: str, *, touch: bool = True) -> Principal | None:
        """The principal behind a cookie, or None. ``touch`` False: a background request, which keeps nothing alive."""
        now = self._clock.now()
        found = await self._store.session(secret_hash(secret), now, IDLE)
        if found is None:
            return None
        row, name, role = found
        if touch and now - row.seen_at >= _GRAIN:
            await self._database.commit(Unit().write(SESSION_SEEN, row.id_hash, now))
        return Principal(name, role, f"admin:{name}", row.account_id, "session", row.id_hash)

    async def end(self, principal: Principal) -> None:
        """Log out: the session of this request is over."""
        if principal.session is None:
            return
        unit = Unit().write(SESSION_END, principal.session)
        unit.record(Event("access.logout", principal.actor, (f"account:{principal.id}",)))
        await self._database.commit(unit)

    async def of(self, principal: Principal) -> list[SessionRow]:
        """The principal's own sessions."""
        if principal.id is None:
            return []
        now = self._clock.now()
        return [row for row in await self._store.sessions_of(principal.id, now) if row.seen_at > now - IDLE]

    async def revoke(self, principal: Principal, id_hash: bytes) -> None:
        """End one of the principal's own sessions. Raises AccessError(NOT_FOUND)."""
        if id_hash not in {row.id_hash for row in await self.of(principal)}:
            raise AccessError(NOT_FOUND)
        unit = Unit().write(SESSION_END, id_hash)
        unit.record(Event("access.session_revoked", principal.actor, (f"account:{principal.id}",)))
        await self._database.commit(unit)


def _principal(name: str, account: Account, id_hash: bytes) -> Principal:
    return Principal(name, account.role, f"admin:{name}", account.id, "session", id_hash)
