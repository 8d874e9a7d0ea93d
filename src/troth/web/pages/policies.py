"""Pages of one policy: its versions with what changed, going back, and trying a text before it is applied."""

from __future__ import annotations

from typing import Any

from litestar import Response, get, post
from litestar.params import FromPath, FromQuery
from litestar.response import Redirect

from troth.access.roles import Permission
from troth.kit.errors import TrothError
from troth.trust.authoring.replay_service import Bounds
from troth.trust.policy.grammar import MAX_BYTES
from troth.web.asking import apply
from troth.web.errors import NotFound
from troth.web.forms import fields
from troth.web.guard import needs
from troth.web.parameters import Version, VersionOfPath
from troth.web.policy_views import TrialView
from troth.web.problems import shown
from troth.web.render import Req, page, services_of

#: What a page waits for; the command and the API look further.
_BOUNDS = Bounds(decisions=5_000, certificates=20_000)


@get("/policies/{name:str}", opt=needs(Permission.POLICY_READ), include_in_schema=False)
async def policy(request: Req, name: FromPath[str], version: Version = None) -> Response[str]:
    """One policy, in one of its versions, with what that one changed."""
    versions = await services_of(request).configuration.policy(name)
    found = next((one for one in versions if version in (None, one.version)), None)
    if found is None:
        raise NotFound("there is no such policy, or no such version of it")
    earlier = next((one for one in versions if one.version < found.version), None)
    book = services_of(request).policies
    diff = await book.diff(name, earlier.version, found.version) if earlier is not None else ""
    return await page(request, "policy.html", area="policies", versions=versions, shown=found, diff=diff)


async def _trial(
    request: Req, text: str = "", *, trial: TrialView | None = None, problem: TrothError | None = None
) -> Response[str]:
    return await page(
        request, "policy_try.html", area="policies", text=text, trial=trial,
        status=problem.reason.status if problem else 200, problem=shown(problem) if problem else None,
    )  # fmt: skip


@get("/policy/try", opt=needs(Permission.POLICY_WRITE), include_in_schema=False)
async def form(request: Req, name: FromQuery[str] = "") -> Response[str]:
    """Where a policy is pasted; ``name``: the one to begin with."""
    versions = await services_of(request).configuration.policy(name[:80]) if name else []
    return await _trial(request, versions[0].text if versions else "")


@post("/policy/try", opt=needs(Permission.POLICY_WRITE), include_in_schema=False)
async def try_it(request: Req) -> Response[Any]:
    """Its examples, what its text changes, and whom it would change; or, with the other button, apply it."""
    text, verb, loss = await fields(request, "text", "verb", "accept_loss", longest=MAX_BYTES)
    try:
        if verb == "apply":
            applied = await apply(request, text, prune=False, accept_loss=loss == "true")
            name = next((one.name for one in applied.changes if one.kind == "policy"), "")
            return Redirect(f"/policies/{name}?done=applied" if name else "/policies", status_code=303)
        return await _trial(request, text, trial=await services_of(request).policies.replay(text, _BOUNDS))
    except TrothError as error:
        return await _trial(request, text, problem=error)


async def _back(
    request: Req, name: str, version: int, *, status: int = 200, problem: TrothError | None = None
) -> Response[str]:
    book = services_of(request).policies
    text = await book.text_of(name, version)
    diff = await book.diff_document(text)
    hits = [line for line in diff.splitlines()[:200] if line[:1] in "+-"] or ["Nothing differs from what is in force."]
    return await page(
        request, "confirm.html", area="policies", status=status, title=f"Go back to version {version} of {name}",
        text="Its text is applied anew, as a new version.", hits=hits,
        action=f"/policies/{name}/back/{version}", back=f"/policies/{name}?version={version}", verb="Apply it",
        tone="primary", typed="", note_label="", reasons=[], line=f"troth policy back {name} {version}",
        problem=shown(problem) if problem else None,
    )  # fmt: skip


@get("/policies/{name:str}/back/{version:int}", opt=needs(Permission.POLICY_WRITE), include_in_schema=False)
async def back_preview(request: Req, name: FromPath[str], version: VersionOfPath) -> Response[str]:
    """What going back would change."""
    return await _back(request, name, version)


@post("/policies/{name:str}/back/{version:int}", opt=needs(Permission.POLICY_WRITE), include_in_schema=False)
async def back(request: Req, name: FromPath[str], version: VersionOfPath) -> Response[Any]:
    """Go back."""
    try:
        await apply(request, await services_of(request).policies.text_of(name, version), prune=False)
    except TrothError as error:
        return await _back(request, name, version, status=error.reason.status, problem=error)
    return Redirect(f"/policies/{name}?done=applied", status_code=303)


HANDLERS = (policy, form, try_it, back_preview, back)
