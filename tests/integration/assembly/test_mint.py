"""The mint of a process keeps up with what is applied, whatever goes wrong meanwhile."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.support.mint import Mint
from troth.assembly.context import RoleContext
from troth.assembly.layout import Layout
from troth.assembly.mint import mint_of
from troth.assembly.state import State
from troth.audit.sequencer import LEASE_NAME, Sequencer
from troth.kit.clock import SystemClock
from troth.kit.ids import new_id
from troth.kit.settings import Config
from troth.pki.catalogue import Catalogue
from troth.pki.profile import shipped_profiles
from troth.store.errors import UNAVAILABLE, Unavailable
from troth.store.lease import Instance, Lease
from troth.store.pool import Database


async def _sequence(database: Database) -> None:
    clock, holder = SystemClock(), new_id()
    held = await Lease(database, clock, LEASE_NAME, holder, seconds=0.0).acquire()
    assert held is not None
    await Sequencer(database, clock, holder).move(held)


async def test_a_profile_is_taken_up_though_the_database_was_away_when_it_was_applied(
    mint: Mint, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database, clock = mint.database, SystemClock()
    await _sequence(database)
    context = RoleContext(
        role="web",
        index=0,
        config=Config(),
        layout=Layout.at(tmp_path),
        state=State(listeners={}, public_url="", public_http_url="", admin_url=""),
        clock=clock,
        sockets={},
        database_url=database_url,
        stop=asyncio.Event(),
        ready=lambda: None,
    )
    async with mint_of(context, database, Instance(database, clock, "web")) as followed:
        refresh, tries = Catalogue.refresh, 0

        async def refused(self: Catalogue) -> Any:
            nonlocal tries
            if self is followed.catalogue:
                tries += 1
                if tries == 1:
                    raise Unavailable(UNAVAILABLE)
            await refresh(self)

        monkeypatch.setattr(Catalogue, "refresh", refused)
        document = shipped_profiles()["tls-server"].replace("description:", "description: changed;")
        await mint.catalogue.apply_profile(document, actor="test:mint")
        await _sequence(database)
        async with asyncio.timeout(120):
            while followed.catalogue.profiles["tls-server"].version == 1:
                await asyncio.sleep(0.02)
    assert tries == 2
