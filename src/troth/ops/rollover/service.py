"""Reads how a rollover stands, and builds each of its steps as one write unit.

A step is built twice: for its preview, and when it is done. It is guarded by the stage and by the states of both
authorities as they were read, so that of two persons only one moves it on, and nothing of a step is ever half done.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from troth.audit.event import Event
from troth.kit.canonical import Json
from troth.kit.clock import Clock
from troth.kit.ids import new_id
from troth.ops.rollover import errors
from troth.ops.rollover.errors import RolloverRefused
from troth.ops.rollover.model import ENDED, NEXT, Rollover, Situation, Stage
from troth.ops.rollover.store import ADD, ATTEST, IN_STAGE, SET_STAGE, RolloverStore
from troth.pki.authorities import Authority
from troth.pki.catalogue import Catalogue
from troth.pki.crl_store import CrlStore
from troth.pki.cross import CrossStore
from troth.pki.lifecycle import change_state, check_transition
from troth.pki.responder import PROFILE as RESPONDER
from troth.store.pool import Database
from troth.store.unit import Unit

_REASON = 10


@dataclass(frozen=True, slots=True)
class Step:
    """One step, ready to be committed.

    Attributes:
        words: what it does, in a sentence.
        lines: what it would hit.
        state: what it was built on.
        unit: all of it.
    """

    rollover: UUID
    words: str
    lines: tuple[str, ...]
    state: Json
    unit: Unit


class Rollovers:
    """See the module."""

    def __init__(self, database: Database, clock: Clock, catalogue: Catalogue) -> None:
        self._database = database
        self._clock = clock
        self._catalogue = catalogue
        self._store = RolloverStore(database)

    async def list(self) -> list[Rollover]:
        """Latest first."""
        return await self._store.all()

    async def situation(self, rollover_id: UUID) -> Situation:
        """How one stands. Raises RolloverRefused."""
        found = next((one for one in await self._store.all() if one.id == rollover_id), None)
        if found is None:
            raise RolloverRefused(errors.UNKNOWN)
        await self._catalogue.refresh()
        now = self._clock.now()
        old, new = self._catalogue.authority(found.outgoing), self._catalogue.authority(found.incoming)
        roots = self._root(old), self._root(new)
        crosses = await CrossStore(self._database).all()
        crl = CrlStore(self._database)
        responder = await crl.responder(new.slug)
        return Situation(
            rollover=found,
            outgoing=old,
            incoming=new,
            roots=(roots[0].slug, roots[1].slug),
            crossed=any(
                one.issuer == roots[0].slug and one.authority in (roots[1].slug, new.slug) and one.not_after > now
                for one in crosses
            ),
            measures=(await self._store.devices(roots[1].sha256.hex()),),
            attestation=await self._store.attestation(found.id),
            issued=await self._store.has_issued(new.slug, RESPONDER, found.started_at),
            crl=any(one.authority == new.slug and one.next_update > now for one in await crl.published()),
            responder=responder is not None and responder.not_after > now,
            alive=await self._store.alive(old.slug, now, RESPONDER),
            now=now,
        )

    async def start(self, outgoing: str, incoming: str, threshold: int, drain_days: int, *, actor: str) -> Step:
        """The step that begins one. Raises RolloverRefused, AuthorityRefused."""
        if not 1 <= threshold <= 100 or not 1 <= drain_days <= 3650:
            raise RolloverRefused(errors.INVALID, f"threshold {threshold} %, {drain_days} days")
        await self._catalogue.refresh()
        old, new = self._catalogue.authority(outgoing), self._catalogue.authority(incoming)
        _fit(old, new)
        for one in await self._store.all():
            if one.stage not in ENDED and {one.outgoing, one.incoming} & {outgoing, incoming}:
                raise RolloverRefused(errors.UNDER_WAY, f"from {one.outgoing} to {one.incoming}, stage {one.stage}")
        now, made = self._clock.now(), new_id()
        unit = Unit().claim(
            ADD, outgoing, made, incoming, threshold, drain_days, now, actor, refuse=RolloverRefused(errors.UNDER_WAY)
        )
        data: dict[str, Json] = {"threshold": threshold, "drain_days": drain_days}
        unit.record(_event("rollover.started", made, old, new, actor, data))
        lines = (
            f"{old.name} goes on issuing until the stage issue; nothing changes for anybody now.",
            f"Classes: {', '.join(old.issuer_classes)}. Roots: {self._root(old).slug}, then {self._root(new).slug}.",
            f"At least {threshold} % of trust stores must know the new root before {new.slug} issues.",
        )
        state: Json = {"outgoing": old.state, "incoming": new.state}
        return Step(made, f"Begin the rollover from {outgoing} to {incoming}", lines, state, unit)

    async def advance(self, rollover_id: UUID, *, override: str, actor: str) -> Step:
        """The step to the next stage. Raises RolloverRefused when its gate is shut and nobody overrides it."""
        at = await self.situation(rollover_id)
        found, old, new = at.rollover, at.outgoing, at.incoming
        stage = NEXT.get(found.stage)
        if stage is None:
            raise RolloverRefused(errors.SETTLED, f"it is {found.stage}")
        unmet = [one for one in at.gate if not one.met]
        if unmet and not override:
            raise RolloverRefused(errors.GATE, "; ".join(f"needs: {one.needs}; seen: {one.seen}" for one in unmet))
        if unmet and len(override) < _REASON:
            raise RolloverRefused(errors.INVALID, f"a reason has at least {_REASON} characters")
        lines = [f"{'Met' if one.met else 'NOT MET'}: {one.needs} ({one.seen})" for one in at.gate]
        unit = self._move(found, stage, now_renewing=stage == "drain")
        if stage == "issue":
            lines.append(f"{new.slug} issues from then on; {old.slug} stops.")
            self._turn(unit, new, "active", actor)
            self._turn(unit, old, "retiring", actor)
        elif stage == "drain":
            left = sum(one.count for one in at.alive)
            lines.append(f"{left} certificates of {old.slug} are to be renewed within {found.drain_days} days.")
        elif stage == "retired":
            lines.append(f"{old.slug} never issues again. Its CRLs and OCSP go on until the last one has expired.")
            self._turn(unit, old, "retired", actor)
        if unmet:
            lines.append(f"Passed against the gate: {override}")
        data: dict[str, Json] = {
            "before": found.stage, "stage": stage, "override": override if unmet else "",
            "gate": [{"needs": one.needs, "seen": one.seen, "met": one.met} for one in at.gate],
        }  # fmt: skip
        unit.record(_event("rollover.advanced", found.id, old, new, actor, data))
        words = f"Take the rollover from {old.slug} to {new.slug} on to {stage}"
        return Step(found.id, words, tuple(lines), _state(at), unit)

    async def back_out(self, rollover_id: UUID, reason: str, *, actor: str) -> Step:
        """The step back to where it began. Raises RolloverRefused once the old authority is retired."""
        at = await self.situation(rollover_id)
        found, old, new = at.rollover, at.outgoing, at.incoming
        if found.stage in ENDED:
            raise RolloverRefused(errors.SETTLED, f"it is {found.stage}")
        if len(reason) < _REASON:
            raise RolloverRefused(errors.INVALID, f"a reason has at least {_REASON} characters")
        unit, lines = self._move(found, "backed-out"), []
        if found.stage in ("issue", "drain"):
            lines.append(f"{old.slug} issues again; {new.slug} stops, and answers for what it has issued.")
            self._turn(unit, old, "active", actor)
            self._turn(unit, new, "retiring", actor)
        else:
            lines.append(f"{old.slug} has never stopped issuing; {new.slug} stays {new.state}.")
        data: dict[str, Json] = {"before": found.stage, "reason": reason}
        unit.record(_event("rollover.backed_out", found.id, old, new, actor, data))
        return Step(found.id, f"Back out of the rollover from {old.slug} to {new.slug}", tuple(lines), _state(at), unit)

    async def attest(self, rollover_id: UUID, percent: int, reason: str, *, actor: str) -> Step:
        """The step that notes what a person vouches for. Raises RolloverRefused."""
        at = await self.situation(rollover_id)
        if at.rollover.stage in ENDED:
            raise RolloverRefused(errors.SETTLED, f"it is {at.rollover.stage}")
        if not 0 <= percent <= 100 or len(reason) < _REASON:
            raise RolloverRefused(errors.INVALID, f"{percent} %, a reason of {len(reason)} characters")
        unit = self._move(at.rollover, at.rollover.stage)
        unit.write(ATTEST, new_id(), rollover_id, percent, reason, actor, self._clock.now())
        data: dict[str, Json] = {"percent": percent, "reason": reason}
        unit.record(_event("rollover.attested", rollover_id, at.outgoing, at.incoming, actor, data))
        words = f"Vouch that {percent} % of trust stores know the root of {at.incoming.slug}"
        return Step(rollover_id, words, (f"Reason: {reason}",), _state(at), unit)

    def _move(self, found: Rollover, stage: Stage, *, now_renewing: bool = False) -> Unit:
        now = self._clock.now()
        renew_by = now + timedelta(days=found.drain_days) if now_renewing else found.renew_by
        unit = Unit().guard(
            IN_STAGE, found.id, found.stage, refuse=RolloverRefused(errors.MOVED), key=("rollover", found.id)
        )
        since = found.changed_at if stage == found.stage else now
        return unit.write(SET_STAGE, found.id, stage, since, None if stage == "backed-out" else renew_by)

    def _turn(self, unit: Unit, authority: Authority, state: str, actor: str) -> None:
        """Move an authority along, unless somebody has done so by hand already."""
        if authority.state == state:
            return
        check_transition(authority, state, self._clock.now())
        change_state(unit, authority, state, actor=actor)  # type: ignore[arg-type]  # check_transition knows it

    def _root(self, authority: Authority) -> Authority:
        current = authority
        for _ in range(8):
            if current.parent is None:
                return current
            current = self._catalogue.authority(current.parent)
        return current


def _fit(old: Authority, new: Authority) -> None:
    if old.slug == new.slug or old.kind != "issuing" or new.kind != "issuing":
        raise RolloverRefused(errors.MISFIT, "a rollover leads from one issuing authority to another")
    if old.state != "active":
        raise RolloverRefused(errors.MISFIT, f"{old.slug} is {old.state}, not active")
    if new.state not in ("planned", "active") or new.key_id is None:
        raise RolloverRefused(errors.MISFIT, f"{new.slug} is {new.state}{'' if new.key_id else ', without a key here'}")
    missing = set(old.issuer_classes) - set(new.issuer_classes)
    if missing:
        raise RolloverRefused(errors.MISFIT, f"{new.slug} does not issue for {', '.join(sorted(missing))}")


def _state(at: Situation) -> Json:
    return {
        "stage": at.rollover.stage,
        "outgoing": at.outgoing.state,
        "incoming": at.incoming.state,
        "unmet": [one.needs for one in at.gate if not one.met],
    }


def _event(kind: str, rollover: UUID, old: Authority, new: Authority, actor: str, data: dict[str, Json]) -> Event:
    refs = (f"rollover:{rollover}", f"authority:{old.slug}", f"authority:{new.slug}")
    told: dict[str, Json] = {"rollover": str(rollover), "outgoing": old.slug, "incoming": new.slug}
    return Event(kind, actor, refs, told | data)
