"""Having the log's size and root signed by the notary, which lives in the signer process and only ever extends.

The notary is told the leaves that follow its own last size and computes the root itself; it signs what it
computed, not what it is told. If its root differs from ours, the database was changed behind the log's back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol

from troth.audit.errors import TAMPERED, LedgerTampered
from troth.audit.note import NoteKey, open_checkpoint
from troth.audit.sequencer import STREAM_CHANNEL
from troth.audit.store import Checkpoint, LedgerStore
from troth.kit.clock import Clock
from troth.kit.errors import TrothError
from troth.kit.log import get_logger
from troth.kit.rhythm import Rhythm
from troth.kit.waiting import until_set
from troth.store.bell import Bell

log = get_logger("audit")

_LEAVES_PER_CALL = 20_000
#: That the log has grown is told; this is for what was not.
_LOOK = Rhythm("checkpoints.look", 30.0, "worker")


class Notary(Protocol):
    """Who signs checkpoints."""

    async def notary_size(self) -> int:
        """The size of the last checkpoint it signed."""
        ...

    async def extend(self, old_size: int, leaves: list[bytes]) -> str:
        """Append ``leaves`` to a log of ``old_size`` and sign the result: the checkpoint as a signed note."""
        ...


class Checkpointer:
    """Keeps the signed checkpoint at the head of the log."""

    def __init__(
        self,
        store: LedgerStore,
        notary: Notary,
        key: NoteKey,
        clock: Clock,
        *,
        ceiling: Callable[[], Awaitable[int]] | None = None,
    ) -> None:
        """``ceiling`` says how many events a checkpoint may cover at most: where the log is shipped elsewhere, no
        more than are there, so that a signed size can always be reached again after a restore."""
        self._ceiling = ceiling
        self._store = store
        self._notary = notary
        self._key = key
        self._clock = clock
        #: Size of the last checkpoint that is known to be in the database.
        self._kept = -1
        self._complete = False

    async def run(self, stop: asyncio.Event, *, every: float = 1.0) -> None:
        """Sign whenever the log has grown, at most once in ``every`` seconds, until ``stop`` is set."""
        async with Bell(_LOOK, self._store.database, STREAM_CHANNEL).heeding(stop) as bell:
            while not stop.is_set():
                bell.hush()
                if await self._try_to_catch_up():
                    await bell.wait()
                await until_set(stop, every)
        await self._try_to_catch_up()

    async def _try_to_catch_up(self) -> bool:
        """Whether all there was is signed."""
        try:
            await self.catch_up()
        except (TrothError, OSError) as error:
            log.warning("checkpoint.delayed", error=str(error))
            return False
        return self._complete

    async def catch_up(self) -> Checkpoint | None:
        """Have everything that is in the log now signed. Raises LedgerTampered when the notary's root is another."""
        head = await self._store.head()
        size = await self._notary.notary_size()
        if size > head.size:
            raise LedgerTampered(
                TAMPERED, f"the notary has signed {size} events, the log holds {head.size}: rows are missing"
            )
        signed: Checkpoint | None = None
        if size == head.size and await self._lacks(size):
            # It was signed, but the answer or our note of it was lost: without leaves the notary signs the same again.
            signed = await self._extend(size, [])
        most = head.size if self._ceiling is None else min(head.size, await self._ceiling())
        self._complete = most == head.size
        while size < most:
            rows = await self._store.leaves(size, min(_LEAVES_PER_CALL, most - size))
            if [index for index, _ in rows] != list(range(size, size + len(rows))) or not rows:
                raise LedgerTampered(TAMPERED, f"the log has a gap after index {size}")
            signed = await self._extend(size, [leaf for _, leaf in rows])
            size += len(rows)
        if signed is not None and signed.size == head.size and signed.root != head.root:
            raise LedgerTampered(TAMPERED, f"the root at {head.size} is not the one the notary computed")
        return signed

    async def _extend(self, size: int, leaves: list[bytes]) -> Checkpoint:
        note = await self._notary.extend(size, leaves)
        said = open_checkpoint(note, self._key)
        signed = Checkpoint(said.size, said.root, note, self._clock.now())
        await self._store.add_checkpoint(signed)
        self._kept = signed.size
        return signed

    async def _lacks(self, size: int) -> bool:
        if self._kept < size:
            last = await self._store.last_checkpoint()
            self._kept = last.size if last is not None else 0
        return self._kept < size
