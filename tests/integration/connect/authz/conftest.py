"""The door for applications over a real database and mint, spoken to over ASGI."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest

from tests.support.drains import PromptDrain
from tests.support.signals import Trust
from troth.audit.event import StreamEvent
from troth.connect.authz.applications import Applications, Wanted
from troth.connect.authz.authzen import AuthZen
from troth.connect.authz.check import Check
from troth.connect.authz.door import Caller, Gate
from troth.kit.lane import Lane, Request, Response
from troth.trust.authoring.service import PolicyService
from troth.trust.connecting.connections import Connections
from troth.trust.connecting.journal import Journal
from troth.trust.connecting.presence import Presence
from troth.trust.decision.decide import Judge
from troth.trust.policy.cache import PolicyCache
from troth.trust.policy.store import PolicyStore
from troth.trust.signals.facts import SignalFacts
from troth.trust.subjects.facts import StoredFacts
from troth.trust.subjects.store import SubjectStore

#: Whoever has no open cause is let in, to staff alone; who asks for a deletion must come from the office.
POLICY = """
policy: gateways
profiles: [client-device, vpn]
standing:
  restricted: {lifetime: 1h}
rules:
  - rule: deletes
    moments: [connect]
    match: has(application.action) && application.action == "DELETE"
    require:
      from_the_office: request.address == "192.0.2.9"
    then: allow
    else: {deny: {say: "Deletions are made in the office."}}
    unknown: deny
  - rule: nothing-open
    moments: [connect]
    require:
      quiet: signals.count == 0
    then: {allow: {role: staff, vlan: 40, session_time: 8h}}
    else: deny
    unknown: deny
"""


@dataclass
class Door:
    """What a test of the door works with."""

    trust: Trust
    client: httpx.AsyncClient
    applications: Applications
    policies: PolicyService
    cache: PolicyCache
    presence: Presence
    connections: Connections
    caller: Caller
    journal: Journal
    drain: PromptDrain

    async def register(self, name: str = "vpn", **fields: Any) -> dict[str, str]:
        """An application; the headers by which it proves itself."""
        token, _ = await self.applications.add(Wanted(name, **fields), actor="admin:alice")
        return {"authorization": f"Bearer {token}"}

    async def holder(self, name: str = "laptop-1", **fields: Any) -> tuple[UUID, str]:
        """A device with a certificate: its id and the certificate's SHA-256."""
        subject = await self.trust.subject(name, **fields)
        row = await self.trust.row(await self.trust.certificate(subject))
        assert row.sha256 is not None
        return subject, row.sha256.hex()

    async def apply(self, text: str) -> None:
        """Bring a policy into force."""
        await self.policies.apply(await self.policies.plan(text), actor="admin:alice")
        await self.cache.refresh()

    def current(self, *refs: str) -> None:
        """The stream was read to its end just now, with events about ``refs``."""
        events = [StreamEvent(0, UUID(int=0), UUID(int=0), self.trust.clock.now(), "standing.changed", "x", refs, {})]
        self.presence.follow(events if refs else [], asked_at=self.trust.clock.monotonic(), complete=True)


@pytest.fixture
async def door(trust: Trust, tmp_path: Path) -> AsyncIterator[Door]:
    database, clock = trust.database, trust.clock
    policies = PolicyService(database, clock)
    cache = PolicyCache(PolicyStore(database))
    judge = Judge(cache, [StoredFacts(SubjectStore(database)), SignalFacts(database, clock)], clock)
    presence = Presence(database, judge, clock)
    journal = Journal.open(tmp_path / "journal")
    connections = Connections(presence, judge, journal, clock)
    applications = Applications(database, clock)
    caller = Caller(applications, clock)
    gate = Gate(connections, SubjectStore(database))

    async def on_error(_: Request, error: Exception) -> Response:
        raise error

    routes = [*AuthZen(caller, gate, "https://pki.example").routes(), *Check(caller, gate).routes()]
    transport = httpx.ASGITransport(app=Lane(routes, on_error=on_error))
    async with httpx.AsyncClient(transport=transport, base_url="https://pki.example") as client:
        made = Door(
            trust, client, applications, policies, cache, presence, connections, caller, journal,
            PromptDrain(database, journal, clock),
        )  # fmt: skip
        await made.apply(POLICY)
        yield made
    await journal.close()
