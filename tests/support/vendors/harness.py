"""A connector at work on a test's own database, against a fake of its vendor."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

from tests.support.signals import Trust
from tests.support.vendors.server import FakeVendor
from troth.kit.clock import FakeClock
from troth.kit.ids import new_id
from troth.kit.settings import EgressSettings

if TYPE_CHECKING:
    from troth.connect.connector import Vendor
    from troth.connect.connector_store import ReadState
    from troth.connect.desk import ConnectorDesk
    from troth.connect.puller import Puller
    from troth.connect.pushing import PushDoor
    from troth.connect.testing import Tested
    from troth.kit.lane import Response
    from troth.trust.intake.inbox import Inbox, InboxWorker
    from troth.trust.signals.signal_store import TakenSignal

#: Where a fake may be: loopback without TLS.
EGRESS = EgressSettings(networks=("127.0.0.0/8",), plain_http=True, timeout_seconds=5)


class FakeSleep:
    """Waiting that moves the test's clock and takes no time. ``slept``: every wait, in seconds."""

    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock
        self.slept: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.slept.append(seconds)
        self._clock.advance(timedelta(seconds=seconds))


@dataclass
class Connected:
    """What a test of a vendor's module works with: everything is the product's own but the vendor."""

    trust: Trust
    desk: ConnectorDesk
    inbox: Inbox
    worker: InboxWorker
    puller: Puller
    door: PushDoor
    sleep: FakeSleep
    feed: str = "edr"
    _open: dict[str, Any] = field(default_factory=dict)

    @property
    def clock(self) -> FakeClock:
        return self.trust.clock

    async def connect(
        self,
        fake: FakeVendor | None,
        vendor: str,
        *,
        name: str = "it",
        secrets: Mapping[str, str] | None = None,
        **fields: Any,
    ) -> str:
        """Apply a definition (and a feed that may do everything) and hand over its secrets; returns its name."""
        import msgspec

        from troth.connect.connector_store import find
        from troth.connect.definition import parse_connectors
        from troth.trust.feeds.feed_store import find_feed

        if await find_feed(self.trust.database, self.feed) is None:
            await self.trust.feed(self.feed, cap={"percent": 100, "subjects": 10_000}, cadence_seconds=60)
        known = {"name": name, "vendor": vendor, "feed": self.feed, "client_id": "client-1"}
        if fake is not None:
            known["base_url"] = fake.url
        text = msgspec.json.encode({"connectors": [known | fields]}).decode()
        await self.desk.apply(parse_connectors(text), actor="admin:alice")
        for kind, secret in (secrets or {}).items():
            await self.desk.set_secret(name, kind, secret.encode(), actor="admin:alice")
        assert await find(self.trust.database, name) is not None
        return name

    async def pull(self, read: str, name: str = "it", *, act: bool = True, most: int = 50) -> int:
        """Pull until there is no more, each page durable, and act on all of it. Returns how many pages."""
        from troth.connect import connector_store

        stored = await self.desk.find(name)
        made = await self.opened(name)
        wanted = next(one for one in made.connector.reads if one.name == read)
        group = f"connect:{self.desk.opener.group(stored.definition)}"
        await self.puller.hold(group)
        pages = 0
        while pages < most:
            states = await connector_store.reads(self.trust.database, name)
            state = next((one for one in states if one.read == read), None)
            pages += 1
            if not await self.puller.pull(stored, wanted, state, group):
                break
        if act:
            await self.act()
        return pages

    async def act(self) -> None:
        """Act on everything that waits."""
        while await self.worker.run_once():
            pass

    async def opened(self, name: str = "it") -> Any:
        """The connector, opened once."""
        stored = await self.desk.find(name)
        known = self._open.get(name)
        if known is None or known[0] != stored.version:
            if known is not None:
                await known[1].close()
            self._open[name] = (stored.version, await self.desk.opener.open(stored))
        return self._open[name][1]

    async def restart(self) -> None:
        """The process ends, and another one goes on with what is durable."""
        for _, made in self._open.values():
            await made.close()
        self._open.clear()

    async def state(self, read: str, name: str = "it") -> ReadState:
        """How a read stands."""
        from troth.connect import connector_store

        return next(one for one in await connector_store.reads(self.trust.database, name) if one.read == read)

    async def test(self, name: str = "it") -> Tested:
        """What ``troth connector test`` finds."""
        from troth.connect.testing import examine

        return await examine(self.desk, self.clock, name)

    async def signals(self) -> list[TakenSignal]:
        """Every signal that was acted on, the oldest first."""
        from troth.trust.signals import signal_store

        return list(reversed(await signal_store.signals(self.trust.database, limit=1_000)))

    async def kinds(self) -> list[str]:
        """Their kinds."""
        return [one.kind for one in await self.signals()]

    async def facts(self, subject_id: UUID) -> dict[str, Any]:
        """Facts of a subject: path → value."""
        from troth.trust.subjects.store import SubjectStore

        return {one.name: one.value for one in await SubjectStore(self.trust.database).facts([subject_id])}

    async def alias(self, system: str, value: str, subject_id: UUID) -> None:
        """Have it known, by a person's word, whom a name of another system means."""
        from troth.store.unit import Unit
        from troth.trust.signals.alias_store import Alias, bind_alias

        unit = Unit()
        bind_alias(unit, Alias(system, value, subject_id, "person:alice", 100, self.clock.now()))
        await self.trust.database.commit(unit)

    async def push(
        self, path: str, body: bytes = b"", *, headers: Mapping[str, str] | None = None, method: str = "POST",
        query: bytes = b"",
    ) -> Response:  # fmt: skip
        """A message as it comes over the https listener."""
        from troth.kit.lane import Request

        params = tuple(path.split("/")[2:])
        lower = {name.lower(): value for name, value in (headers or {}).items()}
        request = Request(method, path, path.encode(), query, params, lower, body, "192.0.2.1")
        return await self.door.receive(request)


@asynccontextmanager
async def connected_with(trust: Trust, vendors: Mapping[str, Vendor] | None = None) -> AsyncIterator[Connected]:
    """A :class:`Connected`, with ``vendors`` in the place of the product's."""
    from troth.connect.desk import ConnectorDesk
    from troth.connect.puller import Puller
    from troth.connect.pushing import PushDoor
    from troth.connect.vendors import VENDORS, Workshop
    from troth.kit.sealing import SecretBox
    from troth.trust.intake.inbox import Inbox, InboxWorker

    sleep = FakeSleep(trust.clock)
    workshop = Workshop(trust.clock, EGRESS, vendors=vendors or VENDORS, sleep=sleep)
    desk = ConnectorDesk(trust.database, trust.clock, SecretBox(b"c" * 32, purpose="connector"), workshop)
    inbox = Inbox(trust.database, trust.clock)
    made = Connected(
        trust=trust,
        desk=desk,
        inbox=inbox,
        worker=InboxWorker(trust.database, trust.clock, new_id(), trust.desk),
        puller=Puller(trust.database, trust.clock, new_id(), desk.opener, inbox),
        door=PushDoor(desk, inbox),
        sleep=sleep,
    )
    try:
        yield made
    finally:
        await made.restart()
        await made.door.close()


@pytest.fixture
async def connected(trust: Trust) -> AsyncIterator[Connected]:
    """Connectors of the product's vendors, on a fresh database; none is applied yet."""
    async with connected_with(trust) as made:
        yield made
