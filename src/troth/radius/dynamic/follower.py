"""What the ledger tells besides changes of standing: certificates, owners, policies, networks. Each event once.

A person who puts a certificate on hold, or revokes it, changes no standing, so no reaction speaks of it; whoever uses
it on the network shall be off it all the same. The ledger is followed durably (:mod:`troth.audit.follower`): the orders
and the place up to which it was read are committed together.

What a person has done is done at once. What automation has (a policy of the moment *status*, a client that revokes) may
end as many sessions in a window as a feed may restrict subjects (``[trust]``); more are staged. A freeze stops it, and
sessions of protected subjects are left alone. What comes with a change of standing in the same unit is left to the
reactions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from msgspec.structs import replace

from troth.access.model import ordered_by_people
from troth.audit.event import Event, StreamEvent
from troth.audit.follower import Follower
from troth.kit.clock import Clock
from troth.kit.log import get_logger
from troth.kit.settings import TrustSettings
from troth.radius.admission import network_store
from troth.radius.admission.document import network_of
from troth.radius.dynamic import follower_store
from troth.radius.dynamic.waves import Wave, enqueue
from troth.radius.sessions import order_store, store
from troth.radius.sessions.model import Session
from troth.radius.sessions.orders import EVENT, ORDERS_CHANNEL, Kind, order_for
from troth.radius.sessions.store import Meant
from troth.store.pool import Database
from troth.store.unit import Unit
from troth.trust.enforcement.enforce import QUARANTINE_PROFILES
from troth.trust.model import Moment
from troth.trust.policy.store import PolicyStore
from troth.trust.policy.touched import profiles_touched

log = get_logger("radius")

ACTOR: Final = "system:radius"
KINDS: Final = frozenset(
    {
        "certificate.held", "certificate.revoked", "certificate.released", "standing.changed", "subject.changed",
        "subject.removed", "policy.applied", "network.applied", "network.removed", "place.applied",
    }
)  # fmt: skip
_WAVES: Final = frozenset({"policy.applied", "network.applied", "network.removed", "place.applied"})
#: Fields of a subject whose change means that it may have to go: attributes by which directories say so, and its owner.
_MATTERS: Final = frozenset({"owner", "groups", "disabled", "enabled", "active", "locked"})
#: The certificate is only replaced, or its service has ended: who has a newer one shall stay (RFC 5280, 5.3.1).
_HARMLESS: Final = frozenset({4, 5})
_MOST: Final = 1_000
#: More sessions than this at once are spread: so many a second.
_BURST, _PER_SECOND = 50, 20


@dataclass(frozen=True, slots=True)
class _Case:
    """One event, and what it asks for."""

    event: StreamEvent
    meant: Meant
    kind: Kind
    reason: str
    #: Only sessions that are confined: what was relieved can be better now.
    confined: bool = False

    @property
    def automated(self) -> bool:
        return not ordered_by_people(self.event.actor)


class LedgerFollower:
    """See the module. ``rejudge``: whether an applied policy or network has sessions judged anew, at a pace."""

    def __init__(self, database: Database, clock: Clock, caps: TrustSettings, *, rejudge: bool = True) -> None:
        self._database = database
        self._clock = clock
        self._caps = caps
        self._rejudge = rejudge

    def follower(self) -> Follower:
        """What reads the ledger for it."""
        return Follower(self._database, self._clock, "radius.sessions", KINDS, self.take, wakes=ORDERS_CHANNEL)

    async def take(self, unit: Unit, events: Sequence[StreamEvent]) -> None:
        """Add to ``unit`` what is to be done about ``events``."""
        reacted = {event.unit for event in events if event.kind == "standing.changed"}
        room = await self._room()
        for event in events:
            wave = await self._wave(event)
            if wave is not None:
                enqueue(unit, wave, at=self._clock.now())
            case = None if event.unit in reacted else case_of(event)
            if case is not None:
                room -= await self._plan(unit, case, room)

    async def _wave(self, event: StreamEvent) -> Wave | None:
        if not self._rejudge or event.kind not in _WAVES:
            return None
        network = str(event.data.get("network", "")) if event.kind.startswith("network.") else ""
        place = str(event.data.get("place", "")) if event.kind == "place.applied" else ""
        what = event.data.get("policy") or network or place
        wave = Wave(
            f"event-{event.index}", event.actor, f"{event.kind.partition('.')[0]} {what} was applied", network=network,
            place=place, automated=not ordered_by_people(event.actor),
        )  # fmt: skip
        return wave if event.kind != "policy.applied" else await self._narrowed(wave, event)

    async def _narrowed(self, wave: Wave, event: StreamEvent) -> Wave | None:
        """The wave of a policy, for those alone whom it may judge otherwise; None: nobody."""
        name, version = event.data.get("policy"), event.data.get("version")
        touched = None
        if isinstance(name, str) and isinstance(version, int):
            touched = await profiles_touched(PolicyStore(self._database), name, version, Moment.CONNECT)
        if touched is None:
            return wave
        if not touched:
            log.info("dynamic.policy_untouched", policy=name, version=version)
            return None
        networks = [network_of(one.definition, one.version) for one in await network_store.networks(self._database)]
        spared = sorted(one.name for one in networks if touched.isdisjoint(one.judged_by))
        # What puts a quarantine profile in place of another judges it, too.
        return replace(wave, profiles=tuple(sorted(touched | QUARANTINE_PROFILES)), spared=tuple(spared))

    async def _plan(self, unit: Unit, case: _Case, room: int) -> int:
        """Orders for one event; how many of the cap's room they take."""
        sessions = [
            one
            for one in await store.meant(self._database, case.meant, limit=_MOST)
            if not case.confined or one.outcome in ("quarantine", "restrict")
        ]
        if case.automated and sessions:
            held = await follower_store.protected(self._database, {id for one in sessions for id in one.subject_ids})
            sessions = [one for one in sessions if held.isdisjoint(one.subject_ids)]
        now, used = self._clock.now(), 0
        for number, session in enumerate(sessions):
            staged = case.automated and used >= room
            used += case.automated and not staged
            order_store.plan(
                unit,
                order_for(
                    session, case.kind, origin=f"{EVENT}:{case.event.index}", actor=case.event.actor,
                    automated=case.automated, at=now, accepted_at=case.event.recorded_at,
                    due=spread(now, number), reason=case.reason, staged=staged,
                ),
            )  # fmt: skip
        if sessions:
            unit.record(_told(case, sessions, staged=max(0, len(sessions) - used) if case.automated else 0))
        return used

    async def _room(self) -> int:
        """How many sessions automation may still end in this window."""
        caps = self._caps
        since = self._clock.now() - timedelta(seconds=caps.cap_window_seconds)
        begun = await order_store.begun_since(self._database, since)
        allowed = max(caps.cap_subjects, await store.open_count(self._database) * caps.cap_percent // 100)
        return max(0, allowed - begun)


def case_of(event: StreamEvent) -> _Case | None:
    """What an event asks for; None: nothing."""
    data = event.data
    if event.kind.startswith("certificate."):
        meant = Meant(certificate=UUID(data["certificate_id"]))
        serial = data["serial"]
        if event.kind == "certificate.revoked":
            kind: Kind = "reauthorize" if data.get("reason") in _HARMLESS else "disconnect"
            return _Case(event, meant, kind, f"certificate {serial} was revoked")
        if str(data.get("cause", "")).startswith("standing:"):
            return None
        if event.kind == "certificate.held":
            return _Case(
                event,
                meant,
                "disconnect" if ordered_by_people(event.actor) else "reauthorize",
                f"certificate {serial} is on hold",
            )
        return _Case(event, meant, "reauthorize", f"certificate {serial} was released", confined=True)
    if event.kind == "subject.removed":
        return _Case(event, Meant(subjects=(UUID(data["subject_id"]),)), "reauthorize", "removed from the directory")
    if event.kind == "subject.changed":
        changed = sorted(_MATTERS & set(data.get("fields", ())))
        if changed:
            meant = Meant(subjects=(UUID(data["subject_id"]),))
            return _Case(event, meant, "reauthorize", f"the directory says otherwise: {', '.join(changed)}")
    return None


def spread(now: datetime, number: int) -> datetime:
    """When the ``number``-th of many is due: the first ones at once, the others at a pace."""
    return now if number < _BURST else now + timedelta(seconds=(number - _BURST + 1) / _PER_SECOND)


def _told(case: _Case, sessions: Sequence[Session], *, staged: int) -> Event:
    if staged:
        log.error("dynamic.staged", index=case.event.index, kind=case.event.kind, staged=staged)
    refs = tuple(dict.fromkeys(f"session:{one.id}" for one in sessions[:20]))
    return Event(
        "session.ordered",
        ACTOR,
        refs,
        {"what": case.kind, "sessions": len(sessions), "staged": staged, "because": case.event.actor,
         "event": case.event.index, "reason": case.reason},
    )  # fmt: skip
