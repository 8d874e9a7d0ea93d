"""The records of the two-person rule, and what an approval is bound to."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, Protocol, TypeAlias
from uuid import UUID

from troth.access.approvals.demand import NOTHING, Demand
from troth.access.model import Principal
from troth.access.roles import Permission, Role
from troth.kit.canonical import Json, canonical_json
from troth.store.unit import Unit

State: TypeAlias = Literal["waiting", "approved", "executed", "rejected", "withdrawn", "expired", "failed"]
#: States that nothing leaves.
SETTLED = frozenset({"executed", "rejected", "withdrawn", "expired", "failed"})

_ACT = b"troth act 1\x00"
_CHALLENGE = b"troth approval 1\x00"
_STATE = b"troth state 1\x00"


def act_hash(kind: str, payload: bytes) -> bytes:
    """SHA-256 over the kind and the exact payload: what people read aloud to each other."""
    return hashlib.sha256(_ACT + len(kind.encode()).to_bytes(2, "big") + kind.encode() + payload).digest()


def state_digest(value: Json) -> bytes:
    """SHA-256 of the state that a preview saw, as canonical JSON."""
    return hashlib.sha256(_STATE + canonical_json(value)).digest()


def approval_challenge(act: bytes, state: bytes, nonce: bytes) -> bytes:
    """What an approver's passkey signs: this act, on this state, asked by this nonce (32 octets each)."""
    if not len(act) == len(state) == len(nonce) == 32:
        raise ValueError("hash, digest and nonce have 32 octets each")
    return hashlib.sha256(_CHALLENGE + act + state + nonce).digest()


@dataclass(frozen=True, slots=True)
class Act:
    """Something that may need approval. ``payload`` is canonical JSON, and all that the executor is told."""

    kind: str
    payload: bytes

    @classmethod
    def of(cls, kind: str, payload: Mapping[str, Json]) -> Act:
        """The act with ``payload`` brought into its one form. Raises TypeError for floats."""
        return cls(kind, canonical_json(payload))

    @property
    def hash(self) -> bytes:
        """See :func:`act_hash`."""
        return act_hash(self.kind, self.payload)


@dataclass(frozen=True, slots=True)
class Preview:
    """What an act would do now.

    Attributes:
        words: one sentence: what is done.
        lines: what it would hit.
        state: the state that this follows from; if it is another one at execution, the approval is stale.
        size: how many things it hits, for rules that begin above a number.
        demand: what it asks for at least, whatever the rule says of its kind.
        judged: for an act that a :class:`Judging` judges: the digest of the state as that one sees it, which then
            stands for ``state``.
    """

    words: str
    lines: tuple[str, ...]
    state: Json
    size: int = 1
    demand: Demand = NOTHING
    judged: bytes | None = None

    @property
    def digest(self) -> bytes:
        """Of ``state``."""
        return state_digest(self.state) if self.judged is None else self.judged


@dataclass(frozen=True, slots=True)
class Approval:
    """One person's yes."""

    proposal_id: UUID
    person: str
    account_id: UUID
    actor: str
    credential_id: bytes
    nonce: bytes
    assertion: str
    comment: str
    approved_at: datetime


@dataclass(frozen=True, slots=True)
class Order:
    """What an executor is handed beside the payload.

    Attributes:
        by: who wanted it; it is done in this name and with these permissions.
        unit: to be absorbed into the one write unit that does the act: it holds the claim that it is done once, the
            check that the state is still the previewed one, and the events. An act whose unit does not hold it is
            not done.
        approvals: those that led to it; an act that is judged elsewhere hands them on as its proofs.
        proposal_id: of the proposal; None where nothing was asked.
    """

    by: Principal
    unit: Unit
    approvals: tuple[Approval, ...] = ()
    proposal_id: UUID | None = None

    @property
    def approved_by(self) -> tuple[str, ...]:
        """Actors of the approvers."""
        return tuple(one.actor for one in self.approvals)


@dataclass(frozen=True, slots=True)
class Asked:
    """What a judge wants signed for one approval, and how many persons it wants. See :func:`approval_challenge`."""

    state_digest: bytes
    nonce: bytes
    needed: int


@dataclass(frozen=True, slots=True)
class Pinned:
    """A passkey that a judge knows by itself. ``public_key``: COSE."""

    person: str
    credential_id: bytes
    public_key: bytes
    sign_count: int


class Judging(Protocol):
    """Who judges some kinds of act for itself and believes no database: the signer, by passkeys pinned in it.

    Such an act is approved with pinned passkeys alone. What they sign is the judge's own question, and the judge
    counts persons, whoever proposed it: the proposer's own passkey counts, too.
    """

    @property
    def kinds(self) -> frozenset[str]:
        """The kinds of act that it judges."""
        ...

    async def ask(self, act: Act) -> Asked:
        """A question for one approval of ``act``. Raises TrothError."""
        ...

    async def pinned(self) -> Sequence[Pinned]:
        """The passkeys whose answers count. Raises TrothError."""
        ...


class Executor(Protocol):
    """One kind of act. Payloads come from people: what is wrong with one raises a TrothError in ``preview``."""

    @property
    def permission(self) -> Permission:
        """What whoever wants the act done must have, both when it is proposed and when it is done."""
        ...

    @property
    def secret(self) -> bool:
        """Whether the outcome is told once and to the proposer alone, so that nobody else has it done."""
        ...

    async def preview(self, payload: Mapping[str, Any], by: Principal) -> Preview:
        """What it would do now, for ``by``; writes nothing."""
        ...

    async def execute(self, payload: Mapping[str, Any], order: Order) -> Json:
        """Do it in one write unit that absorbs ``order.unit``. Returns what is told to whoever asked.

        The unit is committed even where nothing is left to do.
        """
        ...


@dataclass(frozen=True, slots=True)
class Proposal:
    """An act that waits for approval, or did."""

    id: UUID
    act: Act
    act_hash: bytes
    state_digest: bytes
    words: str
    lines: tuple[str, ...]
    size: int
    needed: int
    roles: frozenset[Role]
    comment: str
    actor: str
    account_id: UUID | None
    person: str | None
    role: Role
    proposed_at: datetime
    expires_at: datetime
    state: State
    settled_at: datetime | None = None
    settled_by: str | None = None
    settled_why: str = ""
    approvals: tuple[Approval, ...] = ()


@dataclass(frozen=True, slots=True)
class Submitted:
    """What came of handing in an act: a proposal that waits, or (``proposal`` None) what it came to at once."""

    proposal: Proposal | None
    outcome: Json = None
