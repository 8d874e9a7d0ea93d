"""Decisions of the journal reach the database and the ledger once each, whoever dies in between."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from uuid import UUID

import pytest
from msgspec import structs

from tests.support.drains import PromptDrain
from tests.unit.trust.policies import HEALTHY, client_device, taken
from troth.kit.clock import FakeClock
from troth.kit.ids import new_id
from troth.store.pool import Database
from troth.trust.connecting.journal import Journal, ended, segments
from troth.trust.decision.judge import judge
from troth.trust.model import Decision, Moment, Snapshot
from troth.trust.policy.store import PolicyStore


def made() -> tuple[Decision, Snapshot]:
    snapshot = structs.replace(taken(HEALTHY, moment=Moment.CONNECT, asked="client-device"), id=new_id())
    return judge(client_device(), snapshot), snapshot


async def told(database: Database) -> list[str]:
    """Decisions of the ledger's inbox, in order."""
    rows = await database.fetch("SELECT payload FROM ledger_inbox ORDER BY id")
    events = [json.loads(row["payload"]) for row in rows]
    return [one["data"]["decision_id"] for one in events if one["kind"] == "decision.made"]


async def test_what_was_recorded_is_stored_as_it_was_and_its_file_is_gone(
    database: Database, clock: FakeClock, tmp_path: Path
) -> None:
    journal = Journal.open(tmp_path / "journal")
    pairs = [made() for _ in range(3)]
    await journal.record(pairs, actor="application:vpn", refs=("application:vpn",))
    drain = PromptDrain(database, journal, clock)
    assert await drain.once() == 3
    assert segments(journal.directory) == []
    for decision, snapshot in pairs:
        found = await PolicyStore(database).decision(decision.id)
        assert found is not None
        assert (found.decision, found.snapshot) == (decision, snapshot)
    assert await told(database) == [str(decision.id) for decision, _ in pairs]
    assert await drain.once() == 0
    await journal.close()


async def test_a_file_that_was_carried_over_before_a_death_is_not_told_twice(
    database: Database, clock: FakeClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal.open(tmp_path / "journal")
    await journal.record([made()], actor="a")
    drain = PromptDrain(database, journal, clock)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", _die)
        with pytest.raises(OSError, match="dead"):
            await drain.once()
    assert len(segments(journal.directory)) == 1
    await drain.once()
    assert len(await told(database)) == 1
    assert segments(journal.directory) == []
    await journal.close()


def _die(*_: object, **__: object) -> None:
    raise OSError("dead")


async def test_a_killed_process_has_lost_nothing_that_it_acknowledged(
    database: Database, clock: FakeClock, tmp_path: Path
) -> None:
    root = tmp_path / "journal"
    ids = await asyncio.to_thread(_acknowledged_by_one_that_is_killed, root)
    assert len(ids) >= 200
    journal = Journal.open(root)
    drain = PromptDrain(database, journal, clock)
    assert await drain.once() >= len(ids)
    assert await PolicyStore(database).known_decisions(list(ids)) == ids
    assert len(await told(database)) == len(set(await told(database)))
    assert [path.name for path in root.iterdir()] == [journal.name]
    await journal.close()


def _acknowledged_by_one_that_is_killed(root: Path) -> set[UUID]:
    words = [sys.executable, "-m", "tests.support.journalling", root]
    with subprocess.Popen(words, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        acknowledged = [child.stdout.readline() for _ in range(200)]
        os.kill(child.pid, signal.SIGKILL)
        acknowledged += child.stdout.readlines()
    # The last line may be torn: the pipe ends where the process did.
    return {UUID(line.decode().strip()) for line in acknowledged if line.endswith(b"\n")}


async def test_a_journal_whose_process_lives_is_left_alone(
    database: Database, clock: FakeClock, tmp_path: Path
) -> None:
    living, other = Journal.open(tmp_path / "journal"), Journal.open(tmp_path / "journal")
    await living.record([made()], actor="a")
    assert await PromptDrain(database, other, clock).once() == 0
    assert len(segments(living.directory)) == 1
    await living.close()
    assert await PromptDrain(database, other, clock).once() == 1
    await other.close()


async def test_a_damaged_file_is_kept_aside_and_told(database: Database, clock: FakeClock, tmp_path: Path) -> None:
    journal = Journal.open(tmp_path / "journal")
    for _ in range(3):
        await journal.record([made()], actor="a")
    await journal.end()
    [path] = ended(journal.directory)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    await PromptDrain(database, journal, clock).once()
    assert [one.suffix for one in journal.directory.iterdir() if one.name != "lock"] == [".damaged"]
    kinds = [json.loads(row["payload"])["kind"] for row in await database.fetch("SELECT payload FROM ledger_inbox")]
    assert kinds.count("journal.damaged") == 1
    assert kinds.count("decision.made") == 1
    await journal.close()
