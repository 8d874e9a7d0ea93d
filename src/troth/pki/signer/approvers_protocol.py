"""Messages of the two-person rule at the signer."""

from __future__ import annotations

from datetime import datetime

import msgspec


class Proof(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One approver's yes: the nonce that was asked, and the browser's answer (WebAuthn assertion as JSON)."""

    nonce: bytes
    assertion: bytes


class Approver(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A pinned passkey. ``public_key``: COSE."""

    person: str
    credential_id: bytes
    public_key: bytes
    sign_count: int
    label: str
    added_at: datetime


class _Message(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="op"):
    n: int


class ListApprovers(_Message, frozen=True, tag="list_approvers"):
    """Who is pinned."""


class AskRegistration(_Message, frozen=True, tag="ask_registration"):
    """A challenge to make a passkey under, for ``person``; good for 72 hours, since others approve it meanwhile."""

    person: str


class PinApprover(_Message, frozen=True, tag="pin_approver"):
    """Pin one of the first two persons' passkeys. ``response``: the browser's answer (JSON).

    ``rp_id`` and ``origins`` are fixed by the first of all; later ones must name the same.
    """

    person: str
    label: str
    response: bytes
    rp_id: str
    origins: tuple[str, ...]


class AskApproval(_Message, frozen=True, tag="ask_approval"):
    """A nonce for one approval of ``act`` (canonical JSON of ``acts``); good for 72 hours."""

    act: bytes


class RegisterApprover(_Message, frozen=True, tag="register_approver"):
    """Pin a further passkey; the present approvers have approved it."""

    person: str
    label: str
    response: bytes
    proofs: tuple[Proof, ...]


class RemoveApprover(_Message, frozen=True, tag="remove_approver"):
    """Unpin a passkey; the present approvers have approved it."""

    credential_id: bytes
    proofs: tuple[Proof, ...]


class SetApprovals(_Message, frozen=True, tag="set_approvals"):
    """How many persons must approve; the present approvers have approved it."""

    needed: int
    proofs: tuple[Proof, ...]


class Approvers(_Message, frozen=True, tag="approvers"):
    """Who is pinned, for which relying party, and how many must approve."""

    needed: int
    rp_id: str
    origins: tuple[str, ...]
    approvers: tuple[Approver, ...]


class Challenge(_Message, frozen=True, tag="challenge"):
    """What a new passkey signs."""

    challenge: bytes


class AskedApproval(_Message, frozen=True, tag="asked_approval"):
    """What an approver's passkey is to sign: :func:`~troth.access.approvals.model.approval_challenge` over these."""

    act_hash: bytes
    state_digest: bytes
    nonce: bytes
    needed: int
