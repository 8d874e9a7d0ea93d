"""What the faces show of the two-person rule."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from msgspec import Struct


class ApprovalView(Struct, frozen=True, kw_only=True):
    """One person's yes."""

    person: str
    actor: str
    comment: str
    at: datetime
    credential: str


class ProposalView(Struct, frozen=True, kw_only=True):
    """An act that waits for approval, or did.

    Attributes:
        payload: the exact canonical JSON that ``act_hash`` is over.
        secret: the outcome is told to the proposer alone, who has it done.
    """

    id: UUID
    kind: str
    words: str
    lines: tuple[str, ...]
    size: int
    payload: str
    act_hash: str
    state_digest: str
    needed: int
    roles: tuple[str, ...]
    comment: str
    actor: str
    person: str | None
    proposed_at: datetime
    expires_at: datetime
    state: str
    secret: bool
    settled_at: datetime | None
    settled_by: str | None
    settled_why: str
    approvals: tuple[ApprovalView, ...]


class ApproverView(Struct, frozen=True):
    """A passkey that is pinned in the signer. ``fingerprint``: of its public key, as people compare it."""

    person: str
    label: str
    credential_id: str
    fingerprint: str
    added_at: datetime


class ApproversView(Struct, frozen=True):
    """Who is pinned in the signer, for which address, and how many of them must approve."""

    needed: int
    persons: tuple[str, ...]
    rp_id: str
    origins: tuple[str, ...]
    approvers: tuple[ApproverView, ...]

    @property
    def active(self) -> bool:
        """Whether the signer asks for approvals: two persons are pinned."""
        return len(self.persons) >= 2


class ActPreview(Struct, frozen=True):
    """What an act would do now, and what it asks for."""

    words: str
    lines: tuple[str, ...]
    state_digest: str
    size: int
    needed: int
    roles: tuple[str, ...]


class RuleDemand(Struct, frozen=True):
    """What one kind of act asks for, and which persons could give it now."""

    kind: str
    approvals: int
    roles: tuple[str, ...]
    eligible: tuple[str, ...]


class ApprovalRuleView(Struct, frozen=True):
    """The rule in force; version 0: there never was one."""

    version: int
    document: str
    expires_hours: int
    demands: tuple[RuleDemand, ...]
