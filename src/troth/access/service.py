"""Logging in, and the one object that the faces hold of this room."""

from __future__ import annotations

import os
import pwd
from dataclasses import dataclass
from typing import Any, Literal
from uuid import UUID

from troth.access import passkeys
from troth.access.attempts import Attempts
from troth.access.credentials import Credentials
from troth.access.errors import NOT_FOUND, OWN_ACCOUNT, AccessError, LoginRefused
from troth.access.invitations import CHALLENGE_LIFETIME, Invitations, checked_name, name_key
from troth.access.model import Account, NewSession, Principal, Visitor
from troth.access.passwords import Passwords
from troth.access.roles import Role
from troth.access.secrets import secret_hash
from troth.access.sessions import Sessions
from troth.access.store import (
    ACCOUNT_GONE,
    ACCOUNT_PERSON,
    ACCOUNT_STATE,
    CHALLENGE_ADD,
    CHALLENGE_SWEEP,
    CHALLENGE_TAKE,
    PASSKEY_UNCHANGED,
    PASSKEY_USED,
    PASSWORD_SET,
    SESSIONS_END_OF,
    AccessStore,
)
from troth.access.tokens import ApiTokens
from troth.audit.event import Event
from troth.kit.canonical import Json
from troth.kit.clock import Clock
from troth.store.pool import Database
from troth.store.unit import Unit

_LOGIN = "login"


class LogIns:
    """Log-in by password or passkey. Every failure looks the same and takes the same time."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        passwords: Passwords,
        party: passkeys.RelyingParty,
        sessions: Sessions,
        attempts: Attempts,
    ) -> None:
        self._database = database
        self._clock = clock
        self._passwords = passwords
        self._party = party
        self._sessions = sessions
        self._attempts = attempts
        self._store = AccessStore(database)

    async def by_password(self, name: str, password: str, visitor: Visitor, replaces: str | None = None) -> NewSession:
        """A new session. Raises LoginRefused or TooManyAttempts. ``replaces``: the browser's former session, ended."""
        # 1 Count the attempt, whether or not such an account exists.
        key = name_key(name.strip())[:64]
        await self._attempts.take(visitor.address, key)
        # 2 Check, at one cost for all.
        account = await self._store.account_named(key)
        good = await self._passwords.matches(account.password_hash if account else None, password)
        if account is None or not good or account.state != "active":
            await self._failed(account, visitor, "password")
            raise LoginRefused
        # 3 Open the session; forget the failures before it.
        unit = Unit()
        if account.password_hash is not None and self._passwords.outdated(account.password_hash):
            unit.write(PASSWORD_SET, account.id, await self._passwords.hash(password))
        self._attempts.forgive(unit, visitor.address, key)
        session = self._sessions.open(unit, account, visitor, "password", replaces)
        await self._database.commit(unit)
        return session

    async def passkey_options(self, visitor: Visitor) -> dict[str, Any]:
        """A question for any passkey of this host. Raises TooManyAttempts."""
        await self._attempts.take(visitor.address)
        challenge, now = os.urandom(32), self._clock.now()
        unit = Unit().write(CHALLENGE_SWEEP, now)
        unit.write(CHALLENGE_ADD, secret_hash(challenge.hex()), _LOGIN, None, now + CHALLENGE_LIFETIME)
        await self._database.commit(unit)
        return passkeys.authentication_options(self._party, challenge=challenge)

    async def by_passkey(self, answer: object, visitor: Visitor, replaces: str | None = None) -> NewSession:
        """A new session. Raises LoginRefused, TooManyAttempts, or AccessError(PASSKEY_INVALID) if malformed."""
        await self._attempts.take(visitor.address)
        parsed = passkeys.parse(answer)
        key = await self._store.passkey(parsed.credential_id)
        account = await self._store.account(key.account_id) if key else None
        if key is None or account is None:
            await self._failed(None, visitor, "passkey")
            raise LoginRefused
        try:
            count = passkeys.verify_authentication(
                self._party, parsed, public_key=key.public_key, sign_count=key.sign_count
            )
        except AccessError:
            await self._failed(account, visitor, "passkey")
            raise LoginRefused from None
        now = self._clock.now()
        unit = Unit().claim(
            CHALLENGE_TAKE, secret_hash(parsed.challenge.hex()), _LOGIN, None, now, refuse=LoginRefused()
        )
        unit.guard(PASSKEY_UNCHANGED, key.credential_id, key.sign_count, refuse=LoginRefused(), key=key.credential_id)
        unit.write(PASSKEY_USED, key.credential_id, count, now)
        self._attempts.forgive(unit, visitor.address)
        session = self._sessions.open(unit, account, visitor, "passkey", replaces)
        await self._database.commit(unit)
        return session

    async def _failed(self, account: Account | None, visitor: Visitor, method: Literal["password", "passkey"]) -> None:
        """Ledger the failure. An unknown name is not written down: people type passwords into the wrong field."""
        subjects = (f"account:{account.id}",) if account else ()
        data = {"method": method, "address": visitor.address, "account": account.name if account else "unknown"}
        await self._database.commit(Unit().record(Event("access.login_failed", "system:access", subjects, data)))


class Accounts:
    """What is known of accounts, and turning them off and on."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._store = AccessStore(database)

    async def any(self) -> bool:
        """Whether the first administrator has been made."""
        return await self._store.any_account()

    async def list(self) -> list[Account]:
        """All accounts."""
        return await self._store.accounts()

    async def get(self, account_id: UUID) -> Account:
        """One account. Raises AccessError(NOT_FOUND)."""
        account = await self._store.account(account_id)
        if account is None:
            raise AccessError(NOT_FOUND)
        return account

    async def set_state(
        self, by: Principal, account_id: UUID, state: Literal["active", "disabled"], *, joined: Unit | None = None
    ) -> None:
        """Turn an account off (its sessions and tokens end with it) or on. Raises AccessError(NOT_FOUND).

        ``joined`` is committed with it, as in the methods below.
        """
        account = await self.get(account_id)
        unit = Unit().write(ACCOUNT_STATE, account_id, state)
        if state == "disabled":
            unit.write(SESSIONS_END_OF, account_id)
        unit.record(Event(f"access.principal_{state}", by.actor, (f"account:{account_id}",), {"name": account.name}))
        await self._database.commit(unit if joined is None else unit.absorb(joined))

    async def set_person(
        self, by: Principal, account_id: UUID, person: str | None, *, joined: Unit | None = None
    ) -> None:
        """Say whose account it is; None: a person's of its own. Raises AccessError."""
        account = await self.get(account_id)
        key = None if person is None else name_key(checked_name(person))
        unit = Unit().write(ACCOUNT_PERSON, account_id, key)
        data: dict[str, Json] = {"name": account.name, "before": account.person, "person": key}
        unit.record(Event("access.person_changed", by.actor, (f"account:{account_id}",), data))
        await self._database.commit(unit if joined is None else unit.absorb(joined))

    async def remove(self, by: Principal, account_id: UUID, *, joined: Unit | None = None) -> None:
        """Remove an account with its sessions, tokens and passkeys. Raises AccessError: nobody removes his own."""
        account = await self.get(account_id)
        if by.id == account_id:
            raise AccessError(OWN_ACCOUNT)
        unit = Unit().write(SESSIONS_END_OF, account_id).write(ACCOUNT_GONE, account_id)
        data: dict[str, Json] = {"name": account.name, "role": account.role.value, "person": account.person}
        unit.record(Event("access.principal_removed", by.actor, (f"account:{account_id}",), data))
        await self._database.commit(unit if joined is None else unit.absorb(joined))


@dataclass(frozen=True)
class Access:
    """All of this room."""

    accounts: Accounts
    invitations: Invitations
    log_ins: LogIns
    sessions: Sessions
    tokens: ApiTokens
    credentials: Credentials
    party: passkeys.RelyingParty

    @classmethod
    def build(
        cls, database: Database, clock: Clock, party: passkeys.RelyingParty, passwords: Passwords | None = None
    ) -> Access:
        """Wire the room. ``party``: the admin listener's host and origins, to which passkeys are tied."""
        passwords = passwords or Passwords()
        attempts = Attempts(database, clock)
        sessions = Sessions(database, clock)
        return cls(
            Accounts(database),
            Invitations(database, clock, passwords, party, sessions, attempts),
            LogIns(database, clock, passwords, party, sessions, attempts),
            sessions,
            ApiTokens(database, clock),
            Credentials(database, clock, passwords, party, attempts),
            party,
        )

    def local(self, uid: int, owner: int) -> Principal | None:
        """The principal of a local process: root and the uid that owns the data directory are administrators."""
        if uid not in (0, owner):
            return None
        try:
            name = pwd.getpwuid(uid).pw_name
        except KeyError:
            name = f"uid {uid}"
        return Principal(f"{name} (local)", Role.ADMINISTRATOR, f"local:{uid}", None, "socket")
