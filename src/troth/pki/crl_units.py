"""The write units of CRLs: taking a number, publishing under it, and noting what was shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from troth.audit.event import Event
from troth.kit.clock import ledger_time
from troth.pki.authorities import Authority
from troth.pki.crl_buffer import CrlBuffer
from troth.pki.crl_store import (
    ADD_SHARD,
    DROP_CHANGE,
    PRUNE,
    PUBLISH,
    PUBLISHABLE,
    RESERVE_CRL,
    SET_SHOWN,
    Change,
    Standing,
)
from troth.pki.errors import CRL_OVERTAKEN, CrlRefused
from troth.pki.model import Crl
from troth.store.lease import Held, fence
from troth.store.unit import Unit


def fenced(unit: Unit, held: Held | None) -> Unit:
    """``unit``, failing when the lease ``held`` has passed to another process."""
    return unit if held is None else fence(unit, held)


def note_shown(
    unit: Unit,
    authority: Authority,
    crl: Crl,
    pending: Sequence[Change],
    before: Mapping[bytes, bytes],
    buffer: CrlBuffer,
) -> None:
    """The CRL shows these changes. Without deltas nobody asks again what it showed."""
    if not authority.crl_deltas:
        unit.write_all(DROP_CHANGE, [(change.certificate_id, change.status_version) for change in pending])
        return
    after = buffer.lookup(change.serial for change in pending)
    for change in pending:
        unit.write(
            SET_SHOWN, change.certificate_id, change.status_version, crl.number, change.serial in before,
            change.serial in after,
        )  # fmt: skip


def reserve_unit(
    crl: Crl, digest: bytes, point: str | None, alive_at: datetime, scheduled: bool, now: datetime
) -> Unit:
    """What takes a number for exactly these bytes."""
    unit = Unit().claim(
        RESERVE_CRL,
        crl.authority,
        crl.shard,
        crl.kind,
        crl.number,
        crl.base_number,
        point,
        digest,
        crl.this_update,
        crl.next_update,
        alive_at,
        scheduled,
        crl.entries,
        crl.size,
        now,
        refuse=CrlRefused(CRL_OVERTAKEN, f"number {crl.number} of {crl.authority} is taken"),
    )
    unit.write(ADD_SHARD, crl.authority, crl.shard)
    return unit.record(crl_event("crl.reserved", crl, {"tbs_sha256": digest.hex()}))


def publish_unit(crl: Crl, digest: bytes, standing: Standing, held: Held | None = None) -> Unit:
    """What makes a reserved CRL the published one, if ``standing`` is still how things stand."""
    unit = fenced(Unit(), held).guard(
        PUBLISHABLE,
        crl.authority,
        crl.shard,
        crl.kind,
        crl.number,
        digest,
        standing.full_number,
        standing.delta_number,
        refuse=CrlRefused(CRL_OVERTAKEN, f"another CRL than {crl.number} of {crl.authority} is published"),
        key=("crl", crl.authority, crl.shard),
    )
    head, *_, tail = crl.parts
    unit.write(
        PUBLISH, crl.authority, crl.shard, crl.kind, crl.number, head, tail, crl.sha256, crl.size, crl.build_seconds
    )
    unit.write(PRUNE, crl.authority, crl.shard, crl.kind)
    return unit.record(crl_event("crl.published", crl, {"tbs_sha256": digest.hex(), "sha256": crl.sha256.hex()}))


def crl_event(kind: str, crl: Crl, more: dict[str, str]) -> Event:
    """A ledger event of one CRL."""
    return Event(
        kind,
        "system:crl",
        (f"authority:{crl.authority}",),
        {
            "authority": crl.authority,
            "shard": crl.shard,
            "kind": crl.kind,
            "number": crl.number,
            "base_number": crl.base_number,
            "entries": crl.entries,
            "this_update": ledger_time(crl.this_update),
            "next_update": ledger_time(crl.next_update),
            **more,
        },
    )
