"""What a vendor's module is made of: the seam between other people's APIs and Troth.

A vendor's module offers a :class:`Vendor` (what a definition may say, what secrets it takes, whom it may speak with)
whose ``make`` builds a :class:`Connector` from a :class:`Wiring`. A connector names its *reads*: things it pulls, each
with a cursor and a pace of its own, so that a slow inventory never delays an alert. Systems that push are answered by
``push``. All that a vendor says is turned into signals and reports in one module of tables, ``mapping.py``.

docs/connectors.md has a walk through the writing of one.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Protocol, TypeAlias, TypeVar

import msgspec

from troth.connect.api import Seen, VendorApi
from troth.connect.definition import ConnectorDefinition
from troth.connect.errors import ANSWER, SECRET_MISSING, ConnectorError
from troth.connect.pacing import Pace, Paces, Sleep
from troth.connect.proof import Fetches, Proof
from troth.kit.canonical import Json
from troth.kit.clock import Clock
from troth.kit.errors import TrothError
from troth.kit.lane import Request, Response
from troth.trust.intake.inbox import Spoilt
from troth.trust.intake.reported import Reported
from troth.trust.signals.model import FUTURE_TOLERANCE, Effect, Method, Signal, Verified, Whom, signal
from troth.trust.standing import Standing

_T = TypeVar("_T")

#: What stands behind the kind of a shared secret that another has replaced and that is good for a day still.
FORMER: Final = ".former"

__all__ = ("Connector", "Pulled", "Pushed", "Read", "Reported", "Seen", "Spoilt", "Streams", "Vendor", "Wiring", "each")


@dataclass(frozen=True, slots=True)
class Pulled:
    """What one look brought.

    Attributes:
        cursor: where the next look goes on: JSON of the module's own, stored together with what stands here.
        more: there is more to be had at once.
        spoilt: items that could not be read; they are kept for a person, and the cursor moves past them.
    """

    signals: Sequence[Signal] = ()
    reports: Sequence[Reported] = ()
    cursor: Json = None
    more: bool = False
    spoilt: Sequence[Spoilt] = ()


Pull: TypeAlias = Callable[[Json], Awaitable[Pulled]]


@dataclass(frozen=True, slots=True)
class Read:
    """One thing that a connector reads.

    Attributes:
        name: within the connector: ``alerts``.
        pull: from a cursor (None: the very first time) to what is new. It may be run again from the same cursor, so it
            changes nothing anywhere.
        probe: one look at as little as possible, for ``troth connector test``.
        scope: what the vendor must have granted for it, in the vendor's words.
        every: seconds between two looks; 0: the next one at once, for a pull that waits by itself.
        heartbeat: whether a look that succeeds proves that the feed is alive.
    """

    name: str
    pull: Pull
    probe: Callable[[], Awaitable[object]]
    scope: str
    every: int
    heartbeat: bool = True


@dataclass(frozen=True, slots=True)
class Pushed:
    """What a pushed message brought, and how its sender is answered once all of it is durable.

    ``due``: names of reads that are to look at once, since the message says only that there is something to be seen.
    """

    signals: Sequence[Signal] = ()
    reports: Sequence[Reported] = ()
    spoilt: Sequence[Spoilt] = ()
    response: Response = field(default_factory=lambda: Response(202))
    heartbeat: bool = True
    due: Sequence[str] = ()


class Connector(Protocol):
    """One connector at work. It keeps nothing that a restart may not lose."""

    @property
    def reads(self) -> Sequence[Read]:
        """What it pulls; empty for a system that only pushes."""
        ...

    async def push(self, request: Request) -> Pushed:
        """Read a pushed message. Raises PushRefused unless it proves where it comes from.

        Nothing slow belongs here: the answer waits for it.
        """
        ...

    async def close(self) -> None:
        """Let go of connections."""
        ...


class Streams(Fetches, Protocol):
    """The guarded client, with answers that go on."""

    def stream(self, method: str, url: str, *, headers: Mapping[str, str] | None = None, idle_seconds: float) -> Any:
        """See :meth:`troth.kit.http.HttpClient.stream`; an asynchronous context manager of :class:`Stream`."""
        ...


@dataclass(frozen=True, kw_only=True)
class Wiring:
    """What a vendor's module is handed.

    Attributes:
        options: the definition's, as the vendor's own type.
        secrets: by kind, opened.
        sleep: how to wait; tests hand in another.
        seen: what was noticed of the other side by the way.
    """

    definition: ConnectorDefinition
    options: Any
    secrets: Mapping[str, bytes]
    base_url: str
    http: Streams
    clock: Clock
    paces: Paces
    group: str
    sleep: Sleep = asyncio.sleep
    seen: Seen = field(default_factory=Seen)

    def secret(self, kind: str) -> bytes:
        """The secret of that kind. Raises ConnectorError (``connector.secret_missing``)."""
        found = self.secrets.get(kind)
        if found is None:
            raise ConnectorError(SECRET_MISSING, f"{self.definition.name} has no {kind}", kind=kind)
        return found

    def shared(self, kind: str) -> tuple[bytes, ...]:
        """The secrets by which the other side may prove itself now, the newest first. Raises as :meth:`secret` does."""
        former = self.secrets.get(kind + FORMER)
        return (self.secret(kind),) if former is None else (self.secret(kind), former)

    def pace(self, *, per_second: float, burst: int = 1, of: str = "") -> Pace:
        """The pace of this tenant; ``of`` names a surface that has limits of its own."""
        return self.paces.of(f"{self.group}/{of}", per_second=per_second, burst=burst)

    def api(self, proof: Proof, pace: Pace, *, pause_headers: Sequence[str] = ("retry-after",)) -> VendorApi:
        """The vendor's API behind the definition's address."""
        return VendorApi(
            self.http, self.clock, base_url=self.base_url, proof=proof, pace=pace, pause_headers=pause_headers,
            sleep=self.sleep, seen=self.seen,
        )  # fmt: skip

    def signal(
        self,
        kind: str,
        whom: Whom,
        *,
        message_id: str,
        observed_at: datetime,
        raw: Any = None,
        method: Method = Method.TLS_PULL,
        key_id: str | None = None,
        effect: Effect | None = None,
        level: Standing | None = None,
        cause: str | None = None,
        evidence: str = "",
        severity: int | None = None,
        confidence: int | None = None,
        expires_at: datetime | None = None,
        sequence: str | None = None,
        fields: Mapping[str, Json] | None = None,
    ) -> Signal:
        """A signal of this connector's feed.

        ``message_id`` must be the same whenever the same thing is read again, and another when it has changed. A
        moment further in the future than clocks may differ counts as now. Raises SignalError, ValueError.
        """
        now = self.clock.now()
        return signal(
            feed=self.definition.feed, message_id=message_id, digest=hashlib.sha256(message_id.encode()).digest(),
            kind=kind, whom=whom, observed_at=observed_at if observed_at <= now + FUTURE_TOLERANCE else now, now=now,
            effect=effect, level=level, cause=cause, evidence=_readable(evidence), severity=severity,
            confidence=confidence, expires_at=expires_at, sequence=sequence,
            verified=Verified(method, key_id or self.definition.client_id or None), fields=fields,
        )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Vendor:
    """What is known of a vendor before anything is asked of it.

    Attributes:
        name: as in ``vendor:``. title: for people.
        make: builds the connector; raises ConnectorError for a secret that is missing or of no use.
        options: msgspec type of ``options:``.
        clouds: short name → address.
        hosts: names of the vendor's own (``*.crowdstrike.com``): there, no setting needs to allow requests.
        secrets: kinds of secret → what it is, for people; the first is the usual one.
        tenancy: connectors of one tenancy and tenant share one pace, and are run by one process; usually the name.
        check: what else is to be said against a definition: (field, what is wrong), or None.
        push_secrets: those of ``secrets`` by which the vendor proves itself to us.
        systems: the names by which it knows subjects: ``crowdstrike.aid``.
        pulls, pushes: which ways it has.
    """

    name: str
    title: str
    make: Callable[[Wiring], Connector]
    options: Any
    secrets: Mapping[str, str]
    clouds: Mapping[str, str] = field(default_factory=dict)
    hosts: tuple[str, ...] = ()
    tenancy: str = ""
    check: Callable[[ConnectorDefinition, Any], tuple[str, str] | None] = lambda _definition, _options: None
    push_secrets: frozenset[str] = frozenset()
    systems: tuple[str, ...] = ()
    pulls: bool = True
    pushes: bool = False

    def missing(self, definition: ConnectorDefinition, held: frozenset[str]) -> tuple[str, ...]:
        """Kinds of secret of which one more is needed before ``definition`` can work; empty: it has what it needs.

        Of the secrets by which Troth proves itself one is enough; what others prove themselves with is wanted as well
        where they push.
        """
        own = tuple(kind for kind in self.secrets if kind not in self.push_secrets)
        lacking = own if own and held.isdisjoint(own) else ()
        if self.push_secrets and not self.pulls and held.isdisjoint(self.push_secrets):
            lacking = (*lacking, *self.push_secrets)
        return lacking

    def group(self, definition: ConnectorDefinition) -> str:
        """Who shares a pace with ``definition``."""
        return f"{self.tenancy or self.name}:{definition.tenant or definition.client_id or definition.name}"


def each(
    items: Iterable[Any], read: Callable[[Any], _T | None], *, name: Callable[[Any], str]
) -> tuple[list[_T], list[Spoilt]]:
    """``read`` of every item, None left out; and those that could not be read, each under its ``name``.

    One item that nobody foresaw must neither stop the others nor be lost.
    """
    found: list[_T] = []
    spoilt: list[Spoilt] = []
    for item in items:
        try:
            made = read(item)
        except (TrothError, ValueError, TypeError, LookupError, ArithmeticError, OSError, RecursionError) as error:
            code = error.code if isinstance(error, TrothError) else ANSWER.code
            detail = error.detail if isinstance(error, TrothError) else str(error)
            spoilt.append(Spoilt(_name(item, name), code, detail, item))
            continue
        if made is not None:
            found.append(made)
    return found, spoilt


def _name(item: Any, name: Callable[[Any], str]) -> str:
    try:
        return f"spoilt:{name(item)}"[:200]
    except (TypeError, KeyError, AttributeError, ValueError):
        digest = hashlib.sha256(msgspec.json.encode(item)).hexdigest()
        return f"spoilt:{digest}"


def _readable(text: str) -> str:
    """Evidence is shown to people and printed on terminals: at most 1,000 characters, none that control anything."""
    short = text if len(text) <= 1_000 else text[:999] + "…"
    return "".join(one if one.isprintable() or one in "\n\t" else "\N{REPLACEMENT CHARACTER}" for one in short)
