"""Targets of the reactions in force, with their secrets, and what answers over HTTP mean for an effect."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Protocol, TypeVar

from troth.connect.pacing import asked_pause
from troth.kit.http import Answer, EgressRefused, HttpFailed
from troth.trust.outbox.errors import TARGET_UNKNOWN, TargetUnknown
from troth.trust.outbox.model import Outcome
from troth.trust.outbox.reactions import Target

_T = TypeVar("_T", bound=Target)


class Targets(Protocol):
    """Knows targets: :class:`troth.trust.outbox.desk.EffectDesk`."""

    async def target(self, name: str) -> Target:
        """The target of that name. Raises TargetUnknown."""
        ...

    async def secret(self, name: str) -> bytes | None:
        """Its secret, opened."""
        ...


class Posts(Protocol):
    """The guarded client."""

    async def request(
        self, method: str, url: str, *, headers: Mapping[str, str] | None = None, body: bytes = b""
    ) -> Answer:
        """One exchange. Raises EgressRefused, HttpFailed."""
        ...


async def target_of(targets: Targets, name: str, kind: type[_T]) -> _T:
    """The target, if it still is of that kind. Raises TargetUnknown."""
    found = await targets.target(name)
    if not isinstance(found, kind):
        raise TargetUnknown(TARGET_UNKNOWN, f"target {name} is of another kind now")
    return found


async def post(
    http: Posts, url: str, headers: Mapping[str, str], body: bytes, *, now: datetime, gone: frozenset[int]
) -> Outcome:
    """Send ``body``; 2xx is done, one of ``gone`` refused for good, anything else tried again when it is asked to be.

    No answer's text is kept: it is the other side's, and may hold anything.
    """
    try:
        answer = await http.request("POST", url, headers=headers, body=body)
    except EgressRefused as error:
        return Outcome.refused(str(error))
    except HttpFailed as error:
        return Outcome.retry(str(error))
    if 200 <= answer.status < 300:
        return Outcome.done(f"answered {answer.status}")
    if answer.status in gone:
        return Outcome.refused(f"answered {answer.status}")
    asked = asked_pause(answer.headers, now) if "retry-after" in answer.headers else None
    return Outcome.retry(f"answered {answer.status}", asked)
