"""How shipping is: when everything was last there, and for what reason nothing is shipped now; for whoever watches.

The duty that ships runs in a worker and says both with marks (``troth.store.marks``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from troth.kit.errors import INTERNAL, Reason, registered_reasons

#: When everything that the ledger held was last shipped.
SHIPPED: Final = "shipping"
#: Behind it stands the code of the reason for which shipping has stopped; its time is when it did.
STOPPED: Final = "shipping_stopped:"


@dataclass(frozen=True, slots=True)
class Shipping:
    """See the module.

    Attributes:
        complete_at: None: never.
        stopped: why it has stopped, and ``stopped_at`` when; None: it has not.
    """

    complete_at: datetime | None = None
    stopped: Reason | None = None
    stopped_at: datetime | None = None


def shipping(marks: Mapping[str, datetime]) -> Shipping:
    """What ``marks`` say of it."""
    complete_at = marks.get(SHIPPED)
    stops = [(at, name.removeprefix(STOPPED)) for name, at in marks.items() if name.startswith(STOPPED)]
    if not stops or (complete_at is not None and max(stops)[0] < complete_at):
        return Shipping(complete_at)
    at, code = max(stops)
    return Shipping(complete_at, registered_reasons().get(code, INTERNAL), at)


def stops(marks: Mapping[str, datetime]) -> list[tuple[str]]:
    """The marks of stops, as :data:`troth.store.marks.UNMARK` takes them."""
    return [(name,) for name in marks if name.startswith(STOPPED)]
