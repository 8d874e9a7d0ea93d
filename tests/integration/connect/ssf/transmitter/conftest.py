"""Our transmitter over real HTTP, with our own receiver before it, on one database."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID

import httpx
import pytest
import uvicorn

from tests.support.signals import Trust
from troth.kit.ids import new_id
from troth.kit.lane import Lane, Request, Response

if TYPE_CHECKING:
    from troth.connect.ssf.managing import StreamManager
    from troth.connect.ssf.model import Stream
    from troth.connect.ssf.poller import Poller
    from troth.connect.ssf.receiver import Receiver
    from troth.connect.ssf.streams import StreamDesk
    from troth.connect.ssf.transmitter.desk import ReceiverDesk
    from troth.connect.ssf.transmitter.keys import TransmitterKeyring
    from troth.connect.ssf.transmitter.port import SsfPort
    from troth.connect.ssf.transmitter.pusher import Pusher
    from troth.trust.outbox.model import Outcome

ACTOR = "admin:alice"


@dataclass
class Wire:
    """Both ends. ``base``: where the transmitter is; ``secret``: of its receiver ``vpn``."""

    trust: Trust
    base: str
    keys: TransmitterKeyring
    receivers: ReceiverDesk
    port: SsfPort
    pusher: Pusher
    streams: StreamDesk
    manager: StreamManager
    receiver: Receiver
    poller: Poller
    http: httpx.AsyncClient
    secret: str = ""

    async def grant(self, **fields: Any) -> None:
        """A receiver ``vpn`` that may have everything pushed to this machine, and its secret."""
        from troth.connect.ssf.transmitter.definitions import parse_receivers

        definition = {
            "name": "vpn", "audience": ["https://vpn.example.com"], "push_hosts": ["127.0.0.1"],
            "scope": {"subjects": ["device", "user", "workload"]},
        } | fields  # fmt: skip
        await self.receivers.apply(parse_receivers({"ssf_receivers": [definition]}), actor=ACTOR)
        if not definition.get("push_url") and not self.secret:
            self.secret = await self.receivers.new_secret("vpn", actor=ACTOR)

    async def connected(self, **fields: Any) -> Stream:
        """A stream of our own receiver, made at our own transmitter."""
        from troth.connect.ssf.definitions import parse_streams

        definition = {
            "name": "own", "feed": "own", "issuer": self.base, "client_id": "vpn",
            "token_url": f"{self.base}/ssf/token",
        } | fields  # fmt: skip
        await self.streams.apply(parse_streams({"ssf_streams": [definition]}), actor=ACTOR)
        await self.streams.set_secret("own", self.secret, actor=ACTOR)
        return await self.manager.connect("own", actor=ACTOR)

    async def tell(self, subject: UUID, before: str, after: str, *, id: UUID | None = None, **more: Any) -> Outcome:
        """Have a change of standing told, as the outbox does."""
        from troth.trust.outbox.model import Effect, EffectSubject, Notice
        from troth.trust.signals.signal_store import find_subject
        from troth.trust.standing import Standing, meaning

        known = await find_subject(self.trust.database, subject)
        assert known is not None
        tell = tuple(one.value for one in meaning(max(Standing(before), Standing(after))).tell)
        causes = ({"feed": "edr", "cause": "alert-1", "level": after},) if after != "trusted" else ()
        now = self.trust.clock.now()
        effect = Effect(
            id or new_id(), subject, 2, "ssf", "ssf", False, "", False,
            Notice(known.kind.value, known.name, before, after, 2, causes, tell), new_id(), "feed:edr", True, now, now,
            now,
        )  # fmt: skip
        about = EffectSubject(subject, known.kind.value, known.name, False, **more)
        return await self.port.execute(effect, about)

    async def waiting(self) -> list[dict[str, Any]]:
        """Claims of every token that waits, in order."""
        from troth.connect.ssf.secevent import parse

        rows = await self.trust.database.fetch("SELECT token FROM ssf_out_token WHERE refused IS NULL ORDER BY id")
        return [dict(parse(row["token"]).claims) for row in rows]

    async def heard(self) -> list[tuple[str, str]]:
        """(outcome, last part of the type) of what our receiver has taken, in order."""
        from troth.connect.ssf import event_store

        found = await event_store.newest(self.trust.database, "own")
        return [(one.outcome, one.type.rpartition("/")[2]) for one in reversed(found)]

    async def token(self, scope: str = "ssf.read ssf.manage", secret: str | None = None) -> str:
        """An access token."""
        answer = await self.http.post(
            "/ssf/token", data={"grant_type": "client_credentials", "scope": scope}, auth=("vpn", secret or self.secret)
        )
        assert answer.status_code == 200, answer.text
        return str(answer.json()["access_token"])


@contextlib.asynccontextmanager
async def _serving(app: Any, listener: socket.socket) -> AsyncIterator[None]:
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="off", timeout_graceful_shutdown=1))
    server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
    task = asyncio.create_task(server.serve(sockets=[listener]))
    while not server.started:
        await asyncio.sleep(0.01)
    yield
    server.should_exit = True
    with contextlib.suppress(asyncio.CancelledError):
        await task


@pytest.fixture
async def wire(trust: Trust) -> AsyncIterator[Wire]:
    from troth.connect.ssf.jwks import TransmitterKeys
    from troth.connect.ssf.managing import StreamManager
    from troth.connect.ssf.poller import Poller
    from troth.connect.ssf.receiver import Receiver
    from troth.connect.ssf.routes import PushDoor
    from troth.connect.ssf.streams import StreamDesk
    from troth.connect.ssf.transmitter.access import ReceiverAccess
    from troth.connect.ssf.transmitter.desk import ReceiverDesk
    from troth.connect.ssf.transmitter.keys import TransmitterKeyring
    from troth.connect.ssf.transmitter.management import ManagementDoor
    from troth.connect.ssf.transmitter.polling import PollDoor
    from troth.connect.ssf.transmitter.port import SsfPort
    from troth.connect.ssf.transmitter.pusher import Pusher
    from troth.connect.ssf.transmitter.sending import Sender
    from troth.kit.http import HttpClient
    from troth.kit.sealing import SecretBox
    from troth.kit.settings import EgressSettings
    from troth.trust.intake.inbox import Inbox

    database, clock = trust.database, trust.clock
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    base = f"http://127.0.0.1:{listener.getsockname()[1]}"
    box = SecretBox(b"t" * 32, purpose="ssf transmitter")
    keys = TransmitterKeyring(database, clock, SecretBox(b"k" * 32, purpose="ssf key"))
    sender, access = Sender(clock, keys, base), ReceiverAccess(database, clock, SecretBox(b"a" * 32, purpose="access"))
    http = HttpClient(EgressSettings(networks=("127.0.0.0/8",), plain_http=True, timeout_seconds=5))
    streams = StreamDesk(database, clock, SecretBox(b"s" * 32, purpose="ssf"))
    manager = StreamManager(database, clock, http, streams, push_url=lambda name: f"{base}/ssf/receive/{name}")
    receiver = Receiver(database, clock, Inbox(database, clock), TransmitterKeys(http, clock))

    async def on_error(_request: Request, error: Exception) -> Response:
        raise error

    lane = Lane(
        [
            *ManagementDoor(database, clock, access, keys, sender, box, base).routes(),
            *PollDoor(database, clock, access, wait=1.0, stop=asyncio.Event()).routes(),
            *PushDoor(streams, receiver).routes(),
        ],
        on_error=on_error,
    )
    await trust.feed("own")
    async with _serving(lane, listener), httpx.AsyncClient(base_url=base) as client:
        yield Wire(
            trust, base, keys, ReceiverDesk(database, clock, sender, box), SsfPort(database, sender),
            Pusher(database, clock, new_id(), http, sender, box), streams, manager, receiver,
            Poller(database, clock, new_id(), manager, receiver), client,
        )  # fmt: skip
    await http.close()
