"""Effects at other people's systems, by the connector that reads them: its address, its credentials, its pace.

A connector that acts has an attribute ``acting``: the :class:`~troth.connect.api.VendorApi` to act by. What it does for
each port is in :mod:`troth.connect.effects.vendors`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeAlias

from troth.connect.api import VendorApi
from troth.connect.connector_store import Stored
from troth.connect.errors import ANSWER, ELSEWHERE, ConnectorError, ConnectorUnknown, Throttled
from troth.connect.vendors import Made
from troth.kit.clock import Clock
from troth.kit.http import EgressRefused, HttpFailed
from troth.trust.outbox.model import Effect, EffectSubject, Outcome


@dataclass(frozen=True, slots=True)
class Hand:
    """What an action has in hand. ``options``: the connector's."""

    api: VendorApi
    options: Mapping[str, Any]

    def option(self, name: str) -> str:
        """A text option; empty where there is none."""
        return str(self.options.get(name) or "")


Action: TypeAlias = Callable[[Hand, Effect, EffectSubject], Awaitable[Outcome]]


class Connectors(Protocol):
    """Keeps connectors: :class:`troth.connect.desk.ConnectorDesk`."""

    async def find(self, name: str) -> Stored:
        """The connector of that name. Raises ConnectorUnknown."""
        ...


class Opens(Protocol):
    """Opens connectors: :class:`troth.connect.desk.Opener`."""

    async def open(self, stored: Stored) -> Made:
        """The connector at work. Raises ConnectorError, SealBroken."""
        ...


#: What no repetition mends: the other side does not know what was asked for.
_FINAL: Final = frozenset({ANSWER, ELSEWHERE})


class ConnectorPort:
    """The ports of one vendor. ``actions``: port → what it does."""

    def __init__(
        self, vendor: str, actions: Mapping[str, Action], connectors: Connectors, opener: Opens, clock: Clock
    ) -> None:
        self._vendor = vendor
        self._actions = actions
        self._connectors = connectors
        self._opener = opener
        self._clock = clock
        self._open: dict[str, tuple[int, Made]] = {}

    async def execute(self, effect: Effect, subject: EffectSubject) -> Outcome:
        """See :class:`~troth.trust.outbox.model.EffectPort`."""
        action = self._actions.get(effect.port)
        if action is None:
            return Outcome.unavailable(f"nothing here does {effect.port}")
        try:
            stored = await self._connectors.find(effect.target)
            if stored.definition.vendor != self._vendor:
                return Outcome.refused(f"{effect.target} is a connector of {stored.definition.vendor}")
            if stored.paused:
                return Outcome.retry(f"connector {effect.target} is paused")
            made = await self._opened(stored)
            api = getattr(made.connector, "acting", None)
            if not isinstance(api, VendorApi):
                return Outcome.unavailable(f"the connector of {self._vendor} only reads")
            return await action(Hand(api, stored.definition.options), effect, subject)
        except ConnectorUnknown:
            return Outcome.unavailable(f"there is no connector {effect.target}")
        except Throttled as error:
            return Outcome.retry(str(error), error.until - self._clock.now())
        except ConnectorError as error:
            return Outcome.refused(str(error)) if error.reason in _FINAL else Outcome.retry(str(error))
        except EgressRefused as error:
            return Outcome.refused(str(error))
        except HttpFailed as error:
            return Outcome.retry(str(error))

    async def _opened(self, stored: Stored) -> Made:
        """Opened once for each version of its definition and secrets."""
        known = self._open.get(stored.name)
        if known is not None and known[0] == stored.version:
            return known[1]
        made = await self._opener.open(stored)
        self._open[stored.name] = (stored.version, made)
        if known is not None:
            await known[1].close()
        return made

    async def close(self) -> None:
        """Let go of connections."""
        for _, made in self._open.values():
            await made.close()
        self._open.clear()


def user_of(subject: EffectSubject) -> EffectSubject | None:
    """The user whom an effect on accounts means: the subject itself, or the owner of a device; None: nobody."""
    if subject.kind == "user":
        return subject
    owner = subject.owner
    return owner if owner is not None and owner.kind == "user" and not owner.protected else None


def sure(found: tuple[str, ...], system: str) -> tuple[str, ...] | Outcome:
    """``found``, or the refusal of an effect whose subject that system does not know."""
    return found or Outcome.refused(f"it is not known there: no {system} is bound to it")
