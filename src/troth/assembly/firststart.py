"""What a data directory needs before its processes can start: authorities. Made once, found at every later start.

Runs in the supervisor, with the database migrated and the signer ready. A start that was broken off is taken up by
the next one. A later start asks the database one question and imports nothing of the mint: the supervisor is to be
small and quick. What can wait until the worker runs (profiles, policies, the set-up token) is done there.
"""

from __future__ import annotations

from dataclasses import dataclass

from troth.assembly.context import signer_socket
from troth.assembly.hierarchy_store import COMPLETE
from troth.assembly.layout import Layout
from troth.assembly.names import ISSUING, ROOT
from troth.assembly.progress import Progress
from troth.assembly.state import State
from troth.kit.clock import Clock
from troth.kit.settings import Config
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


async def first_start(start: Start) -> None:
    """Make the authorities if they are missing, and say what is to be done with the root's key."""
    database = await Database.open(start.database_url, clock=start.clock, max_connections=2)
    try:
        made = await database.fetchval(COMPLETE, ROOT, [one.issuer_class.value for one in ISSUING])
        if not made or not start.layout.root_certificate.exists():
            with start.progress.step("making a root and the issuing authorities") as step:
                # Only a first start needs the mint in this process.
                from troth.assembly.hierarchy import ensure_hierarchy

                socket = signer_socket(start.config, start.layout)
                await ensure_hierarchy(
                    database, start.layout, start.state, start.clock, start.config.signer, socket=socket
                )
                step.note("trial, online-born")
    finally:
        await database.close()
    if start.layout.offline_root.exists():
        start.progress.tell(
            f"! The root's sealed key is in {start.layout.offline_root}. Move the key and its passphrase off this"
            " machine, apart from each other; README.txt there says how."
        )
