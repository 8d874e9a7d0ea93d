"""What people do with receivers: grant, give a secret, look, end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from troth.audit.event import Event
from troth.connect.ssf.model import PUSH
from troth.connect.ssf.transmitter import queue_store, store
from troth.connect.ssf.transmitter.access import new_secret
from troth.connect.ssf.transmitter.definitions import ReceiverDefinition
from troth.connect.ssf.transmitter.errors import RECEIVER_UNKNOWN, ReceiverRefused, refused
from troth.connect.ssf.transmitter.model import OutStream, Receiver
from troth.connect.ssf.transmitter.sending import Sender
from troth.kit.canonical import Json
from troth.kit.clock import Clock
from troth.kit.sealing import SecretBox
from troth.store.pool import Database
from troth.store.unit import Unit
from troth.trust.applied import Applied


@dataclass(frozen=True, slots=True)
class Going:
    """A stream with what is on its way.

    Attributes:
        waiting, refused: tokens. oldest: since when the oldest waits. delivered: how many ever.
    """

    stream: OutStream
    waiting: int
    refused: int
    oldest: datetime | None
    delivered: int


class ReceiverDesk:
    """The receivers of this installation."""

    def __init__(self, database: Database, clock: Clock, sender: Sender, box: SecretBox) -> None:
        self._database = database
        self._clock = clock
        self._sender = sender
        self._box = box

    @property
    def issuer(self) -> str:
        """Ours, as receivers know us."""
        return self._sender.issuer

    async def receivers(self) -> list[Receiver]:
        """Every receiver, by name."""
        return await store.receivers(self._database)

    async def streams(self) -> list[Going]:
        """Every stream, with what is on its way."""
        numbers, counts = await queue_store.numbers(self._database), await queue_store.counts(self._database)
        found = []
        for stream in await store.streams(self._database):
            waiting, refusals, oldest = numbers.get(stream.id, (0, 0, None))
            found.append(Going(stream, waiting, refusals, oldest, counts.get((stream.id, "delivered"), 0)))
        return found

    async def preview(self, definitions: Sequence[ReceiverDefinition]) -> list[tuple[ReceiverDefinition, Applied]]:
        """What :meth:`apply` would do."""
        present: Mapping[str, ReceiverDefinition] = {one.name: one.definition for one in await self.receivers()}
        return [(one, _change(one, present.get(one.name))) for one in definitions]

    async def apply(
        self, definitions: Sequence[ReceiverDefinition], *, actor: str, joined: Unit | None = None
    ) -> list[tuple[ReceiverDefinition, Applied]]:
        """Grant what is defined, all or none; receivers that are not named stay as they are."""
        results, at, unit = await self.preview(definitions), self._clock.now(), Unit()
        for one, change in results:
            if change is not Applied.UNCHANGED:
                store.put_receiver(unit, one, at=at, actor=actor)
                unit.record(_event("ssf.receiver_applied", actor, one.name, change=change.value))
            await self._static(unit, one, at)
        await self._database.commit(unit if joined is None else unit.absorb(joined))
        return results

    async def _static(self, unit: Unit, one: ReceiverDefinition, at: datetime) -> None:
        """The stream of a receiver that has no stream API to ask: it is of our making, and ends with its address."""
        id = f"static-{one.name}"
        found = await store.find_stream(self._database, id)
        if one.push_url:
            # A header was handed over for one address and is sent to no other.
            header = found.header if found is not None and found.endpoint == one.push_url else None
            store.make_stream(unit, id, one.name, _static(one), None, at)
            store.change_stream(unit, id, _static(one), header)
        elif found is not None:
            queue_store.empty(unit, id)
            store.drop_stream(unit, id)

    async def new_secret(self, name: str, *, actor: str) -> str:
        """A new client secret, told once; access tokens got by the former one are worth nothing any more."""
        secret, digest = new_secret()
        unit = self._locked(name)
        store.set_secret(unit, name, digest)
        unit.record(_event("ssf.receiver_secret", actor, name))
        await self._database.commit(unit)
        return secret

    async def set_header(self, name: str, header: str, *, actor: str) -> None:
        """Keep the authorization header for a receiver that is pushed to without any stream of its making."""
        found = await store.find_stream(self._database, f"static-{name}")
        if found is None:
            raise _unknown(name)
        unit = self._locked(name)
        configuration = {
            "method": found.method, "endpoint": found.endpoint, "requested": list(found.requested),
            "description": found.description,
        }  # fmt: skip
        store.change_stream(unit, found.id, configuration, self._box.seal(f"header:{name}", header.encode()))
        unit.record(_event("ssf.receiver_header", actor, name))
        await self._database.commit(unit)

    async def set_status(self, stream_id: str, status: str, *, actor: str, reason: str = "") -> None:
        """Pause, disable or enable a stream, and tell its receiver. Raises ReceiverRefused."""
        stream = await store.find_stream(self._database, stream_id)
        receiver = None if stream is None else await store.find_receiver(self._database, stream.receiver)
        if stream is None or receiver is None:
            raise _unknown(stream_id)
        unit = self._locked(receiver.name)
        await self._sender.updated(unit, receiver, stream, status, reason[:200])
        store.set_status(unit, stream.id, status, reason, held=status != "enabled")
        unit.record(_event("ssf.out_stream_status", actor, receiver.name, before=stream.status, after=status))
        await self._database.commit(unit)

    async def remove(self, name: str, *, actor: str) -> None:
        """End a receiver, its streams and what waits for them. Raises ReceiverRefused."""
        unit = self._locked(name)
        for stream in await store.streams(self._database, name):
            queue_store.empty(unit, stream.id)
            store.drop_stream(unit, stream.id)
        store.drop_receiver(unit, name)
        unit.record(_event("ssf.receiver_removed", actor, name))
        await self._database.commit(unit)

    def _locked(self, name: str) -> Unit:
        return Unit().guard(store.LOCK_RECEIVER, name, refuse=_unknown(name), key=("ssf_receiver", name))


def _static(one: ReceiverDefinition) -> dict[str, Json]:
    requested: list[Json] = list(one.events)
    return {"method": PUSH, "endpoint": one.push_url, "requested": requested, "description": ""}


def _change(wanted: ReceiverDefinition, present: ReceiverDefinition | None) -> Applied:
    return Applied.CREATED if present is None else Applied.UNCHANGED if present == wanted else Applied.CHANGED


def _unknown(name: str) -> ReceiverRefused:
    return refused(RECEIVER_UNKNOWN, f"there is no receiver {name[:80]!r}", receiver=name[:80])


def _event(kind: str, actor: str, name: str, **data: Json) -> Event:
    known: dict[str, Json] = {"receiver": name}
    return Event(kind, actor, (f"ssf_receiver:{name}",), known | data)
