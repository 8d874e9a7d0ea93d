"""Access-Request: from the network that is joined to the answer that is sent.

1. The network is chosen by what the access server says; without one nobody is let in.
2. Without EAP in it: a switch that fetches the rules of an ACL, a device without certificate (MAB), a password (PAP),
   or a conversation that is handed on to another server (``others``).
3. EAP-TLS goes on until the device has proved that it holds its certificate's key, a resumed session like any other.
4. The decision is made from memory and written to the journal; only then is TLS concluded.
5. **Just before the Accept leaves it is asked again.** In TLS 1.3 a round trip lies between the decision and the
   Accept, and a hold that has become effective meanwhile must count. Between the last look and the socket nothing
   waits.
6. Accept: the keys, who it is, how long, and where it belongs, in the words of the access server's vendor."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import msgspec
from msgspec.structs import replace

from troth.kit.clock import Clock
from troth.kit.errors import TrothError
from troth.kit.ids import new_id
from troth.kit.log import get_logger
from troth.radius.admission.errors import NETWORK_NONE
from troth.radius.admission.model import Attempt, Method, Network, Verdict
from troth.radius.admission.outcome import refused
from troth.radius.admission.ports import Judge, Telling, Untold
from troth.radius.eap.errors import UNKNOWN_STATE
from troth.radius.eap.model import Challenge, Facts, Fail, Foreign, Ignore, Proved, Step, Succeed, Timeline
from troth.radius.eap.server import EapServer
from troth.radius.nas.model import Nas
from troth.radius.server.asked import Asked, Asking
from troth.radius.server.desk import Answer, Source
from troth.radius.server.errors import NO_METHOD, NOT_SETTLED
from troth.radius.server.parts import Opened, Others, Placing
from troth.radius.wire.duplicates import Conditional
from troth.radius.wire.hiding import mppe_keys
from troth.radius.wire.packet import CLASS, EAP_MESSAGE, STATE, USER_NAME, Attribute, Code, Packet
from troth.radius.wire.signing import Protection, eap_attributes, encode_reply
from troth.trust.connecting.journal import Note

log = get_logger("radius")

SESSION_TIMEOUT, TERMINATION_ACTION, EAP_KEY_NAME = 27, 29, 102
_RADIUS_REQUEST = (1).to_bytes(4, "big")
#: Decisions that are asked again for because something changed while they were written down.
_MOST_LOOKS = 4
_MAX_USER_NAME = 253


@dataclass(eq=False, slots=True)
class Decided:
    """What a conversation carries from the decision to its end.

    Attributes:
        granted: attributes of the Accept; none for who is not let in.
    """

    attempt: Attempt
    verdict: Verdict
    granted: Sequence[Attribute] = ()


class Access:
    """See the module. Belongs to one event loop; what it returns is the desk's to send.

    Args:
        known: (access server's name, network's name) → both, as they are now.
        telling: what the sessions hear.
        reject_delay: seconds before a Reject leaves.
    """

    def __init__(
        self,
        eap: EapServer,
        judge: Judge,
        asking: Asking,
        placing: Placing,
        opened: Opened,
        clock: Clock,
        *,
        known: Callable[[str, str], tuple[Nas | None, Network | None]] = lambda *_: (None, None),
        others: Others | None = None,
        telling: Telling | None = None,
        reject_delay: float = 0.5,
    ) -> None:
        self._telling = telling or Untold()
        self._eap = eap
        self._judge = judge
        self._asking = asking
        self._placing = placing
        self._opened = opened
        self._clock = clock
        self._known = known
        self._others = others
        self._reject_delay = reject_delay
        #: How often a conversation ended otherwise than by its decision, by reason.
        self.broken: Counter[str] = Counter()

    def __call__(self, packet: Packet, source: Source, protection: Protection) -> Answer:
        """See :class:`troth.radius.server.desk.Handler`."""
        asked = self._asking.read(packet, source.nas)
        request = _Request(packet, source, protection, asked)
        eap = packet.joined(EAP_MESSAGE) if EAP_MESSAGE in packet.firsts else None
        if eap is None:
            rules = self._placing.asked(packet)
            if rules is True:
                return self._rejected(request, None)
            if rules is not False:
                return encode_reply(packet, Code.ACCESS_ACCEPT, rules, protection)
        if self._others is not None:
            answer = self._others.take(packet, source, protection, asked)
            if not isinstance(answer, bool):
                return answer
        if asked.opening is None or eap is None:
            return self._turned_away(request, eap)
        state = packet.firsts.get(STATE)
        if state is None:
            return self._answer(request, self._eap.begin(asked.opening, eap))
        return self._answer(request, self._eap.respond(state, eap, asked.opening))

    # --- EAP's next step ---------------------------------------------------------------------------------------

    def _answer(self, request: _Request, step: Step) -> Answer:
        match step:
            case Challenge():
                return request.challenge(step) if step.refused is None else self._alerted(request, step, step.refused)
            case Proved():
                return self._decide(request, step)
            case Succeed():
                return self._accept(request, step)
            case Fail():
                return self._failed(request, step)
            case Ignore():
                return None
            case Foreign():
                return self._orphan(request)

    def _orphan(self, request: _Request) -> Answer:
        """Its worker has died, so the device is told to begin anew. Another machine's is left to that machine."""
        self.broken[UNKNOWN_STATE.code] += 1
        eap = request.packet.joined(EAP_MESSAGE)
        return self._rejected(request, _failure(eap[1] if len(eap) > 1 else 0))

    async def _alerted(self, request: _Request, step: Challenge, ends: Fail) -> bytes:
        """Refused within TLS: that is kept now, since many devices say nothing more once they have read the alert."""
        attempt, verdict = self._attempt(request, ends.facts), refused(ends.reason, ends.detail)
        if ends.conversation is not None:
            ends.conversation.attachment = Decided(attempt, verdict)
        await self._judge.record(attempt, verdict, ends.timeline)
        return request.challenge(step)

    def _failed(self, request: _Request, step: Fail) -> Answer:
        self.broken[step.reason.code] += 1
        decided = step.conversation.attachment if step.conversation is not None else None
        if isinstance(decided, Decided):
            if not decided.verdict.admitted:  # it has been recorded with its decision
                return self._rejected(request, step.eap)
            self._withdraw(decided)
        return self._told(request, step.facts, refused(step.reason, step.detail), step.timeline, step.eap)

    def _withdraw(self, decided: Decided) -> None:
        notes = self._telling.withdrawn(decided.verdict)
        if notes:
            self._judge.note(decided.attempt, notes)

    def _turned_away(self, request: _Request, eap: bytes | None) -> Answer:
        """No network fits, or it takes nothing that comes without EAP."""
        asked = request.asked
        where = f"ssid {asked.ssid!r}, {asked.port_type or 'unknown port'}, {request.source.nas.name}"
        verdict = refused(NETWORK_NONE if asked.network is None else NO_METHOD, where)
        failure = None if eap is None else _failure(eap[1] if len(eap) > 1 else 0)
        return self._told(request, Facts(asked.identity), verdict, (), failure)

    async def _told(
        self, request: _Request, facts: Facts, verdict: Verdict, timeline: Timeline, eap: bytes | None
    ) -> bytes | None:
        """Reject what ended before anything was to be decided, and keep what is known of it."""
        await self._judge.record(self._attempt(request, facts), verdict, timeline)
        return await _awaited(self._rejected(request, eap))

    async def lapse(self) -> None:
        """Keep what is known of conversations that nobody has gone on with. To be called now and then."""
        for step in list(self._eap.lapsed()):
            conversation = step.conversation
            if conversation is None:
                continue
            decided = conversation.attachment
            if isinstance(decided, Decided):
                if not decided.verdict.admitted:
                    continue
                self._withdraw(decided)
            opening = conversation.opening
            nas, network = self._known(opening.nas, opening.network)
            if nas is None:
                continue
            attempt = Attempt(
                at=self._clock.now(), nas=nas, network=network, method="eap-tls", identity=opening.identity,
                calling_station_id=opening.calling_station_id or None, facts=step.facts, correlation=str(new_id()),
            )  # fmt: skip
            await self._judge.record(attempt, refused(step.reason, step.detail), step.timeline)

    # --- the decision ------------------------------------------------------------------------------------------

    def _attempt(self, request: _Request, facts: Facts | None, method: Method = "eap-tls") -> Attempt:
        asked, source = request.asked, request.source
        return Attempt(
            at=self._clock.now(),
            nas=source.nas,
            network=asked.network,
            method=method,
            identity=asked.identity,
            nas_address=source.address,
            calling_station_id=asked.station,
            called_station_id=asked.called,
            ssid=asked.ssid,
            nas_identifier=asked.nas_identifier,
            nas_port_type=asked.port_type,
            nas_port_id=asked.port_id,
            facts=facts,
            correlation=str(new_id()),
        )

    async def _decide(self, request: _Request, step: Proved) -> bytes | None:
        conversation = step.conversation
        attempt = self._attempt(request, conversation.facts)
        verdict = await self._judge.admit(attempt)
        if verdict is None:
            log.warning("radius.unsettled", code=NOT_SETTLED.code, nas=attempt.nas.name, whom=_whom(attempt))
            return None
        decided = self._placed(request, attempt, verdict)
        await self._judge.record(attempt, decided.verdict, conversation.timeline, notes=self._told_of(request, decided))
        before, conversation.attachment = conversation.attachment, decided
        words = decided.verdict.detail or decided.verdict.reason
        after = self._eap.conclude(conversation, admitted=decided.verdict.admitted, detail=words)
        if isinstance(before, Decided):
            self._withdraw(before)  # the same packet twice: of two decisions the later counts
        if isinstance(after, Ignore):
            self._withdraw(decided)
        return await _awaited(self._answer(request, after))

    def _placed(self, request: _Request, attempt: Attempt, verdict: Verdict) -> Decided:
        """With what the access server is told; where it cannot be told so, nobody is let in."""
        if not verdict.admitted:
            return Decided(attempt, verdict)
        try:
            return Decided(attempt, verdict, self.granted(verdict, request.source.nas, request.packet))
        except TrothError as error:
            log.error("radius.not_placed", code=error.code, detail=error.detail, nas=attempt.nas.name)
            return Decided(attempt, refused(error.reason, error.detail))

    def _told_of(self, request: _Request, decided: Decided) -> Sequence[Note]:
        return self._telling.admitted(decided.attempt, decided.verdict, request.source, request.packet)

    def _accept(self, request: _Request, step: Succeed) -> Answer:
        decided = step.conversation.attachment
        if not isinstance(decided, Decided):  # nothing was decided: nobody is let in
            self.broken["undecided"] += 1
            return self._rejected(request, _failure(step.eap[1]))
        if self._judge.holds(decided.attempt, decided.verdict):
            return self._accepted(request, step, decided)
        return self._looked_again(request, step, decided)

    async def _looked_again(self, request: _Request, step: Succeed, decided: Decided) -> bytes | None:
        """The lease has lapsed, or something has changed: then it is decided and written down anew, until it stands."""
        verdict: Verdict | None = decided.verdict
        for _ in range(_MOST_LOOKS):
            if await self._judge.vouched(decided.attempt, decided.verdict):
                return self._accepted(request, step, decided)
            attempt = replace(decided.attempt, at=self._clock.now())
            verdict = await self._judge.admit(attempt)
            if verdict is None:
                continue  # the conversation is over: who asked again would have to begin anew
            notes = self._telling.withdrawn(decided.verdict)
            decided = self._placed(request, attempt, verdict)
            notes = [*self._told_of(request, decided), *notes]
            await self._judge.record(attempt, decided.verdict, step.conversation.timeline, notes=notes)
            if not decided.verdict.admitted:
                break
        if decided.verdict.admitted and await self._judge.vouched(decided.attempt, decided.verdict):
            return self._accepted(request, step, decided)
        self._withdraw(decided)
        if verdict is None:
            return None
        return await _awaited(self._rejected(request, _failure(step.eap[1])))

    # --- what is sent ------------------------------------------------------------------------------------------

    def _accepted(self, request: _Request, step: Succeed, decided: Decided) -> bytes:
        verdict, packet, protection = decided.verdict, request.packet, request.protection
        attributes = [
            *eap_attributes(step.eap),
            *mppe_keys(step.msk, protection, packet.authenticator),
            *decided.granted,
        ]
        if packet.first(EAP_KEY_NAME) is not None:  # MACsec (IEEE 802.1X-2010): who sends an empty one wants it filled
            attributes.append((EAP_KEY_NAME, step.session_id))
        answer = encode_reply(packet, Code.ACCESS_ACCEPT, attributes, protection)
        self._opened(decided.attempt, verdict, request.source, packet)
        return Conditional.of(answer, partial(self._judge.holds, decided.attempt, verdict))

    def granted(self, verdict: Verdict, nas: Nas, packet: Packet) -> list[Attribute]:
        """What every Accept says, whatever the method: who it is, the session's mark, how long, where it belongs."""
        attributes: list[Attribute] = [(CLASS, verdict.class_)]
        if verdict.user_name:
            attributes.append((USER_NAME, verdict.user_name.encode()[:_MAX_USER_NAME]))
        placed = self._placing.attributes(verdict, nas, packet)
        placed_types = {kind for kind, _ in placed}
        if verdict.session_time is not None and SESSION_TIMEOUT not in placed_types:
            seconds = max(1, int(verdict.session_time.total_seconds()))
            attributes.append((SESSION_TIMEOUT, seconds.to_bytes(4, "big")))
        if verdict.session_time is not None and TERMINATION_ACTION not in placed_types:
            # Asked about anew, and not thrown off, where the access server can (RFC 3580 section 3.19).
            attributes.append((TERMINATION_ACTION, _RADIUS_REQUEST))
        attributes.extend(placed)
        return attributes

    def _rejected(self, request: _Request, eap: bytes | None) -> Answer:
        attributes = eap_attributes(eap) if eap is not None else []
        answer = encode_reply(request.packet, Code.ACCESS_REJECT, attributes, request.protection)
        return _after(self._reject_delay, answer) if self._reject_delay else answer


class _Request(msgspec.Struct, frozen=True):
    packet: Packet
    source: Source
    protection: Protection
    asked: Asked

    def challenge(self, step: Challenge) -> bytes:
        attributes = [*eap_attributes(step.eap), (STATE, step.state)]
        if step.hint_seconds is not None:  # RFC 3579 section 2.3: how long the device may take
            attributes.append((SESSION_TIMEOUT, step.hint_seconds.to_bytes(4, "big")))
        return encode_reply(self.packet, Code.ACCESS_CHALLENGE, attributes, self.protection)


def _whom(attempt: Attempt) -> str:
    """Whom an attempt is about, for the log."""
    return attempt.calling_station_id or attempt.identity


def _failure(identifier: int) -> bytes:
    return bytes((4, identifier, 0, 4))


async def _awaited(answer: Answer) -> bytes | None:
    return answer if answer is None or isinstance(answer, bytes) else await answer


async def _after(seconds: float, answer: bytes) -> bytes:
    await asyncio.sleep(seconds)
    return answer
