"""Keeping conversations: from the journal into the database, a partition for each day, forgotten after a time."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from functools import partial

import msgspec

from troth.audit.event import Event
from troth.kit.clock import Clock
from troth.kit.log import get_logger
from troth.radius.admission import conversation_store
from troth.radius.admission.conversations import Conversation, decode
from troth.store.pool import Database
from troth.store.unit import Reader, Unit
from troth.trust.connecting.errors import CERTIFICATE_UNKNOWN

log = get_logger("radius")

#: Days whose partitions are made ahead: a worker that does not run for so long has rows in the default one.
_AHEAD = 7
#: Events about forged certificates that one batch of the journal makes at most: whoever forges one can forge many.
_TOLD = 20


async def take(unit: Unit, notes: Sequence[bytes]) -> None:
    """Add conversations to ``unit`` (:data:`troth.trust.connecting.journal_drain.Taker`)."""
    forged: list[Conversation] = []
    for note in notes:
        try:
            made = decode(note)
        except msgspec.DecodeError as error:
            # Of another version of this program: the decisions beside it are not lost for that.
            log.error("conversation.unreadable", error=str(error)[:200])
            continue
        conversation_store.add(unit, made, note)
        if made.reason == CERTIFICATE_UNKNOWN.code:
            forged.append(made)
    if forged:
        unit.then(partial(_tell, forged[:_TOLD]))


async def _tell(forged: Sequence[Conversation], reader: Reader, unit: Unit) -> None:
    """A good chain to an authority of ours, and nobody here has issued it: somebody else has the authority's key."""
    known = await conversation_store.known(reader, [one.id for one in forged])
    for one in forged:
        if one.id in known:
            continue
        log.error("network.forged_certificate", sha256=one.sha256, network=one.network)
        unit.record(
            Event(
                "network.forged_certificate", "system:radius",
                (f"conversation:{one.id}", *([f"network:{one.network}"] if one.network else [])),
                {"network": one.network, "nas": one.nas, "mac": one.mac, "sha256": one.sha256,
                 "conversation": str(one.id)},
            )
        )  # fmt: skip


class ConversationPartitions:
    """Makes days ahead, and forgets what is older than ``keep``. Run by the worker; two of them do no harm."""

    def __init__(self, database: Database, clock: Clock, keep: timedelta) -> None:
        self._database = database
        self._clock = clock
        self._keep = keep

    async def run_once(self) -> int:
        """Returns how many days were forgotten."""
        now = self._clock.now()
        today, oldest = now.date(), (now - self._keep).date()
        present = set(await conversation_store.days(self._database))
        for number in range(_AHEAD + 1):
            day = today + timedelta(days=number)
            if day not in present:
                await conversation_store.add_day(self._database, day)
        gone = sorted(day for day in present if day < oldest)
        for day in gone:
            await conversation_store.drop_day(self._database, day)
        await conversation_store.forget(self._database, now - self._keep)
        return len(gone)
