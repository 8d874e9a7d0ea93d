"""How accounts are made: by a set-up token, used once, within 24 hours.

The bootstrap token is the first of them: written to a file that only the owner reads, stored as a hash, and dead as
soon as any account exists. Whoever holds a token sets a name (unless the invitation fixes it) and a password or a
passkey.
"""

from __future__ import annotations

import os
import re
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from troth.access import passkeys
from troth.access.attempts import Attempts
from troth.access.errors import (
    FORBIDDEN,
    NAME_INVALID,
    NAME_TAKEN,
    PASSKEY_INVALID,
    AccessError,
    InvitationInvalid,
)
from troth.access.model import Account, Invitation, NewSession, Principal, Visitor
from troth.access.passwords import Passwords, normal, require_strength
from troth.access.roles import ROLES, Role
from troth.access.secrets import new_secret, secret_hash
from troth.access.sessions import Sessions
from troth.access.store import (
    ACCOUNT_CLAIM,
    BOOTSTRAP_END,
    CHALLENGE_ADD,
    CHALLENGE_SWEEP,
    CHALLENGE_TAKE,
    INVITATION_ADD,
    INVITATION_SWEEP,
    INVITATION_TAKE,
    PASSKEY_CLAIM,
    AccessStore,
)
from troth.audit.event import Event
from troth.kit.clock import Clock
from troth.kit.ids import new_id
from troth.store.pool import Database
from troth.store.unit import Unit

LIFETIME = timedelta(hours=24)
CHALLENGE_LIFETIME = timedelta(minutes=5)
PREFIX = "troth-setup-"
_NAME = re.compile(r"[\w@.-]{1,64}\Z")


def name_key(name: str) -> str:
    """The form under which a name is unique."""
    return normal(name).casefold()


def checked_name(name: str) -> str:
    """``name``, normalised. Raises AccessError(NAME_INVALID)."""
    name = normal(name.strip())
    if not _NAME.match(name):
        raise AccessError(NAME_INVALID)
    return name


class Invitations:
    """Makes and redeems set-up tokens."""

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

    async def ensure_bootstrap(self, path: Path) -> bool:
        """While no account exists, see to it that ``path`` holds a set-up token that works. Returns whether it does.

        Call it from one process at start. A token in the file that is still good is kept; else a new one replaces it
        and the former dies. Once an account exists the file is removed.
        """
        if await self._store.any_account():
            _remove(path)
            return False
        now = self._clock.now()
        standing = await self._store.bootstrap_expiry()
        if standing is not None and standing[1] > now and _read(path) == standing[0]:
            return True
        secret = new_secret(PREFIX)
        expires_at = now + LIFETIME
        unit = Unit().exclusively("bootstrap").write(INVITATION_SWEEP, now, True)
        role = Role.ADMINISTRATOR.value
        unit.write(INVITATION_ADD, secret_hash(secret), True, role, None, expires_at, "system:access", None)
        unit.record(Event("access.bootstrap_token_made", "system:access", (), {"expires_at": expires_at.isoformat()}))
        await self._database.commit(unit)
        _write_private(path, secret + "\n")
        return True

    async def invite(
        self,
        by: Principal,
        *,
        role: Role,
        name: str | None = None,
        person: str | None = None,
        joined: Unit | None = None,
    ) -> tuple[str, Invitation]:
        """A set-up token for one more account: its secret (shown this once) and what it allows.

        ``person``: whose account it will be, if not a person's of its own. ``joined`` is committed with it.
        """
        if not ROLES[role] <= by.permissions:
            raise AccessError(FORBIDDEN, f"the role {role.value} may do more than your own")
        name = await self.check_name(name or "") or None
        person = name_key(checked_name(person)) if person else None
        now = self._clock.now()
        secret = new_secret(PREFIX)
        made = Invitation(secret_hash(secret), False, role, name, now + LIFETIME, by.actor, person)
        unit = Unit().write(INVITATION_SWEEP, now, False)
        unit.write(INVITATION_ADD, made.token_hash, False, role.value, name, made.expires_at, by.actor, person)
        unit.record(Event("access.invited", by.actor, (), {"role": role.value, "name": name, "person": person}))
        await self._database.commit(unit if joined is None else unit.absorb(joined))
        return secret, made

    async def check_name(self, name: str) -> str:
        """``name``, normalised, if an account may be called so; the empty name is nobody's. Raises AccessError."""
        if not name:
            return ""
        name = checked_name(name)
        if await self._store.account_named(name_key(name)) is not None:
            raise AccessError(NAME_TAKEN)
        return name

    async def look(self, token: str, visitor: Visitor) -> Invitation:
        """What ``token`` allows. Raises InvitationInvalid or TooManyAttempts."""
        await self._attempts.take(visitor.address)
        found = await self._store.invitation(secret_hash(token.strip()), self._clock.now())
        if found is None:
            raise InvitationInvalid
        return found

    async def redeem_password(self, token: str, name: str, password: str, visitor: Visitor) -> NewSession:
        """Make the account with a password and log it in. Raises AccessError."""
        invitation = await self.look(token, visitor)
        name = checked_name(invitation.name or name)
        require_strength(password, name=name)
        account = self._account(invitation, name, new_id(), await self._passwords.hash(password))
        return await self._make(account, invitation, visitor, "password", Unit())

    async def passkey_options(self, token: str, name: str, visitor: Visitor) -> dict[str, Any]:
        """Options for the browser to make a passkey for the account to be. Raises AccessError."""
        invitation = await self.look(token, visitor)
        name = checked_name(invitation.name or name)
        account_id, challenge = new_id(), os.urandom(32)
        now = self._clock.now()
        unit = Unit().write(CHALLENGE_SWEEP, now)
        unit.write(
            CHALLENGE_ADD,
            secret_hash(challenge.hex()),
            _purpose(invitation, name),
            account_id,
            now + CHALLENGE_LIFETIME,
        )
        await self._database.commit(unit)
        return passkeys.registration_options(self._party, account=account_id.bytes, name=name, challenge=challenge)

    async def redeem_passkey(self, token: str, name: str, answer: object, visitor: Visitor) -> NewSession:
        """Make the account with the passkey that the browser made, and log it in. Raises AccessError."""
        invitation = await self.look(token, visitor)
        name = checked_name(invitation.name or name)
        parsed = passkeys.parse(answer)
        challenge_hash, purpose = secret_hash(parsed.challenge.hex()), _purpose(invitation, name)
        now = self._clock.now()
        account_id = await self._store.challenge_account(challenge_hash, purpose, now)
        if account_id is None:
            raise AccessError(PASSKEY_INVALID, "this passkey answer is not for a question asked in the last minutes")
        fresh = passkeys.verify_registration(self._party, parsed)
        unit = Unit().claim(
            CHALLENGE_TAKE, challenge_hash, purpose, account_id, now, refuse=AccessError(PASSKEY_INVALID)
        )
        unit.claim(
            PASSKEY_CLAIM,
            fresh.credential_id,
            account_id,
            fresh.public_key,
            fresh.sign_count,
            "first passkey",
            now,
            refuse=AccessError(PASSKEY_INVALID),
        )
        return await self._make(self._account(invitation, name, account_id, None), invitation, visitor, "passkey", unit)

    def _account(self, invitation: Invitation, name: str, account_id: UUID, password_hash: str | None) -> Account:
        return Account(
            account_id, name, invitation.role, "active", self._clock.now(), invitation.created_by, password_hash
        )

    async def _make(
        self, account: Account, invitation: Invitation, visitor: Visitor, method: Any, unit: Unit
    ) -> NewSession:
        now = self._clock.now()
        unit.claim(INVITATION_TAKE, invitation.token_hash, now, refuse=InvitationInvalid())
        unit.claim(
            ACCOUNT_CLAIM,
            name_key(account.name),
            account.id,
            account.name,
            account.role.value,
            account.password_hash,
            account.created_at,
            account.created_by,
            invitation.person,
            refuse=AccessError(NAME_TAKEN),
        )
        # Any account ends the bootstrap token, also one made by an invitation that a local process gave out.
        unit.exclusively("bootstrap").write(BOOTSTRAP_END, True)
        unit.record(
            Event(
                "access.principal_created",
                invitation.created_by,
                (f"account:{account.id}",),
                {"name": account.name, "role": account.role.value, "method": method, "first": invitation.first},
            )
        )
        self._attempts.forgive(unit, visitor.address)
        session = self._sessions.open(unit, account, visitor, method)
        await self._database.commit(unit)
        return session


def _purpose(invitation: Invitation, name: str) -> str:
    """Ties a challenge to one invitation and one name."""
    return f"register:{invitation.token_hash.hex()}:{name_key(name)}"


def _read(path: Path) -> bytes | None:
    """The hash of the token in the file, or None if there is no such file."""
    try:
        return secret_hash(path.read_text(encoding="ascii", errors="replace").strip())
    except FileNotFoundError:
        return None


def _remove(path: Path) -> None:
    path.unlink(missing_ok=True)


def _write_private(path: Path, text: str) -> None:
    """Write ``text`` to a file that only its owner may read, all or nothing."""
    draft = path.with_name(path.name + ".new")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0), 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(draft, path)
