"""Web and worker in one process of a test's own, wired by the product's assembly, started and ended in milliseconds.

What is not the product: the signer's key lies in the test (which thereby sees all that is ever signed), requests come
in without a socket, and the worker's duties are called by hand instead of in loops.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.chaos.faults import Faults
from troth.assembly.acme import acme_door, validation_jobs, validator_of
from troth.assembly.context import RoleContext
from troth.assembly.enrolling import enrolling_of
from troth.assembly.layout import Layout
from troth.assembly.mint import mint_of
from troth.assembly.roles.common import database_of
from troth.assembly.state import State
from troth.audit.checkpoints import Checkpointer
from troth.audit.merkle import Frontier
from troth.audit.note import CheckpointText, NoteKey, sign_note
from troth.audit.sequencer import LEASE_NAME, Sequencer
from troth.audit.store import LedgerStore
from troth.client.errors import TRANSPORT, TransportError
from troth.client.transport import HttpAnswer
from troth.enroll.acme.orders import VALIDATE_JOB
from troth.enroll.acme.results import Results
from troth.enroll.acme.validate.outcome import Invalid
from troth.enroll.acme.validate.validator import Validator
from troth.enroll.issuance import Issuance
from troth.kit.clock import SystemClock
from troth.kit.lane import Asgi, Lane, Request, Response
from troth.kit.settings import Config
from troth.pki.burn import Burner
from troth.pki.signer.errors import LOST, UNAVAILABLE, SignerLost, SignerUnavailable
from troth.store.jobs import JobQueue
from troth.store.lease import Lease
from troth.store.pool import Database

BASE = "https://troth.test"


class WitnessedSigner:
    """The signer's end of the port, outside of the process: what it signed is known, whoever asked and died."""

    def __init__(self, faults: Faults, key: ec.EllipticCurvePrivateKey) -> None:
        self._faults = faults
        self._key = key
        self.signed: list[bytes] = []

    async def certify(self, key_id: str, tbs: bytes, reservation_id: UUID) -> bytes:
        async def sign() -> bytes:
            self.signed.append(tbs)
            return self._key.sign(tbs, ec.ECDSA(hashes.SHA256()))

        return await self._faults.meet("the signer certifies", sign, _OfSigner())

    async def __aenter__(self) -> WitnessedSigner:
        return self

    async def __aexit__(self, *_: object) -> None:
        return None


class _OfSigner:
    in_vain = True

    async def refuse(self) -> Any:
        raise SignerUnavailable(UNAVAILABLE)

    conflict = refuse

    async def cut(self) -> None:
        """There is no connection here."""

    def lost(self) -> Exception:
        return SignerLost(LOST)


class LocalNotary:
    """Signs checkpoints; its answers may get lost."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self._key = Ed25519PrivateKey.generate()
        self._frontier = Frontier()
        self._note = ""
        public = self._key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        self.key = NoteKey("ledger.test", public)

    async def notary_size(self) -> int:
        async def size() -> int:
            return self._frontier.size

        return await self._faults.meet("the notary tells its size", size, _OfSigner())

    async def extend(self, old_size: int, leaves: list[bytes]) -> str:
        async def extend() -> str:
            assert old_size == self._frontier.size
            self._frontier.extend(leaves)
            text = CheckpointText(self.key.name, self._frontier.size, self._frontier.root()).encode()
            return sign_note(text, self.key, self._key.sign)

        return await self._faults.meet("the notary extends the log", extend, _OfSigner())


class LaneTransport:
    """The client's transport, straight into an ASGI application. What it raises is a connection that broke."""

    def __init__(self, app: Asgi) -> None:
        self._app = app

    async def request(
        self, method: str, url: str, *, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> HttpAnswer:
        told: list[Any] = []

        async def receive() -> Any:
            return {"type": "http.request", "body": body}

        async def send(message: Any) -> None:
            told.append(message)

        scope = {
            "type": "http",
            "method": method,
            "path": url.removeprefix(BASE),
            "headers": [(name.lower().encode(), value.encode()) for name, value in (headers or {}).items()],
            "client": ("192.0.2.7", 4711),
        }
        await self._app(scope, receive, send)
        if len(told) != 2:
            raise TransportError(TRANSPORT, f"{url}: no answer")
        found: dict[str, tuple[str, ...]] = {}
        for name, value in told[0]["headers"]:
            found[name.decode()] = (*found.get(name.decode(), ()), value.decode())
        return HttpAnswer(told[0]["status"], found, told[1]["body"], url)


@dataclass
class Ground:
    """What outlives every process: database, signer, notary, data directory."""

    url: str
    faults: Faults
    signer: WitnessedSigner
    notary: LocalNotary
    directory: Path
    config: Config

    async def let_leases_lapse(self) -> None:
        """As if three seconds had passed since the last process was there."""
        await self.faults.admin("UPDATE instance SET lease_until = now() - interval '1 second'")
        await self.faults.admin("UPDATE lease SET lease_until = now() - interval '1 second'")


@dataclass
class House:
    """One process's worth of services."""

    transport: LaneTransport
    database: Database
    jobs: JobQueue
    validations: Any
    sequencer: Sequencer
    lease: Lease
    checkpointer: Checkpointer
    burner: Burner

    async def validate(self) -> None:
        """Do the validations that are due, once. A job that fails is due again at once."""
        for job in await self.jobs.claim([VALIDATE_JOB], lease=timedelta(0)):
            await self.validations.run(job)

    async def sequence(self) -> None:
        """Give every committed event its place."""
        held = await self.lease.acquire()
        assert held is not None
        while await self.sequencer.move(held):
            pass

    async def witness(self) -> None:
        """Have the log signed."""
        await self.checkpointer.catch_up()

    async def recover(self) -> None:
        """What the worker does after a crash."""
        await self.burner.burn_abandoned()


@contextlib.asynccontextmanager
async def house(ground: Ground) -> AsyncIterator[House]:
    """A process, from its start to its end (or, when it has died, to its burial). There is no other beside it."""
    await ground.let_leases_lapse()
    clock, layout = SystemClock(), Layout.at(ground.directory)
    context = RoleContext(
        role="web",
        index=0,
        config=ground.config,
        layout=layout,
        state=State(listeners={}, public_url=BASE, public_http_url=BASE, admin_url=BASE, ledger_origin="ledger.test"),
        clock=clock,
        sockets={},
        database_url=ground.url,
        stop=asyncio.Event(),
        ready=lambda: None,
    )
    with pytest.MonkeyPatch.context() as patched, ground.faults.watching():
        patched.setattr("troth.assembly.mint.SignerClient", lambda *_: ground.signer)
        # No worker runs beside: an answer that is held back until the validation is done would be held in vain.
        patched.setattr("troth.assembly.acme.Results", lambda database: Results(database, patience=0))
        _watch_validations(patched, ground.faults)
        async with (
            database_of(context) as (database, instance),
            mint_of(context, database, instance) as mint,
            contextlib.AsyncExitStack() as stack,
        ):
            issuance = Issuance(database, mint.subjects, mint.judge, mint.gate, mint.catalogue)
            context.layout.secrets.mkdir(mode=0o700, exist_ok=True)
            enrolling = enrolling_of(context, database)
            stack.push_async_callback(enrolling.meters.close)
            door = acme_door(context, database, mint, issuance, enrolling)

            async def failed(request: Request, error: Exception) -> Response:
                return door.failed(request, error)

            try:
                yield House(
                    transport=LaneTransport(Lane(door.routes(), on_error=failed, refusal=door.refusal)),
                    database=database,
                    jobs=JobQueue(database, clock),
                    validations=validation_jobs(context, database, validator=validator_of(context, mint)),
                    sequencer=Sequencer(database, clock, instance.id),
                    lease=Lease(database, clock, LEASE_NAME, instance.id),
                    checkpointer=Checkpointer(LedgerStore(database), ground.notary, ground.notary.key, clock),
                    burner=Burner(database, clock),
                )
            finally:
                if ground.faults.died.is_set():
                    await ground.faults.bury()


def _watch_validations(patched: pytest.MonkeyPatch, faults: Faults) -> None:
    validate = Validator.validate

    class OfNetwork(_OfSigner):
        async def refuse(self) -> Any:
            raise OSError("the network is gone")

        conflict = refuse

        def lost(self) -> Exception:
            return OSError("the network is gone")

    async def watched(self: Validator, challenge: Any) -> Any:
        result = await faults.meet("the validator asks", lambda: validate(self, challenge), OfNetwork())
        assert not isinstance(result, Invalid), result
        return result

    patched.setattr(Validator, "validate", watched)
