"""The server certificate's status, stapled into handshakes of devices that ask for it (RFC 9190, 5.4; RFC 6066, 8).

Fetched beforehand, from the responder that the certificate names, and again at half of its time; a handshake never
waits for it. One that says *revoked* is stapled, too: devices are to know. Nothing is stapled once its time is over.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Protocol, TypeAlias

from troth.kit.clock import Clock
from troth.kit.errors import TrothError
from troth.kit.log import get_logger
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


class Stapler:
    """Keeps a staple in ``contexts`` for whatever certificate is shown. One for each worker."""

    def __init__(self, contexts: Contexts, fetch: Fetch, clock: Clock) -> None:
        self._contexts = contexts
        self._fetch = fetch
        self._clock = clock
        self._of = ""
        self._due = clock.monotonic()
        self._failures = 0

    async def run(self, stop: asyncio.Event, *, every: float = 2.0) -> None:
        """Until told to stop."""
        while not stop.is_set():
            await self.run_once()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(every):
                    await stop.wait()

    async def run_once(self) -> bool:
        """Fetch one if it is due; whether one is stapled now. Failures are told in the log, and tried again soon."""
        identity, now = self._contexts.identity, self._clock.monotonic()
        left = self._contexts.expire_staple(now)
        if identity is None or len(identity.chain) < 2:  # without its issuer nobody can be asked
            return left
        if self._of == identity.fingerprint and now < self._due:
            return left
        try:
            der, answer = await self._fetch(identity.chain[0], identity.chain[1])
        except TrothError as error:
            log.warning("radius.staple_missing", code=error.code, detail=error.detail)
            return self._later(identity, left)
        good_for = (answer.next_update - self._clock.now()) if answer.next_update is not None else _WITHOUT_END
        if answer.status == "unknown" or good_for <= timedelta(0) or self._contexts.identity is not identity:
            return self._later(identity, left)
        if answer.status != "good":
            log.error("radius.identity_not_good", status=answer.status, names=identity.names)
        now = self._clock.monotonic()
        self._contexts.staple(der, good_for.total_seconds(), now)
        self._of = identity.fingerprint
        self._due = now + min(good_for / 2, _LONGEST_PAUSE).total_seconds()
        self._failures = 0
        log.info("radius.stapled", status=answer.status, seconds=round(good_for.total_seconds()))
        return True

    def _later(self, identity: ServerIdentity, left: bool) -> bool:
        """Ask again: soon at first, as when everything has just started, and then less and less often."""
        pause = min(_SOON * 2 ** min(self._failures, 10), _LATEST)
        self._failures += 1
        self._due = self._clock.monotonic() + pause.total_seconds()
        self._of = identity.fingerprint
        return left
