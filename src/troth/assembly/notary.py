"""The signer's notary in the shape that the audit room asks for."""

from __future__ import annotations

from troth.audit.checkpoints import Notary
from troth.audit.errors import TAMPERED, LedgerTampered
from troth.audit.note import NoteKey
from troth.kit.clock import Clock
from troth.pki.signer.client import SignerClient


class SignerNotary:
    """Checkpoints by the signer process."""

    def __init__(self, signer: SignerClient, clock: Clock) -> None:
        self._signer = signer
        self._clock = clock

    async def notary_size(self) -> int:
        """See :class:`troth.audit.checkpoints.Notary`."""
        return (await self._signer.notary_state()).size

    async def extend(self, old_size: int, leaves: list[bytes]) -> str:
        """See :class:`troth.audit.checkpoints.Notary`."""
        answer = await self._signer.checkpoint(old_size, leaves, self._clock.now())
        if not answer.extended or answer.note is None:
            raise LedgerTampered(TAMPERED, f"the notary stands at {answer.size}, not at {old_size}")
        return answer.note


async def notary_of(signer: SignerClient, clock: Clock) -> tuple[Notary, NoteKey]:
    """The notary and the key that its checkpoints are verified with."""
    state = await signer.notary_state()
    return SignerNotary(signer, clock), NoteKey.parse(state.verifier_key)
