"""What a RADIUS worker is handed: it answers accounting once that is durable, and hears of Accepts without waiting.

An Accept is journalled by the admissions before its answer; telling the sessions of it follows behind. So a worker that
dies between the two leaves a session that only accounting tells of, until the journal is carried over: :meth:`remember`
takes the same admission any number of times.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from typing import Final

from troth.kit.clock import Clock
from troth.kit.log import get_logger
from troth.radius.sessions import inbox, inbox_store
from troth.radius.sessions.accounting import read
from troth.radius.sessions.errors import AUTHENTICATOR, BUSY, AccountingRefused
from troth.radius.sessions.inbox import INBOX_CHANNEL
from troth.radius.sessions.model import Admitted
from troth.radius.wire.packet import Code, Packet
from troth.radius.wire.signing import (
    Protection,
    Secret,
    encode_reply,
    message_authenticator_ok,
    request_authenticator_ok,
)
from troth.store.errors import StoreError
from troth.store.pool import Database
from troth.store.unit import Unit

log = get_logger("radius")

#: Accounting-Requests that may wait for their commit; Accepts that may wait to be told.
MAX_PENDING: Final = 5_000
MAX_ACCEPTS: Final = 50_000
_AT_ONCE: Final = 500
_AGAIN_SECONDS: Final = 0.5
_WAKE_PACE: Final = 0.05


class SessionDesk:
    """See the module. Belongs to one event loop; call :meth:`run` beside the sockets."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._pending = 0
        self._accepts: list[Admitted] = []
        self._wake = asyncio.Event()
        #: What became of accounting in this process, by the last part of its reason, or ``answered``.
        self.counts: Counter[str] = Counter()
        self._uncounted: Counter[str] = Counter()

    # --- accounting --------------------------------------------------------------------------------------------------

    async def account(self, packet: Packet, nas: str, source: str, secrets: Sequence[Secret]) -> bytes:
        """The answer to an Accounting-Request, when what it tells is durable.

        Args:
            nas: name of the access server. source: the address that the packet came from.
            secrets: the present one, and the next one while they change.

        Raises AccountingRefused: then there is no answer (RFC 2866, 4.1), and the access server sends again; StoreError
        for a database that is away.
        """
        try:
            secret = proven(packet, secrets)
            told = read(packet, nas, source, self._clock.now())
            if told is not None:
                if self._pending >= MAX_PENDING:
                    raise AccountingRefused(BUSY)
                self._pending += 1
                try:
                    await self._database.commit(inbox.write(Unit(), [told], told.received_at))
                finally:
                    self._pending -= 1
                self._database.wake(INBOX_CHANNEL, pace=_WAKE_PACE)
        except AccountingRefused as refused:
            self._count(refused.code.rpartition(".")[2])
            raise
        except StoreError:
            self._count("unavailable")
            raise
        self._count("answered")
        return encode_reply(packet, Code.ACCOUNTING_RESPONSE, [], secret, message_authenticator=_signed(packet))

    def _count(self, what: str) -> None:
        self.counts[what] += 1
        self._uncounted[f"accounting.{what}"] += 1

    # --- Accepts -----------------------------------------------------------------------------------------------------

    def accepted(self, admitted: Admitted) -> None:
        """An Accept is on its way. Returns at once; the sessions hear of it within moments.

        Whatever was decided about its subjects meanwhile is not lost: whoever folds it compares (see ``folding``).
        """
        if len(self._accepts) >= MAX_ACCEPTS:
            # The database has been away for long; the admission journal and accounting tell the same later.
            self._count("accept_dropped")
            return
        self._accepts.append(admitted)
        self._wake.set()

    async def remember(self, admissions: Sequence[Admitted]) -> None:
        """Write down Accepts, durably: for whoever carries the admission journal over. Raises StoreError."""
        for start in range(0, len(admissions), _AT_ONCE):
            part = admissions[start : start + _AT_ONCE]
            await self._database.commit(inbox.write(Unit(), part, self._clock.now()))
        if admissions:
            self._database.wake(INBOX_CHANNEL, pace=_WAKE_PACE)

    async def run(self, stop: asyncio.Event) -> None:
        """Tell of Accepts until ``stop`` is set, and then of what is left."""
        stopping = asyncio.create_task(stop.wait())
        try:
            while not stop.is_set():
                waking = asyncio.create_task(self._wake.wait())
                await asyncio.wait({stopping, waking}, timeout=10.0, return_when=asyncio.FIRST_COMPLETED)
                waking.cancel()
                self._wake.clear()
                if not await self._tell():
                    await asyncio.wait({stopping}, timeout=_AGAIN_SECONDS)
                    self._wake.set()
        finally:
            stopping.cancel()
            await self._tell()

    async def _tell(self) -> bool:
        """Write down what waits; whether the database took it."""
        while self._accepts or self._uncounted:
            part, counted = self._accepts[:_AT_ONCE], self._uncounted.copy()
            unit = inbox.write(Unit(), part, self._clock.now())
            inbox_store.count(unit, counted)
            try:
                await self._database.commit(unit)
            except StoreError as error:
                log.warning("sessions.untold", waiting=len(self._accepts), error=str(error))
                return False
            del self._accepts[: len(part)]
            self._uncounted -= counted
            if part:
                self._database.wake(INBOX_CHANNEL)
        return True


def proven(packet: Packet, secrets: Sequence[Secret]) -> Secret:
    """Which of ``secrets`` the packet's Request Authenticator proves; a Message-Authenticator must be right as well.

    Raises AccountingRefused (``radius.accounting.authenticator``), and PacketRefused for a malformed one. Within
    RADIUS/1.1 TLS has proven it.
    """
    for secret in secrets:
        if isinstance(secret, Protection) and secret.bare:
            return secret
        raw = secret.secret if isinstance(secret, Protection) else secret
        if request_authenticator_ok(packet, raw) and message_authenticator_ok(packet, raw) is not False:
            return secret
    raise AccountingRefused(AUTHENTICATOR)


def _signed(packet: Packet) -> bool:
    """A server that signs shall be answered with a signature; others need not know of such (RFC 2869, 5.19)."""
    return packet.first(80) is not None
