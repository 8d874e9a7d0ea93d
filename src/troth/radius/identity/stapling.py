"""The server certificate's status, stapled into handshakes of devices that ask for it (RFC 9190, 5.4; RFC 6066, 8).

Fetched beforehand, from the responder that the certificate names, and again at half of its time; a handshake never
waits for it. One that says *revoked* is stapled, too: devices are to know. Nothing is stapled once its time is over.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol, TypeAlias

from troth.kit.clock import Clock
from troth.kit.errors import TrothError
from troth.kit.log import get_logger
from troth.kit.waiting import until_set
from troth.radius.eap.contexts import Contexts
from troth.radius.eap.identity import ServerIdentity

log = get_logger("radius")

#: An answer without nextUpdate says that newer ones can always be had (RFC 6960, 4.2.2.1).
_WITHOUT_END = timedelta(hours=12)
_LONGEST_PAUSE = timedelta(hours=6)
_SOON, _LATEST = timedelta(seconds=2), timedelta(minutes=1)


class Answer(Protocol):
    """An OCSP answer that has been verified (``troth.client.ocsp.OcspAnswer``)."""

    @property
    def status(self) -> str:
        """``good``, ``revoked`` or ``unknown``."""
        ...

    @property
    def next_update(self) -> datetime | None:
        """How long it may be kept."""
        ...


Fetch: TypeAlias = Callable[[bytes, bytes], Awaitable[tuple[bytes, Answer]]]
"""(leaf, its issuer; DER) → the response (DER) and what it says; raises TrothError unless it is signed for the leaf."""


@dataclass
class _Turn:
    """When the status of one certificate is asked for. ``failures``: in a row."""

    due: float
    failures: int = 0


class Stapler:
    """Keeps a staple in ``contexts`` for whatever certificates are shown. One for each worker."""

    def __init__(self, contexts: Contexts, fetch: Fetch, clock: Clock) -> None:
        self._contexts = contexts
        self._fetch = fetch
        self._clock = clock
        #: By fingerprint, of those that are shown.
        self._turns: dict[str, _Turn] = {}

    async def run(self, stop: asyncio.Event, *, every: float = 2.0) -> None:
        """Until told to stop."""
        while not stop.is_set():
            await self.run_once()
            await until_set(stop, every)

    async def run_once(self) -> bool:
        """Fetch what is due; whether each certificate has one now. Failures are logged, and tried again soon."""
        identity, now = self._contexts.identity, self._clock.monotonic()
        self._contexts.expire_staple(now)
        each = identity.each if identity is not None else ()
        self._turns = {one.fingerprint: self._turns.get(one.fingerprint, _Turn(now)) for one in each}
        for one in each:
            turn = self._turns[one.fingerprint]
            if len(one.chain) >= 2 and now >= turn.due:  # without its issuer nobody can be asked
                await self._ask(one, turn)
        return self._contexts.expire_staple(self._clock.monotonic())

    async def _ask(self, identity: ServerIdentity, turn: _Turn) -> None:
        try:
            der, answer = await self._fetch(identity.chain[0], identity.chain[1])
        except TrothError as error:
            log.warning("radius.staple_missing", code=error.code, detail=error.detail)
            self._later(turn)
            return
        good_for = (answer.next_update - self._clock.now()) if answer.next_update is not None else _WITHOUT_END
        present = self._contexts.identity
        shown = present is not None and any(one.fingerprint == identity.fingerprint for one in present.each)
        if answer.status == "unknown" or good_for <= timedelta(0) or not shown:
            self._later(turn)
            return
        if answer.status != "good":
            log.error("radius.identity_not_good", status=answer.status, names=identity.names)
        now = self._clock.monotonic()
        self._contexts.staple(der, good_for.total_seconds(), now, of=identity)
        turn.due = now + min(good_for / 2, _LONGEST_PAUSE).total_seconds()
        turn.failures = 0
        log.info("radius.stapled", status=answer.status, seconds=round(good_for.total_seconds()))

    def _later(self, turn: _Turn) -> None:
        """Ask again: soon at first, as when everything has just started, and then less and less often."""
        pause = min(_SOON * 2 ** min(turn.failures, 10), _LATEST)
        turn.failures += 1
        turn.due = self._clock.monotonic() + pause.total_seconds()
