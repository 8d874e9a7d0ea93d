"""Issues one certificate and dies at a named point. What it signs, it writes down first, durably.

Run in a process of its own, forked from one that has imported all of this already.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
from pathlib import Path
from uuid import UUID

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from tests.support.clocks import START
from tests.support.mint import OpenInterlock
from troth.kit.clock import FakeClock
from troth.kit.ids import new_id
from troth.pki.catalogue import Catalogue
from troth.pki.gate import Gate
from troth.pki.model import IssuanceRequest
from troth.store.pool import Database
from troth.store.unit import Unit


def die() -> None:
    """As if the power had gone."""
    os.kill(os.getpid(), signal.SIGKILL)


class Signer:
    """Notes what it is to sign, and signs it."""

    def __init__(self, directory: Path, point: str) -> None:
        self._directory = directory
        self._point = point

    async def certify(self, key_id: str, tbs: bytes, reservation_id: UUID) -> bytes:
        if self._point == "before sign":
            die()
        with (self._directory / "signed").open("ab") as log:
            log.write(tbs.hex().encode() + b"\n")
            log.flush()
            os.fsync(log.fileno())
        key = load_pem_private_key((self._directory / "key.pem").read_bytes(), None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        signature = key.sign(tbs, ec.ECDSA(hashes.SHA256()))
        if self._point == "after sign":
            die()
        return signature


async def _issue(url: str, directory: Path, point: str, spki: bytes) -> None:
    clock = FakeClock(START)
    database = await Database.open(url, clock=clock)
    catalogue = Catalogue(database, clock)
    await catalogue.refresh()
    commit, names = database.commit, iter(("reserve", "store"))

    async def dying(unit: Unit) -> None:
        name = next(names)
        if point == f"before {name}":
            die()
        task = asyncio.create_task(commit(unit))
        if point == f"during {name}":
            await asyncio.sleep(random.random() * 0.004)
            die()
        await task
        if point == f"after {name}":
            die()

    setattr(database, "commit", dying)  # noqa: B010 -- a trapdoor
    gate = Gate(database, Signer(directory, point), catalogue, OpenInterlock(), clock, instance=new_id())
    await gate.issue(IssuanceRequest("request-1", "issuing", "tls-server", spki, (("dns", "a.example"),), "test:mint"))


def issue_and_die(url: str, directory: Path, point: str, spki: bytes) -> None:
    """See the module."""
    asyncio.run(_issue(url, directory, point, spki))
