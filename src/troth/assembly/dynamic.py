"""Wiring of sessions on the network: folding and ageing them, and what ends and moves them. The worker's part."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from troth.assembly.context import RoleContext
from troth.assembly.nas import nas_book
from troth.kit.session_settings import SessionSettings
from troth.radius.dynamic.fleet import Roster
from troth.radius.dynamic.follower import LedgerFollower
from troth.radius.dynamic.ports import SessionPort
from troth.radius.dynamic.sender import Endings, Sender
from troth.radius.dynamic.udp import UdpTransport
from troth.radius.dynamic.waves import WAVE_JOB, Waves
from troth.radius.nas.model import NasTable
from troth.radius.radsec.orders import ReverseOrders
from troth.radius.radsec.transport import ReverseTransport
from troth.radius.sessions.ageing import Ageing
from troth.radius.sessions.folding import Folder
from troth.radius.sessions.model import Ages
from troth.store.pool import Database
from troth.store.runner import Handler
from troth.trust.outbox.model import EffectPort


@dataclass(frozen=True, kw_only=True)
class Dynamic:
    """What a worker does for sessions.

    Attributes:
        duties: to be run until the stop. due: (seconds, work, name) of what is done now and then.
        ports: the outbox's. jobs: kind → who does it.
    """

    duties: Sequence[Coroutine[Any, Any, None]]
    due: Sequence[tuple[float, Callable[[], Awaitable[object]], str]]
    ports: Mapping[str, EffectPort]
    jobs: Mapping[str, Handler]


def ages_of(settings: SessionSettings) -> Ages:
    """When sessions age, as configured."""
    return Ages(timedelta(seconds=settings.interim_seconds), timedelta(hours=settings.silent_hours))


def dynamic_of(context: RoleContext, database: Database, holder: UUID) -> Dynamic:
    """Everything of a worker's about sessions; ``holder``: this process."""
    settings, clock = context.config.radius_sessions, context.clock
    book = nas_book(context.layout, database)

    async def table() -> NasTable:
        await book.refresh()
        return book.table

    reverse = ReverseTransport(ReverseOrders(database, clock), clock)
    roster = Roster(table, UdpTransport(clock), reverse, at_once=settings.at_once, per_second=settings.per_second)
    endings, ages = Endings(), ages_of(settings)
    sender = Sender(database, clock, holder, roster, endings)
    ageing = Ageing(database, clock, ages, keep=timedelta(days=settings.keep_days))
    follower = LedgerFollower(database, clock, context.config.trust, rejudge=settings.rejudge_per_minute > 0)
    waves = Waves(database, clock, per_minute=max(1, settings.rejudge_per_minute))
    return Dynamic(
        duties=[
            Folder(database, clock, holder, ages).run(context.stop),
            sender.run(context.stop),
            follower.follower().run(context.stop),
        ],
        due=[(10.0, ageing.run_once, "ageing of sessions"), (600.0, ageing.forget, "forgetting of sessions")],
        ports={
            "disconnect": SessionPort(database, clock, "disconnect", endings),
            "reauthorize": SessionPort(database, clock, "reauthorize", endings),
        },
        jobs={WAVE_JOB: waves.run},
    )
