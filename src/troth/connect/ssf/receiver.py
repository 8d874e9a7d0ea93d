"""One token in, whichever way it came: proved, read, and durable before it is acknowledged.

1. Header, key, signature, claims (``secevent``). 2. A token that came before gets the answer it got then; another one
under the same jti is refused. 3. What it says (``mapping``): verification and status of the stream are dealt with here;
signals go to the inbox, which acts on them by the feed's grants and caps; what is about everybody waits for a person.
4. One unit: the token, its outcome, the signals, that the stream lives. Killed before it, nothing was taken and the
transmitter repeats it; killed after it, the repetition is answered from what was written.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, Protocol

from troth.audit.event import Event
from troth.client.errors import JWKS_NO_KEY, JoseError
from troth.client.jose import VerifyingKey
from troth.connect.ssf import event_store, events, mapping, secevent, store
from troth.connect.ssf.errors import (
    SET_KEY,
    SET_MALFORMED,
    SET_REUSED,
    SET_STATE,
    STREAM_STATE,
    TRANSMITTER_ANSWER,
    SetRefused,
    StreamState,
    TransmitterFailed,
    refused,
)
from troth.connect.ssf.event_store import WideEvent
from troth.connect.ssf.mapping import Heard, Outcome, Reading, Said
from troth.connect.ssf.model import DIALECT_IDENTIFIERS, Stream
from troth.connect.ssf.secevent import SecurityEvent
from troth.connect.ssf.subjects import PRINCIPALS, AnySubject, ComplexSubject, parse_subject
from troth.kit.canonical import Json
from troth.kit.clock import Clock
from troth.kit.errors import TrothError
from troth.kit.ids import new_id
from troth.kit.log import get_logger
from troth.store.pool import Database
from troth.store.unit import Unit
from troth.trust.signals import alias_store
from troth.trust.signals.errors import SignalError
from troth.trust.signals.model import MAX_MESSAGE_ID, Method, Signal, Verified, Whom, alias_value, signal

log = get_logger("connect")


class Inbox(Protocol):
    """Takes signals in durably; they are acted on soon after."""

    async def accept(self, feed: str, signals: Sequence[Signal], *, joined: Unit | None = None) -> object:
        """Make ``signals`` durable together with ``joined``. A signal that came before is passed over."""
        ...


class Keys(Protocol):
    """Knows transmitters' keys."""

    async def find(self, uri: str, key_id: str | None) -> VerifyingKey:
        """The key of that id in the set at ``uri``. Raises JoseError."""
        ...


class Unproved(SetRefused):
    """A token whose signature nobody could prove: anybody may have made it."""


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of a token. ``again``: it had been taken before, and nothing was done now."""

    outcome: Outcome
    detail: str = ""
    signals: int = 0
    again: bool = False


class Receiver:
    """Takes tokens. Safe to share; every call is one unit.

    Args:
        max_age: tokens issued longer ago are refused, and those taken are forgotten after it.
    """

    def __init__(
        self, database: Database, clock: Clock, inbox: Inbox, keys: Keys, *, max_age: timedelta = timedelta(days=30)
    ) -> None:
        self._database = database
        self._clock = clock
        self._inbox = inbox
        self._keys = keys
        self._max_age = max_age

    async def take(self, stream: Stream, token: str) -> Taken:
        """Take ``token`` in from ``stream``. What is returned is durable.

        Raises SetRefused for a token that is no good however often it comes; it is counted. Raises StreamState for a
        stream that is not connected, TransmitterFailed if the transmitter's keys cannot be had, and whatever the inbox
        and the database raise: then it shall come again.
        """
        try:
            event = await self._proved(stream, token)
            return await self._take(stream, event)
        except Unproved as refusal:
            # Whoever delivered it may be anybody where deliveries carry no header: strangers write nothing here.
            if stream.definition.authorization:
                await self._refuse(stream, refusal)
            raise
        except SetRefused as refusal:
            await self._refuse(stream, refusal)
            raise
        except (SignalError, TransmitterFailed) as error:
            if stream.definition.authorization:
                await self._database.commit(self._failing(stream, error))
            raise

    async def _refuse(self, stream: Stream, refusal: SetRefused) -> None:
        unit = self._failing(stream, refusal)
        event_store.count(unit, stream.name, "refused")
        await self._database.commit(unit)
        log.warning("ssf.refused", stream=stream.name, code=refusal.code, detail=refusal.detail)

    def _failing(self, stream: Stream, error: TrothError) -> Unit:
        unit = Unit()
        store.failed(unit, stream.name, f"{error.code}: {error.detail}", self._clock.now())
        return unit

    async def _proved(self, stream: Stream, token: str) -> SecurityEvent:
        if not stream.receiving or not stream.jwks_uri:
            raise StreamState(STREAM_STATE, "the stream has not been connected yet")
        try:
            parts = secevent.parse(token)
            secevent.prove(parts, await self._key(stream, parts.text_of("kid")))
        except SetRefused as refusal:
            raise Unproved(refusal.reason, refusal.detail) from refusal
        return secevent.read(parts, token, stream.expected(self._max_age), now=self._clock.now())

    async def _key(self, stream: Stream, key_id: str | None) -> VerifyingKey:
        try:
            return await self._keys.find(stream.jwks_uri, key_id)
        except JoseError as error:
            if error.reason is JWKS_NO_KEY:
                raise refused(SET_KEY) from error
            raise TransmitterFailed(TRANSMITTER_ANSWER, error.detail) from error

    async def _take(self, stream: Stream, event: SecurityEvent) -> Taken:
        before = await event_store.find_taken(self._database, stream.name, event.jti)
        if before is not None:
            if before[0] != event.digest:
                raise refused(SET_REUSED, f"jti {event.jti[:80]}")
            return Taken(Outcome(before[1]), before[2], again=True)
        unit, now = Unit(), self._clock.now()
        reading, signals = await self._read(stream, event, unit)
        event_store.take(
            unit, stream.name, event.jti, event.digest, type=event.type, outcome=reading.outcome.value,
            detail=reading.detail, issued_at=event.issued_at, received_at=now, id=new_id(),
        )  # fmt: skip
        store.heard(unit, stream.name, now)
        await self._inbox.accept(stream.definition.feed, signals, joined=unit)
        log.info("ssf.taken", stream=stream.name, outcome=reading.outcome.value, signals=len(signals))
        return Taken(reading.outcome, reading.detail, len(signals))

    async def _read(self, stream: Stream, event: SecurityEvent, unit: Unit) -> tuple[Reading, list[Signal]]:
        kind = events.known(event.type, event.event)
        if kind is None:
            return Reading(Outcome.IGNORED, (), "no type that is known here"), []
        if kind.name == "ssf.verification":
            return self._verified(stream, event, unit), []
        if kind.name == "ssf.stream-updated":
            return self._updated(stream, event, unit), []
        subject = _subject(stream, event)
        why = _discarded(stream, subject)
        if why:
            self._record(unit, stream, "ssf.discarded", event, why=why)
            return Reading(Outcome.DISCARDED, (), why), []
        systems = {**DIALECT_IDENTIFIERS[stream.definition.dialect], **stream.definition.identifiers}
        reading = mapping.read(Heard(event, kind, subject, systems))
        if reading.outcome is Outcome.SIGNALS:
            return await self._signals(stream, event, kind.name, reading)
        if reading.outcome is Outcome.WIDE:
            self._hold(stream, event, str(subject), reading, unit)
        elif reading.outcome is Outcome.IDENTIFIER:
            await self._forget_names(stream, event, reading, unit)
        elif reading.outcome is Outcome.UNKNOWN:
            self._record(unit, stream, "ssf.unknown_value", event, why=reading.detail)
        return reading, []

    # --- the stream itself -----------------------------------------------------------------------------------------

    def _verified(self, stream: Stream, event: SecurityEvent, unit: Unit) -> Reading:
        """SSF 1.0, 8.1.4.1. Without a state nobody asked for it, and it says no more than that the stream lives."""
        _about_itself(stream, event)
        state = event.event.get("state")
        if state is None:
            return Reading(Outcome.STREAM, (), "a verification that nobody asked for")
        if not any(one.state == state for one in stream.verifications):
            raise refused(SET_STATE)
        store.verification_answered(unit, stream.name, str(state), self._clock.now())
        return Reading(Outcome.STREAM, (), "verified")

    def _updated(self, stream: Stream, event: SecurityEvent, unit: Unit) -> Reading:
        """SSF 1.0, 8.1.5. A stream that is paused or disabled is silent: that freezes what is known, and alarms."""
        _about_itself(stream, event)
        status, reason = event.event["status"], events.reason_of(event.event)
        if status not in ("enabled", "paused", "disabled"):
            return Reading(Outcome.UNKNOWN, (), f"status is {str(status)[:40]!r}")
        store.set_status(unit, stream.name, status, reason)
        self._record(unit, stream, "ssf.stream_status", event, before=stream.status, after=status, why=reason)
        log.warning("ssf.stream_status", stream=stream.name, before=stream.status, after=status, reason=reason)
        return Reading(Outcome.STREAM, (), f"{stream.status} → {status}{f': {reason}' if reason else ''}")

    # --- subjects --------------------------------------------------------------------------------------------------

    async def _signals(
        self, stream: Stream, event: SecurityEvent, name: str, reading: Reading
    ) -> tuple[Reading, list[Signal]]:
        found = []
        for place, said in enumerate(reading.said):
            whom = await self._whom(said, event)
            if said.certificate is not None and await self._is_ended(said.certificate):
                # Our own word, come back to us: the certificate does not hold any more, and nothing new was said.
                return Reading(Outcome.NOTED, (), "the certificate is held or revoked here already"), []
            found.append(self._signal(stream, event, said, whom, reading.fields, place))
        detail = reading.detail or f"{name}: {', '.join(f'{one.kind.name} of {one.whom}' for one in found)}"
        return replace(reading, detail=detail[:500]), found

    async def _whom(self, said: Said, event: SecurityEvent) -> Whom:
        """The first name that leads to anybody, or to several; if none does, the surest, so that a person sees it."""
        ways = [Whom(alias=name) for name in said.about]
        if said.certificate is not None:
            ways.insert(0, Whom(certificate=said.certificate))
        for whom in ways:
            if (await alias_store.resolve(self._database, whom)).ids:
                return whom
        return ways[0] if ways else Whom(alias=("unnamed", hashlib.sha256(event.jti.encode()).hexdigest()[:16]))

    async def _is_ended(self, certificate: tuple[str, str]) -> bool:
        found = await alias_store.certificate_of(self._database, Whom(certificate=certificate))
        return found is not None and found.status in ("held", "revoked")

    def _signal(
        self, stream: Stream, event: SecurityEvent, said: Said, whom: Whom, fields: Mapping[str, str], place: int
    ) -> Signal:
        message_id = f"ssf:{stream.name}:{event.jti}" + (f"#{place}" if place else "")
        if len(message_id) > MAX_MESSAGE_ID:
            message_id = f"ssf:{stream.name}:{hashlib.sha256(event.jti.encode()).hexdigest()}#{place}"
        told: dict[str, Json] = dict(fields)
        return signal(
            feed=stream.definition.feed,
            message_id=message_id,
            digest=event.digest,
            kind=said.kind,
            whom=whom,
            observed_at=events.happened_at(event.event, event.issued_at),
            now=self._clock.now(),
            evidence=events.reason_of(event.event),
            severity=said.severity,
            sequence=event.jti[:200],
            verified=Verified(Method.JWS, event.key_id[:200] if event.key_id else None),
            fields=told,
        )

    def _hold(self, stream: Stream, event: SecurityEvent, subject: str, reading: Reading, unit: Unit) -> None:
        at = events.happened_at(event.event, event.issued_at)
        event_store.hold(
            unit,
            WideEvent(
                new_id(), stream.name, stream.definition.feed, event.jti, event.type[:300], subject[:600],
                tuple((one.kind, one.severity) for one in reading.said), dict(reading.fields), at, self._clock.now(),
            ),
        )  # fmt: skip
        kinds: list[Json] = [one.kind for one in reading.said]
        self._record(unit, stream, "ssf.wide_held", event, subject=subject[:300], signals=kinds)
        log.warning("ssf.wide_held", stream=stream.name, subject=subject[:200], kinds=kinds)

    async def _forget_names(self, stream: Stream, event: SecurityEvent, reading: Reading, unit: Unit) -> None:
        """Only names that this very feed taught us go; of others', and of the directory's, a person is told."""
        forgotten = kept = 0
        for system, value in reading.names:
            for subject_id, source in await event_store.aliases(self._database, system, alias_value(system, value)):
                if source in (stream.definition.feed, f"feed:{stream.definition.feed}", f"ssf:{stream.name}"):
                    alias_store.forget_alias(unit, system, value, subject_id)
                    forgotten += 1
                else:
                    kept += 1
        self._record(unit, stream, "ssf.identifier_changed", event, why=reading.detail[:300], forgotten=forgotten,
                     kept=kept)  # fmt: skip
        log.warning("ssf.identifier_changed", stream=stream.name, forgotten=forgotten, kept=kept)

    def _record(self, unit: Unit, stream: Stream, kind: str, event: SecurityEvent, **data: Json) -> None:
        known: dict[str, Json] = {"stream": stream.name, "jti": event.jti[:200], "type": event.type[:300]}
        references = (f"ssf_stream:{stream.name}", f"feed:{stream.definition.feed}")
        unit.record(Event(kind, f"feed:{stream.definition.feed}", references, known | data))


def _subject(stream: Stream, event: SecurityEvent) -> AnySubject:
    """``sub_id``; where the dialect has it so, or CAEP's and RISC's older events do, the subject within the event."""
    value = event.subject
    if value is None and stream.definition.dialect != "standard":
        value = event.event.get("subject", event.event.get("subjects"))
    if value is None:
        raise refused(SET_MALFORMED, "the claim sub_id is missing (SSF 1.0, 3.1)")
    return parse_subject(value)


def _discarded(stream: Stream, subject: AnySubject) -> str:
    """Why an event about ``subject`` has to be discarded (SSF 1.0, 3.6); empty if it has not."""
    if not isinstance(subject, ComplexSubject):
        return ""
    tenants, ours = frozenset(stream.definition.tenants), subject.members.get("tenant")
    if ours is not None and tenants and tenants.isdisjoint(ours.values.values()):
        return f"it is about another tenant: {ours}"
    understood = PRINCIPALS | ({"tenant"} if tenants else set())
    critical = set(stream.metadata.critical_members if stream.metadata else ()) & subject.members.keys() - understood
    if critical:
        return f"critical in its subject and not understood here: {', '.join(sorted(critical))}"
    return ""


def _about_itself(stream: Stream, event: SecurityEvent) -> None:
    """The subject of an event about a stream is the stream's id, opaque; a stream set up by hand has none we know."""
    wanted = stream.configuration.stream_id if stream.configuration else None
    if wanted is None:
        return
    found: Any = event.subject
    if not isinstance(found, dict) or found.get("format") != "opaque" or found.get("id") != wanted:
        raise refused(SET_MALFORMED, "sub_id is not this stream's id (SSF 1.0, 8.1.4.1 and 8.1.5)")
