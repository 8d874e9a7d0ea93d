"""Issuances that a policy leaves to a person."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from troth.access.approvals.model import Order, Preview
from troth.access.model import Principal
from troth.access.roles import Permission
from troth.enroll.awaiting import DEMAND, STATE, words_of
from troth.kit.canonical import Json
from troth.store.pool import Database


class IssuanceApproval:
    """``issuance.approve``: let a certificate be issued that policy leaves to a person.

    Payload: ``profile``, ``subjects``, ``names``, ``actor``. Nothing is issued here: the client comes again, and policy
    is asked anew.
    """

    permission: ClassVar = Permission.CERTIFICATE_ISSUE
    secret: ClassVar = False

    def __init__(self, database: Database) -> None:
        self._database = database

    async def preview(self, payload: Mapping[str, Any], by: Principal) -> Preview:
        """See :class:`~troth.access.approvals.model.Executor`."""
        line = "The client is given it when it comes again, if policy still allows it then."
        return Preview(words_of(dict(payload)), (line,), STATE, demand=DEMAND)

    async def execute(self, payload: Mapping[str, Any], order: Order) -> Json:
        """See :class:`~troth.access.approvals.model.Executor`."""
        await self._database.commit(order.unit)
        return {"approved": True}
