"""API tokens: for programs that act over HTTPS. The local CLI needs none: the Unix socket tells its uid."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from troth.access.errors import FORBIDDEN, NOT_FOUND, TOKEN_LIFETIME, AccessError
from troth.access.model import ApiToken, Principal
from troth.access.roles import ROLES, Permission, Role
from troth.access.secrets import new_secret, secret_hash
from troth.access.store import TOKEN_ADD, TOKEN_TAKE_BACK, TOKEN_USED, AccessStore
from troth.audit.event import Event
from troth.kit.clock import Clock
from troth.kit.ids import new_id
from troth.store.pool import Database
from troth.store.unit import Unit

PREFIX = "troth_"
_GRAIN = timedelta(minutes=5)


class ApiTokens:
    """Makes, believes and takes back tokens."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._store = AccessStore(database)

    async def create(self, by: Principal, *, name: str, role: Role, lifetime: timedelta) -> tuple[str, ApiToken]:
        """A new token: its secret (shown this once) and its record. Nobody hands on more than he has."""
        if not timedelta(hours=1) <= lifetime <= timedelta(days=366):
            raise AccessError(TOKEN_LIFETIME)
        if not ROLES[role] <= by.permissions:
            raise AccessError(FORBIDDEN, f"the role {role.value} may do more than your own")
        now = self._clock.now()
        secret = new_secret(PREFIX)
        token = ApiToken(new_id(), name.strip()[:64] or "token", role, by.id, by.actor, now, now + lifetime, None)
        unit = Unit().write(
            TOKEN_ADD, token.id, secret_hash(secret), token.name, role.value, by.id, by.actor, now, token.expires_at
        )
        unit.record(
            Event(
                "access.token_created",
                by.actor,
                (f"token:{token.id}", *_account(by.id)),
                {"name": token.name, "role": role.value, "expires_at": token.expires_at.isoformat()},
            )
        )
        await self._database.commit(unit)
        return secret, token

    async def believe(self, secret: str) -> Principal | None:
        """The principal behind a bearer token, or None."""
        if not secret.startswith(PREFIX):
            return None
        now = self._clock.now()
        token = await self._store.token(secret_hash(secret), now)
        if token is None:
            return None
        if token.used_at is None or now - token.used_at >= _GRAIN:
            await self._database.commit(Unit().write(TOKEN_USED, token.id, now))
        return Principal(f"token {token.name}", token.role, f"token:{token.id}", token.account_id, "token")

    async def list(self, by: Principal) -> list[ApiToken]:
        """All tokens in force for those who manage access, else one's own."""
        if by.may(Permission.ACCESS_MANAGE):
            return await self._store.tokens(self._clock.now())
        return [] if by.id is None else await self._store.tokens(self._clock.now(), by.id)

    async def revoke(self, by: Principal, token_id: UUID) -> None:
        """Take a token back. Raises AccessError(NOT_FOUND) for one that is gone or that ``by`` may not see."""
        if token_id not in {token.id for token in await self.list(by)}:
            raise AccessError(NOT_FOUND)
        unit = Unit().claim(TOKEN_TAKE_BACK, token_id, refuse=AccessError(NOT_FOUND))
        unit.record(Event("access.token_revoked", by.actor, (f"token:{token_id}",)))
        await self._database.commit(unit)


def _account(account_id: UUID | None) -> tuple[str, ...]:
    return () if account_id is None else (f"account:{account_id}",)
