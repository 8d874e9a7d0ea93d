"""The EAP server of one worker: what is said to each EAP packet.

The caller has matched the packet to an access server and a network, and checked its Message-Authenticator; it turns
each :class:`~troth.radius.eap.model.Step` into a RADIUS packet, and decides when the device has proved itself::

    step = server.begin(opening, eap)              # a packet without State
    step = server.respond(state, eap, opening)     # one with
    if isinstance(step, Proved):
        verdict = admissions.decide(step.conversation.facts)
        step = server.conclude(step.conversation, admitted=verdict.admitted)
"""

from __future__ import annotations

import secrets
from collections import OrderedDict
from collections.abc import Iterator
from datetime import datetime

from troth.kit.clock import Clock
from troth.kit.errors import Reason
from troth.radius.eap.contexts import Contexts
from troth.radius.eap.conversation import Conversation
from troth.radius.eap.conversations import Conversations
from troth.radius.eap.errors import (
    IDENTIFIER,
    MALFORMED,
    NO_IDENTITY,
    NO_NETWORK,
    OTHER_METHOD,
    OVERLOADED,
    TIMED_OUT,
    UNKNOWN_STATE,
    EapRefused,
)
from troth.radius.eap.frames import (
    FAILURE,
    IDENTITY,
    START,
    TLS,
    EapResponse,
    is_nak,
    methods_in_words,
    outcome,
    read_nak,
    read_response,
    request,
    tls_request,
)
from troth.radius.eap.hello import Hello, read_hello
from troth.radius.eap.model import Challenge, Facts, Fail, Foreign, Ignore, Opening, Step, Succeed
from troth.radius.eap.openssl import LeafJudge
from troth.radius.eap.reassembly import fragment_size
from troth.radius.eap.settings import EapLimits
from troth.radius.eap.state import StateMaker, Token
from troth.radius.eap.tls import Handshake

#: Leaves whose chain is remembered, different chains, and octets of one: what a device costs at most.
_REMEMBERED, _ISSUERS_REMEMBERED, _LONGEST_REMEMBERED = 8_192, 256, 16_384

_LAST = (Succeed, Fail)


class EapServer:
    """One worker's EAP server. Not to be shared by threads."""

    def __init__(
        self, contexts: Contexts, states: StateMaker, clock: Clock, limits: EapLimits, judge: LeafJudge | None = None
    ) -> None:
        """``judge``: what the trust table knows of a leaf, asked within the handshake so that the alert is right."""
        self._contexts = contexts
        self._states = states
        self._clock = clock
        self._limits = limits
        self._judge = judge
        self._open = Conversations(
            most=limits.conversations,
            most_per_nas=limits.conversations_per_nas,
            idle_seconds=limits.idle_seconds,
            total_seconds=limits.total_seconds,
        )
        self._chains: OrderedDict[bytes, tuple[bytes, ...]] = OrderedDict()
        self._above: OrderedDict[tuple[bytes, ...], tuple[bytes, ...]] = OrderedDict()

    @property
    def open(self) -> int:
        """How many conversations are past their first TLS octet and not over."""
        return len(self._open)

    @property
    def dropped(self) -> int:
        """How many made way for newer ones, since the start."""
        return self._open.dropped

    def begin(self, opening: Opening, eap: bytes) -> Step:
        """Answer a packet without State: an identity, or an empty EAP-Message (EAP-Start, RFC 3579, 2.1).

        Nothing is kept for it.
        """
        now = self._clock.now()
        if not eap:
            identifier = secrets.randbelow(256)
            return self._asked(request(identifier, IDENTITY), identifier, opening, now)
        try:
            response = read_response(eap)
        except EapRefused as refused:
            return Ignore(refused.reason, refused.detail)
        if response.type != IDENTITY:
            return self._unknown(response.identifier, opening)
        return self._start(response, opening, now)

    def respond(self, state: bytes, eap: bytes, opening: Opening) -> Step:
        """Answer a packet with State. One of another worker of this node is to come here once that one is gone.

        Of a device that was asked to start nothing is kept anywhere, so whoever hears its answer goes on with it, under
        a State of its own.
        """
        try:
            response = read_response(eap)
        except EapRefused as refused:
            return Ignore(refused.reason, refused.detail)
        now = self._clock.now().timestamp()
        # Looked for with its MAC, which covers the access server's name: what is found was made here, and for that one.
        conversation = self._open.get(state, now)
        if conversation is None or conversation.opening.nas != opening.nas:
            token = self._states.read(state, opening.nas)
            if token is None:
                return self._unknown(response.identifier, opening)
            if token.node != self._states.node:
                return Foreign(token.node, token.worker)
            if token.worker != self._states.worker:
                if response.identifier != token.start:
                    return Foreign(token.node, token.worker)
                state = self._states.make(opening.nas, token.start, token.made)
            return self._first(token, state, response, opening, now)
        if response.identifier != conversation.identifier:
            before = (conversation.identifier - 1) & 255
            return conversation.again() if response.identifier == before else Ignore(IDENTIFIER)
        if response.type != TLS:
            return Ignore(MALFORMED, f"an EAP response of type {response.type} within EAP-TLS")
        return self._take(conversation, response, now)

    def conclude(self, conversation: Conversation, *, admitted: bool, detail: str = "") -> Step:
        """Tell the verdict on a device that has proved itself.

        Ignore: the conversation ended while it was decided. Of two verdicts on one conversation the strictest counts.
        Raises ValueError where the device has not proved itself.
        """
        step = conversation.conclude(admitted=admitted, detail=detail, now=self._clock.now().timestamp())
        self._settle(conversation, step)
        return step

    def lapsed(self) -> Iterator[Fail]:
        """Conversations that ended without a word since this was last asked; nothing is sent for them."""
        now = self._clock.now().timestamp()
        self._open.sweep(now)
        for one in self._open.lapsed():
            yield one.fail(TIMED_OUT, "the device did not go on", now)

    def _start(self, response: EapResponse, opening: Opening, now: datetime) -> Step:
        missing = self._missing(opening, now)
        if missing is not None:
            return self._failed(response.identifier, missing, "", opening)
        identifier = (response.identifier + 1) & 255
        return self._asked(tls_request(identifier, b"", START), identifier, opening, now)

    def _asked(self, eap: bytes, identifier: int, opening: Opening, now: datetime) -> Challenge:
        state = self._states.make(opening.nas, identifier, now.timestamp())
        return Challenge(eap, state, int(self._limits.idle_seconds))

    def _first(self, token: Token, state: bytes, response: EapResponse, opening: Opening, now: float) -> Step:
        """The answer to a Start, or to a request of the identity; else a packet of a conversation that is gone."""
        if response.identifier != token.start:
            if response.type == TLS:
                return self._unknown(response.identifier, opening)
            return Ignore(IDENTIFIER)
        if now - token.made > self._limits.idle_seconds + 1:
            return self._failed(response.identifier, TIMED_OUT, "", opening, started=token.made)
        if response.type == IDENTITY:
            return self._start(response, opening, self._clock.now())
        if is_nak(response):
            offered = read_nak(response)
            detail = f"the device wants: {methods_in_words(offered)}"
            return self._failed(response.identifier, OTHER_METHOD, detail, opening, offered, token.made)
        if response.type != TLS:
            return Ignore(MALFORMED, f"an EAP response of type {response.type} to an EAP-TLS Start")
        network = self._contexts.current(opening.network)
        if network is None:
            missing = self._missing(opening, self._clock.now()) or NO_NETWORK
            return self._failed(response.identifier, missing, "", opening, started=token.made)

        def begin(flight: bytes) -> tuple[Handshake, Hello | None]:
            hello = read_hello(flight)
            base = self._contexts.base_for(network, tickets=hello is None or hello.tickets)
            return Handshake(base, network, self._judge), hello

        size = fragment_size(self._limits.fragment_size, opening.framed_mtu)
        conversation = Conversation(token, state, opening, begin, size, self._remember, now)
        if not self._open.add(conversation, now):
            return Ignore(OVERLOADED)
        return self._take(conversation, response, now)

    def _take(self, conversation: Conversation, response: EapResponse, now: float) -> Step:
        young = conversation.young
        step = conversation.take(response, now)
        if young and not conversation.young:
            self._open.grown(conversation)
        self._settle(conversation, step)
        return step

    def _settle(self, conversation: Conversation, step: Step) -> None:
        if isinstance(step, _LAST):
            self._open.remove(conversation)

    def _missing(self, opening: Opening, now: datetime) -> Reason | None:
        if self._contexts.identity is None or not self._contexts.identity.in_force(now):
            return NO_IDENTITY
        return NO_NETWORK if self._contexts.current(opening.network) is None else None

    def _unknown(self, identifier: int, opening: Opening) -> Fail:
        return self._failed(identifier, UNKNOWN_STATE, "", opening)

    def _failed(
        self,
        identifier: int,
        reason: Reason,
        detail: str,
        opening: Opening,
        offered: tuple[int, ...] = (),
        started: float = 0.0,
    ) -> Fail:
        facts = Facts(opening.identity, offered=offered, started=float(started))
        line = (0.0, f"ended: {detail or reason.summary}")
        return Fail(outcome(FAILURE, identifier), reason, detail or reason.summary, facts, (line,))

    def _remember(self, leaf: bytes, chain: tuple[bytes, ...]) -> tuple[bytes, ...]:
        """Complete a chain that is a leaf alone from what came with that leaf before; otherwise note what came.

        A ticket carries the leaf and nothing above it. What stands above leaves is the same for many, and kept once;
        a device that sends something of its own each time has one entry all the same.
        """
        if len(chain) == 1:
            return chain + self._chains.get(leaf, ())
        above = chain[1:]
        if sum(map(len, above)) <= _LONGEST_REMEMBERED:
            above = self._above.setdefault(above, above)
            self._above.move_to_end(above)
            self._chains[leaf] = above
            self._chains.move_to_end(leaf)
            if len(self._above) > _ISSUERS_REMEMBERED:
                self._above.popitem(last=False)
            if len(self._chains) > _REMEMBERED:
                self._chains.popitem(last=False)
        return chain
