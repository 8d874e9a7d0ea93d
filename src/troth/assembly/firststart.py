"""What a data directory needs before Troth can serve: made at the first start, found at every later one.

Runs in the supervisor, with the database migrated and the signer ready, before any other process starts. A part
that is there is left alone, so a start that was broken off is simply made again.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from troth.access.service import Access
from troth.assembly.admin import relying_party
from troth.assembly.hierarchy import ensure_hierarchy
from troth.assembly.layout import Layout
from troth.assembly.progress import Progress
from troth.assembly.state import State
from troth.kit.clock import Clock
from troth.kit.settings import Config
from troth.pki.signer.client import SignerClient
from troth.store.pool import Database


@dataclass(frozen=True, kw_only=True)
class Start:
    """What is known by then."""

    config: Config
    layout: Layout
    state: State
    clock: Clock
    database_url: str
    progress: Progress


Part = Callable[[Start, Database], Awaitable[None]]


async def authorities(start: Start, database: Database) -> None:
    """A root and an issuing authority, the shipped profiles and policies."""
    layout = start.layout
    with start.progress.step("looking for the authorities") as step:
        async with SignerClient(layout.signer_socket, "setup", layout.secrets) as signer:
            made = await ensure_hierarchy(database, signer, layout, start.state, start.clock)
        if made:
            step.note("made a root and an issuing authority: trial, online-born")
    if layout.offline_root.exists():
        start.progress.tell(
            f"! The root's sealed key is in {layout.offline_root}. Move the key and its passphrase off this machine,"
            " apart from each other; README.txt there says how."
        )


async def administrator(start: Start, database: Database) -> None:
    """The set-up token of the first administrator."""
    access = Access.build(database, start.clock, relying_party(start.state))
    await access.invitations.ensure_bootstrap(start.layout.admin_token)


#: In order; each needs those before it.
PARTS: Sequence[Part] = (authorities, administrator)


async def first_start(start: Start) -> None:
    """Make whatever of :data:`PARTS` is missing."""
    database = await Database.open(start.database_url, clock=start.clock, max_connections=2)
    try:
        for part in PARTS:
            await part(start, database)
    finally:
        await database.close()
