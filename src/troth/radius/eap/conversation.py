"""One device's conversation, from its first TLS octet to Success or Failure (RFC 5216, 2.1; RFC 9190, 2.1).

========= =================================================================================================
phase     what is awaited
========= =================================================================================================
AWAIT     a TLS message of the device, or the next fragment of one
DECIDING  the caller's verdict: Finished is verified, and nothing has been said to it
COMMITTED the empty answer to our last flight (1.3: tickets and the protected success; 1.2: our Finished)
REFUSED   the empty answer to a fatal alert
OVER      nothing: Success or Failure has been said
========= =================================================================================================

In each of them fragments of a flight of ours may be left; then an acknowledgement is awaited first.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum, auto
from typing import TypeAlias

from msgspec.structs import replace

from troth.kit.errors import Reason
from troth.radius.eap.errors import (
    BAD_TLS,
    DENIED,
    FRAGMENTS,
    IDENTIFIER,
    MALFORMED,
    PEER_ALERT,
    TIMED_OUT,
    TOO_LONG,
    EapRefused,
)
from troth.radius.eap.frames import FAILURE, SUCCESS, EapResponse, outcome, read_tls, tls_request
from troth.radius.eap.hello import Hello
from troth.radius.eap.model import Challenge, Facts, Fail, Ignore, Opening, Proved, Step, Succeed, Timeline
from troth.radius.eap.reassembly import Incoming, Outgoing
from troth.radius.eap.state import Token
from troth.radius.eap.tls import Handshake

#: Access servers give up after 40 to 50 (RFC 9191, 3).
MAX_ROUNDS = 50

Remember: TypeAlias = Callable[[bytes, tuple[bytes, ...]], tuple[bytes, ...]]
"""(SHA-256 of the leaf, chain as seen) → the chain, completed from what was seen before."""


class Phase(Enum):
    """What is awaited."""

    AWAIT = auto()
    DECIDING = auto()
    COMMITTED = auto()
    REFUSED = auto()
    OVER = auto()


class Conversation:
    """One EAP-TLS conversation.

    Attributes:
        state: its attribute State, which names it.
        identifier: of the request that is not answered yet.
        young: its first TLS message is not complete yet.
        opening: of the request that began it.
        touched: seconds since 1970, UTC, of the last packet that was taken.
        attachment: the caller's own, such as its verdict; not read here.
    """

    __slots__ = (
        "_begin", "_detail", "_facts", "_flight", "_fragments", "_handshake", "_incoming", "_outgoing", "_phase",
        "_reason", "_remember", "_request", "_rounds", "_timeline", "attachment", "identifier", "opening", "started",
        "state", "touched", "young",
    )  # fmt: skip

    def __init__(
        self,
        token: Token,
        state: bytes,
        opening: Opening,
        begin: Callable[[bytes], tuple[Handshake, Hello | None]],
        size: int,
        remember: Remember,
        now: float,
    ) -> None:
        self.state = state
        self.opening = opening
        self.started = float(token.made)
        self.touched = now
        self.attachment: object = None
        self._begin = begin
        self._handshake: Handshake | None = None
        self._incoming = Incoming()
        self._outgoing = Outgoing(size)
        self._remember = remember
        self.identifier = token.start
        self._phase = Phase.AWAIT
        self._rounds = self._fragments = 0
        self.young = True
        self._flight = b""
        self._request = b""
        self._reason: Reason | None = None
        self._detail = ""
        self._facts: Facts | None = None
        self._timeline: list[tuple[float, str]] = []

    @property
    def over(self) -> bool:
        """Whether Success or Failure has been said."""
        return self._phase is Phase.OVER

    @property
    def timeline(self) -> Timeline:
        """What happened, in plain words."""
        return tuple(self._timeline)

    @property
    def facts(self) -> Facts:
        """What is known so far; final once the device has proved itself."""
        return self._facts if self._facts is not None else self._gathered()

    def tell(self, words: str, now: float) -> None:
        """Add a line to the timeline."""
        self._timeline.append((now - self.started, words))

    def take(self, response: EapResponse, now: float) -> Step:
        """Go on with a response of type EAP-TLS whose identifier is that of our last request.

        Proved once more while no verdict was said: a caller that could not decide dropped the packet, and has it again.
        """
        if self._phase is Phase.DECIDING:
            return Proved(self)
        if self._phase is Phase.OVER:
            return Ignore(MALFORMED, "nothing is awaited from the device now")
        self.touched = now
        self._rounds += 1
        if self._rounds > MAX_ROUNDS:
            return self.fail(TOO_LONG, f"more than {MAX_ROUNDS} rounds", now)
        try:
            frame = read_tls(response.data)
            if self._outgoing.left:
                if frame.data or frame.more:
                    raise EapRefused(FRAGMENTS, "a fragment of ours was answered by more than an acknowledgement")
                return self._send()
            if self._phase is Phase.REFUSED:
                return self.fail(self._reason or BAD_TLS, self._detail, now)
            message = self._incoming.add(frame)
        except EapRefused as refused:
            return self.fail(refused.reason, refused.detail, now)
        if message is None:
            self._fragments += 1
            return self._challenge(tls_request(self._next(), b""))
        if self._phase is Phase.COMMITTED:
            return self._committed(message, now)
        return self._message(message, now)

    def conclude(self, *, admitted: bool, detail: str, now: float) -> Step:
        """Say the verdict. Raises ValueError while the device has not proved itself.

        Of several verdicts, as when one packet came twice, the strictest counts: a later one that admits changes
        nothing, a later one that does not ends what the first began.
        """
        if self._phase is Phase.OVER:  # its time ran out, or its station began anew, while it was decided
            return Ignore(TIMED_OUT, "the conversation ended before its decision")
        if self._phase is Phase.AWAIT:
            raise ValueError("a verdict is said on a device that has proved itself")
        handshake = self._live()
        if self._phase is not Phase.DECIDING:
            refused = self._phase is Phase.COMMITTED and not admitted
            return self.fail(DENIED, detail, now) if refused else self._challenge(self._request)
        if not admitted:
            self._reason, self._detail = DENIED, detail
            alert = handshake.denial()
            if not alert:
                return self.fail(DENIED, detail, now)
            self.tell("not let in; told by the alert access_denied", now)
            self._phase = Phase.REFUSED
            self._outgoing.load(alert)
            return self._send()
        flight = self._flight + handshake.protect_success() if handshake.is_13 else self._flight
        self._flight = b""
        if not flight:  # TLS 1.2 resumed: the last word of the handshake was the device's
            return self._succeed()
        self._phase = Phase.COMMITTED
        self._outgoing.load(flight)
        return self._send()

    def again(self) -> Step:
        """Our last request once more: the response to the one before came again, so it may have been lost."""
        self._rounds += 1
        if self._rounds > MAX_ROUNDS or self._phase in (Phase.DECIDING, Phase.OVER) or not self._request:
            return Ignore(IDENTIFIER)
        return self._challenge(self._request)

    def fail(self, reason: Reason, detail: str, now: float) -> Fail:
        """End it with EAP-Failure."""
        facts = self.facts
        told = self._phase is Phase.REFUSED  # within TLS, or by the alert access_denied
        self.tell("ended" if told else f"ended: {detail or reason.summary}", now)
        self._phase = Phase.OVER
        self._handshake = None
        return Fail(outcome(FAILURE, self.identifier), reason, detail, facts, self.timeline, self)

    def drop(self) -> None:
        """End it without a word."""
        self._facts = self.facts
        self._phase = Phase.OVER
        self._handshake = None

    def _message(self, message: bytes, now: float) -> Step:
        """A whole TLS flight of the device."""
        if not message:
            return self.fail(MALFORMED, "an empty response where a TLS message is due", now)
        if self.young:
            self.young = False
            self._handshake, hello = self._begin(message)
            self.tell(f"offered {hello}" if hello is not None else "sent what is no ClientHello", now)
        handshake = self._live()
        flight = handshake.feed(message)
        if handshake.finished:
            self._facts = self._gathered()
            self._flight = flight
            self._phase = Phase.DECIDING
            facts = self._facts
            how = "resumed a session of" if facts.resumed else "finished a handshake of"
            self.tell(f"{how} TLS {facts.tls_version} ({facts.cipher}{', ' if facts.group else ''}{facts.group})", now)
            return Proved(self)
        if handshake.reason is not None:
            self._reason, self._detail = handshake.reason, handshake.detail
            self._facts = self._gathered()
            if not flight:
                return self.fail(handshake.reason, handshake.detail, now)
            self.tell(f"refused within TLS: {handshake.detail}", now)
            self._phase = Phase.REFUSED
            self._outgoing.load(flight)
            ends = Fail(b"", handshake.reason, handshake.detail, self._facts, self.timeline, self)
            return replace(self._send(), refused=ends)
        elif not flight:
            return self.fail(BAD_TLS, "the device's message ends in the middle of a TLS record", now)
        self._outgoing.load(flight)
        return self._send()

    def _committed(self, message: bytes, now: float) -> Step:
        """The answer to our last flight: nothing, or an alert of a device that does not like it."""
        if not message:
            return self._succeed()
        handshake = self._live()
        handshake.after(message)
        return self.fail(handshake.reason or PEER_ALERT, handshake.detail or "more TLS after the last flight", now)

    def _succeed(self) -> Succeed:
        handshake = self._live()
        keys = handshake.keys()
        handshake.keep_session()
        self._phase = Phase.OVER
        self._handshake = None
        return Succeed(outcome(SUCCESS, self.identifier), keys.msk, keys.emsk, handshake.session_id, self)

    def _gathered(self) -> Facts:
        handshake, opening = self._handshake, self.opening
        if handshake is None:
            return Facts(opening.identity, rounds=self._rounds, fragments=self._fragments, started=self.started)
        done = handshake.finished
        chain = handshake.chain()
        sha256 = handshake.leaf_digest(chain)
        resumed = done and handshake.resumed
        return Facts(
            identity=opening.identity,
            tls_version=handshake.version if done else "",
            cipher=handshake.cipher if done else "",
            group=handshake.group if done else "",
            resumed=resumed,
            chain=self._remember(sha256, chain) if done else chain,
            sha256=sha256,
            server_name=handshake.server_name,
            rounds=self._rounds,
            fragments=self._fragments,
            started=self.started,
        )

    def _live(self) -> Handshake:
        if self._handshake is None:  # it goes when the conversation is over, and nothing is taken then
            raise RuntimeError("a conversation that is over was gone on with")
        return self._handshake

    def _send(self) -> Challenge:
        request = self._outgoing.next(self._next())
        self._fragments += self._outgoing.left
        return self._challenge(request)

    def _challenge(self, request: bytes) -> Challenge:
        self._request = request
        return Challenge(request, self.state)

    def _next(self) -> int:
        self.identifier = (self.identifier + 1) & 255
        return self.identifier
