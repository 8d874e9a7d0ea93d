"""Wiring of the admin application: people, their pages and their API."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

from troth.assembly.context import RoleContext
from troth.assembly.mint import Mint
from troth.assembly.roles.common import LIVEZ, internal_error
from troth.assembly.trust import Trust
from troth.enroll.issuance import Issuance
from troth.kit.lane import Asgi, Lane
from troth.store.pool import Database


@contextlib.asynccontextmanager
async def admin_app(
    context: RoleContext, database: Database, mint: Mint, trust: Trust, issuance: Issuance
) -> AsyncIterator[Asgi]:
    """The application for the admin listener and the Unix socket."""
    yield Lane([LIVEZ], on_error=internal_error)
