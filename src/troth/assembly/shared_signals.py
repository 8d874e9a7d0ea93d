"""Wiring of shared signals: the push door in web processes, polling and what is due in the worker."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

import msgspec

from troth.assembly.context import RoleContext
from troth.assembly.transmitting import Transmitting, transmitting_of
from troth.connect.ssf.jwks import TransmitterKeys
from troth.connect.ssf.managing import StreamManager
from troth.connect.ssf.poller import Poller
from troth.connect.ssf.receiver import Receiver
from troth.connect.ssf.routes import PushDoor
from troth.connect.ssf.streams import StreamDesk
from troth.connect.ssf.wide import WideDesk
from troth.kit.http import HttpClient
from troth.kit.sealing import SecretBox
from troth.store.lease import Lease
from troth.store.pool import Database
from troth.trust.intake.inbox import Inbox


@dataclass(frozen=True, kw_only=True)
class SharedSignals:
    """The room in one process."""

    desk: StreamDesk
    manager: StreamManager
    receiver: Receiver
    wide: WideDesk
    door: PushDoor
    sending: Transmitting


def shared_signals_of(context: RoleContext, database: Database) -> SharedSignals:
    """The room, wired by the configuration."""
    clock, settings = context.clock, context.config.ssf
    desk = StreamDesk(database, clock, SecretBox.at(context.layout.secrets / "ssf.secret", purpose="ssf"))
    http = HttpClient(context.config.egress)
    manager = _manager(context, database, desk, http)
    inbox = Inbox(database, clock)
    receiver = Receiver(
        database, clock, inbox, TransmitterKeys(http, clock), max_age=timedelta(days=settings.keep_days)
    )
    return SharedSignals(
        desk=desk,
        manager=manager,
        receiver=receiver,
        wide=WideDesk(database, clock, inbox),
        door=PushDoor(desk, receiver),
        sending=transmitting_of(context, database),
    )


def _manager(context: RoleContext, database: Database, desk: StreamDesk, http: HttpClient) -> StreamManager:
    public = context.state.public_url.rstrip("/")
    return StreamManager(database, context.clock, http, desk, push_url=lambda name: f"{public}/ssf/receive/{name}")


def shared_signal_duties(
    context: RoleContext, database: Database, holder: UUID
) -> tuple[Coroutine[Any, Any, None], list[tuple[float, Callable[[], Awaitable[object]], str]]]:
    """The worker's part: polling, and (seconds, work, name) of what is done now and then."""
    room, settings = shared_signals_of(context, database), context.config.ssf
    # A client of its own, with the patience that a poll needs: whatever else is asked is answered at once or is late.
    patience = max(settings.poll_seconds, context.config.egress.timeout_seconds)
    waiting = HttpClient(msgspec.structs.replace(context.config.egress, timeout_seconds=patience))
    polling = _manager(context, database, room.desk, waiting)
    # One worker at a time: two would make a planned stream twice.
    lease = Lease(database, context.clock, "ssf-streams", holder, seconds=60.0)

    async def due() -> None:
        if await lease.acquire() is not None:
            await room.manager.run_due()

    async def forget() -> None:
        await room.desk.forget(timedelta(days=settings.keep_days))

    poller = Poller(database, context.clock, holder, polling, room.receiver)
    return poller.run(context.stop), [
        (5.0, due, "streams of shared signals"),
        (3600.0, forget, "forgetting of security event tokens"),
    ]
