"""What is seen of access servers while they are answered: who does not sign, which secret each address uses.

Counted in memory, by each process for itself, and written down every few seconds as one statement; what a crash takes
with it is a few seconds of counters. Nothing here is per packet but an addition.

Whoever can send from within a prefix can make up addresses, so what nothing proves is written down by its address for
only so many of them, and under ``*`` beyond.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from troth.audit.event import Event
from troth.kit.clock import Clock
from troth.radius.nas import seen_store, store
from troth.radius.nas.model import Nas
from troth.radius.nas.seen_store import Sighting
from troth.store.pool import Database
from troth.store.unit import Unit

#: Where requests are counted whose address nobody needs to know.
ELSEWHERE: Final = "*"
_PROVED_AT_MOST: Final = 16_384
_UNPROVED_AT_MOST: Final = 64
_NOTED_SECONDS: Final = 1.0
_FORGET_EVERY: Final = timedelta(hours=6)
_ACTOR: Final = "system:radius"


@dataclass(slots=True)
class _Counted:
    last_at: datetime
    current_at: datetime | None = None
    next_at: datetime | None = None
    unsigned_at: datetime | None = None
    unsigned: int = 0
    wrong_at: datetime | None = None
    wrong: int = 0


class _Overtaken(Exception):
    """Somebody has changed the access server meanwhile."""


class Sightings:
    """The counters of one process. Belongs to one event loop."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._counted: dict[tuple[str, str], _Counted] = {}
        self._proved: set[tuple[str, str]] = set()
        self._unproved: dict[str, set[str]] = {}
        self._signing: dict[str, datetime] = {}
        self._forgot_at: datetime | None = None
        #: (access server, address, secret) → when that was last noted, by the monotonic clock.
        self._noted: dict[tuple[str, str, bytes], float] = {}

    def proved(self, nas: Nas, address: str, secret: bytes, *, signed: bool) -> None:
        """A request has proved itself by ``secret``. ``signed``: by a Message-Authenticator.

        Of the same thing once a second is noted: nobody reads more than when it was seen last.
        """
        if signed:
            seen, moment = (nas.name, address, secret), self._clock.monotonic()
            if moment - self._noted.get(seen, float("-inf")) < _NOTED_SECONDS:
                return
            if len(self._noted) >= _PROVED_AT_MOST:
                self._noted.clear()
            self._noted[seen] = moment
        now = self._clock.now()
        key = (nas.name, address)
        if key not in self._proved:
            if len(self._proved) >= _PROVED_AT_MOST:
                self._proved.clear()
            self._proved.add(key)
        counted = self._of(key, now)
        if nas.which(secret) == "next":
            counted.next_at = now
        else:
            counted.current_at = now
        if not signed:
            self._unsigned(counted, now)

    def unsigned(self, nas: Nas, address: str) -> None:
        """An Access-Request had no Message-Authenticator; so nothing proved it, whether it was answered or not."""
        now = self._clock.now()
        self._unsigned(self._of(self._key(nas, address), now), now)

    def wrong(self, nas: Nas, address: str) -> None:
        """A request was proved wrong: by another secret, or it is forged."""
        now = self._clock.now()
        counted = self._of(self._key(nas, address), now)
        counted.wrong += 1
        counted.wrong_at = now

    def signs(self, nas: Nas) -> None:
        """It signs what need not be signed, so from now on it must (``require_message_authenticator: auto``)."""
        if not nas.signs:
            self._signing.setdefault(nas.name, self._clock.now())

    async def flush(self, database: Database) -> int:
        """Write down what was counted since the last time; how many addresses. Raises StoreError: it is kept."""
        now, unit = self._clock.now(), Unit()
        counted, self._counted = self._counted, {}
        self._noted.clear()
        for (nas, address), one in sorted(counted.items()):
            seen_store.seen(
                unit,
                Sighting(
                    nas, address, one.last_at, one.current_at, one.next_at, one.unsigned_at, one.unsigned, one.wrong_at,
                    one.wrong,
                ),
            )  # fmt: skip
        forget = self._forgot_at is None or now - self._forgot_at >= _FORGET_EVERY
        if forget:
            seen_store.forget(unit, now)
        if counted or forget:
            try:
                await database.commit(unit)
            except BaseException:
                self._back(counted)
                raise
        if forget:
            self._forgot_at = now
        await self._learn(database)
        return len(counted)

    async def _learn(self, database: Database) -> None:
        for name, at in list(self._signing.items()):
            stored = await store.find(database, name)
            if stored is not None and stored.signs_since is None:
                unit = Unit().guard(store.LOCK_AT, name, stored.version, refuse=_Overtaken(), key=("nas", name))
                store.signs(unit, name, at)
                unit.record(Event("nas.signs", _ACTOR, (f"nas:{name}",), {"nas": name}))
                try:
                    await database.commit(unit)
                except _Overtaken:
                    continue  # another worker has said so, or somebody changes it: looked at again with the next flush
            del self._signing[name]

    def _back(self, counted: dict[tuple[str, str], _Counted]) -> None:
        for key, one in counted.items():
            now = self._counted.setdefault(key, one)
            if now is one:
                continue
            now.unsigned += one.unsigned
            now.wrong += one.wrong
            now.current_at = now.current_at or one.current_at
            now.next_at = now.next_at or one.next_at
            now.unsigned_at = now.unsigned_at or one.unsigned_at
            now.wrong_at = now.wrong_at or one.wrong_at

    def _of(self, key: tuple[str, str], now: datetime) -> _Counted:
        found = self._counted.get(key)
        if found is None:
            found = self._counted[key] = _Counted(now)
        found.last_at = now
        return found

    def _key(self, nas: Nas, address: str) -> tuple[str, str]:
        """Under which address something is counted that nothing has proved."""
        if (nas.name, address) in self._proved:
            return nas.name, address
        known = self._unproved.setdefault(nas.name, set())
        if address not in known:
            if len(known) >= _UNPROVED_AT_MOST:
                return nas.name, ELSEWHERE
            known.add(address)
        return nas.name, address

    @staticmethod
    def _unsigned(counted: _Counted, now: datetime) -> None:
        counted.unsigned += 1
        counted.unsigned_at = now
