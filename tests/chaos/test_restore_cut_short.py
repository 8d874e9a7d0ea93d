"""A restore fails, then is killed, at each of its steps; then it is run again: nothing is half done, and it goes on."""

from __future__ import annotations

import asyncio
import multiprocessing
import signal
from dataclasses import replace
from pathlib import Path

import psutil
import pyrage
import pytest

from tests.chaos.killable_restore import DONE, FAILED, PLACED, REFUSED, STEPS, Loss, restore
from tests.integration.ops.test_shipping import live, rows
from tests.support.mint import Mint
from troth.assembly import staging, state
from troth.assembly.layout import Layout
from troth.assembly.state import State
from troth.audit.sequencer import Sequencer
from troth.audit.store import Checkpoint, LedgerStore
from troth.kit.clock import SystemClock
from troth.kit.ids import new_id
from troth.ops.backup.create import Source, create
from troth.ops.backup.sealing import Seal
from troth.ops.backup.shipping import Shipper
from troth.ops.backup.target import DirectoryTarget
from troth.pki.keys.files import ensure_secret
from troth.pki.keys.software import KeyStore
from troth.pki.signer.notary import Notary
from troth.store.lease import Lease
from troth.store.restoring import mark, marked
from troth.store.snapshot import snapshot

pytestmark = pytest.mark.chaos

ORIGIN = "pki.test/ledger"
_PROCESSES = multiprocessing.get_context("forkserver")
_PROCESSES.set_forkserver_preload(["tests.chaos.killable_gate", "tests.chaos.killable_restore"])


@pytest.fixture
def clock() -> SystemClock:
    """A restore that is going on knows no other."""
    return SystemClock()


@pytest.fixture
async def loss(mint: Mint, database_url: str, tmp_path: Path) -> Loss:
    """An archive and tiles of an installation that lived on, and was lost."""
    data, tiles = tmp_path / "lost", tmp_path / "tiles"
    tiles.mkdir()
    layout, clock = Layout.at(data), SystemClock()
    layout.prepare()
    known = State(listeners={}, public_url="", public_http_url="", admin_url="", ledger_origin=ORIGIN)
    state.write(layout.state_file, known)
    (data / "troth.toml").write_text("")
    secret = ensure_secret(layout.role_secret("shipping"))
    keys = KeyStore.open(data, clock)
    notary = Notary.open(layout.notary, keys, ORIGIN, clock)
    identity = pyrage.x25519.Identity.generate()
    (tmp_path / "identity.txt").write_text(f"{identity}\n")
    seal = Seal.of([str(identity.to_public())])
    shipper = Shipper(database_url, DirectoryTarget(tiles), seal, clock, origin=ORIGIN, secret=secret)
    ledger = LedgerStore(mint.database)

    async def witnessed(start: int) -> int:
        sequencer = Sequencer(mint.database, clock, new_id())
        held = await Lease(mint.database, clock, "sequencer", new_id(), seconds=0.0).acquire()
        assert held is not None
        while await sequencer.move(held):
            continue
        head = await ledger.head()
        leaves = [leaf for _, leaf in await ledger.leaves(start, head.size - start)]
        signed = notary.checkpoint(start, leaves, clock.now())
        await ledger.add_checkpoint(Checkpoint(head.size, head.root, signed.note or "", clock.now()))
        return head.size

    size = await witnessed(0)
    await shipper.ship()
    made = await create(Source(data=data, database_url=database_url, origin=ORIGIN), tmp_path, seal, clock)
    await live(mint)
    await witnessed(size)
    await shipper.ship()
    keys.close()
    return Loss(made.path, tmp_path / "identity.txt", tiles, tmp_path / "there" / "data")


async def attempt(loss: Loss, step: str = "", how: str = "") -> int:
    process = _PROCESSES.Process(target=restore, args=(loss, step, how))
    process.start()
    await asyncio.to_thread(process.join, 60)
    assert process.exitcode is not None
    code = int(process.exitcode)
    process.close()
    return code


async def empty(url: str) -> bool:
    async with snapshot(url) as view:
        return not await view.tables() and await marked(url) is None


def beside(loss: Loss) -> list[str]:
    return sorted(path.name for path in loss.data.parent.iterdir()) if loss.data.parent.exists() else []


def alive(pid: int) -> bool:
    """Not even as one that nobody has buried."""
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


async def test_a_restore_that_is_cut_short_at_any_step_leaves_nothing_and_goes_on(
    loss: Loss, empty_database_url: str, database_url: str, subtests: pytest.Subtests
) -> None:
    wanted = await rows(database_url)
    here = replace(loss, url=empty_database_url)
    for step in STEPS:
        if step not in PLACED:
            with subtests.test(step):
                # It begins on what the one before, which was killed, has left; whoever fails takes back that as well.
                assert await attempt(here, step, "fail") == FAILED
                assert (beside(here), await empty(here.url)) == ([], True)
                assert await attempt(here, step, "kill") == -signal.SIGKILL
                assert "data" not in beside(here)
    assert await attempt(here) == DONE
    await whole(here, wanted)


@pytest.mark.parametrize("step", PLACED)
async def test_a_restore_that_fails_once_it_has_taken_its_place_is_whole(
    loss: Loss, empty_database_url: str, database_url: str, step: str
) -> None:
    here = replace(loss, url=empty_database_url)
    assert await attempt(here, step, "fail") == FAILED
    assert beside(here) == ["data"]
    assert await attempt(here) == REFUSED
    await whole(here, await rows(database_url))


async def whole(here: Loss, wanted: object) -> None:
    """Every row, and a data directory that knows its ledger's name; nothing beside it."""
    assert beside(here) == ["data"]
    assert await rows(here.url) == wanted
    restored = state.read(here.data / "state.json")
    assert restored is not None
    assert restored.ledger_origin == ORIGIN


async def test_a_killed_restore_leaves_no_server_and_no_secret_once_the_next_has_run(loss: Loss) -> None:
    assert await attempt(loss, "loaded everything", "kill") == -signal.SIGKILL
    [left] = beside(loss)
    staged = Layout.at(loss.data.parent / left)
    assert list(staged.secrets.iterdir())
    pid = int((staged.database / "postmaster.pid").read_text().split()[0])
    assert alive(pid)
    assert await attempt(loss) == DONE
    assert beside(loss) == ["data"]
    assert not alive(pid)


async def test_somebody_elses_tables_and_a_restore_that_is_still_at_it_are_left_alone(
    loss: Loss, empty_database_url: str, database_url: str
) -> None:
    before = await rows(database_url)
    used = replace(loss, url=database_url)
    assert await attempt(used) == REFUSED
    # A mark whose directory is not here: it was restored, or is being, from another place.
    await mark(database_url, ".data.restoring-00000000")
    assert await attempt(used) == REFUSED
    assert await rows(database_url) == before
    loss.data.parent.mkdir(exist_ok=True)
    busy = staging.make(loss.data)
    try:
        fine = replace(loss, url=empty_database_url)
        assert await attempt(fine) == DONE
        assert busy.there
    finally:
        await busy.remove("")
        busy.let_go()
