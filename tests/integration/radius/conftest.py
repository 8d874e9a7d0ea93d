"""Fixtures of dynamic authorization: a scripted access server, a sender, and sessions on it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from msgspec.structs import replace

from tests.support.admissions import heard
from tests.support.das import Das, Fleet, listening
from tests.support.signals import Trust
from troth.kit.ids import new_id
from troth.radius.dynamic.ports import SessionPort
from troth.radius.dynamic.sender import Sender
from troth.radius.dynamic.udp import UdpTransport
from troth.radius.sessions import store
from troth.radius.sessions.folding import Folder
from troth.radius.sessions.model import Admitted, Ages, Port, Session, Where
from troth.radius.sessions.store import Meant
from troth.trust.outbox.runner import EffectRunner

#: Lets ``subjects`` in at ``nas``, and returns the session.
Joins = Callable[..., Awaitable[Session]]


@pytest.fixture
async def das() -> AsyncIterator[Das]:
    async with listening(Das()) as one:
        yield one


@pytest.fixture
async def fleet(das: Das, trust: Trust) -> AsyncIterator[Fleet]:
    udp = UdpTransport(trust.clock, first=0.05, tries=2)
    yield Fleet(das, udp=udp)
    await udp.close()


@pytest.fixture
def sender(trust: Trust, fleet: Fleet) -> Sender:
    return Sender(trust.database, trust.clock, new_id(), fleet)


@pytest.fixture
def runner(trust: Trust, sender: Sender) -> EffectRunner:
    ports = {
        kind: SessionPort(trust.database, trust.clock, kind, sender.endings) for kind in ("disconnect", "reauthorize")
    }  # type: ignore[arg-type, unused-ignore]
    return EffectRunner(trust.database, trust.clock, ports)


@pytest.fixture
def joins(trust: Trust) -> Joins:
    folder = Folder(trust.database, trust.clock, new_id(), Ages())
    number = 0

    async def join(*subjects: UUID, nas: str = "nas", certificate: UUID | None = None, **more: Any) -> Session:
        nonlocal number
        number += 1
        mac = f"02-00-00-00-00-{number:02x}"
        port = Port(mac=mac, calling_station_id=mac.upper(), acct_session_id=f"S{number}", called_station_id="AP:corp")
        one = Admitted(
            new_id().bytes, Where(nas, f"{nas}/192.0.2.1", "127.0.0.1", "192.0.2.1", nas), port, trust.clock.now(),
            "corp", "staff", "eap-tls", "allow", "policy.allowed", "alice@corp.example", certificate, "0a",
            subjects, tuple(0 for _ in subjects), trust.clock.now() + timedelta(hours=8),
        )  # fmt: skip
        one = replace(one, **more)
        await heard(trust.database, trust.clock, [one])
        await folder.drain()
        (found,) = await store.meant(trust.database, Meant(mac=one.port.mac, nas=one.where.nas), limit=1)
        return found

    return join
