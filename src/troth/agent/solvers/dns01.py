"""dns-01: a program of the operator sets the TXT record and clears it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from troth.agent import hook
from troth.agent.errors import AgentError
from troth.agent.settings import DnsHook
from troth.agent.solvers.model import Proof
from troth.kit.log import get_logger

log = get_logger("agent")


class DnsHookSolver:
    """Runs the program with ``TROTH_ACTION`` set to ``present``, and later to ``clear``."""

    challenge = "dns-01"

    def __init__(self, settings: DnsHook) -> None:
        self._settings = settings

    @asynccontextmanager
    async def shown(self, proof: Proof) -> AsyncIterator[Mapping[str, Any]]:
        name = proof.value.removeprefix("*.")
        environment = {
            "TROTH_DOMAIN": name,
            "TROTH_RECORD": f"_acme-challenge.{name}",
            "TROTH_VALUE": proof.dns_value,
            # What hooks that were written for certbot read.
            "CERTBOT_DOMAIN": name,
            "CERTBOT_VALIDATION": proof.dns_value,
        }
        await self._run("present", environment)
        try:
            await asyncio.sleep(self._settings.wait)
            yield {}
        finally:
            try:
                await self._run("clear", environment)
            except AgentError as error:
                # The proof has been given or refused; a record that stays harms nobody, and is overwritten.
                log.warning("agent.dns_clear_failed", domain=name, detail=error.detail)

    async def _run(self, action: str, environment: Mapping[str, str]) -> None:
        await hook.run(self._settings.command, {**environment, "TROTH_ACTION": action}, self._settings.timeout)
