"""What the worker does for the outbox: tries effects through their ports, forgets old ones."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from datetime import timedelta
from typing import Any

from troth.assembly.context import RoleContext
from troth.assembly.transmitting import transmitting_of
from troth.audit.lull import Lull
from troth.connect.desk import ConnectorDesk
from troth.connect.effects.acting import ConnectorPort
from troth.connect.effects.chat import ChatPort
from troth.connect.effects.mail import MailPort, NotifyPort
from troth.connect.effects.vendors import crowdstrike, jamf, microsoft, okta
from troth.connect.effects.vpn import VpnPort
from troth.connect.effects.webhook import WebhookPort
from troth.kit.clock import Clock
from troth.kit.errors import TrothError
from troth.kit.http import HttpClient
from troth.kit.log import get_logger
from troth.kit.sealing import SecretBox
from troth.store.pool import Database
from troth.trust.outbox import store
from troth.trust.outbox.desk import EffectDesk
from troth.trust.outbox.model import EffectPort
from troth.trust.outbox.runner import EffectRunner

log = get_logger("assembly")

_HOUR = 3600.0
_RATES = 5.0


def effect_desk(context: RoleContext, database: Database) -> EffectDesk:
    """Effects and reactions, with the secrets of targets."""
    box = SecretBox.at(context.layout.secrets / "effects.secret", purpose="effect")
    return EffectDesk(database, context.clock, box)


def effect_duties(
    context: RoleContext, database: Database, connectors: ConnectorDesk, network: Mapping[str, EffectPort], lull: Lull
) -> list[Coroutine[Any, Any, None]]:
    """The runner of effects, and the forgetting of what ended long ago. ``connectors``: those of this process, so that
    acting and reading share one pace; ``network``: what ends and moves sessions."""
    settings, desk = context.config.effects, effect_desk(context, database)
    http = HttpClient(context.config.egress)
    acting = connector_ports(connectors, context.clock)
    runner = EffectRunner(
        database,
        context.clock,
        {**effect_ports(context, database, desk, http), **acting, **network},
        timeout=timedelta(seconds=settings.timeout_seconds),
        give_up=timedelta(hours=settings.give_up_hours),
    )
    keep = timedelta(days=settings.keep_days)

    async def run() -> None:
        try:
            await runner.run(context.stop)
        finally:
            for port in acting.values():
                await port.close()
            await http.close()

    async def rates() -> None:
        reactions, _ = await desk.in_force()
        runner.set_rates({name: target.per_minute for name, target in reactions.targets.items()})

    async def forget() -> None:
        await store.prune(database, before=context.clock.now() - keep)

    return [run(), _every(_RATES, rates, context.stop, lull), _every(_HOUR, forget, context.stop, lull)]


def effect_ports(
    context: RoleContext, database: Database, desk: EffectDesk, http: HttpClient
) -> Mapping[str, EffectPort]:
    """Who does which effect here. A port that is not among them is told as unavailable."""
    webhook, chat = WebhookPort(desk, http, context.clock), ChatPort(desk, http, context.clock)
    return {
        "webhook": webhook,
        "notify": NotifyPort(desk, MailPort(desk, http), chat, webhook),
        "vpn": VpnPort(desk),
        "ssf": transmitting_of(context, database).port(database),
    }


def connector_ports(desk: ConnectorDesk, clock: Clock) -> Mapping[str, ConnectorPort]:
    """The ports that act by a connector, by vendor."""
    actions = {
        "crowdstrike": crowdstrike.ACTIONS, "okta": okta.ACTIONS, "entra": microsoft.ENTRA,
        "intune": microsoft.INTUNE, "defender": microsoft.DEFENDER, "jamf": jamf.ACTIONS,
    }  # fmt: skip
    return {vendor: ConnectorPort(vendor, does, desk, desk.opener, clock) for vendor, does in actions.items()}


async def _every(seconds: float, work: Callable[[], Awaitable[None]], stop: asyncio.Event, lull: Lull) -> None:
    """Do ``work`` at once and then now and again; what it raises is told, and tried again next time."""
    while not stop.is_set():
        try:
            await work()
        except TrothError as error:
            log.warning("duty.postponed", duty="effects", code=error.code, detail=error.detail)
        await lull.rest(seconds, stop)
