"""Policies over the API: tried before they are applied, compared, and gone back to. Applying is ``/apply``."""

from __future__ import annotations

from typing import Annotated

from litestar import get, post
from litestar.params import FromPath, JSONBody, QueryParameter
from msgspec import Meta, Struct

from troth.access.roles import Permission
from troth.trust.authoring.replay_service import Bounds
from troth.web.asking import apply
from troth.web.errors import MALFORMED, WebError
from troth.web.guard import needs
from troth.web.parameters import GivenVersion, Version
from troth.web.policy_views import PolicyDifference, TestsView, TrialView
from troth.web.render import Req, services_of
from troth.web.views import Applied

_TAGS = ["Configuration"]

Decisions = Annotated[int, QueryParameter(ge=0, le=200_000)]
Certificates = Annotated[int, QueryParameter(ge=0, le=1_000_000)]


class BackCommand(Struct, frozen=True, forbid_unknown_fields=True):
    """Which version's text is applied anew."""

    version: Annotated[int, Meta(ge=1)]


async def body_text(request: Req) -> str:
    """The body as text. Raises WebError."""
    try:
        return (await request.body()).decode()
    except UnicodeDecodeError as error:
        raise WebError(MALFORMED, "the body is not UTF-8") from error


@post("/policies/test", opt=needs(Permission.POLICY_READ), operation_id="testPolicy", tags=_TAGS, status_code=200)
async def run_examples(request: Req) -> TestsView:
    """Run the examples of a policy (YAML in the body; a document of tests may follow after ``---``)."""
    return await services_of(request).policies.test(await body_text(request))


@post("/policies/replay", opt=needs(Permission.POLICY_WRITE), operation_id="replayPolicy", tags=_TAGS, status_code=200)
async def replay_policy(request: Req, decisions: Decisions = 20_000, certificates: Certificates = 100_000) -> TrialView:
    """Whom a policy would change, from what to what and why: over recorded decisions and the present fleet."""
    return await services_of(request).policies.replay(await body_text(request), Bounds(decisions, certificates))


@post("/policies/diff", opt=needs(Permission.POLICY_READ), operation_id="diffPolicyDocument", tags=_TAGS,
      status_code=200)  # fmt: skip
async def diff_document(request: Req) -> PolicyDifference:
    """What applying a policy (YAML in the body) would change in its text."""
    return PolicyDifference(await services_of(request).policies.diff_document(await body_text(request)))


@get("/policies/{name:str}/diff", opt=needs(Permission.POLICY_READ), operation_id="diffPolicy", tags=_TAGS)
async def diff_policy(
    request: Req, name: FromPath[str], before: GivenVersion, after: Version = None
) -> PolicyDifference:
    """What changed between two versions; ``after`` is by default the newest."""
    return PolicyDifference(await services_of(request).policies.diff(name[:80], before, after))


@post("/policies/{name:str}/back", opt=needs(Permission.POLICY_WRITE), operation_id="backPolicy", tags=_TAGS,
      status_code=200)  # fmt: skip
async def back_policy(request: Req, name: FromPath[str], data: JSONBody[BackCommand]) -> Applied:
    """Apply the text of an earlier version anew, as a new version."""
    return await apply(request, await services_of(request).policies.text_of(name[:80], data.version), prune=False)


HANDLERS = (run_examples, replay_policy, diff_document, diff_policy, back_policy)
