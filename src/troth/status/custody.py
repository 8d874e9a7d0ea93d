"""How the signer's custodians are, looked at now and then for ``/metrics``; nothing that is served waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import Protocol

from troth.kit.errors import TrothError
from troth.pki.keys.keyring import CustodianState
from troth.pki.signer.custody_protocol import CustodyReport

_EVERY_SECONDS = 10.0


class CustodySource(Protocol):
    """What is asked of the signer."""

    async def custody(self) -> CustodyReport:
        """How every custodian is."""
        ...


class CustodyWatch:
    """Asks ``source`` and remembers its last answer; None while the signer does not answer."""

    def __init__(self, source: CustodySource | None) -> None:
        self._source = source
        self.last: Collection[CustodianState] | None = None

    async def look(self) -> None:
        """Ask once."""
        if self._source is None:
            return
        try:
            self.last = (await self._source.custody()).custodians
        except TrothError:
            self.last = None

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(_EVERY_SECONDS)
