"""What a RADIUS worker is handed: it answers accounting once that is durable.

Of Accepts the sessions hear by the admission journal (``inbox.note``), which is written before the answer and outlives
the worker. The same admission may be taken any number of times.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from typing import Final

from troth.kit.clock import Clock
from troth.kit.log import get_logger
from troth.kit.waiting import until_set
from troth.radius.sessions import inbox, inbox_store
from troth.radius.sessions.accounting import read
from troth.radius.sessions.errors import AUTHENTICATOR, BUSY, AccountingRefused
from troth.radius.sessions.inbox import INBOX_CHANNEL
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

#: Accounting-Requests that may wait for their commit.
MAX_PENDING: Final = 5_000
_COUNT_SECONDS: Final = 10.0
_WAKE_PACE: Final = 0.05


class SessionDesk:
    """See the module. Belongs to one event loop; call :meth:`run` beside the sockets."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._pending = 0
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

    # --- counters ----------------------------------------------------------------------------------------------------

    async def run(self, stop: asyncio.Event) -> None:
        """Write counters down now and then until ``stop`` is set, and what is left then."""
        while not stop.is_set():
            await until_set(stop, _COUNT_SECONDS)
            await self._tell()
        await self._tell()

    async def _tell(self) -> None:
        counted = self._uncounted.copy()
        if not counted:
            return
        unit = Unit()
        inbox_store.count(unit, counted)
        try:
            await self._database.commit(unit)
        except StoreError as error:
            log.warning("sessions.uncounted", error=str(error))
            return
        self._uncounted -= counted


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
