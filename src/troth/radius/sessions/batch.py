"""A batch of records and the sessions that they could be about, in memory: what becomes of them. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import TypeVar
from uuid import UUID

from msgspec.structs import replace

from troth.kit.ids import new_id
from troth.radius.sessions import fold, store
from troth.radius.sessions.model import Admitted, Ages, Boot, Heard, Session, Told, Withdrawn
from troth.store.unit import Unit

_Key = TypeVar("_Key")


class Batch:
    """See the module. ``known``: all that may be meant; ``boots``: of their boxes; ``counted``: what counts add to."""

    def __init__(
        self,
        ages: Ages,
        known: Iterable[Session] = (),
        boots: Iterable[Boot] = (),
        counted: Counter[str] | None = None,
    ) -> None:
        self._ages = ages
        self._before: dict[UUID, Session] = {}
        self._now: dict[UUID, Session] = {}
        self._by_key: dict[tuple[str, str, str], dict[UUID, None]] = {}
        self._by_class: dict[bytes, dict[UUID, None]] = {}
        self._by_mac: dict[str, dict[UUID, None]] = {}
        self._admissions: dict[bytes, tuple[UUID, Admitted]] = {}
        self._boots = list(boots)
        self._new_boots: list[Boot] = []
        self.counted: Counter[str] = counted if counted is not None else Counter()
        for one in sorted(known, key=lambda one: one.id):
            self._before[one.id] = one
            self._put(one)

    def fold(self, heard: Iterable[Heard]) -> None:
        """Take records in."""
        touched: set[UUID] = set()
        for one in heard:
            if isinstance(one, Admitted):
                touched |= self._admit(one)
            elif isinstance(one, Withdrawn):
                touched |= self._withdraw(one)
            elif one.status in ("on", "off"):
                boot = Boot(one.where.nas, one.where.box, one.port.called_station_id, one.at)
                self._boots.append(boot)
                self._new_boots.append(boot)
                self.counted["heard.boot"] += 1
            else:
                touched.add(self._tell(one))
                self.counted[f"heard.{one.status}"] += 1
        # An end follows from all that is known of the sessions of one name: it is looked for when all is in.
        keys = {self._now[id].key for id in touched}
        again = touched | {id for key in keys if key[2] for id in self._by_key.get(key, ())}
        if self._new_boots:
            again |= self._now.keys()
        for id in again:
            session = self._now[id]
            namesakes = [self._now[other] for other in self._by_key.get(session.key, ())] if session.key[2] else []
            self._now[id] = fold.settle(session, namesakes, self._boots)

    def _tell(self, told: Told) -> UUID:
        found = fold.pick(self._of(self._by_key, (told.where.nas, told.where.box, told.port.acct_session_id)), told)
        of_class = self._of(self._by_class, told.class_)
        if found is None:
            waiting = [one for one in (*of_class, *self._of(self._by_mac, told.port.mac)) if fold.awaits(one, told)]
            found = max(waiting, key=lambda one: (one.admitted_at or one.opened_at, one.id), default=None)
        if found is not None:
            after = fold.tell(found, told)
            if after.interims != found.interims:
                after = replace(after, ages_at=self._ages.of(after))
        else:
            after = fold.opened(new_id(), told, self._ages)
            origin = next((one for one in of_class if one.admitted_at is not None), None)
            if origin is not None:
                after = fold.inherited(after, origin)
                after = replace(after, ages_at=self._ages.of(after))
        self._put(after)
        return after.id

    def _admit(self, one: Admitted) -> set[UUID]:
        found = self._admitted_as(one)
        if found:
            changed = [fold.admit(each, one) for each in found]
            changed = [
                after if after == before else replace(after, ages_at=self._ages.of(after))
                for before, after in zip(found, changed, strict=True)
            ]
        else:
            changed = [fold.admitted(new_id(), one, self._ages)]
        for each in changed:
            self._put(each)
        self._admissions[one.class_] = (changed[0].id, one)
        self.counted["heard.accept"] += 1
        return {each.id for each in changed}

    def _withdraw(self, one: Withdrawn) -> set[UUID]:
        """Close what this admission alone has opened; a session that went on before it goes on."""
        found = [
            each for each in self._of(self._by_class, one.class_)
            if not each.accounted and each.class_ == one.class_ and each.admitted_at == each.opened_at
        ]  # fmt: skip
        for each in found:
            self._put(replace(each, closed_at=max(one.at, each.last_at), closed_by="withdrawn"))
        self._admissions.pop(one.class_, None)
        return {each.id for each in found}

    def _admitted_as(self, one: Admitted) -> list[Session]:
        """The sessions that accounting knows by this Class; else the one that the request names, if it goes on; else
        the station's present one at that radio or port: it has authenticated anew."""
        found = self._of(self._by_class, one.class_)
        if found:
            return found
        if one.port.acct_session_id:
            named = self._of(self._by_key, (one.where.nas, one.where.box, one.port.acct_session_id))
            found = [each for each in named if _goes_on(each) and each.port.mac in ("", one.port.mac)]
        else:
            found = [each for each in self._of(self._by_mac, one.port.mac) if _same_place(each, one)]
        return [max(found, key=lambda each: (each.started_at or each.opened_at, each.id))] if found else []

    def admissions(self) -> list[tuple[Session, Admitted]]:
        """The Accepts that were taken in, each with its session."""
        return [(self._now[id], one) for id, one in self._admissions.values()]

    def sessions(self) -> list[Session]:
        """Every session, as it is now."""
        return list(self._now.values())

    def write(self, unit: Unit) -> None:
        """Add all that has changed."""
        for id, after in self._now.items():
            before = self._before.get(id)
            if before is None:
                store.add(unit, after)
                self.counted["opened"] += 1
            elif before != after:
                store.change(unit, before, after)
                self.counted["reopened"] += before.ended_at is not None and after.open
            if after.ended_at is not None and (before is None or before.open):
                self.counted[f"ended.{after.ended_by}"] += 1
        for boot in self._new_boots:
            unit.write(store.ADD_BOOT, boot.nas, boot.box, boot.called, boot.at)
            unit.write(store.BOOT, boot.nas, boot.box, boot.called, boot.at)

    def _put(self, session: Session) -> None:
        self._now[session.id] = session
        self._by_key.setdefault(session.key, {})[session.id] = None
        if session.class_:
            self._by_class.setdefault(session.class_, {})[session.id] = None
        if session.port.mac:
            self._by_mac.setdefault(session.port.mac, {})[session.id] = None

    def _of(self, index: dict[_Key, dict[UUID, None]], key: _Key | None) -> list[Session]:
        return [] if key is None else [self._now[id] for id in index.get(key, ())]


def _goes_on(session: Session) -> bool:
    """Whether it does, as far as is known before ends are looked for."""
    return session.open and not session.stopped


def _same_place(session: Session, one: Admitted) -> bool:
    """Whether an Accept is a re-authentication of this session: the same station at the same radio or port."""
    return (
        _goes_on(session)
        and (session.where.nas, session.where.box) == (one.where.nas, one.where.box)
        and session.port.called_station_id == one.port.called_station_id
        and (session.port.nas_port_id, session.port.nas_port) == (one.port.nas_port_id, one.port.nas_port)
    )
