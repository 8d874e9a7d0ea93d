"""Subjects, staged actions, configuration and enforcement over the API."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal
from uuid import UUID

from litestar import get, post
from litestar.params import FromPath, FromQuery, JSONBody
from msgspec import Meta, Struct

from troth.access.roles import Permission
from troth.web.api.certificates import Note
from troth.web.asking import apply as asked_apply
from troth.web.asking import ask
from troth.web.errors import MALFORMED, NotFound, WebError
from troth.web.guard import asker, needs
from troth.web.parameters import Limit
from troth.web.render import Req, services_of
from troth.web.views import (
    Applied,
    FeedView,
    FreezeView,
    Page,
    PolicyView,
    StagedView,
    Subject,
    SubjectFilter,
    SubjectRow,
)


class Reason(Struct, frozen=True, forbid_unknown_fields=True):
    """Why enforcement is stopped."""

    reason: Annotated[str, Meta(min_length=1, max_length=500)]


class SecretCommand(Struct, frozen=True, forbid_unknown_fields=True):
    """``leaked``: the former secret stops at once rather than in a day."""

    leaked: bool = False


class NewSecret(Struct, frozen=True):
    """A fresh webhook secret."""

    secret: str


@get("/subjects", opt=needs(Permission.SUBJECT_READ), operation_id="listSubjects", tags=["Subjects"])
async def list_subjects(
    request: Req,
    q: FromQuery[str] = "",
    standing: FromQuery[Literal["", "trusted", "restricted", "quarantined", "distrusted"]] = "",
    kind: FromQuery[Literal["", "user", "device", "workload"]] = "",
    cursor: FromQuery[str | None] = None,
    limit: Limit = 50,
) -> Page[SubjectRow]:
    """Subjects by name."""
    wanted = SubjectFilter(text=q[:200], standing=standing, kind=kind, cursor=cursor, limit=limit)
    return await services_of(request).subjects.search(wanted)


@get("/subjects/{ref:str}", opt=needs(Permission.SUBJECT_READ), operation_id="getSubject", tags=["Subjects"])
async def get_subject(request: Req, ref: FromPath[str]) -> Subject:
    """One subject by id, ``kind:name`` or name."""
    book = services_of(request).subjects
    subject_id = await book.find(ref[:200])
    found = await book.get(subject_id) if subject_id else None
    if found is None:
        raise NotFound(f"there is no subject {ref[:80]!r}")
    return found


@get("/staged", opt=needs(Permission.STAGED_READ), operation_id="listStaged", tags=["Staged actions"])
async def list_staged(request: Req) -> Sequence[StagedView]:
    """What waits for a person, oldest first."""
    return await services_of(request).staged.list()


async def _staged(request: Req, staged_id: UUID) -> StagedView:
    found = await services_of(request).staged.get(staged_id)
    if found is None:
        raise NotFound("there is no such staged action")
    return found


@post("/staged/{staged_id:uuid}/approve", opt=needs(Permission.STAGED_DECIDE), operation_id="approveStaged",
      tags=["Staged actions"], status_code=200)  # fmt: skip
async def approve_staged(request: Req, staged_id: FromPath[UUID], data: JSONBody[Note]) -> StagedView:
    """Do it now."""
    await _staged(request, staged_id)
    await ask(request, "staged.approve", {"action": str(staged_id), "note": data.note}, comment=data.note)
    return await _staged(request, staged_id)


@post("/staged/{staged_id:uuid}/reject", opt=needs(Permission.STAGED_DECIDE), operation_id="rejectStaged",
      tags=["Staged actions"], status_code=200)  # fmt: skip
async def reject_staged(request: Req, staged_id: FromPath[UUID], data: JSONBody[Note]) -> StagedView:
    """Drop it."""
    await _staged(request, staged_id)
    await services_of(request).staged.reject(staged_id, asker(request), data.note)
    return await _staged(request, staged_id)


@post("/apply", opt=needs(Permission.CONFIGURATION_APPLY), operation_id="apply", tags=["Configuration"],
      status_code=200)  # fmt: skip
async def apply(request: Req, dry_run: FromQuery[bool] = False, prune: FromQuery[bool] = False) -> Applied:
    """Apply YAML (directory, policies, feeds) sent as the body, all together or not at all.

    ``prune``: also remove the subjects of a directory's source that it no longer names.
    """
    body = await request.body()
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        raise WebError(MALFORMED, "the body is not UTF-8") from error
    if dry_run:
        return await services_of(request).configuration.apply(text, asker(request), dry_run=True, prune=prune)
    return await asked_apply(request, text, prune=prune)


@get("/policies", opt=needs(Permission.POLICY_READ), operation_id="listPolicies", tags=["Configuration"])
async def list_policies(request: Req) -> Sequence[PolicyView]:
    """The policies in force."""
    return await services_of(request).configuration.policies()


@get("/policies/{name:str}", opt=needs(Permission.POLICY_READ), operation_id="getPolicy", tags=["Configuration"])
async def get_policy(request: Req, name: FromPath[str]) -> Sequence[PolicyView]:
    """All versions of one policy, latest first."""
    found = await services_of(request).configuration.policy(name)
    if not found:
        raise NotFound(f"there is no policy {name[:80]!r}")
    return found


@get("/feeds", opt=needs(Permission.FEED_READ), operation_id="listFeeds", tags=["Configuration"])
async def list_feeds(request: Req) -> Sequence[FeedView]:
    """All feeds and what they are granted."""
    return await services_of(request).configuration.feeds()


@post("/feeds/{name:str}/secret", opt=needs(Permission.FEED_WRITE), operation_id="changeFeedSecret",
      tags=["Configuration"], status_code=200)  # fmt: skip
async def change_feed_secret(request: Req, name: FromPath[str], data: JSONBody[SecretCommand]) -> NewSecret:
    """A new webhook secret, shown this once."""
    made = await ask(request, "feed.secret", {"feed": name, "leaked": data.leaked})
    return NewSecret(str(made["secret"]))


@post("/feeds/{name:str}/suspend", opt=needs(Permission.FEED_WRITE), operation_id="suspendFeed",
      tags=["Configuration"], status_code=200)  # fmt: skip
async def suspend_feed(request: Req, name: FromPath[str], data: JSONBody[Note]) -> Sequence[FeedView]:
    """Record the feed's signals and stage what they ask for."""
    configuration = services_of(request).configuration
    await configuration.suspend_feed(name, asker(request), suspended=True, reason=data.note)
    return await configuration.feeds()


@post("/feeds/{name:str}/resume", opt=needs(Permission.FEED_WRITE), operation_id="resumeFeed",
      tags=["Configuration"], status_code=200)  # fmt: skip
async def resume_feed(request: Req, name: FromPath[str], data: JSONBody[Note]) -> Sequence[FeedView]:
    """Let the feed act again, within its cap."""
    await ask(request, "feed.resume", {"feed": name, "reason": data.note}, comment=data.note)
    return await services_of(request).configuration.feeds()


@get("/enforcement", opt=needs(Permission.STATUS_READ), operation_id="getEnforcement", tags=["Enforcement"])
async def get_enforcement(request: Req) -> FreezeView:
    """Whether enforcement is stopped."""
    return await services_of(request).enforcement.state()


@post("/enforcement/freeze", opt=needs(Permission.ENFORCEMENT_FREEZE), operation_id="freeze", tags=["Enforcement"],
      status_code=200)  # fmt: skip
async def freeze(request: Req, data: JSONBody[Reason]) -> FreezeView:
    """Stop automation."""
    await services_of(request).enforcement.freeze(asker(request), data.reason)
    return await services_of(request).enforcement.state()


@post("/enforcement/unfreeze", opt=needs(Permission.ENFORCEMENT_FREEZE), operation_id="unfreeze",
      tags=["Enforcement"], status_code=200)  # fmt: skip
async def unfreeze(request: Req) -> FreezeView:
    """Let automation go on."""
    await ask(request, "enforcement.unfreeze", {})
    return await services_of(request).enforcement.state()


HANDLERS = (
    list_subjects, get_subject, list_staged, approve_staged, reject_staged, apply, list_policies, get_policy,
    list_feeds, change_feed_secret, suspend_feed, resume_feed, get_enforcement, freeze, unfreeze,
)  # fmt: skip
