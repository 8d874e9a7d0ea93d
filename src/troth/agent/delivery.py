"""From a certificate that is here to one that is served: turn the link, reload, prove, or put the old one back.

Each of these can be done twice, so nothing is written down in between: after a kill they are done again.
"""

from __future__ import annotations

import asyncio

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from troth.agent import hook
from troth.agent.errors import AgentError
from troth.agent.fit import read_chain
from troth.agent.generations import Generations
from troth.agent.keys.model import HoldsCertificates, KeyPlace
from troth.agent.prove import prove
from troth.agent.settings import CertificateSettings, ProveCommand, ProveTls
from troth.agent.staples import Stapler
from troth.kit.log import get_logger

log = get_logger("agent")

_STAPLE_WAITS = (0.5, 1.0, 2.0, 0.0)


class Delivery:
    """Brings generations of one certificate to its consumers."""

    def __init__(
        self,
        name: str,
        settings: CertificateSettings,
        generations: Generations,
        stapler: Stapler | None,
        keys: KeyPlace,
    ) -> None:
        self._name = name
        self._stapler = stapler
        self._keys = keys
        self._settings = settings
        self._generations = generations

    async def deliver(self, number: int, previous: int) -> None:
        """Have consumers use generation ``number``. Raises AgentError, and then generation ``previous`` is back in
        place (if there is one: the first certificate of all stays, since any is better than none)."""
        try:
            await self.switch(number)
            await self._staple(number)
            await self.reload(number)
            if self._stapler is not None:
                self._stapler.told()
            await self._prove(number)
        except AgentError:
            if previous and self._generations.meta(previous):
                await self._take_back(previous)
            raise

    async def switch(self, number: int) -> None:
        """Turn the link; where the key's place keeps certificates, put this one beside its key."""
        self._generations.switch(number)
        meta = self._generations.meta(number)
        if meta is not None and isinstance(self._keys, HoldsCertificates):
            leaf = self._leaf(number).public_bytes(Encoding.DER)
            await asyncio.to_thread(self._keys.attach, meta.label, leaf)

    async def _staple(self, number: int) -> None:
        """Before the reload, since a server reads both at once. A responder may need a moment to know a new one."""
        if self._stapler is None:
            return
        for wait in _STAPLE_WAITS:
            if await self._stapler.refresh(number):
                return
            await asyncio.sleep(wait)

    async def restaple(self) -> None:
        """Have a newer staple, and tell the server of it. What fails is tried again later."""
        current = self._generations.current
        if self._stapler is None or current is None or not await self._stapler.refresh(current.number):
            return
        if self._stapler.look().told:
            return
        hooked = (self._settings.staple and self._settings.staple.reload) or self._settings.reload
        try:
            if hooked is not None:
                await hook.run(hooked.command, self._environment(current.number), hooked.timeout)
        except AgentError as error:
            self._stapler.failed(error)
        else:
            self._stapler.told()

    async def reload(self, number: int) -> None:
        """Tell the consumers. Raises AgentError."""
        if self._settings.reload is not None:
            await hook.run(self._settings.reload.command, self._environment(number), self._settings.reload.timeout)

    async def _prove(self, number: int) -> None:
        match self._settings.prove:
            case ProveTls() as settings:
                await prove(settings, self._leaf(number).public_bytes(Encoding.DER), self._settings.names)
            case ProveCommand() as settings:
                await hook.run(settings.command, self._environment(number), settings.timeout)

    async def take_back(self, previous: int) -> None:
        """Have consumers use generation ``previous`` again. Raises AgentError if they could not be told."""
        await self.switch(previous)
        await self._staple(previous)
        log.warning("agent.rolled_back", certificate=self._name, generation=previous)
        await self.reload(previous)
        if self._stapler is not None:
            self._stapler.told()

    async def _take_back(self, previous: int) -> None:
        try:
            await self.take_back(previous)
        except AgentError as error:
            # The files are the old ones again; a service that cannot be told will read them at its next start.
            log.error("agent.taken_back_unheard", certificate=self._name, detail=error.detail)

    def _leaf(self, number: int) -> x509.Certificate:
        return read_chain(self._generations.chain(number).encode())[0]

    def _environment(self, number: int) -> dict[str, str]:
        leaf = self._leaf(number)
        return {
            "TROTH_CERTIFICATE": self._name,
            "TROTH_NAMES": " ".join(self._settings.names),
            "TROTH_DIRECTORY": str(self._generations.path(number)),
            "TROTH_SERIAL": f"{leaf.serial_number:x}",
            "TROTH_NOT_AFTER": f"{leaf.not_valid_after_utc:%Y-%m-%dT%H:%M:%SZ}",
        }
