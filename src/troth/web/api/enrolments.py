"""Enrolments and ACME accounts over the API."""

from __future__ import annotations

from uuid import UUID

from litestar import get, post
from litestar.params import FromPath, FromQuery, JSONBody
from msgspec import Struct

from troth.access.roles import Permission
from troth.enroll.credentials.model import KINDS
from troth.web.asking import ask
from troth.web.enrolment_views import (
    AccountRow,
    AccountView,
    EnrolmentCommand,
    EnrolmentMade,
    EnrolmentView,
    EstCertificateRow,
    EstLabelView,
    PausedView,
    Unpaused,
)
from troth.web.errors import MALFORMED, WebError
from troth.web.guard import asker, needs
from troth.web.parameters import Limit
from troth.web.render import Req, services_of
from troth.web.views import Page

_TAGS = ["Enrolment"]


class DirectoryView(Struct, frozen=True):
    """An ACME directory."""

    name: str
    profiles: tuple[str, ...]


class RevokeCommand(Struct, frozen=True, forbid_unknown_fields=True):
    """Whether the certificates are revoked as well."""

    certificates: bool = False


@get("/enrolments", opt=needs(Permission.ENROLMENT_READ), operation_id="listEnrolments", tags=_TAGS)
async def list_enrolments(
    request: Req, kind: FromQuery[str] = "", cursor: FromQuery[str] = "", limit: Limit = 50
) -> Page[EnrolmentView]:
    """What lets clients open accounts, the newest first. No secret is shown."""
    if kind and kind not in KINDS:
        raise WebError(MALFORMED, f"kind is one of {', '.join(KINDS)}")
    return await services_of(request).enrolments.page(kind=kind, cursor=cursor, limit=limit)


@get("/enrolments/{enrolment_id:uuid}", opt=needs(Permission.ENROLMENT_READ), operation_id="getEnrolment", tags=_TAGS)
async def get_enrolment(request: Req, enrolment_id: FromPath[UUID]) -> EnrolmentView:
    """One of them."""
    return await services_of(request).enrolments.get(enrolment_id)


@get("/enrolments/{enrolment_id:uuid}/accounts", opt=needs(Permission.ENROLMENT_READ),
     operation_id="listEnrolmentAccounts", tags=_TAGS)  # fmt: skip
async def enrolment_accounts(
    request: Req, enrolment_id: FromPath[UUID], cursor: FromQuery[str] = "", limit: Limit = 50
) -> Page[AccountRow]:
    """The accounts that it has opened."""
    return await services_of(request).acme_accounts.page(enrolment=enrolment_id, cursor=cursor, limit=limit)


@get("/enrolments/{enrolment_id:uuid}/certificates", opt=needs(Permission.ENROLMENT_READ),
     operation_id="listEnrolmentCertificates", tags=_TAGS)  # fmt: skip
async def enrolment_certificates(
    request: Req, enrolment_id: FromPath[UUID], cursor: FromQuery[str] = "", limit: Limit = 50
) -> Page[EstCertificateRow]:
    """What it has brought by EST, the newest first. Certificates of its ACME accounts are with those."""
    return await services_of(request).est.certificates(enrolment_id, cursor=cursor, limit=limit)


@get("/est/labels", opt=needs(Permission.ENROLMENT_READ), operation_id="listEstLabels", tags=_TAGS)
async def est_labels(request: Req) -> list[EstLabelView]:
    """The EST labels, as they are configured."""
    return services_of(request).est.labels()


@post("/enrolments", opt=needs(Permission.ENROLMENT_MANAGE), operation_id="createEnrolment", tags=_TAGS)
async def create_enrolment(request: Req, data: JSONBody[EnrolmentCommand]) -> EnrolmentMade:
    """Make one. Its secret is told this once."""
    return await services_of(request).enrolments.create(data, asker(request))


@post("/enrolments/{enrolment_id:uuid}/revoke", opt=needs(Permission.ENROLMENT_MANAGE),
      operation_id="revokeEnrolment", tags=_TAGS, status_code=200)  # fmt: skip
async def revoke_enrolment(request: Req, enrolment_id: FromPath[UUID], data: JSONBody[RevokeCommand]) -> EnrolmentView:
    """End it, and the accounts that it has opened; with `certificates`, theirs are revoked too."""
    await ask(request, "enrolment.revoke", {"enrolment": str(enrolment_id), "certificates": data.certificates})
    return await services_of(request).enrolments.get(enrolment_id)


@get("/acme/directories", opt=needs(Permission.ENROLMENT_READ), operation_id="listDirectories", tags=_TAGS)
async def list_directories(request: Req) -> list[DirectoryView]:
    """The ACME directories, and the profiles that each offers."""
    found = services_of(request).enrolments.directories
    return [DirectoryView(name, tuple(profiles)) for name, profiles in found.items()]


@get("/acme/accounts", opt=needs(Permission.ENROLMENT_READ), operation_id="listAcmeAccounts", tags=_TAGS)
async def list_accounts(
    request: Req,
    directory: FromQuery[str] = "",
    status: FromQuery[str] = "",
    cursor: FromQuery[str] = "",
    limit: Limit = 50,
) -> Page[AccountRow]:
    """ACME accounts, the newest first."""
    return await services_of(request).acme_accounts.page(
        directory=directory[:64], status=status[:32], cursor=cursor, limit=limit
    )


@get("/acme/accounts/{account_id:uuid}", opt=needs(Permission.ENROLMENT_READ), operation_id="getAcmeAccount",
     tags=_TAGS)  # fmt: skip
async def get_account(request: Req, account_id: FromPath[UUID]) -> AccountView:
    """One of them, with its latest orders and certificates."""
    return await services_of(request).acme_accounts.get(account_id)


@post("/acme/accounts/{account_id:uuid}/revoke", opt=needs(Permission.ENROLMENT_MANAGE),
      operation_id="revokeAcmeAccount", tags=_TAGS, status_code=200)  # fmt: skip
async def revoke_account(request: Req, account_id: FromPath[UUID], data: JSONBody[RevokeCommand]) -> AccountView:
    """Close it for good; with `certificates`, its certificates are revoked too."""
    await ask(request, "acme_account.revoke", {"account": str(account_id), "certificates": data.certificates})
    return await services_of(request).acme_accounts.get(account_id)


@post("/acme/accounts/{account_id:uuid}/unpause", opt=needs(Permission.ENROLMENT_MANAGE),
      operation_id="unpauseAcmeAccount", tags=_TAGS, status_code=200)  # fmt: skip
async def unpause_account(request: Req, account_id: FromPath[UUID]) -> Unpaused:
    """Let it try again what it never managed to prove."""
    return await services_of(request).acme_accounts.unpause(account_id, asker(request))


@get("/acme/paused", opt=needs(Permission.ENROLMENT_READ), operation_id="listPaused", tags=_TAGS)
async def list_paused(request: Req, cursor: FromQuery[str] = "", limit: Limit = 50) -> Page[PausedView]:
    """Names whose validation never succeeds, and is paused; the latest first."""
    return await services_of(request).acme_accounts.paused(cursor=cursor[:400], limit=limit)


HANDLERS = (
    list_enrolments, get_enrolment, enrolment_accounts, enrolment_certificates, est_labels,
    create_enrolment, revoke_enrolment, list_accounts, get_account,
    revoke_account, unpause_account, list_paused, list_directories,
)  # fmt: skip
