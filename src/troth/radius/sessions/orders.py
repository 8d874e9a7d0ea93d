"""Orders: what is to be done to a session. Written in the unit of what causes them, done by ``dynamic``."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final, Literal, TypeAlias
from uuid import UUID

from msgspec import Struct

from troth.kit.ids import new_id
from troth.radius.sessions.model import Session

Kind: TypeAlias = Literal["disconnect", "reauthorize"]
#: ``staged`` waits for a person; ``done``, ``gone`` (the session was over), ``refused`` (the access server will not, or
#: not so), ``failed`` (it never answered, or the time is over) and ``dropped`` are ends.
State: TypeAlias = Literal["waiting", "staged", "done", "gone", "refused", "failed", "dropped"]

#: Woken when there is an order to be done.
ORDERS_CHANNEL: Final = "troth_radius_orders"
#: First words of origins: an Accept that a change has overtaken, an event of the ledger, an effect, a person, a wave.
ADMISSION: Final = "admission"
EVENT: Final = "event"
EFFECT: Final = "effect"
PERSON: Final = "person"
WAVE: Final = "wave"
#: An access server that does not answer is asked again and again for so long; then a person must look.
GIVE_UP: Final = timedelta(hours=24)


class Order(Struct, frozen=True, kw_only=True):
    """One thing to be done to one session (migration 0036 says what each field is)."""

    id: UUID
    kind: Kind
    session_id: UUID
    opened_at: datetime
    nas: str
    lane: str
    origin: str
    actor: str
    reason: str = ""
    automated: bool
    accepted_at: datetime
    planned_at: datetime
    due: datetime
    give_up_at: datetime
    attempts: int = 0
    epoch: int | None = None
    state: State = "waiting"
    ended_at: datetime | None = None
    step: str = ""
    detail: str = ""

    @property
    def over(self) -> bool:
        """Whether nothing more comes of it by itself."""
        return self.state not in ("waiting", "staged")


def order_for(
    session: Session,
    kind: Kind,
    *,
    origin: str,
    actor: str,
    automated: bool,
    at: datetime,
    accepted_at: datetime | None = None,
    due: datetime | None = None,
    reason: str = "",
    staged: bool = False,
) -> Order:
    """An order about ``session``. ``accepted_at``: when what causes it was accepted: latency counts from there."""
    begins = due or at
    return Order(
        id=new_id(), kind=kind, session_id=session.id, opened_at=session.opened_at, nas=session.where.nas,
        lane=session.lane, origin=origin, actor=actor, reason=reason, automated=automated,
        accepted_at=accepted_at or at, planned_at=at, due=begins, give_up_at=begins + GIVE_UP,
        state="staged" if staged else "waiting",
    )  # fmt: skip
