"""Acts of this room itself: invitations, accounts, persons, and the rule."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any, ClassVar
from uuid import UUID

from troth.access.approvals.errors import PAYLOAD_INVALID, RULE_CHANGED, RULE_UNMET, ApprovalRefused
from troth.access.approvals.model import Order, Preview
from troth.access.approvals.rule import Rule, parse_rule
from troth.access.approvals.store import ADD_RULE, ApprovalStore
from troth.access.errors import FORBIDDEN, AccessError
from troth.access.invitations import Invitations
from troth.access.model import Account, Principal
from troth.access.roles import ROLE_WORDS, ROLES, Permission, Role
from troth.access.service import Accounts
from troth.audit.event import Event
from troth.kit.canonical import Json
from troth.kit.clock import Clock
from troth.kit.ids import parse_id
from troth.store.pool import Database
from troth.store.unit import Unit


def text(payload: Mapping[str, Any], name: str, *, empty: bool = False) -> str:
    """A text out of a payload. Raises ApprovalRefused(PAYLOAD_INVALID)."""
    value = payload.get(name, "" if empty else None)
    if not isinstance(value, str) or (not value and not empty):
        raise ApprovalRefused(PAYLOAD_INVALID, f"{name} is a text")
    return value


def identifier(payload: Mapping[str, Any], name: str) -> UUID:
    """An id out of a payload. Raises ApprovalRefused(PAYLOAD_INVALID)."""
    found = parse_id(text(payload, name))
    if found is None:
        raise ApprovalRefused(PAYLOAD_INVALID, f"{name} is an identifier")
    return found


class RoleGrant:
    """``role.grant``: the right to make one account. Payload: ``role``, ``name``, ``person`` (both may be empty)."""

    permission: ClassVar = Permission.ACCESS_MANAGE
    secret: ClassVar = True

    def __init__(self, invitations: Invitations, accounts: Accounts) -> None:
        self._invitations = invitations
        self._accounts = accounts

    async def preview(self, payload: Mapping[str, Any], by: Principal) -> Preview:
        """See :class:`~troth.access.approvals.model.Executor`."""
        role, name, person = self._read(payload)
        if not ROLES[role] <= by.permissions:
            raise AccessError(FORBIDDEN, f"the role {role.value} may do more than your own")
        await self._invitations.check_name(name)
        owner = person or name or "whoever uses it"
        lines = (
            f"A set-up token, good for 24 hours, makes one account: {name or 'name to be chosen'}.",
            f"The role {role.value}: {ROLE_WORDS[role]}.",
            f"Person: {owner}.",
        )
        known = [one.name for one in await self._accounts.list() if person and one.person == person]
        return Preview(f"Invite {name or 'somebody'} as {role.value}", lines, {"accounts_of_person": known})

    async def execute(self, payload: Mapping[str, Any], order: Order) -> Json:
        """See :class:`~troth.access.approvals.model.Executor`."""
        role, name, person = self._read(payload)
        secret, made = await self._invitations.invite(
            order.by, role=role, name=name or None, person=person or None, joined=order.unit
        )
        return {
            "secret": secret, "role": role.value, "name": made.name, "expires_at": made.expires_at.isoformat(),
        }  # fmt: skip

    def _read(self, payload: Mapping[str, Any]) -> tuple[Role, str, str]:
        try:
            role = Role(text(payload, "role"))
        except ValueError as error:
            raise ApprovalRefused(PAYLOAD_INVALID, "role is none of the roles there are") from error
        return role, text(payload, "name", empty=True), text(payload, "person", empty=True)


class AccountAct:
    """An act on one account. Payload: ``account`` (its id)."""

    permission: ClassVar = Permission.ACCESS_MANAGE
    secret: ClassVar = False

    def __init__(self, accounts: Accounts, store: ApprovalStore, what: str) -> None:
        self._accounts = accounts
        self._store = store
        self._what = what

    async def preview(self, payload: Mapping[str, Any], by: Principal) -> Preview:
        """See :class:`~troth.access.approvals.model.Executor`."""
        account = await self._account(payload)
        lines = [f"{account.name}: {account.role.value}, {account.state}, person {account.person}."]
        if self._what != "enable":
            lines.append("Its log-ins and API tokens end.")
            decides = Permission.APPROVAL_DECIDE in ROLES[account.role]
            left = await self._store.eligible([account.role.value]) if decides else []
            if decides:
                lines.append(f"Persons who could approve in its role until then: {', '.join(left) or 'nobody'}.")
        verb = {"disable": "Turn off", "enable": "Turn on", "remove": "Remove"}[self._what]
        state: Json = {"state": account.state, "role": account.role.value, "person": account.person}
        return Preview(f"{verb} the account {account.name}", tuple(lines), state)

    async def execute(self, payload: Mapping[str, Any], order: Order) -> Json:
        """See :class:`~troth.access.approvals.model.Executor`."""
        account = await self._account(payload)
        if self._what == "remove":
            await self._accounts.remove(order.by, account.id, joined=order.unit)
        else:
            state: Any = "active" if self._what == "enable" else "disabled"
            await self._accounts.set_state(order.by, account.id, state, joined=order.unit)
        return {"account": str(account.id)}

    async def _account(self, payload: Mapping[str, Any]) -> Account:
        return await self._accounts.get(identifier(payload, "account"))


class PersonChange:
    """``person.change``: whose account this is. Payload: ``account``, ``person`` (empty: a person of its own)."""

    permission: ClassVar = Permission.ACCESS_MANAGE
    secret: ClassVar = False

    def __init__(self, accounts: Accounts) -> None:
        self._accounts = accounts

    async def preview(self, payload: Mapping[str, Any], by: Principal) -> Preview:
        """See :class:`~troth.access.approvals.model.Executor`."""
        account = await self._accounts.get(identifier(payload, "account"))
        person = text(payload, "person", empty=True)
        others = [one.name for one in await self._accounts.list() if one.person == person and one.id != account.id]
        lines = (
            f"Until now it is {account.person}'s.",
            f"Accounts of {person}: {', '.join(others) or 'none so far'}." if person else "It has no owner but itself.",
            "Accounts of one person count once among approvals.",
        )
        return Preview(f"The account {account.name} is {person or 'nobody else'}'s", lines, {"person": account.person})

    async def execute(self, payload: Mapping[str, Any], order: Order) -> Json:
        """See :class:`~troth.access.approvals.model.Executor`."""
        account = await self._accounts.get(identifier(payload, "account"))
        person = text(payload, "person", empty=True)
        await self._accounts.set_person(order.by, account.id, person or None, joined=order.unit)
        return {"account": str(account.id), "person": person}


class RuleChange:
    """``rule.change``: the rule itself. Payload: ``document`` (YAML). Asks for what old and new rule ask together."""

    permission: ClassVar = Permission.ACCESS_MANAGE
    secret: ClassVar = False

    def __init__(self, database: Database, clock: Clock, kinds: Callable[[], tuple[str, ...]]) -> None:
        self._database = database
        self._clock = clock
        self._kinds = kinds
        self._store = ApprovalStore(database)

    async def preview(self, payload: Mapping[str, Any], by: Principal) -> Preview:
        """See :class:`~troth.access.approvals.model.Executor`."""
        wanted = parse_rule(text(payload, "document"), self._kinds())
        present = await self._present()
        await self._require_met(wanted)
        lines = [
            f"{', '.join(entry.kinds)}: {entry.approvals} approvals"
            + (f" of {' or '.join(role.value for role in entry.roles)}" if entry.approvals else "")
            + (f", above {entry.above}" if entry.above else "")
            for entry in wanted.entries
        ] or ["Nothing asks for approval."]
        lines.append(f"A proposal lives {int(wanted.expiry.total_seconds() // 3600)} hours.")
        return Preview(
            f"Replace version {present.version} of the rule" if present.version else "Set the first rule",
            tuple(lines),
            {"version": present.version},
            demand=wanted.strictest().stricter(present.strictest()),
        )

    async def execute(self, payload: Mapping[str, Any], order: Order) -> Json:
        """See :class:`~troth.access.approvals.model.Executor`."""
        document = text(payload, "document")
        parse_rule(document, self._kinds())
        version = (await self._present()).version + 1
        digest = hashlib.sha256(document.encode()).digest()
        unit = Unit().claim(
            ADD_RULE, version, document, digest, self._clock.now(), order.by.actor,
            refuse=ApprovalRefused(RULE_CHANGED), key=ADD_RULE.name,
        )  # fmt: skip
        data: dict[str, Json] = {"version": version, "sha256": digest.hex(), "approved_by": list(order.approved_by)}
        unit.record(Event("approval.rule_changed", order.by.actor, (), data))
        await self._database.commit(unit.absorb(order.unit))
        return {"version": version}

    async def _present(self) -> Rule:
        found = await self._store.rule()
        return Rule() if found is None else parse_rule(found[1], self._kinds(), version=found[0])

    async def _require_met(self, rule: Rule) -> None:
        for demand in (*rule.demands(), rule.strictest()):
            if not demand.approvals:
                continue
            could = await self._store.eligible([role.value for role in demand.roles])
            if len(could) <= demand.approvals:
                roles = " or ".join(sorted(role.value for role in demand.roles))
                raise ApprovalRefused(
                    RULE_UNMET,
                    f"{demand.approvals} approvals besides the proposer take {demand.approvals + 1} persons with a "
                    f"passkey and the role {roles}; there are {len(could)}: {', '.join(could) or 'nobody'}",
                )
