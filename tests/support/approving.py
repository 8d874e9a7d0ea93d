"""Persons with passkeys, and an act of no consequence for them to approve."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from uuid import UUID

from tests.support.authenticator import Authenticator

if TYPE_CHECKING:
    from troth.access.approvals.model import Order, Preview, Proposal
    from troth.access.approvals.service import Approvals
    from troth.access.model import Principal
    from troth.access.roles import Permission, Role
    from troth.access.service import Access
    from troth.kit.canonical import Json
    from troth.store.pool import Database

ORIGIN = "https://localhost:8444"


@dataclass
class Person:
    """Somebody logged in with a passkey."""

    principal: Principal
    passkey: Authenticator

    async def approve(self, approvals: Approvals, proposal_id: UUID, comment: str = "") -> Proposal:
        """Look, and say yes with the passkey."""
        asked = await approvals.proposals.question(proposal_id, self.principal)
        answer = self.passkey.get(asked["options"], ORIGIN)
        nonce = bytes.fromhex(asked["nonce"])
        proposal, _ = await approvals.approve(proposal_id, self.principal, nonce=nonce, answer=answer, comment=comment)
        return proposal


async def person(access: Access, name: str, role: Role, *, of: str | None = None) -> Person:
    """An account with a passkey, logged in; ``of``: whose account it is."""
    from troth.access.model import Visitor

    local = access.local(os.getuid(), os.getuid())
    assert local is not None
    token, _ = await access.invitations.invite(local, role=role, name=name, person=of)
    visitor, passkey = Visitor("192.0.2.1"), Authenticator()
    options = await access.invitations.passkey_options(token, name, visitor)
    session = await access.invitations.redeem_passkey(token, name, passkey.create(options, ORIGIN), visitor)
    return Person(session.principal, passkey)


@dataclass
class Counter:
    """An act that counts how often it was done, in the database and in one unit with its order."""

    database: Database
    state: int = 0
    size: int = 1
    secret: bool = False
    fail: Exception | None = None
    forgets: bool = False
    calls: list[Mapping[str, Any]] = field(default_factory=list)

    @property
    def permission(self) -> Permission:
        from troth.access.roles import Permission

        return Permission.ENFORCEMENT_FREEZE

    async def preview(self, payload: Mapping[str, Any], by: Principal) -> Preview:
        from troth.access.approvals.model import Preview

        return Preview("Count one up", (f"From {self.state}.",), {"state": self.state}, size=self.size)

    async def execute(self, payload: Mapping[str, Any], order: Order) -> Json:
        from troth.audit.event import Event
        from troth.store.unit import Unit

        self.calls.append(payload)
        if self.fail is not None:
            raise self.fail
        unit = Unit().record(Event("test.counted", order.by.actor, (), {"payload": dict(payload)}))
        if not self.forgets:
            unit.absorb(order.unit)
        await self.database.commit(unit)
        return {"counted": True}

    async def done(self) -> int:
        """How often it was really done."""
        found: int = await self.database.fetchval(
            "SELECT count(*) FROM ledger_inbox WHERE convert_from(payload, 'UTF8') LIKE '%\"kind\":\"test.counted\"%'"
        )
        return found
