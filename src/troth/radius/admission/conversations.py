"""What happened when somebody wanted to join, in plain words: one record, found by MAC, serial number, user or id.

What a station says of itself may hold anything; it is made harmless before it is kept, since it is shown on pages and
printed on terminals, and bounded, since a stranger wrote it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from uuid import UUID

import msgspec

from troth.kit.ids import new_id
from troth.radius.admission.model import Attempt, PlaceChoice, Verdict
from troth.trust.wording import show

#: How the journal calls it.
NOTE = "radius.conversation"
#: Characters of what a station or an access server says, and of a line; steps of a timeline.
_LONGEST, _LINE, _STEPS = 253, 500, 200


class Step(msgspec.Struct, frozen=True, array_like=True):
    """One line of a timeline. ``at``: milliseconds since the conversation began."""

    at: int
    said: str


class Conversation(msgspec.Struct, frozen=True, omit_defaults=True):
    """One attempt, as it is kept.

    Attributes:
        correlation: under which logs have it.
        network: None: no network is defined for what was joined.
        mac: canonical; or as the access server wrote it, where it is none.
        identity: the outer one. Nobody has proved it.
        user_name: what the certificate says, and the Accept.
        certificate_id: of ours.
        reason: code. detail: what it was this time.
        class_: in hexadecimal: the Class attribute, by which accounting is joined.
        place: where it was put, in words: ``role=staff vlan=20``.
        decisions: ids.
        stale, unchecked, excused: see :class:`~troth.radius.admission.model.Verdict`.
        steps: the timeline.
    """

    id: UUID
    at: datetime
    correlation: str
    network: str | None
    nas: str
    nas_address: str
    method: str
    outcome: str
    reason: str
    detail: str = ""
    mac: str | None = None
    called: str | None = None
    ssid: str | None = None
    port_type: str | None = None
    port: str | None = None
    identity: str = ""
    user_name: str = ""
    serial: str = ""
    sha256: str = ""
    certificate_id: UUID | None = None
    subjects: tuple[UUID, ...] = ()
    decisions: tuple[UUID, ...] = ()
    tls: str = ""
    resumed: bool = False
    place: str = ""
    session_seconds: int | None = None
    class_: str = ""
    stale: bool = False
    unchecked: bool = False
    excused: str | None = None
    steps: tuple[Step, ...] = ()


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Conversation)


def encode(conversation: Conversation) -> bytes:
    """As JSON."""
    return _encoder.encode(conversation)


def decode(data: bytes) -> Conversation:
    """From JSON."""
    return _decoder.decode(data)


def conversation(attempt: Attempt, verdict: Verdict, timeline: Iterable[tuple[float, str]]) -> Conversation:
    """What is kept of ``attempt``. ``timeline``: (seconds since it began, plain words), as the server noted them."""
    facts = attempt.facts
    return Conversation(
        id=new_id(),
        at=attempt.at.astimezone(UTC),
        correlation=safe(attempt.correlation) or "",
        network=attempt.network.name if attempt.network else None,
        nas=attempt.nas.name,
        nas_address=attempt.nas_address,
        method=attempt.method,
        outcome=verdict.outcome.value,
        reason=verdict.reason,
        detail=safe(verdict.detail, 1_000) or "",
        mac=safe(attempt.calling_station_id),
        called=safe(attempt.called_station_id),
        ssid=safe(attempt.ssid),
        port_type=attempt.nas_port_type,
        port=safe(attempt.nas_port_id),
        identity=safe(attempt.identity) or "",
        user_name=safe(verdict.user_name) or "",
        serial=verdict.serial,
        sha256=facts.sha256.hex() if facts is not None else "",
        certificate_id=verdict.certificate_id,
        subjects=verdict.subject_ids,
        decisions=tuple(decision.id for decision, _ in verdict.decisions),
        tls=f"TLS {facts.tls_version} {facts.cipher}" if facts is not None else "",
        resumed=facts is not None and facts.resumed,
        place=placed(verdict.place),
        session_seconds=None if verdict.session_time is None else int(verdict.session_time.total_seconds()),
        class_=verdict.class_.hex(),
        stale=verdict.stale,
        unchecked=verdict.unchecked,
        excused=verdict.excused,
        steps=steps(attempt, verdict, list(timeline)),
    )


def steps(attempt: Attempt, verdict: Verdict, timeline: Sequence[tuple[float, str]]) -> tuple[Step, ...]:
    """The timeline, with what was decided at its end."""
    times, said = [max(0, round(at * 1_000)) for at, _ in timeline[:_STEPS]], [one for _, one in timeline[:_STEPS]]
    said.append(f"network {attempt.network.name}" if attempt.network else "no network is defined for this")
    for decision, _ in verdict.decisions:
        said.append(f"{decision.subject.kind.value} {decision.subject.name} is {decision.subject.standing.value}")
        for one in decision.conditions:
            saw = ", ".join([f"{seen.path}={_short(seen.value)} from {seen.source}" for seen in one.seen])
            why = "; ".join([f"{cause.path} {cause.detail}".strip() for cause in one.causes])
            said.append(f"{one.name}: {one.result.value}" + (f" ({saw})" if saw else "") + (f": {why}" if why else ""))
        under = f"policy {decision.policy}, rule {decision.rule}" if decision.rule else f"policy {decision.policy}"
        said.append(f"{under}: {decision.outcome.value} ({decision.reason})")
    if verdict.excused is not None:
        said.append(f"refused by {verdict.excused}, and excused by the breaker for a while")
    if verdict.stale:
        said.append("decided on old news, as the network's stale policy has it")
    if verdict.unchecked:
        said.append("revocation could not be checked, and the network takes that")
    if verdict.admitted:
        seconds = int(verdict.session_time.total_seconds()) if verdict.session_time else 0
        where = placed(verdict.place) or "no place of its own"
        said.append(f"accepted: {verdict.outcome.value}, {where}, to be asked again in {seconds} s")
    else:
        said.append(f"rejected: {verdict.reason}: {verdict.detail}")
    times += [times[-1] if times else 0] * (len(said) - len(times))
    if max(map(len, said)) > _LINE or not "".join(said).isprintable():
        said = [safe(one, _LINE) or "" for one in said]
    return tuple(map(Step, times, said))


@lru_cache(maxsize=1_024)
def placed(place: PlaceChoice) -> str:
    """A place in words."""
    parts = {"place": place.name, "role": place.role, "vlan": place.vlan, "acl": place.acl}
    return " ".join(f"{name}={safe(value)}" for name, value in parts.items() if value)


def safe(text: str | None, longest: int = _LONGEST) -> str | None:
    """``text`` without anything that controls a terminal or turns a line around, and bounded."""
    if text is None:
        return None
    short = text if len(text) <= longest else text[: longest - 1] + "…"
    if short.isprintable():
        return short
    return "".join(one if one.isprintable() else "\N{REPLACEMENT CHARACTER}" for one in short)


def _short(value: object) -> str:
    text = show(value)
    return text if len(text) <= 80 else text[:79] + "…"
