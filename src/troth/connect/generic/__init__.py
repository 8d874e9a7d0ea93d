"""Whoever can send a webhook: a JSON message of any shape becomes signals by a mapping in the definition.

``options`` is the mapping as it is written, ``paths`` and ``mapping`` read messages by it, ``verify`` proves them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from troth.connect.connector import Pushed, Read, Vendor, Wiring, each
from troth.connect.errors import PUSH_UNREADABLE, PushRefused
from troth.connect.generic.mapping import Reading
from troth.connect.generic.options import Options, wrong_with
from troth.connect.generic.verify import prove
from troth.kit.errors import TrothError
from troth.kit.lane import Request, Response
from troth.trust.signals.model import Method, Signal

_JSON: Final = ((b"content-type", b"application/json"), (b"cache-control", b"no-store"))


class Generic:
    """A sender whose messages are mapped by the definition."""

    reads: Sequence[Read] = ()

    def __init__(self, wiring: Wiring) -> None:
        self._wiring = wiring
        self._reading = Reading(wiring)

    async def push(self, request: Request) -> Pushed:
        """See :class:`~troth.connect.connector.Connector`."""
        options: Options = self._wiring.options
        method = prove(request, options.verify, self._wiring.shared("push"), now=self._wiring.clock.now())
        events = [
            (event, self._reading.name(event, request.headers, place))
            for place, event in enumerate(self._reading.events(request.body))
        ]
        signals, spoilt = each(events, lambda one: self._reading.signal(*one, method=method), name=lambda one: one[1])
        said = {"accepted": len(signals), "unreadable": len(spoilt)}
        return Pushed(signals, (), spoilt, Response(202, msgspec.json.encode(said), _JSON))

    def preview(self, request: Request) -> list[Signal]:
        """What a message would become, whoever sends it. Raises PushRefused, saying what cannot be read."""
        found = []
        for place, event in enumerate(self._reading.events(request.body)):
            name = self._reading.name(event, request.headers, place)
            try:
                signal = self._reading.signal(event, name, method=Method.NONE)
            except (TrothError, ValueError) as error:
                raise PushRefused(PUSH_UNREADABLE, f"event {place}: {error}") from error
            if signal is not None:
                found.append(signal)
        return found

    async def close(self) -> None:
        """Nothing is held."""


GENERIC: Final = Vendor(
    name="generic",
    title="Generic webhook",
    make=Generic,
    options=Options,
    secrets={"push": "the secret that messages are signed with, or that they carry"},
    push_secrets=frozenset({"push"}),
    check=lambda _definition, options: wrong_with(options),
    pulls=False,
    pushes=True,
)
