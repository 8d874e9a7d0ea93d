"""Vantage points elsewhere, and how this installation asks them; ``roles/vantage`` is a process that is one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from troth.assembly.context import RoleContext
from troth.assembly.layout import Layout
from troth.client.pinned import PinnedKey
from troth.enroll.acme.vantage.remote import RemoteVantage, greet_all
from troth.enroll.acme.vantage.wire import Seen
from troth.kit import config as configuration
from troth.kit.acme_settings import AcmeVantage
from troth.kit.clock import Clock
from troth.kit.log import get_logger
from troth.kit.settings import Config
from troth.store.marks import MARK, UNMARK, read_marks
from troth.store.pool import Database
from troth.store.unit import Unit

log = get_logger("assembly")

#: A mark of when a vantage last answered is its name behind this.
MARKED = "vantage:"


def key_of(layout: Layout) -> PinnedKey:
    """The key of this data directory: Troth's towards vantage points, or a vantage's; made if there is none."""
    layout.prepare()
    return PinnedKey.at(layout.vantage_identity)


def reaching(layout: Layout, clock: Clock) -> Callable[[str, AcmeVantage, float], RemoteVantage]:
    """How vantage points elsewhere are asked from here."""

    def reach(name: str, settings: AcmeVantage, budget: float) -> RemoteVantage:
        url = settings.url.rstrip("/")
        return RemoteVantage(name, url, settings.key.lower(), key_of(layout), clock, budget)

    return reach


def remotes(config: Config, layout: Layout, clock: Clock) -> list[RemoteVantage]:
    """Those elsewhere, as configured."""
    budget = float(config.acme.timeout_seconds)
    vantages = ((name, one) for name, one in config.acme.vantages.items() if one.url)
    return [
        RemoteVantage(name, one.url.rstrip("/"), one.key.lower(), key_of(layout), clock, budget)
        for name, one in vantages
    ]


def greeted(layout: Layout, clock: Clock) -> dict[str, Seen | str]:
    """Each vantage elsewhere by name, and what it answers or what is wrong. Raises ConfigError."""
    vantages = remotes(configuration.load(layout.root), layout, clock)
    return dict(zip((one.name for one in vantages), asyncio.run(greet_all(vantages)), strict=True))


def vantage_duties(
    context: RoleContext, database: Database
) -> list[tuple[float, Callable[[], Awaitable[object]], str]]:
    """What a worker does for them: it notes now and then which of them answer, so that a silent one is noticed."""
    vantages = remotes(context.config, context.layout, context.clock)

    async def note() -> None:
        found = await greet_all(vantages)
        names = [f"{MARKED}{one.name}" for one in vantages]
        for name, one in zip(names, found, strict=True):
            if isinstance(one, str):
                log.warning("vantage.silent", vantage=name.removeprefix(MARKED), detail=one)
        now = context.clock.now()
        answered = [(name, now) for name, one in zip(names, found, strict=True) if isinstance(one, Seen)]
        marked = await read_marks(database)
        dropped = [(name,) for name in marked if name.startswith(MARKED) and name not in names]
        if answered or dropped:
            await database.commit(Unit().write_all(MARK, answered).write_all(UNMARK, dropped))

    return [(60.0, note, "vantage points")]
