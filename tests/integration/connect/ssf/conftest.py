"""A receiver of shared signals on a test's own database, with a transmitter on a loopback port."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.signals import Trust
from tests.support.vendors.ssf_transmitter import FakeTransmitter
from tests.support.vendors.ssf_transmitter import transmitter as transmitter
from troth.kit.ids import new_id
from troth.kit.lane import Lane, Request, Response

if TYPE_CHECKING:
    from troth.connect.ssf.managing import StreamManager
    from troth.connect.ssf.model import Stream
    from troth.connect.ssf.poller import Poller
    from troth.connect.ssf.receiver import Receiver
    from troth.connect.ssf.streams import StreamDesk
    from troth.trust.intake.inbox import InboxWorker

ACTOR = "admin:alice"


@dataclass
class Room:
    """What these tests work with."""

    trust: Trust
    fake: FakeTransmitter
    desk: StreamDesk
    manager: StreamManager
    receiver: Receiver
    poller: Poller
    worker: InboxWorker
    lane: Lane

    async def define(self, **fields: Any) -> None:
        """Apply a stream ``idp`` of this transmitter, with its secret."""
        from troth.connect.ssf.definitions import parse_streams

        definition = {
            "name": "idp", "feed": "idp", "issuer": self.fake.issuer, "client_id": "troth",
            "token_url": f"{self.fake.origin}/token",
        } | fields  # fmt: skip
        await self.desk.apply(parse_streams({"ssf_streams": [definition]}), actor=ACTOR)
        if definition.get("managed", True):
            await self.desk.set_secret("idp", self.fake.secret, actor=ACTOR)

    async def connected(self, **fields: Any) -> Stream:
        """A stream that the transmitter knows."""
        await self.define(**fields)
        return await self.manager.connect("idp", actor=ACTOR)

    async def stream(self) -> Stream:
        return await self.desk.stream("idp")

    @property
    def remote_id(self) -> str:
        """The transmitter's id of the one stream there is."""
        (found,) = self.fake.streams
        return found

    async def poll(self) -> int:
        """Poll until nothing came; how many tokens that brought."""
        brought = 0
        while came := await self.poller.poll_once(await self.stream(), wait=False):
            brought += came
        return brought

    async def act(self) -> None:
        """Have everything that was accepted acted on."""
        while await self.worker.run_once():
            pass

    async def heard(self) -> list[tuple[str, str]]:
        """(outcome, type) of every token that was taken, the oldest first."""
        from troth.connect.ssf import event_store

        found = await event_store.newest(self.trust.database, "idp")
        return [(one.outcome, one.type.rpartition("/")[2]) for one in reversed(found)]

    async def signals(self) -> list[tuple[str, str, str]]:
        """(kind, whom, effects) of every signal that was acted on, the oldest first."""
        from troth.trust.signals import signal_store

        found = await signal_store.signals(self.trust.database)
        return [(one.kind, one.whom, " ".join(one.effects)) for one in reversed(found)]

    async def events(self, prefix: str = "ssf.") -> list[str]:
        return [kind for kind, _ in await self.trust.events() if kind.startswith(prefix)]

    async def push(self, body: str | bytes, *, name: str = "idp", **headers: str | None) -> Response:
        """POST ``body`` to the push door as the transmitter would; a header that is None is left out."""
        remote = next(iter(self.fake.streams.values()), None)
        delivery = remote.configuration["delivery"] if remote else {}
        sent: dict[str, str | None] = {
            "content-type": "application/secevent+jwt", "authorization": delivery.get("authorization_header"),
        } | {key.replace("_", "-"): value for key, value in headers.items()}  # fmt: skip
        data = body if isinstance(body, bytes) else body.encode()
        answers: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": data, "more_body": False}

        async def send(message: Any) -> None:
            answers.append(dict(message))

        scope = {
            "type": "http", "method": "POST", "path": f"/ssf/receive/{name}", "query_string": b"",
            "headers": [(key.encode(), value.encode()) for key, value in sent.items() if value is not None],
            "client": ("192.0.2.1", 4711),
        }  # fmt: skip
        await self.lane(scope, receive, send)
        start, end = answers
        return Response(start["status"], end["body"], start["headers"])

    def advance(self, **by: float) -> None:
        self.trust.clock.advance(timedelta(**by))

    async def user(self, address: str = "alice@example.com", name: str = "alice") -> Any:
        """A user whom the directory knows by an address."""
        return await self._subject(name, "user", {"email": address})

    async def device(self, name: str = "laptop-1", **attributes: str) -> Any:
        return await self._subject(name, "device", attributes)

    async def _subject(self, name: str, kind: str, attributes: dict[str, str]) -> Any:
        import json

        made = await self.trust.subject(name, kind=kind)
        await self.trust.database.fetchval(
            "UPDATE subject SET attributes = $2 WHERE id = $1", made, json.dumps(attributes)
        )
        return made

    async def alias(self, subject: Any, system: str, value: str, *, source: str = "idp") -> None:
        from troth.store.unit import Unit
        from troth.trust.signals.alias_store import Alias, bind_alias

        unit = Unit()
        bind_alias(unit, Alias(system, value, subject, source, 100, self.trust.clock.now()))
        await self.trust.database.commit(unit)


@pytest.fixture
async def room(trust: Trust, transmitter: FakeTransmitter) -> AsyncIterator[Room]:
    from troth.connect.ssf.jwks import TransmitterKeys
    from troth.connect.ssf.managing import StreamManager
    from troth.connect.ssf.poller import Poller
    from troth.connect.ssf.receiver import Receiver
    from troth.connect.ssf.routes import PushDoor
    from troth.connect.ssf.streams import StreamDesk
    from troth.kit.http import HttpClient
    from troth.kit.sealing import SecretBox
    from troth.kit.settings import EgressSettings
    from troth.trust.intake.inbox import Inbox, InboxWorker

    database, clock = trust.database, trust.clock
    transmitter.now = clock.now
    http = HttpClient(EgressSettings(networks=("127.0.0.0/8",), plain_http=True, timeout_seconds=2))
    desk = StreamDesk(database, clock, SecretBox(b"s" * 32, purpose="ssf"))
    manager = StreamManager(
        database, clock, http, desk, push_url=lambda name: f"https://troth.example.com/ssf/receive/{name}"
    )
    receiver = Receiver(database, clock, Inbox(database, clock), TransmitterKeys(http, clock))

    async def on_error(_request: Request, error: Exception) -> Response:
        raise error

    await trust.feed("idp")
    try:
        yield Room(
            trust, transmitter, desk, manager, receiver, Poller(database, clock, new_id(), manager, receiver),
            InboxWorker(database, clock, new_id(), trust.desk),
            Lane(PushDoor(desk, receiver).routes(), on_error=on_error),
        )  # fmt: skip
    finally:
        await http.close()
