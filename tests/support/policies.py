"""The shipped policies in a test's database."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from troth.kit.clock import Clock
    from troth.store.pool import Database
    from troth.trust.authoring.service import PolicyPlan

_PLANS: list[PolicyPlan] = []


async def apply_shipped(database: Database, clock: Clock) -> None:
    """Have them in force, as a first start does; where there are some already, as in a house with two doors, they stay.

    Each time is planned alike, and to run the policies' own examples takes 0.1 s: so the plans are made once.
    """
    from troth.trust.authoring.service import PolicyService, shipped

    service = PolicyService(database, clock)
    if await service.store.heads():
        return
    if _PLANS:
        await asyncio.gather(*(service.apply(plan, actor="system:test") for plan in _PLANS))
        return
    plans = []
    for name, text in shipped().items():
        plans.append(await service.plan(text, file=f"{name}.yaml"))
        await service.apply(plans[-1], actor="system:test")
    _PLANS.extend(plans)
