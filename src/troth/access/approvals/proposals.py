"""Proposals and what people say to them.

What is written down of an approval is enough for anybody to check it again: the passkey's assertion, the nonce, the
hash of the act and the digest of the state; the challenge that was signed follows from the last three.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from troth.access import passkeys
from troth.access.approvals.errors import (
    EXPIRED,
    NOT_A_PERSON,
    NOT_PINNED,
    NOT_PROPOSER,
    OWN,
    PASSKEY,
    ROLE,
    SETTLED,
    STALE,
    TWICE,
    UNKNOWN,
    ApprovalRefused,
)
from troth.access.approvals.model import SETTLED as SETTLED_STATES
from troth.access.approvals.model import Approval, Judging, Pinned, Proposal, approval_challenge
from troth.access.approvals.store import (
    ADD_APPROVAL,
    ADD_PROPOSAL,
    LOCK_OPEN,
    LOCK_WAITING,
    SET_STATE,
    ApprovalStore,
    values,
)
from troth.access.errors import AccessError
from troth.access.invitations import CHALLENGE_LIFETIME
from troth.access.model import Principal
from troth.access.secrets import secret_hash
from troth.access.store import (
    CHALLENGE_ADD,
    CHALLENGE_SWEEP,
    CHALLENGE_TAKE,
    PASSKEY_UNCHANGED,
    PASSKEY_USED,
    AccessStore,
)
from troth.audit.event import Event
from troth.kit.canonical import Json
from troth.kit.clock import Clock
from troth.store.pool import Database
from troth.store.unit import Reader, Unit


def proposal_unit(proposal: Proposal) -> Unit:
    """The write unit of a new proposal."""
    data: dict[str, Json] = {
        "kind": proposal.act.kind,
        "act_hash": proposal.act_hash.hex(),
        "state_digest": proposal.state_digest.hex(),
        "words": proposal.words,
        "needed": proposal.needed,
        "roles": sorted(role.value for role in proposal.roles),
        "person": proposal.person,
        "comment": proposal.comment,
        "expires_at": proposal.expires_at.isoformat(),
    }
    unit = Unit().write(ADD_PROPOSAL, *values(proposal))
    return unit.record(_event("proposed", proposal, proposal.actor, data))


class Proposals:
    """Takes proposals, approvals, rejections and withdrawals. What was approved is done by ``execution``.

    Args:
        judging: who judges some kinds of act apart from this database.
    """

    def __init__(
        self, database: Database, clock: Clock, party: passkeys.RelyingParty, judging: Judging | None = None
    ) -> None:
        self._database = database
        self._clock = clock
        self._party = party
        self._judging = judging
        self._store = ApprovalStore(database)
        self._access = AccessStore(database)

    async def get(self, proposal_id: UUID) -> Proposal:
        """One proposal. Raises ApprovalRefused(UNKNOWN)."""
        found = await self._store.proposal(proposal_id)
        if found is None:
            raise ApprovalRefused(UNKNOWN, f"there is no proposal {proposal_id}")
        return found

    async def add(self, proposal: Proposal) -> None:
        """Write a new proposal down."""
        await self._database.commit(proposal_unit(proposal))

    async def question(self, proposal_id: UUID, by: Principal) -> dict[str, Any]:
        """Options for the passkey that is to approve this proposal. Raises ApprovalRefused."""
        proposal = await self._may_approve(proposal_id, by)
        assert by.id is not None  # noqa: S101 -- _may_approve has refused everybody else
        nonce, keys = await self._asked(proposal, by.id)
        now = self._clock.now()
        challenge = approval_challenge(proposal.act_hash, proposal.state_digest, nonce)
        unit = Unit().write(CHALLENGE_SWEEP, now)
        purpose = _purpose(proposal.id, nonce)
        unit.write(CHALLENGE_ADD, secret_hash(challenge.hex()), purpose, by.id, now + CHALLENGE_LIFETIME)
        await self._database.commit(unit)
        options = passkeys.authentication_options(self._party, challenge=challenge)
        options["allowCredentials"] = [passkeys.descriptor(key) for key in keys]
        return {"options": options, "nonce": nonce.hex()}

    async def approve(
        self, proposal_id: UUID, by: Principal, *, nonce: bytes, answer: object, comment: str = ""
    ) -> Proposal:
        """Count this person's yes; the proposal as it is then. Raises ApprovalRefused."""
        proposal = await self._may_approve(proposal_id, by)
        assert by.id is not None  # noqa: S101 -- as above
        now = self._clock.now()
        # 1 The passkey is one of the asker's own, and it has signed this act, this state and this nonce.
        if len(nonce) != 32:
            raise ApprovalRefused(PASSKEY, "the nonce is not one of ours")
        try:
            parsed = passkeys.parse(answer)
        except AccessError as error:
            raise ApprovalRefused(PASSKEY, error.detail) from error
        if parsed.challenge != approval_challenge(proposal.act_hash, proposal.state_digest, nonce):
            raise ApprovalRefused(PASSKEY, "the passkey has signed something else")
        unit, account_id = Unit(), by.id
        key = await self._pinned(parsed.credential_id, account_id) if self.judges(proposal) else None
        known = await self._access.passkey(parsed.credential_id) if key is None else None
        if key is None and (self.judges(proposal) or known is None or known.account_id != account_id):
            raise ApprovalRefused(PASSKEY, "this passkey is not one that counts here")
        public_key, sign_count = (key or known).public_key, (key or known).sign_count  # type: ignore[union-attr]
        try:
            count = passkeys.verify_authentication(self._party, parsed, public_key=public_key, sign_count=sign_count)
        except AccessError as error:
            raise ApprovalRefused(PASSKEY) from error
        # 2 One commit: the question is used up, the counter moves, the person has not approved before.
        unit.guard(LOCK_WAITING, proposal.id, refuse=_settled(proposal.id), key=("proposal", proposal.id))
        if known is not None:
            unit.guard(
                PASSKEY_UNCHANGED, known.credential_id, known.sign_count, refuse=ApprovalRefused(PASSKEY),
                key=known.credential_id,
            )  # fmt: skip
            unit.write(PASSKEY_USED, known.credential_id, count, now)
        unit.claim(
            CHALLENGE_TAKE, secret_hash(parsed.challenge.hex()), _purpose(proposal.id, nonce), by.id, now,
            refuse=ApprovalRefused(PASSKEY, "the question is more than five minutes old, or was answered before"),
        )  # fmt: skip
        assertion = json.dumps(parsed.raw, separators=(",", ":"))

        async def count_it(reader: Reader, inner: Unit) -> None:
            store = ApprovalStore(reader)
            person = await store.person(account_id)
            before = await store.approvals(proposal.id)
            judged = self.judges(proposal)
            if person is None or (not judged and person == await self._proposer(store, proposal)):
                raise ApprovalRefused(OWN)
            mine = Approval(
                proposal.id, person, account_id, by.actor, parsed.credential_id, nonce, assertion, comment[:500], now
            )
            standing = await persons(store, proposal, (*before, mine), judged=judged)
            if person in await persons(store, proposal, before, judged=judged):
                raise ApprovalRefused(TWICE)
            if person not in standing:
                raise ApprovalRefused(ROLE)
            inner.claim(
                ADD_APPROVAL, mine.proposal_id, mine.person, mine.account_id, mine.actor, mine.credential_id,
                mine.nonce, mine.assertion, mine.comment, mine.approved_at, refuse=ApprovalRefused(TWICE),
                key=("approval", proposal.id, person),
            )  # fmt: skip
            data: dict[str, Json] = {
                "kind": proposal.act.kind, "act_hash": proposal.act_hash.hex(), "person": person,
                "credential": mine.credential_id.hex(), "count": len(standing), "needed": proposal.needed,
                "comment": mine.comment, "words": proposal.words,
            }  # fmt: skip
            inner.record(_event("approved", proposal, by.actor, data))
            if len(standing) >= proposal.needed:
                inner.write(SET_STATE, proposal.id, "approved", None, None, "")

        await self._database.commit(unit.then(count_it))
        return await self.get(proposal.id)

    async def reject(self, proposal_id: UUID, by: Principal, *, why: str) -> Proposal:
        """One rejection ends a proposal. Raises ApprovalRefused."""
        return await self._end(await self.get(proposal_id), "rejected", by.actor, why)

    async def withdraw(self, proposal_id: UUID, by: Principal, *, why: str = "") -> Proposal:
        """The proposer takes it back. Raises ApprovalRefused(NOT_PROPOSER) for anybody else."""
        proposal = await self.get(proposal_id)
        same_person = by.id is not None and proposal.person == await self._store.person(by.id)
        if proposal.actor != by.actor and not same_person:
            raise ApprovalRefused(NOT_PROPOSER)
        return await self._end(proposal, "withdrawn", by.actor, why)

    async def expire(self) -> int:
        """End the open proposals whose time is over; how many there were."""
        lapsed = await self._store.lapsed(self._clock.now())
        for proposal in lapsed:
            try:
                await self._end(proposal, "expired", "system:approvals", "its time is over")
            except ApprovalRefused:
                continue  # settled by somebody else in the meantime
        return len(lapsed)

    async def confirmed(self, proposal: Proposal, by: Principal) -> Proposal:
        """It was done on the signer's machine, where the setup role needs no approval. Raises ApprovalRefused."""
        return await self._end(proposal, "executed", by.actor, "done on the signer's machine")

    async def fail(self, proposal: Proposal, why: str) -> None:
        """What was approved cannot be done; it stays undone. Raises ApprovalRefused if it is settled already."""
        await self._end(proposal, "failed", "system:approvals", why)

    async def _end(self, proposal: Proposal, state: str, actor: str, why: str) -> Proposal:
        unit = Unit()
        unit.guard(LOCK_OPEN, proposal.id, refuse=_settled(proposal.id), key=("proposal", proposal.id))
        unit.write(SET_STATE, proposal.id, state, self._clock.now(), actor, why[:500])
        data: dict[str, Json] = {
            "kind": proposal.act.kind, "act_hash": proposal.act_hash.hex(), "reason": why[:500],
            "words": proposal.words,
        }  # fmt: skip
        await self._database.commit(unit.record(_event(state, proposal, actor, data)))
        return await self.get(proposal.id)

    async def _may_approve(self, proposal_id: UUID, by: Principal) -> Proposal:
        proposal = await self.get(proposal_id)
        if by.via != "session" or by.id is None:
            raise ApprovalRefused(NOT_A_PERSON)
        if proposal.state in SETTLED_STATES or proposal.state == "approved":
            raise _settled(proposal.id)
        if proposal.expires_at <= self._clock.now():
            raise ApprovalRefused(EXPIRED)
        person = await self._store.person(by.id)
        judged = self.judges(proposal)
        if person is None or (not judged and person == await self._proposer(self._store, proposal)):
            raise ApprovalRefused(OWN)
        if by.role not in proposal.roles:
            roles = " or ".join(sorted(role.value for role in proposal.roles))
            raise ApprovalRefused(ROLE, f"this needs approvals of {roles}")
        if person in await persons(self._store, proposal, proposal.approvals, judged=judged):
            raise ApprovalRefused(TWICE)
        return proposal

    def judges(self, proposal: Proposal) -> bool:
        """Whether somebody apart from this database judges it, by passkeys pinned there."""
        return self._judging is not None and proposal.act.kind in self._judging.kinds

    async def _asked(self, proposal: Proposal, account_id: UUID) -> tuple[bytes, list[bytes]]:
        """The nonce of one approval, and the credentials that may answer."""
        if self._judging is None or not self.judges(proposal):
            return os.urandom(32), [key.credential_id for key in await self._access.passkeys_of(account_id)]
        asked, person = await self._judging.ask(proposal.act), await self._store.person(account_id)
        if asked.state_digest != proposal.state_digest:
            raise ApprovalRefused(STALE)
        mine = [key.credential_id for key in await self._judging.pinned() if key.person == person]
        if not mine:
            raise ApprovalRefused(NOT_PINNED, f"no passkey of {person} is pinned in the signer")
        return asked.nonce, mine

    async def _pinned(self, credential_id: bytes, account_id: UUID) -> Pinned | None:
        """The pinned passkey, if it is of the person behind the account."""
        person = await self._store.person(account_id)
        found = [] if self._judging is None else await self._judging.pinned()
        return next((one for one in found if one.credential_id == credential_id and one.person == person), None)

    async def _proposer(self, store: ApprovalStore, proposal: Proposal) -> str | None:
        return proposal.person if proposal.account_id is None else await store.person(proposal.account_id)


async def persons(
    store: ApprovalStore, proposal: Proposal, approvals: Sequence[Approval], *, judged: bool = False
) -> frozenset[str]:
    """Who has approved, as of now: an account that was turned off or lost its role does not count any more, and two
    accounts that turned out to be one person's count once. Neither does the proposer, who may own another account,
    unless a judge counts the persons (``judged``)."""
    standing = await store.standing([one.account_id for one in approvals], [role.value for role in proposal.roles])
    found = set(standing.values())
    if judged:
        return frozenset(found)
    if proposal.account_id is not None:
        found.discard(await store.person(proposal.account_id) or "")
    if proposal.person is not None:
        found.discard(proposal.person)
    return frozenset(found)


def _event(what: str, proposal: Proposal, actor: str, data: dict[str, Json]) -> Event:
    return Event(f"approval.{what}", actor, (f"proposal:{proposal.id}",), {"proposal": str(proposal.id)} | data)


def _settled(proposal_id: UUID) -> ApprovalRefused:
    return ApprovalRefused(SETTLED, f"proposal {proposal_id} is settled already")


def _purpose(proposal_id: UUID, nonce: bytes) -> str:
    return f"approve:{proposal_id}:{nonce.hex()}"
