"""Reports as a service of the agent: look, send, wait; look again where the server could not be reached."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from troth.agent.door.client import AgentDoor, Identity, Refused
from troth.agent.errors import AgentError
from troth.agent.survey import listeners
from troth.agent.survey.collect import collect
from troth.agent.survey.settings import SurveySettings
from troth.kit.log import get_logger

if TYPE_CHECKING:
    from troth.agent.services import Host

log = get_logger("agent")

_FIRST_PAUSE, _LONGEST_PAUSE = timedelta(seconds=2), timedelta(hours=1)


class SurveyService:
    """See the module."""

    name = "survey"

    def __init__(
        self,
        host: Host,
        settings: SurveySettings,
        *,
        look: Callable[[SurveySettings], Awaitable[dict[str, Any]]] | None = None,
    ) -> None:
        self._host = host
        self._settings = settings
        issuer = settings.issuer or next(iter(host.config.issuer))
        self._door = AgentDoor(settings.server, host.transport(issuer), self._identity)
        self._look = look or self._find
        self._status: dict[str, object] = {"sent_at": None, "trouble": None}

    async def run(self, stop: asyncio.Event) -> None:
        pause = _FIRST_PAUSE
        while not stop.is_set():
            if await self.report():
                pause, wait = _FIRST_PAUSE, timedelta(minutes=self._settings.every_minutes) * random.uniform(0.9, 1.1)  # noqa: S311 -- spreads reports
            else:
                wait, pause = pause, min(pause * 2, _LONGEST_PAUSE)
            try:
                async with asyncio.timeout(wait.total_seconds()):
                    await stop.wait()
            except TimeoutError:
                continue

    async def report(self) -> bool:
        """Look and tell once; whether the server took it, or will never take it."""
        try:
            await asyncio.to_thread(self._identity)  # before the work, which would be in vain
            found = await self._look(self._settings)
            said = await self._door.ask("/agent/report", found)
        except Refused as refusal:
            log.warning("survey.refused", detail=refusal.detail)
            self._status["trouble"] = refusal.detail
            return True
        except AgentError as error:
            log.warning("survey.failed", code=error.code, detail=error.detail)
            self._status["trouble"] = error.detail
            return False
        self._status |= {"sent_at": self._host.clock.now().isoformat(), "trouble": None, "taken": said}
        log.info("survey.sent", certificates=len(found["certificates"]), facts=len(found["facts"]))
        return True

    def status(self) -> Mapping[str, object]:
        return dict(self._status)

    async def _find(self, settings: SurveySettings) -> dict[str, Any]:
        served = []
        if settings.listeners:
            served = await listeners.served(await asyncio.to_thread(listeners.listening), frozenset(settings.ports))
        return await asyncio.to_thread(collect, settings, self._host.clock, served)

    def _identity(self) -> Identity:
        return self._host.identity(self._settings.certificate)
