"""Validations that failed, over the API: why a client does not get its certificate."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from litestar import get
from litestar.params import FromQuery
from msgspec import Struct

from troth.access.roles import Permission
from troth.enroll.acme.attempt_store import StoredAttempt
from troth.web.guard import needs
from troth.web.parameters import Limit
from troth.web.render import Req, services_of


class StepView(Struct, frozen=True):
    """One look-up or connection on the way."""

    target: str
    address: str | None
    result: str


class ValidationView(Struct, frozen=True):
    """One try of one challenge that did not pass at once.

    ``outcome``: ``again`` if it is tried once more, ``invalid`` if that was the last try, ``valid`` after failed ones.
    """

    id: UUID
    account_id: UUID
    name: str
    method: str
    outcome: str
    reason: str
    detail: str
    steps: tuple[StepView, ...]
    at: datetime


def validation_view(one: StoredAttempt) -> ValidationView:
    """A try as it is shown."""
    steps = tuple(StepView(step["target"], step["address"], step["result"]) for step in one.record)
    return ValidationView(
        one.id, one.account_id, one.name, one.method, one.outcome, one.reason, one.detail, steps, one.at
    )


@get("/acme/validations", opt=needs(Permission.ENROLMENT_READ), operation_id="listValidations", tags=["Enrolment"])
async def list_validations(
    request: Req, name: FromQuery[str] = "", account: FromQuery[UUID | None] = None, limit: Limit = 50
) -> list[ValidationView]:
    """Failed validations, the latest first: of a name, of an account, or of all."""
    found = await services_of(request).attempts.latest(
        name=name[:255].lower(), account=account, limit=max(1, min(limit, 200))
    )
    return [validation_view(one) for one in found]


HANDLERS = (list_validations,)
