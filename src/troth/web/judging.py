"""The signer as the judge of acts: what is asked of it, and its questions on their way to browsers and back.

Nothing is decided here. This process relays; the signer verifies every passkey's answer itself and believes nothing
that it is told of who approved what.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from troth.access.approvals.model import Act, Approval, Asked, Pinned
from troth.pki.keys.algorithm import KeyAlgorithm
from troth.pki.keys.model import KeyMetadata, KeyPurpose
from troth.pki.signer import acts
from troth.pki.signer.approvers_protocol import Approvers, AskedApproval, Proof
from troth.pki.signer.protocol import Bounds


class JudgeSigner(Protocol):
    """What is asked of the signer."""

    async def approvers(self) -> Approvers:
        """Whose passkeys are pinned, and how many persons must approve."""
        ...

    async def ask_registration(self, person: str) -> bytes:
        """The challenge for a new passkey of ``person``."""
        ...

    async def ask_approval(self, act: Act) -> AskedApproval:
        """What one approver's passkey is to sign."""
        ...

    async def register_approver(self, person: str, label: str, response: bytes, proofs: Sequence[Proof]) -> None:
        """Pin a further passkey."""
        ...

    async def remove_approver(self, credential_id: bytes, proofs: Sequence[Proof]) -> None:
        """Unpin a passkey."""
        ...

    async def set_approvals(self, needed: int, proofs: Sequence[Proof]) -> None:
        """Change how many persons must approve."""
        ...

    async def list_keys(self, purpose: KeyPurpose | None = None) -> list[KeyMetadata]:
        """All keys, oldest first."""
        ...

    async def generate_key(
        self, purpose: KeyPurpose, algorithm: KeyAlgorithm, custodian: str, *, proofs: Sequence[Proof]
    ) -> KeyMetadata:
        """Make a key."""
        ...

    async def attach_authority(
        self, key_id: str, certificate: bytes, bounds: Bounds, *, proofs: Sequence[Proof]
    ) -> KeyMetadata:
        """Bind an issuing key to its authority's certificate (DER)."""
        ...


class SignerJudging:
    """See :class:`troth.access.approvals.model.Judging`."""

    kinds = frozenset(acts.KINDS)

    def __init__(self, signer: JudgeSigner) -> None:
        self._signer = signer

    async def ask(self, act: Act) -> Asked:
        """The signer's question about ``act``."""
        asked = await self._signer.ask_approval(act)
        return Asked(asked.state_digest, asked.nonce, asked.needed)

    async def pinned(self) -> Sequence[Pinned]:
        """Every pinned passkey."""
        found = (await self._signer.approvers()).approvers
        return [Pinned(one.person, one.credential_id, one.public_key, one.sign_count) for one in found]


def proofs(approvals: Sequence[Approval]) -> list[Proof]:
    """Approvals as the signer takes them."""
    return [Proof(one.nonce, one.assertion.encode()) for one in approvals]
