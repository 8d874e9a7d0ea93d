"""The end of a try, written down: the order, the session, the ledger, how long it took, and the effect that waits."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

from troth.audit.event import Event
from troth.kit.clock import Clock
from troth.kit.log import get_logger
from troth.radius.sessions import inbox_store, order_store, store
from troth.radius.sessions.model import EndedBy, Session
from troth.radius.sessions.orders import EFFECT, Order, State
from troth.store.pool import URGENT_CHANNEL, Database
from troth.store.unit import Unit
from troth.trust.outbox import store as outbox
from troth.trust.outbox.model import EffectState
from troth.trust.outbox.runner import BOUNDS

log = get_logger("radius")

ACTOR = "system:radius"


class Overtaken(Exception):
    """The order has been taken over by another sender, or has ended."""


@dataclass(frozen=True, slots=True)
class Result:
    """What a try has come to.

    Attributes:
        state: ``waiting``: to be tried again at ``due``.
        step: the rung that decided it.
        closes: how the session has ended by it; empty: it has not.
        wrong: the access server refuses how it was asked: our data of its vendor or its settings are wrong.
    """

    state: State
    step: str = ""
    detail: str = ""
    closes: EndedBy | Literal[""] = ""
    session: Session | None = None
    due: datetime | None = None
    wrong: bool = False


async def settle(database: Database, clock: Clock, order: Order, result: Result, *, waited: bool = False) -> None:
    """Write down what has become of ``order``. Raises Overtaken, StoreError.

    ``waited``: its effect waits for the end in this process, and need not be looked at anew.
    """
    if result.due is not None:
        await postpone(database, order, result.due, result.detail)
        return
    now = clock.now()
    unit = _ours(order)
    unit.write(order_store.END, order.id, result.state, now, result.step, result.detail[:500])
    if result.closes and result.session is not None:
        store.close(unit, result.session, at=now, by=result.closes)
        inbox_store.count(unit, {f"ended.{result.closes}": 1})
    inbox_store.count(unit, {f"order.{order.kind}.{result.state}": 1})
    milliseconds = max(0, int((now - order.accepted_at).total_seconds() * 1000))
    effect = _effect_of(order)
    if effect is not None and not waited:
        outbox.hurry(unit, effect, now)
    if effect is None and result.state == "done":  # else the runner measures, when all it has ordered has ended
        bound = next((bound for bound in BOUNDS if milliseconds <= bound), -1)
        outbox.measure(unit, order.kind, bound, milliseconds)
    unit.record(_event(order, result, milliseconds))
    if result.wrong or result.state in ("refused", "failed"):
        log.error(
            "dynamic.not_done", order=str(order.id), kind=order.kind, access_server=order.nas, state=result.state,
            wrong=result.wrong, detail=result.detail,
        )  # fmt: skip
    await database.commit(unit)
    if effect is not None and not waited:
        database.wake(URGENT_CHANNEL)


async def postpone(database: Database, order: Order, due: datetime, detail: str) -> None:
    """Have it tried again at ``due``. Raises Overtaken, StoreError."""
    await database.commit(_ours(order).write(order_store.AGAIN, order.id, due, detail[:500]))


async def withdrawn(database: Database, order: Order) -> bool:
    """Whether the effect that ordered it is not wanted any more."""
    effect = _effect_of(order)
    found = None if effect is None else await outbox.find(database, effect)
    return found is not None and found.state in (EffectState.SUPERSEDED, EffectState.DROPPED)


def _ours(order: Order) -> Unit:
    return Unit().guard(
        order_store.STILL_OURS, order.id, order.attempts, refuse=Overtaken(), key=("radius_order", order.id)
    )


def _effect_of(order: Order) -> UUID | None:
    word, _, rest = order.origin.partition(":")
    return UUID(rest) if word == EFFECT else None


def _event(order: Order, result: Result, milliseconds: int) -> Event:
    refs = [f"session:{order.session_id}"]
    if result.session is not None:
        refs += [f"subject:{one}" for one in result.session.subject_ids]
        if result.session.certificate_id is not None:
            refs.append(f"certificate:{result.session.certificate_id}")
    return Event(
        f"session.{order.kind}_{result.state}",
        ACTOR,
        tuple(refs),
        {"session_id": str(order.session_id), "order_id": str(order.id), "access_server": order.nas,
         "station": order.lane, "origin": order.origin, "because": order.actor, "step": result.step,
         "latency_ms": milliseconds, "attempts": order.attempts, "detail": result.detail[:500]},
    )  # fmt: skip
