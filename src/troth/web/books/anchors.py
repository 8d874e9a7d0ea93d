"""Foreign trust anchors as API and pages show them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from cryptography import x509
from msgspec import Struct

from troth.kit.clock import Clock
from troth.pki.anchor_store import AnchorStore
from troth.pki.anchors import vouched_for
from troth.pki.pem import pem
from troth.store.pool import Database


class AnchorView(Struct, frozen=True):
    """A root of somebody else, and the purposes for which it is believed."""

    sha256: str
    name: str
    subject: str
    purposes: tuple[str, ...]
    not_after: datetime
    added_at: datetime
    actor: str
    pem: str


class Anchors:
    """Looking at anchors, and judging chains by them."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._store = AnchorStore(database)
        self._clock = clock

    async def list(self) -> Sequence[AnchorView]:
        """Oldest first."""
        return [
            AnchorView(
                one.sha256.hex(), one.name, one.x509.subject.rfc4514_string(), one.purposes, one.not_after,
                one.added_at, one.actor, pem(one.certificate).decode(),
            )
            for one in await self._store.all()
        ]  # fmt: skip

    async def judge(self, chain: Sequence[x509.Certificate], purpose: str) -> AnchorView:
        """The anchor that vouches for ``chain[0]``. Raises PathRefused."""
        found = vouched_for(chain, purpose, await self._store.all(), self._clock.now())
        return next(one for one in await self.list() if one.sha256 == found.sha256.hex())
