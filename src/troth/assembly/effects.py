"""What the worker does for the outbox: tries effects through their ports, forgets old ones."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine, Mapping
from datetime import timedelta
from typing import Any

from troth.assembly.context import RoleContext
from troth.kit.log import get_logger
from troth.store.errors import StoreError
from troth.store.pool import Database
from troth.trust.outbox import store
from troth.trust.outbox.model import EffectPort
from troth.trust.outbox.runner import EffectRunner

log = get_logger("assembly")

_HOUR = 3600.0


def effect_duties(context: RoleContext, database: Database) -> list[Coroutine[Any, Any, None]]:
    """The runner of effects, and the forgetting of what ended long ago."""
    settings = context.config.effects
    runner = EffectRunner(
        database,
        context.clock,
        effect_ports(),
        timeout=timedelta(seconds=settings.timeout_seconds),
        give_up=timedelta(hours=settings.give_up_hours),
    )
    return [runner.run(context.stop), _prune(context, database, timedelta(days=settings.keep_days))]


def effect_ports() -> Mapping[str, EffectPort]:
    """Who does which effect here. A port that is not among them is told as unavailable."""
    return {}


async def _prune(context: RoleContext, database: Database, keep: timedelta) -> None:
    while not context.stop.is_set():
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_HOUR):
                await context.stop.wait()
            return
        try:
            await store.prune(database, before=context.clock.now() - keep)
        except StoreError as error:
            log.warning("duty.postponed", duty="pruning of effects", code=error.code, detail=error.detail)
