"""Wiring of the other ways in: pools of servers, and who may join without a certificate."""

from __future__ import annotations

from troth.assembly.context import RoleContext
from troth.kit.sealing import SecretBox
from troth.radius.proxy.desk import PoolDesk
from troth.store.pool import Database


def pool_desk(context: RoleContext, database: Database) -> PoolDesk:
    """The pools; secrets are sealed with a key of their own in the data directory."""
    return PoolDesk(database, context.clock, SecretBox.at(context.layout.secrets / "proxies.secret", purpose="proxy"))
