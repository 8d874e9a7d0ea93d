"""The records of this room."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal
from uuid import UUID

from troth.access.roles import ROLES, Permission, Role


@dataclass(frozen=True, slots=True)
class Principal:
    """Who stands behind one request.

    Attributes:
        name: what pages show.
        actor: what the ledger writes: ``admin:<name>``, ``token:<id>`` or ``local:<uid>``.
        id: the account, or None for a local process known by its uid alone.
        via: how the request proved it.
        session: SHA-256 of the session id, when ``via`` is ``session``.
    """

    name: str
    role: Role
    actor: str
    id: UUID | None
    via: Literal["session", "token", "socket"]
    session: bytes | None = None
    permissions: frozenset[Permission] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "permissions", ROLES[self.role])

    def may(self, permission: Permission) -> bool:
        """Whether this principal's role has ``permission``."""
        return permission in self.permissions


def ordered_by_people(actor: str) -> bool:
    """Whether ``actor`` of the ledger is a person, in whichever way: no cap and no freeze of automation stops it."""
    return actor.startswith(("admin:", "token:", "local:"))


@dataclass(frozen=True, slots=True)
class Account:
    """An administrator's account. ``password_hash`` is None for one that has passkeys only.

    ``person``: whose account it is; several accounts may be one person's.
    """

    id: UUID
    name: str
    role: Role
    state: Literal["active", "disabled"]
    created_at: datetime
    created_by: str
    password_hash: str | None = field(repr=False)
    passkeys: int = 0
    person: str = ""


@dataclass(frozen=True, slots=True)
class Invitation:
    """The right to make one account. ``name`` None: whoever uses it chooses. ``first``: the bootstrap token.

    ``person``: whose account it will be; None: a person of its own.
    """

    token_hash: bytes
    first: bool
    role: Role
    name: str | None
    expires_at: datetime
    created_by: str
    person: str | None = None


@dataclass(frozen=True, slots=True)
class SessionRow:
    """A log-in that is believed until it is idle too long, too old, or ended."""

    id_hash: bytes
    account_id: UUID
    method: Literal["password", "passkey"]
    address: str
    agent: str
    created_at: datetime
    seen_at: datetime
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Passkey:
    """A WebAuthn credential as stored: public parts only."""

    credential_id: bytes
    account_id: UUID
    public_key: bytes
    sign_count: int
    label: str
    created_at: datetime
    used_at: datetime | None


@dataclass(frozen=True, slots=True)
class ApiToken:
    """A token for programs. Its secret is shown once and never stored."""

    id: UUID
    name: str
    role: Role
    account_id: UUID | None
    created_by: str
    created_at: datetime
    expires_at: datetime
    used_at: datetime | None


@dataclass(frozen=True, slots=True)
class Visitor:
    """Where a log-in comes from, as far as the connection tells: peer address and user agent."""

    address: str
    agent: str = ""


@dataclass(frozen=True, slots=True)
class NewSession:
    """A fresh log-in. ``secret`` goes to the cookie and nowhere else."""

    secret: str = field(repr=False)
    principal: Principal = field()
    expires_at: datetime = field()
