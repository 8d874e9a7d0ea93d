"""Wiring of pools of servers, and of the places that networks and pools lead to."""

from __future__ import annotations

from collections.abc import Sequence

from troth.assembly.context import RoleContext
from troth.kit.clock import Clock
from troth.kit.sealing import SecretBox
from troth.radius.admission.desk import NetworkDesk
from troth.radius.places.service import PlaceDesk
from troth.radius.proxy.desk import PoolDesk
from troth.store.pool import Database


def pool_desk(context: RoleContext, database: Database, networks: NetworkDesk | None = None) -> PoolDesk:
    """The pools; secrets are sealed with a key of their own in the data directory."""
    box = SecretBox.at(context.layout.secrets / "proxies.secret", purpose="proxy")
    return PoolDesk(database, context.clock, box, users=None if networks is None else networks.handing_to)


def place_desk(database: Database, clock: Clock, networks: NetworkDesk, pools: PoolDesk) -> PlaceDesk:
    """The places, with who leads to them: networks, and pools for others' users."""

    async def users(place: str) -> Sequence[str]:
        return [*await networks.leading_to(place), *await pools.leading_to(place)]

    return PlaceDesk(database, clock, users=users)
