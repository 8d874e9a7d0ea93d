"""One packet in, one answer out or none, whatever the transport: UDP, RadSec, or a test.

1. What the access server may be asked to prove: Message-Authenticator or Request Authenticator, under either of two
   secrets while one is replaced. What proves nothing gets no answer (RFC 3579 section 3.2, RFC 5080 section 2.1).
2. Status-Server is answered here and by nobody's policy, and each time anew (RFC 5997 section 3).
3. A packet that comes again gets the octets that its first one got; an Accept only while it would still be given.
4. Access-Request and Accounting-Request go to who knows them. Most are answered at once; what has to wait (for the
   disk, for a proxy, for the delay of a Reject) is bounded, in all and per access server."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Literal, Protocol, TypeAlias

import msgspec

from troth.kit.clock import Clock
from troth.kit.errors import TrothError
from troth.kit.log import get_logger
from troth.radius.nas.model import Nas
from troth.radius.server.errors import CODE, OVERLOADED
from troth.radius.server.pressure import Quiet, Room
from troth.radius.wire.duplicates import Asked, Duplicates, Ticket
from troth.radius.wire.errors import (
    AUTHENTICATOR,
    MESSAGE_AUTHENTICATOR,
    MESSAGE_AUTHENTICATOR_MISSING,
    PacketRefused,
)
from troth.radius.wire.packet import EAP_MESSAGE, PROXY_STATE, Code, Packet
from troth.radius.wire.signing import (
    Protection,
    encode_reply,
    message_authenticator_ok,
    request_authenticator_ok,
)

log = get_logger("radius")

Listener: TypeAlias = Literal["auth", "acct", "radsec"]
#: The octets to send back; None: nothing. An awaitable tells it later.
Answer: TypeAlias = "bytes | Awaitable[bytes | None] | None"


class Source(msgspec.Struct, frozen=True):
    """Where a packet came from.

    Attributes:
        protection: of a transport that needs no proof in the packet (RADIUS/1.1, RadSec); None: UDP, where the access
            server's secrets are tried.
    """

    address: str
    port: int
    listener: Listener
    nas: Nas
    protection: Protection | None = None


class Handler(Protocol):
    """Answers requests that were proved."""

    def __call__(self, packet: Packet, source: Source, protection: Protection) -> Answer:
        """The answer, encoded. Raises PacketRefused: there is none."""
        ...


class Seen(Protocol):
    """Who is told what access servers do (:class:`troth.radius.nas.sightings.Sightings`)."""

    def proved(self, nas: Nas, address: str, secret: bytes, *, signed: bool) -> None:
        """A request has proved itself by ``secret``; ``signed``: by a Message-Authenticator, where one is due."""
        ...

    def unsigned(self, nas: Nas, address: str) -> None:
        """An Access-Request had no Message-Authenticator."""
        ...

    def wrong(self, nas: Nas, address: str) -> None:
        """A request was proved wrong."""
        ...

    def signs(self, nas: Nas) -> None:
        """It signs what need not be signed."""
        ...


# An IntEnum's member takes 60 ns to reach by its name, and each packet asks for several.
_ACCESS, _ACCOUNTING, _STATUS = int(Code.ACCESS_REQUEST), int(Code.ACCOUNTING_REQUEST), int(Code.STATUS_SERVER)
_ALLOWED: dict[str, frozenset[int]] = {
    "auth": frozenset({Code.ACCESS_REQUEST, Code.STATUS_SERVER}),
    "acct": frozenset({Code.ACCOUNTING_REQUEST, Code.STATUS_SERVER}),
    "radsec": frozenset({Code.ACCESS_REQUEST, Code.ACCOUNTING_REQUEST, Code.STATUS_SERVER}),
}


class Desk:
    """See the module. Belongs to one event loop.

    Args:
        access, accounting: who answers what.
        seen: told how access servers prove themselves (``troth.radius.nas.sightings``).
    """

    def __init__(
        self,
        access: Handler,
        accounting: Handler,
        clock: Clock,
        *,
        duplicates: Duplicates,
        room: Room,
        seen: Seen,
    ) -> None:
        self._access = access
        self._accounting = accounting
        self._clock = clock
        self._duplicates = duplicates
        self._room = room
        self._seen = seen
        self._signs: set[str] = set()
        self._quiet = Quiet()
        self._tasks: set[asyncio.Task[None]] = set()
        #: (code, what became of it) → how often.
        self.counted: Counter[tuple[str, str]] = Counter()

    @property
    def under_way(self) -> int:
        """Answers that are still to come."""
        return len(self._tasks)

    async def answer(self, packet: Packet, source: Source) -> bytes | None:
        """The answer to a packet, for a transport that waits for it; None: there is none."""
        given: asyncio.Future[bytes | None] = asyncio.get_running_loop().create_future()

        def reply(octets: bytes | None) -> None:
            if not given.done():
                given.set_result(octets)

        self.take(packet, source, reply)
        return await given

    def take(self, packet: Packet, source: Source, reply: Callable[[bytes | None], None]) -> None:
        """Call ``reply`` with the answer, now or later, once; with None when there is none."""
        try:
            protection = self._proved(packet, source)
            if protection is None:
                reply(None)
                return
            if packet.code == _STATUS:
                reply(self._status(packet, source, protection))
                return
            self._handle(packet, source, protection, reply)
        except PacketRefused as error:
            self._count(packet, error.code)
            reply(None)

    # --- proof -------------------------------------------------------------------------------------------------

    def _proved(self, packet: Packet, source: Source) -> Protection | None:
        """Under what the packet is proved; None: under nothing, and that has been counted and said."""
        code, nas = packet.code, source.nas
        if code not in _ALLOWED[source.listener]:
            self._count(packet, CODE.code)
            return None
        if source.protection is not None:
            return source.protection if source.protection.bare else self._checked(packet, source.protection)
        missing = False
        for secret in nas.secrets:
            if secret is None:
                continue
            if code == _ACCOUNTING:
                right = request_authenticator_ok(packet, secret)
                if right and message_authenticator_ok(packet, secret) is False:
                    right = False
            else:
                signed = message_authenticator_ok(packet, secret)
                missing = signed is None
                right = self._unsigned_may_pass(packet, nas) if missing else bool(signed)
                if signed and nas.require_message_authenticator == "auto":
                    self._learn(packet, nas)
            if right:
                if missing:
                    self._seen.unsigned(nas, source.address)
                else:
                    self._seen.proved(nas, source.address, secret, signed=True)
                return Protection(secret)
            if missing:
                break
        self._unproved(packet, source, missing)
        return None

    def _checked(self, packet: Packet, protection: Protection) -> Protection | None:
        """TLS has proved who it is; a Message-Authenticator that is there must be right all the same."""
        if message_authenticator_ok(packet, protection.secret) is False:
            self._count(packet, MESSAGE_AUTHENTICATOR.code)
            return None
        return protection

    def _unsigned_may_pass(self, packet: Packet, nas: Nas) -> bool:
        """An Access-Request without Message-Authenticator (CVE-2024-3596): only where the operator has said so."""
        if packet.code == Code.STATUS_SERVER or packet.first(EAP_MESSAGE) is not None:
            return False
        rule = nas.require_message_authenticator
        if rule == "yes" or (rule == "auto" and (nas.signs or nas.name in self._signs)):
            return False
        # A forged answer needs a Proxy-State to hide its collision in.
        return not (nas.limit_proxy_state and packet.first(PROXY_STATE) is not None)

    def _learn(self, packet: Packet, nas: Nas) -> None:
        """An access server that signs what has no EAP in it signs everything; one that signs EAP has to."""
        if nas.name not in self._signs and packet.first(EAP_MESSAGE) is None and packet.code == Code.ACCESS_REQUEST:
            self._signs.add(nas.name)
            self._seen.signs(nas)

    def _unproved(self, packet: Packet, source: Source, missing: bool) -> None:
        why = MESSAGE_AUTHENTICATOR_MISSING.code if missing else AUTHENTICATOR.code
        self._count(packet, why)
        (self._seen.unsigned if missing else self._seen.wrong)(source.nas, source.address)
        kept = self._quiet.may_say((source.nas.name, why), self._clock.monotonic())
        if kept is not None:
            log.warning(
                "radius.unproved",
                nas=source.nas.name,
                address=source.address,
                code=why,
                fix="It does not sign its requests: switch Message-Authenticator on there."
                if missing
                else "Another shared secret there than here, or somebody forges its address.",
                kept_back=kept,
            )

    # --- answers -----------------------------------------------------------------------------------------------

    def _status(self, packet: Packet, source: Source, protection: Protection) -> bytes:
        """RFC 5997, section 4: alive, nothing more; what kind of answer depends on the port."""
        self._count(packet, "answered")
        code = Code.ACCOUNTING_RESPONSE if source.listener == "acct" else Code.ACCESS_ACCEPT
        return encode_reply(packet, code, (), protection, message_authenticator=True)

    def _handle(
        self, packet: Packet, source: Source, protection: Protection, reply: Callable[[bytes | None], None]
    ) -> None:
        now = self._clock.monotonic()
        # In RADIUS/1.1 a token tells requests apart, and the identifier is always 0 (RFC 9765 section 4.1).
        where = (source.listener, packet.authenticator[:4]) if protection.bare else source.listener
        ticket = self._duplicates.ask(
            source.address, source.port, packet.code, packet.identifier, packet.authenticator, where, now=now
        )
        if not isinstance(ticket, Ticket):
            self._count(packet, _AGAIN.get(ticket, "duplicate") if isinstance(ticket, Asked) else "duplicate")
            reply(ticket if isinstance(ticket, bytes) else None)
            return
        handler = self._access if packet.code == _ACCESS else self._accounting
        try:
            answer = handler(packet, source, protection)
        except BaseException:
            self._duplicates.dropped(ticket)
            raise
        if answer is None or isinstance(answer, bytes):
            self._settle(packet, ticket, answer, now, reply)
            return
        if not self._room.enter(source.nas.name, source.nas.max_in_flight):
            if asyncio.iscoroutine(answer):
                answer.close()
            self._duplicates.dropped(ticket)
            self._count(packet, OVERLOADED.code)
            reply(None)
            return
        self._tasks.add(asyncio.create_task(self._later(packet, source, ticket, answer, reply)))

    async def _later(
        self,
        packet: Packet,
        source: Source,
        ticket: Ticket,
        waiting: Awaitable[bytes | None],
        reply: Callable[[bytes | None], None],
    ) -> None:
        answer: bytes | None = None
        try:
            answer = await waiting
        except TrothError as error:
            self._count(packet, error.code)
            log.warning("radius.unanswered", nas=source.nas.name, code=error.code, detail=error.detail)
        except Exception:
            self._count(packet, "internal.error")
            log.exception("radius.unanswered", nas=source.nas.name, code="internal.error")
        finally:
            self._tasks.discard(asyncio.current_task())
            self._room.leave(source.nas.name)
            self._settle(packet, ticket, answer, self._clock.monotonic(), reply)

    def _settle(
        self,
        packet: Packet,
        ticket: Ticket,
        answer: bytes | None,
        now: float,
        reply: Callable[[bytes | None], None],
    ) -> None:
        if answer is None:
            self._duplicates.dropped(ticket)
            self._count(packet, "dropped")
        elif self._duplicates.answered(ticket, answer, now=now):
            self._count(packet, "answered")
        else:
            # The access server has used the Identifier for another request meanwhile, and would take this for that
            # one's answer.
            self._count(packet, "replaced")
            answer = None
        reply(answer)

    async def drain(self) -> None:
        """Until everything that waits has been answered."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    def _count(self, packet: Packet, what: str) -> None:
        self.counted[_NAMES.get(packet.code, "other"), what] += 1


#: How a request that gets no ticket is counted.
_AGAIN: dict[Asked, str] = {Asked.FULL: OVERLOADED.code, Asked.WITHDRAWN: "withdrawn"}
_NAMES: dict[int, str] = {
    Code.ACCESS_REQUEST: "access",
    Code.ACCOUNTING_REQUEST: "accounting",
    Code.STATUS_SERVER: "status",
}
