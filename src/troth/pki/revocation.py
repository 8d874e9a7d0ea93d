"""Hold, release, revoke: changes of status, added to somebody's unit.

A hold is a *set of causes* (``edr:host-isolated``, ``admin:alice``). Each is cleared by who raised it; the
certificate is released when none remains. A revocation is final: it takes the place of a hold and keeps the hold's
date, and later only its reason may change, to keyCompromise (RFC 5280 knows no "more revoked"). Reservations are
covered like certificates, so a hold cannot slip between reserving and storing.

All functions only *add to a unit*: the rows are locked and read inside its transaction (``Unit.then``), so what is
written follows from what is there at that moment. Units with a status change never share a batch (one key for all of
them), since two steps of one batch would read the same old version; between processes the row locks do that. Only such
as *share* the key (``Unit.shares``) do: their changes are made together, each seeing what the one before it did. They
have to differ in the causes that they change.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TypeAlias
from uuid import UUID

from troth.kit.canonical import Json
from troth.kit.clock import to_seconds
from troth.pki.crl_der import crl_entry
from troth.pki.errors import ALREADY_REVOKED, CERTIFICATE_UNKNOWN, REASON_REFUSED, RevocationRefused
from troth.pki.events import certificate_event
from troth.pki.status_store import ADD_CAUSE, ADD_CRL_CHANGE, DROP_CAUSE, SET_STATUS, StatusRow, StatusStore
from troth.store.unit import Member, Reader, Unit

#: No two status changes in one batch of the pool.
STATUS_KEY = "pki.status"

#: Writes that a change of status consists of; the certificate's id comes first in each.
_OF_STATUS = (SET_STATUS, ADD_CAUSE, DROP_CAUSE)

#: Reasons that a person or a protocol may give (RFC 5280, 5.3.1): unspecified, keyCompromise, affiliationChanged,
#: superseded, cessationOfOperation, privilegeWithdrawn. 2 and 10 are for authorities, 6 is a hold, 8 is delta only.
REASONS = frozenset({0, 1, 3, 4, 5, 9})
KEY_COMPROMISE = 1
CERTIFICATE_HOLD = 6


@dataclass(frozen=True, slots=True)
class OfCertificate:
    """One certificate. An unknown id refuses the unit, and so does a second revocation."""

    certificate_id: UUID


@dataclass(frozen=True, slots=True)
class OfSubject:
    """Every live certificate of a subject, whatever its role there."""

    subject_id: UUID


@dataclass(frozen=True, slots=True)
class OfKey:
    """Live certificates of a key, ``limit`` at most; such as are revoked for its compromise already are left out."""

    spki_sha256: bytes
    limit: int = 100


Target: TypeAlias = OfCertificate | OfSubject | OfKey
Change: TypeAlias = Callable[[Unit, StatusRow], None]


@dataclass(frozen=True, slots=True)
class _Order:
    """A change of status, as it is registered with a unit."""

    target: Target
    at: datetime
    change: Change


def hold(unit: Unit, target: Target, *, cause: str, actor: str, at: datetime, sparing: Collection[str] = ()) -> Unit:
    """Hold ``target`` for ``cause``. A revoked certificate stays revoked; the same cause again changes nothing.

    Certificates of the profiles ``sparing`` are not held, and released if they are held for this cause.
    """

    def change(unit: Unit, row: StatusRow) -> None:
        if row.profile in sparing:
            _release(unit, row, cause=cause, actor=actor, at=at)
            return
        if row.status == "revoked" or cause in row.causes:
            return
        unit.write(ADD_CAUSE, row.id, cause, actor, at)
        held = replace(row, causes=row.causes | {cause})
        if row.status == "good":
            held = replace(held, status="held", status_at=at, revocation_reason=CERTIFICATE_HOLD)
        _set(unit, held, "certificate.held", actor, {"cause": cause})

    return _each(unit, target, at, change)


def release(unit: Unit, target: Target, *, cause: str, actor: str, at: datetime) -> Unit:
    """Clear ``cause``; certificates with no cause left are good again (``certificate.released``).

    Those with other causes stay held (``certificate.cause_cleared``).
    """

    def change(unit: Unit, row: StatusRow) -> None:
        _release(unit, row, cause=cause, actor=actor, at=at)

    return _each(unit, target, at, change)


def _release(unit: Unit, row: StatusRow, *, cause: str, actor: str, at: datetime) -> None:
    if cause not in row.causes:
        return
    _drop(unit, row.id, cause)
    left = replace(row, causes=row.causes - {cause})
    if left.causes or row.status != "held":
        _set(unit, left, "certificate.cause_cleared", actor, {"cause": cause})
        return
    released = replace(left, status="good", status_at=at, revocation_reason=None)
    _set(unit, released, "certificate.released", actor, {"cause": cause})


def revoke(unit: Unit, target: Target, *, reason: int, actor: str, at: datetime) -> Unit:
    """Revoke ``target`` for good.

    Args:
        reason: one of :data:`REASONS`; raises RevocationRefused for another at once.

    A held certificate keeps the hold's date. A revoked one can only become keyCompromise, its date unmoved;
    anything else refuses the unit for a single certificate and is passed over for a subject's.
    """
    if reason not in REASONS:
        raise RevocationRefused(REASON_REFUSED, f"reason {reason} cannot be chosen", reason_code=reason)

    def change(unit: Unit, row: StatusRow) -> None:
        if row.status == "revoked" and (reason != KEY_COMPROMISE or row.revocation_reason == KEY_COMPROMISE):
            if isinstance(target, OfCertificate):
                raise RevocationRefused(ALREADY_REVOKED, serial=row.serial.hex())
            return
        for cause in sorted(row.causes):
            _drop(unit, row.id, cause)
        revoked = replace(
            row,
            status="revoked",
            revocation_reason=reason,
            causes=frozenset(),
            status_at=at if row.status == "good" else row.status_at,
        )
        _set(unit, revoked, "certificate.revoked", actor, {})

    return _each(unit, target, at, change)


def _each(unit: Unit, target: Target, at: datetime, change: Change) -> Unit:
    return unit.exclusively(STATUS_KEY).then_together(_change_all, _Order(target, at, change))


async def _change_all(reader: Reader, members: Sequence[Member], among: Sequence[Unit]) -> dict[int, Exception]:
    """Make the changes that ``members`` ask for, one after the other; what all of them change is locked first."""
    store = StatusStore(reader)
    orders: list[_Order] = [one.item for one in members]
    wide = [(one.target.subject_id, one.at) for one in orders if isinstance(one.target, OfSubject)]
    of_subject = await store.lock_live_of_subjects(wide) if wide else {}
    changed: dict[UUID, list[Unit]] = {}
    for unit in among:
        for write, values in unit.writes:
            if write in _OF_STATUS and unit not in changed.setdefault(values[0], []):
                changed[values[0]].append(unit)
    for order, member in zip(orders, members, strict=True):
        for row in await _rows(store, order, of_subject):
            units = changed.setdefault(row.id, [])
            order.change(member.unit, _as_left_by(units, row))
            if member.unit not in units:
                units.append(member.unit)
    return {}


async def _rows(
    store: StatusStore, order: _Order, of_subject: Mapping[tuple[UUID, datetime], list[StatusRow]]
) -> list[StatusRow]:
    target = order.target
    if isinstance(target, OfSubject):
        return of_subject[target.subject_id, order.at]
    if isinstance(target, OfKey):
        return await store.lock_live_of_key(target.spki_sha256, at=order.at, limit=target.limit)
    row = await store.lock_certificate(target.certificate_id)
    if row is None:
        raise RevocationRefused(CERTIFICATE_UNKNOWN, f"no certificate {target.certificate_id}")
    return [row]


def add_status_step(unit: Unit, step: Callable[[Reader, Unit], Awaitable[None]]) -> Unit:
    """Run ``step`` in ``unit`` with the status key held."""
    return unit.exclusively(STATUS_KEY).then(step)


def _as_left_by(units: Iterable[Unit], row: StatusRow) -> StatusRow:
    """``row`` as it will be once the writes that ``units`` already hold are done.

    Steps run before any write, so the second of two changes of one certificate must see the first here.
    """
    causes = set(row.causes)
    for write, values in (one for unit in units for one in unit.writes):
        if values[0] != row.id:
            continue
        if write is SET_STATUS:
            _, status, version, status_at, reason, _ = values
            row = replace(row, status=status, status_version=version, status_at=status_at, revocation_reason=reason)
        elif write is ADD_CAUSE:
            causes.add(values[1])
        elif write is DROP_CAUSE:
            causes.discard(values[1])
    return replace(row, causes=frozenset(causes))


def _drop(unit: Unit, certificate_id: UUID, cause: str) -> None:
    # A unit that raised the cause itself has the row still unwritten: take it back, too.
    unit.writes[:] = [(w, v) for w, v in unit.writes if not (w is ADD_CAUSE and v[:2] == (certificate_id, cause))]
    unit.write(DROP_CAUSE, certificate_id, cause)


def _set(unit: Unit, row: StatusRow, kind: str, actor: str, more: dict[str, Json]) -> None:
    """Write ``row`` with the next version, and its event."""
    set_status(unit, replace(row, status_version=row.status_version + 1), kind, actor, more)


def set_status(unit: Unit, row: StatusRow, kind: str, actor: str, more: dict[str, Json]) -> None:
    """Write the status that ``row`` has, its CRL entry and the ledger event ``kind``."""
    entry = None
    if row.revocation_reason is not None and row.status != "good":
        entry = crl_entry(row.serial, to_seconds(row.status_at), row.revocation_reason)
    unit.write(SET_STATUS, row.id, row.status, row.status_version, row.status_at, row.revocation_reason, entry)
    if not row.no_rev_avail:
        unit.write(ADD_CRL_CHANGE, row.id, row.status_version, row.authority, row.crl_shard, row.serial, row.status_at)
    unit.record(
        certificate_event(
            kind,
            actor=actor,
            certificate_id=row.id,
            serial=row.serial,
            authority=row.authority,
            status=row.status,
            status_version=row.status_version,
            status_at=row.status_at,
            reason=row.revocation_reason,
            not_after=row.not_after,
            subjects=row.subjects,
            more={"causes": sorted(row.causes)} | more,
        )
    )
