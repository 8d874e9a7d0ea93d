"""Ending an enrolment, and closing an ACME account, as acts: who does it shuts out whoever came in by it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar
from uuid import UUID

from troth.access.approvals.acts import text
from troth.access.approvals.errors import PAYLOAD_INVALID, ApprovalRefused
from troth.access.approvals.model import Order, Preview
from troth.access.model import Principal
from troth.access.roles import Permission
from troth.enroll.acme.closing import Closer
from troth.enroll.credentials.service import Enrolments
from troth.kit.canonical import Json


class EnrolmentRevoke:
    """``enrolment.revoke``. Payload: ``enrolment`` (its id), ``certificates`` (whether those of its accounts are
    revoked too; then the act is as large as they are many)."""

    permission: ClassVar = Permission.ENROLMENT_MANAGE
    secret: ClassVar = False

    def __init__(self, enrolments: Enrolments, closer: Closer) -> None:
        self._enrolments = enrolments
        self._closer = closer

    async def preview(self, payload: Mapping[str, Any], by: Principal) -> Preview:
        """See :class:`~troth.access.approvals.model.Executor`."""
        found = await self._enrolments.get(_id(payload, "enrolment"))
        living = await self._closer.living("enrolment", found.id)
        lines = (
            f"{found.kind}, {found.status}. It opens nothing any more.",
            "Every account that it has opened is shut out on its next call; orders under way end, and renewals by EST.",
            _certificates(payload, living),
        )
        state: Json = {"enrolment": str(found.id), "status": found.status}
        return Preview(f"End the enrolment {found.name}", lines, state, size=_size(payload, living))

    async def execute(self, payload: Mapping[str, Any], order: Order) -> Json:
        """See :class:`~troth.access.approvals.model.Executor`."""
        closer = self._closer
        close = closer.enrolled_with_certificates if _with_certificates(payload) else closer.enrolled
        enrolment = _id(payload, "enrolment")
        await self._enrolments.revoke(enrolment, by=order.by.actor, closing=[close], joined=order.unit)
        return {"enrolment": str(enrolment)}


class AcmeAccountRevoke:
    """``acme_account.revoke``. Payload: ``account`` (its id), ``certificates`` as above."""

    permission: ClassVar = Permission.ENROLMENT_MANAGE
    secret: ClassVar = False

    def __init__(self, closer: Closer) -> None:
        self._closer = closer

    async def preview(self, payload: Mapping[str, Any], by: Principal) -> Preview:
        """See :class:`~troth.access.approvals.model.Executor`."""
        found = await self._closer.get(_id(payload, "account"))
        living = await self._closer.living("account", found.id)
        lines = (
            f"An account of the directory {found.directory}, {found.status}.",
            "It is shut out on its next call; orders under way end. Its key can open no other account there.",
            _certificates(payload, living),
        )
        state: Json = {"account": str(found.id), "status": found.status}
        return Preview(f"Close the ACME account {found.id}", lines, state, size=_size(payload, living))

    async def execute(self, payload: Mapping[str, Any], order: Order) -> Json:
        """See :class:`~troth.access.approvals.model.Executor`."""
        account = _id(payload, "account")
        certificates = _with_certificates(payload)
        await self._closer.revoke(account, by=order.by.actor, certificates=certificates, joined=order.unit)
        return {"account": str(account)}


def _id(payload: Mapping[str, Any], name: str) -> UUID:
    try:
        return UUID(text(payload, name))
    except ValueError as error:
        raise ApprovalRefused(PAYLOAD_INVALID, f"{name} is an identifier") from error


def _with_certificates(payload: Mapping[str, Any]) -> bool:
    chosen = payload.get("certificates", False)
    if not isinstance(chosen, bool):
        raise ApprovalRefused(PAYLOAD_INVALID, "certificates is true or false")
    return chosen


def _certificates(payload: Mapping[str, Any], living: int) -> str:
    end = "are revoked" if _with_certificates(payload) else "stay"
    return f"{living} living certificates behind it {end}."


def _size(payload: Mapping[str, Any], living: int) -> int:
    return max(1, living) if _with_certificates(payload) else 1
