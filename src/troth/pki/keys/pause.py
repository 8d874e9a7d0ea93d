"""How long to leave a custodian alone that did not answer: a pause that doubles, so that an outage costs callers
nothing but a clear error, and its end is noticed within seconds."""

from __future__ import annotations

import threading
from datetime import datetime

from troth.kit.clock import Clock
from troth.pki.keys.errors import CustodianDown

FIRST_SECONDS, LONGEST_SECONDS = 0.5, 30.0


class Pause:
    """The trouble that a custodian is in, if any. Safe to use from several threads."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._length = 0.0
        self._until = 0.0
        self._trouble: CustodianDown | None = None
        self._since: datetime | None = None

    @property
    def trouble(self) -> tuple[CustodianDown, datetime] | None:
        """What is wrong and since when; None while all is well."""
        with self._lock:
            return None if self._trouble is None or self._since is None else (self._trouble, self._since)

    def enter(self) -> None:
        """Return if the custodian may be asked now. Raises what it failed with last while the pause lasts."""
        with self._lock:
            if self._trouble is not None and self._clock.monotonic() < self._until:
                raise CustodianDown(self._trouble.reason, self._trouble.detail)

    def failed(self, trouble: CustodianDown) -> bool:
        """Begin a pause, twice as long as the last; True if this is news."""
        with self._lock:
            news = self._trouble is None or self._trouble.code != trouble.code
            if self._trouble is None:
                self._since = self._clock.now()
            self._trouble = trouble
            if not news and self._clock.monotonic() < self._until:
                return False  # of several calls that were under way together, the first began the pause
            self._length = min(max(self._length * 2, FIRST_SECONDS), LONGEST_SECONDS)
            self._until = self._clock.monotonic() + self._length
            return news

    def over(self) -> bool:
        """The custodian has answered; True if it had been in trouble."""
        with self._lock:
            had = self._trouble is not None
            self._trouble, self._since, self._length = None, None, 0.0
            return had
