"""The attestation CA's door over a test's mint, without sockets in front."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import msgspec
import pytest

from tests.support.mint import Mint
from tests.support.policies import apply_shipped

if TYPE_CHECKING:
    from troth.client.transport import Transport
    from troth.enroll.issuance import Issuance
    from troth.enroll.tpm.registry import TpmRegistry
    from troth.enroll.tpm.routes import TpmDoor
    from troth.trust.enforcement.orders import Orders
    from troth.trust.subjects.store import SubjectStore

URL = "https://troth.test/tpm"
DIRECTORY = """\
devices:
  - {name: laptop-17}
  - {name: laptop-18}
workloads:
  - {name: shop}
"""


@dataclass
class AttestationCa:
    """What a test of the attestation CA works with."""

    mint: Mint
    door: TpmDoor
    registry: TpmRegistry
    issuance: Issuance
    subjects: SubjectStore
    orders: Orders

    async def call(self, path: str, body: object, *, client: str = "192.0.2.7") -> tuple[int, dict[str, Any]]:
        """POST ``body`` (JSON, or octets as they are)."""
        from troth.kit.lane import Lane

        sent: list[Any] = []
        octets = body if isinstance(body, bytes) else msgspec.json.encode(body)

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": octets, "more_body": False}

        async def send(message: Any) -> None:
            sent.append(message)

        async def fail(request: Any, error: Exception) -> Any:
            raise error

        scope = {"type": "http", "method": "POST", "path": path, "headers": [], "client": (client, 1)}
        await Lane(self.door.routes(), on_error=fail)(scope, receive, send)
        said = sent[1]["body"]
        return sent[0]["status"], msgspec.json.decode(said) if said.startswith(b"{") else {}

    def transport(self) -> Transport:
        """The client's transport with this door in the place of a network."""
        from troth.client.transport import HttpAnswer, Transport

        call = self.call

        class Straight(Transport):
            async def request(
                self, method: str, url: str, *, body: bytes = b"", headers: Mapping[str, str] | None = None
            ) -> HttpAnswer:
                status, said = await call(urlsplit(url).path, body)
                return HttpAnswer(status, {}, msgspec.json.encode(said), url)

        return Straight()


@pytest.fixture
async def attestation_ca(mint: Mint) -> AttestationCa:
    """The door over the mint, the shipped policies and ``DIRECTORY``; no TPM is registered yet."""
    from troth.enroll.issuance import Issuance
    from troth.enroll.tpm.desk import AttestationDesk
    from troth.enroll.tpm.registry import TpmRegistry
    from troth.enroll.tpm.routes import TpmDoor
    from troth.pki.profile import shipped_profiles
    from troth.trust.decision.decide import Judge
    from troth.trust.enforcement.enforce import Enforcer
    from troth.trust.enforcement.orders import Orders
    from troth.trust.policy.cache import PolicyCache
    from troth.trust.policy.store import PolicyStore
    from troth.trust.subjects.directory_plan import Directory
    from troth.trust.subjects.facts import StoredFacts
    from troth.trust.subjects.store import SubjectStore
    from troth.trust.subjects.whom import Subjects

    database, clock = mint.database, mint.clock
    await mint.catalogue.apply_profile(shipped_profiles()["tpm-attestation-key"], actor="test:mint")
    await apply_shipped(database, clock)
    cache = PolicyCache(PolicyStore(database))
    await cache.refresh()
    directory = Directory(database, clock)
    await directory.apply(await directory.plan(DIRECTORY), actor="admin:test")
    subjects = SubjectStore(database)
    judge = Judge(cache, [StoredFacts(subjects)], clock)
    issuance = Issuance(database, Subjects(subjects), judge, mint.gate, mint.catalogue)
    desk = AttestationDesk(database, clock, issuance, lifetime=timedelta(minutes=5))
    return AttestationCa(
        mint,
        TpmDoor(desk, clock, per_minute=30),
        TpmRegistry(database, clock, Subjects(subjects)),
        issuance,
        subjects,
        Orders(database, clock, Enforcer()),
    )
