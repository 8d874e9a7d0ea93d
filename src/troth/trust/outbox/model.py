"""Effects: what is to be done or told outside after a change of standing, and what a port answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum
from typing import Final, Protocol
from uuid import UUID

import msgspec

from troth.kit.canonical import Json
from troth.trust.standing import Standing


class EffectState(Enum):
    """Where an effect is. All but ``waiting`` are ends; a person may set ``dead`` and ``unavailable`` going again."""

    WAITING = "waiting"
    DONE = "done"
    #: Given up after many tries, or refused by the target for good.
    DEAD = "dead"
    #: A newer change of the same subject has made it pointless before it was sent.
    SUPERSEDED = "superseded"
    #: Nothing here speaks with such a target.
    UNAVAILABLE = "unavailable"
    DROPPED = "dropped"


@dataclass(frozen=True, slots=True)
class Port:
    """One kind of effect.

    Attributes:
        name: as reactions name it: ``disconnect``, ``crowdstrike.contain``.
        acting: it changes something at the target; otherwise it only tells.
        undo: the port that takes it back; empty if there is nothing to take back.
        target: the target where a reaction names none; empty if one must be named.
        kind: what the target must be: a kind under ``targets:``, ``connector``, or empty for the port's own.
        summary: what it does, for people.
    """

    name: str
    acting: bool
    summary: str
    undo: str = ""
    target: str = ""
    kind: str = ""


def _ports(*ports: Port) -> Mapping[str, Port]:
    return {port.name: port for port in ports}


#: Every port that reactions may name. What undoes another is a port of its own.
PORTS: Final[Mapping[str, Port]] = _ports(
    Port("disconnect", True, "ends its network sessions (RADIUS Disconnect)", target="radius"),
    Port("reauthorize", True, "has its network sessions judged anew (RADIUS CoA)", target="radius"),
    Port("ssf", False, "tells those who receive shared signals (CAEP)", target="ssf"),
    Port("webhook", False, "sends a signed webhook", kind="webhook"),
    Port("notify", False, "notifies people by mail or chat", kind="notify"),
    Port("vpn.terminate", True, "ends its VPN connections", kind="vici"),
    Port("entra.revoke_sessions", True, "revokes the user's sign-in sessions in Entra ID", kind="connector"),
    Port("entra.confirm_compromised", True, "marks the user as compromised in Entra ID", "entra.dismiss_risk",
         kind="connector"),
    Port("entra.dismiss_risk", True, "dismisses the user's risk in Entra ID", kind="connector"),
    Port("okta.clear_sessions", True, "ends the user's sessions at Okta", kind="connector"),
    Port("okta.suspend_user", True, "suspends the user at Okta", "okta.unsuspend_user", kind="connector"),
    Port("okta.unsuspend_user", True, "lets the suspended user back in at Okta", kind="connector"),
    Port("crowdstrike.contain", True, "has Falcon contain the device", "crowdstrike.lift_containment",
         kind="connector"),
    Port("crowdstrike.lift_containment", True, "has Falcon lift the containment", kind="connector"),
    Port("defender.isolate", True, "has Defender isolate the device", "defender.unisolate", kind="connector"),
    Port("defender.unisolate", True, "has Defender release the device", kind="connector"),
    Port("intune.withdraw_profiles", True, "puts the device into the group that Intune's profiles exclude",
         "intune.restore_profiles", kind="connector"),
    Port("intune.restore_profiles", True, "takes the device out of that group", kind="connector"),
    Port("jamf.withdraw_profiles", True, "puts the device into the group that Jamf's profiles exclude",
         "jamf.restore_profiles", kind="connector"),
    Port("jamf.restore_profiles", True, "takes the device out of that group", kind="connector"),
)  # fmt: skip


class Alarm(msgspec.Struct, frozen=True):
    """What people are called for, where it is nobody's standing: worded by who raises it.

    Attributes:
        event: the kind of the ledger's event; a webhook's type.
        title, lines: for mail and chat.
        data: for webhooks.
        once: it is told once, as it begins and as it ends, and not every hour while it lasts.
    """

    event: str
    title: str
    lines: tuple[str, ...] = ()
    data: Mapping[str, str] = {}
    once: bool = False


class Notice(msgspec.Struct, frozen=True, omit_defaults=True):
    """What an effect is about, as it was when the standing changed: enough to tell others without asking again.

    Attributes:
        before, after: standings.
        version: the subject's standing version after the change; a receiver that knows a higher one may pass it over.
        causes: the open causes afterwards: ``feed``, ``cause``, ``level``.
        tell: what the standing table has others told: last parts of CAEP event types.
        decision: set when a policy has somebody told of a decision, and the standing has not changed.
        alarm: set when it is about no subject; ``kind`` and ``name`` say what about, and there are no standings.
    """

    kind: str
    name: str
    before: str
    after: str
    version: int
    causes: tuple[Mapping[str, str], ...] = ()
    tell: tuple[str, ...] = ()
    decision: Mapping[str, str] = {}
    alarm: Alarm | None = None

    @property
    def relieved(self) -> bool:
        """Whether the subject stands better than before."""
        return Standing(self.after) < Standing(self.before)


@dataclass(frozen=True, slots=True)
class Effect:
    """One effect at one target.

    Attributes:
        id: unique; what a target is given as idempotency key.
        standing_version: with ``id`` the order among the effects of a subject at a target.
        undo: the port that shall take it back; empty: none.
        automated: not by a person's order; a freeze stops it.
        accepted_at: when the signal (or order) was accepted: latency counts from there.
        attempts: tries so far, the present one included; fences the outcome of a try that was given up.
    """

    id: UUID
    subject_id: UUID
    standing_version: int
    port: str
    target: str
    acting: bool
    undo: str
    undone: bool
    notice: Notice
    signal_id: UUID
    actor: str
    automated: bool
    accepted_at: datetime
    planned_at: datetime
    due: datetime
    attempts: int = 0
    lease_until: datetime | None = None
    state: EffectState = EffectState.WAITING
    ended_at: datetime | None = None
    detail: str = ""

    @property
    def because(self) -> str:
        """How the ledger calls what brought it about."""
        return f"{'decision' if self.notice.decision else 'signal'}:{self.signal_id}"

    @property
    def refs(self) -> tuple[str, ...]:
        """What an event about it is about."""
        if self.notice.alarm is not None:
            return (f"{self.notice.kind}:{self.notice.name}", f"effect:{self.id}")
        return (f"subject:{self.subject_id}", self.because, f"effect:{self.id}")

    @property
    def latency(self) -> timedelta | None:
        """From the signal accepted to the end; None while it has not ended."""
        return None if self.ended_at is None else max(timedelta(0), self.ended_at - self.accepted_at)


@dataclass(frozen=True, slots=True)
class EffectSubject:
    """Whom an effect is about, as known when it is done: what a port needs to find it at its target.

    Attributes:
        attributes: as the directory declares them: ``serial``, ``udid``, ``email``, ``upn``.
        names: DNS names that belong to it.
        aliases: (system, value) under which other systems know it: ``("crowdstrike.aid", …)``.
    """

    id: UUID
    kind: str
    name: str
    protected: bool
    attributes: Mapping[str, Json] = field(default_factory=dict)
    names: tuple[str, ...] = ()
    aliases: tuple[tuple[str, str], ...] = ()
    owner: EffectSubject | None = None

    def known_as(self, system: str) -> tuple[str, ...]:
        """Its identifiers in one system, each once."""
        return tuple(dict.fromkeys(value for named, value in self.aliases if named == system))


class Result(Enum):
    """What became of a try."""

    DONE = "done"
    #: Under way at places that the target stands for: it says nothing of the target itself.
    PENDING = "pending"
    RETRY = "retry"
    REFUSED = "refused"
    UNAVAILABLE = "unavailable"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a port answers. ``detail`` is shown to people: no secrets; ``after``: not before that long."""

    result: Result
    detail: str = ""
    after: timedelta | None = None

    @classmethod
    def done(cls, detail: str = "") -> Outcome:
        """The target has confirmed it, or it was so already."""
        return cls(Result.DONE, detail)

    @classmethod
    def pending(cls, detail: str, after: timedelta) -> Outcome:
        """It is being done, durably, and not done yet: ask again ``after`` that long. Not counted as a failure."""
        return cls(Result.PENDING, detail, after)

    @classmethod
    def retry(cls, detail: str, after: timedelta | None = None) -> Outcome:
        """Whether it was done is not known, or it was not; the same effect may be tried again."""
        return cls(Result.RETRY, detail, after)

    @classmethod
    def refused(cls, detail: str) -> Outcome:
        """The target will never do it as things are: a person must look."""
        return cls(Result.REFUSED, detail)

    @classmethod
    def unavailable(cls, detail: str) -> Outcome:
        """Nothing here speaks with that target."""
        return cls(Result.UNAVAILABLE, detail)


class EffectPort(Protocol):
    """Does effects of one or several ports at their targets. Implemented in ``connect``.

    The same effect may be asked for again, after a crash or an answer that was lost: ``effect.id`` is the same then,
    and where the target can tell, it is done once.
    """

    async def execute(self, effect: Effect, subject: EffectSubject) -> Outcome:
        """Try once. What is expected to fail is an Outcome; what is raised counts as ``retry``."""
        ...
