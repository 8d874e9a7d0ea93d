"""Restoring: the archive, what was shipped since, and the proof that the CA can go on from there.

In this order, each step undone by throwing the staging directory away:

1. the whole archive is read and verified; its schema must be one that this program knows;
2. files and rows are put down, the rows in one transaction, and the schema brought up to the present;
3. shipped bundles are replayed; the ledger is proved from its first event against every checkpoint;
4. CRLs begin anew above every number that may have been used; a last CRL's entries are kept;
5. the notary is brought forward to its last proved checkpoint. Where the end of the ledger may be missing, it is not:
   the log gets a new name, for under the old one a checkpoint may exist that the next would contradict;
6. where anything may be missing, the fence is closed (``troth.pki.fence``).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from troth.audit.event import Event
from troth.audit.merkle import Frontier
from troth.audit.note import NoteKey, open_checkpoint
from troth.audit.store import PARTITION_SIZE, LedgerStore, partition_ddl
from troth.audit.verify import verify_store
from troth.kit.clock import Clock
from troth.kit.errors import TrothError
from troth.ops.backup.archive import Member, reading
from troth.ops.backup.errors import DAMAGED, TILES, UNPROVED, BackupRefused, RestoreRefused
from troth.ops.backup.lastcrl import keep_last_crls
from troth.ops.backup.read import Verified, readable_here, verify
from troth.ops.backup.replay import Replayed, replay
from troth.ops.backup.sealing import Opener
from troth.ops.backup.store import RestoreStore, SourceStore
from troth.ops.backup.target import Target
from troth.pki.keys.errors import SecretUnsafe
from troth.pki.keys.files import private_directory, read_secret, write_private
from troth.pki.signer.kept import begin_anew, bring_forward, notary_size, read_kept
from troth.radius.sessions.partition_store import SESSIONS, begin_restore, end_restore
from troth.store.migrate import migrate, migrations
from troth.store.pool import Database
from troth.store.snapshot import Loader, Table, loading
from troth.store.unit import Unit

SHIPPING_SECRET = "shipping"  # noqa: S105 - a file's name
#: CRL numbers are milliseconds; whoever published last may have had a clock this far ahead.
_NUMBER_MARGIN = timedelta(seconds=60)

Progress = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Order:
    """What is to be restored.

    Attributes:
        tiles: where the ledger was shipped, or None.
        witness: a checkpoint (signed note) that was kept elsewhere.
        last_crls: CRLs as they were last published, DER or PEM.
        lost: why the operator knows that something is missing, or empty.
    """

    archive: Path
    opener: Opener
    actor: str
    tiles: Target | None = None
    witness: str | None = None
    last_crls: Sequence[bytes] = ()
    lost: str = ""


@dataclass(kw_only=True)
class Restored:
    """What was restored, and how the CA stands.

    Attributes:
        fenced: why the fence is closed, or empty.
        origin: the ledger's name from now on.
        crl_floors: the next CRL number of each authority lies above.
    """

    verified: Verified
    ledger_size: int
    replayed: Replayed
    origin: str
    unknown_from: datetime
    unknown_until: datetime
    fenced: str = ""
    crl_floors: dict[str, int] = field(default_factory=dict)
    kept_from_crls: int = 0


async def restore(
    order: Order, data: Path, url: str, clock: Clock, *, progress: Progress = lambda _line: None
) -> Restored:
    """Restore into the directory ``data`` and the empty database at ``url``.

    Raises BackupRefused, RestoreRefused, ShippingFailed, StoreError. The caller puts ``data`` in its place only when
    this has returned.
    """
    progress("reading the archive")
    verified = await asyncio.to_thread(verify, order.archive, order.opener)
    through = readable_here(verified.header)
    progress("putting files and rows down")
    await migrate(url, through=through)
    await _load(order, verified, data, url)
    await migrate(url)
    kept = read_kept(data)
    replayed = await _replay(order, data, url, kept.key, verified, progress)
    progress("proving the ledger")
    head = await _prove(url, clock, kept.key, order.witness)
    now = clock.now()
    fenced = _why_fenced(order, replayed, head, notary_size(data), kept.key)
    restored = Restored(
        verified=verified,
        ledger_size=head,
        replayed=replayed,
        origin=f"{kept.key.name}/{now:%Y%m%dT%H%M%S}" if fenced else kept.key.name,
        unknown_from=replayed.complete_at or verified.header.created_at,
        unknown_until=now,
        fenced=fenced,
    )
    progress("beginning CRLs anew")
    await _settle(order, restored, url, now)
    if fenced:
        begin_anew(data, restored.origin)
    elif replayed.note is not None and replayed.note[0] > notary_size(data):
        size, note, at, frontier, root = replayed.note
        bring_forward(data, size=size, frontier=frontier, root=root, note=note, at=at)
    await _record(order, restored, url, clock)
    return restored


async def _load(order: Order, verified: Verified, data: Path, url: str) -> None:
    tables = verified.manifest.tables
    async with loading(url) as loader:
        there = {table.name for table in await loader.tables()}
        for name in tables:
            if name not in there:
                raise BackupRefused(DAMAGED, f"it holds a table {name} that its schema has not")
            await loader.empty(Table(name, ()))
        for number in range(verified.header.ledger_size // PARTITION_SIZE + 2):
            await RestoreStore(loader).partition(partition_ddl(number))
        if SESSIONS in tables:
            await begin_restore(loader)
        with reading(order.archive, order.opener) as members:
            pieces = _Pieces(members)
            while (member := await pieces.next()) is not None:
                if member.name.startswith("files/"):
                    await asyncio.to_thread(_put_file, data, member)
                elif member.name.startswith("db/"):
                    name = member.name.split("/")[1]
                    rows = await loader.copy_in(Table(name, tables[name].columns), pieces.of_table(member))
                    if rows != tables[name].rows:
                        raise BackupRefused(DAMAGED, f"{rows} rows of {name}, {tables[name].rows} were written")
        if SESSIONS in tables:
            await end_restore(loader)


class _Pieces:
    """Members one after the other, with one step back."""

    def __init__(self, members: Iterator[Member]) -> None:
        self._members = members
        self._back: Member | None = None

    async def next(self) -> Member | None:
        back, self._back = self._back, None
        return back or await asyncio.to_thread(next, self._members, None)

    async def of_table(self, first: Member) -> AsyncIterator[bytes]:
        folder = first.name.rpartition("/")[0]
        member: Member | None = first
        while member is not None and member.name.rpartition("/")[0] == folder:
            yield member.content
            member = await self.next()
        self._back = member


def _put_file(data: Path, member: Member) -> None:
    path = data / member.name.removeprefix("files/")
    private_directory(path.parent)
    # The certificate of the root is for everybody; everything else was closed, and is closed again.
    write_private(
        path, member.content, mode=0o644 if path.suffix in (".pem", ".crt") and path.parent == data else 0o600
    )


async def _replay(order: Order, data: Path, url: str, key: NoteKey, verified: Verified, progress: Progress) -> Replayed:
    if order.tiles is None:
        missing = f"no shipped tiles were given; what happened after {verified.header.created_at:%Y-%m-%d %H:%M:%S} " \
                  "UTC is not known"  # fmt: skip
        return Replayed(verified.header.ledger_size, missing=missing)
    progress("replaying what was shipped since")
    try:
        secret = read_secret(data / "secrets" / f"{SHIPPING_SECRET}.secret")
    except SecretUnsafe as error:
        raise RestoreRefused(
            TILES, "the backup was made before shipping began, so the tiles cannot be proved"
        ) from error
    newest = max(migration.number for migration in migrations())
    async with loading(url) as loader:
        return await replay(loader, order.tiles, order.opener, secret, key, newest_migration=newest)


async def _prove(url: str, clock: Clock, key: NoteKey, witness: str | None) -> int:
    """The ledger's size, once it has proved itself."""
    database = await Database.open(url, clock=clock, max_connections=2)
    try:
        ledger = LedgerStore(database)
        head = await ledger.head()
        if await ledger.last_checkpoint() is not None:
            report = await verify_store(ledger, key)
            if not report.proved:
                raise RestoreRefused(UNPROVED, "\n".join(fault for _, fault in report.faults[:5]))
        if witness is not None:
            try:
                said = open_checkpoint(witness, key)
            except TrothError as error:
                raise RestoreRefused(UNPROVED, f"the checkpoint that was given: {error.detail}") from error
            if said.size <= head.size and await _root_at(ledger, said.size) != said.root:
                raise RestoreRefused(
                    UNPROVED, f"the ledger is not the one of which a checkpoint over {said.size} was kept"
                )
        return head.size
    finally:
        await database.close()


async def _root_at(ledger: LedgerStore, size: int) -> bytes:
    frontier = Frontier()
    while frontier.size < size:
        rows = await ledger.leaves(frontier.size, min(20_000, size - frontier.size))
        if not rows:
            break
        frontier.extend(leaf for _, leaf in rows)
    return frontier.root()


def _why_fenced(order: Order, replayed: Replayed, size: int, signed: int, key: NoteKey) -> str:
    if order.lost:
        return order.lost
    witnessed = open_checkpoint(order.witness, key).size if order.witness is not None else 0
    if max(signed, witnessed) > size:
        return f"{max(signed, witnessed)} events were signed, {size} are here"
    return replayed.missing


async def _settle(order: Order, restored: Restored, url: str, now: datetime) -> None:
    floor = int((now + _NUMBER_MARGIN).timestamp() * 1000)
    async with loading(url) as loader:
        store = RestoreStore(loader)
        numbers, restored.kept_from_crls = await keep_last_crls(loader, order.last_crls)
        for slug, _ in await store.online_authorities():
            known = max(restored.replayed.crl_numbers.get(slug, 0), numbers.get(slug, 0), floor)
            restored.crl_floors[slug] = await store.restart_crls(slug, known, now)
        if restored.fenced:
            await store.drop_notes()
            await store.close_fence(restored.fenced, now, restored.unknown_from)


async def _record(order: Order, restored: Restored, url: str, clock: Clock) -> None:
    header = restored.verified.header
    event = Event(
        "recovery.restored",
        order.actor,
        (),
        {
            "backup_of": header.created_at.isoformat(),
            "backup_ledger_size": header.ledger_size,
            "ledger_size": restored.ledger_size,
            "replayed": restored.replayed.events,
            "fenced": restored.fenced,
            "origin": restored.origin,
            "former_origin": header.origin,
            "former_checkpoint": header.checkpoint,
            "unknown_from": restored.unknown_from.isoformat(),
            "unknown_until": restored.unknown_until.isoformat(),
            "crl_floors": dict(restored.crl_floors),
            "kept_from_crls": restored.kept_from_crls,
        },
    )
    database = await Database.open(url, clock=clock, max_connections=2)
    try:
        await database.commit(Unit().record(event))
    finally:
        await database.close()


async def size_of(loader: Loader) -> int:
    """How many events the ledger holds: none in a database that was never used."""
    return (await SourceStore(loader).head())[0]
