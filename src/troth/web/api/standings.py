"""Standing rules, exemptions, re-evaluation and the rollout of feeds over the API."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal
from uuid import UUID

from litestar import delete, get, post
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter
from msgspec import Meta, Struct

from troth.access.roles import Permission
from troth.kit.canonical import Json
from troth.web.asking import ask
from troth.web.books.standings import ExemptionView, OutlookView, RulesView, RunView, ShadowView
from troth.web.errors import MALFORMED, NotFound, WebError
from troth.web.guard import asker, needs
from troth.web.render import Req, services_of

_TAGS = ["Standing"]


class ExemptionCommand(Struct, frozen=True, forbid_unknown_fields=True):
    """Whom to exempt (an id, ``kind:name`` or a name), why, and for how many hours."""

    subject: Annotated[str, Meta(min_length=1, max_length=253)]
    reason: Annotated[str, Meta(min_length=1, max_length=500)]
    hours: Annotated[int, Meta(ge=1, le=24)]


class RolloutCommand(Struct, frozen=True, forbid_unknown_fields=True):
    """How far a feed is in force, for one kind (or class) or for all (``*``)."""

    stage: Literal["shadow", "5", "25", "100"]
    kind: Annotated[str, Meta(min_length=1, max_length=80)] = "*"
    reason: Annotated[str, Meta(max_length=500)] = ""


class RolloutView(Struct, frozen=True):
    """For how many per cent of the subjects a feed's words are in force, by kind."""

    feed: str
    rollout: dict[str, int]


@get("/standing/rules", opt=needs(Permission.POLICY_READ), operation_id="listStandingRules", tags=_TAGS)
async def list_rules(request: Req) -> Sequence[RulesView]:
    """All versions of the standing document, the one in force first; version 0 is what Troth ships."""
    return await services_of(request).standings.versions()


@post("/standing/outlook", opt=needs(Permission.POLICY_READ), operation_id="standingOutlook", tags=_TAGS,
      status_code=200)  # fmt: skip
async def outlook(request: Req) -> OutlookView:
    """What evaluating everybody anew would change: by the document in the body, or by the one in force. Nothing is
    written."""
    body = await request.body()
    if len(body) > 65_536:
        raise WebError(MALFORMED, "the document is larger than 64 KiB")
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        raise WebError(MALFORMED, "the body is not UTF-8") from error
    return await services_of(request).standings.outlook(text if text.strip() else None)


@post("/standing/reevaluate", opt=needs(Permission.POLICY_WRITE), operation_id="reevaluate", tags=_TAGS,
      status_code=202)  # fmt: skip
async def reevaluate(request: Req) -> RunView:
    """Evaluate everybody anew, in the background."""
    standings = services_of(request).standings
    await standings.reevaluate(asker(request))
    return await standings.run() or RunView(running=True, seen=0, moved=0, held_back=0)


@get("/standing/run", opt=needs(Permission.POLICY_READ), operation_id="getReevaluation", tags=_TAGS)
async def run(request: Req) -> RunView:
    """The evaluation under way, or the last one."""
    found = await services_of(request).standings.run()
    if found is None:
        raise NotFound("nobody was ever evaluated anew")
    return found


@get("/exemptions", opt=needs(Permission.STAGED_READ), operation_id="listExemptions", tags=_TAGS)
async def list_exemptions(request: Req, all: FromQuery[bool] = False) -> Sequence[ExemptionView]:
    """Whom automation does not hold at present; ``all``: also what is over."""
    return await services_of(request).standings.exempted(in_force=not all)


@post("/exemptions", opt=needs(Permission.ENFORCEMENT_FREEZE), operation_id="grantExemption", tags=_TAGS)
async def grant_exemption(request: Req, data: JSONBody[ExemptionCommand]) -> dict[str, str]:
    """Propose an exemption: it always takes another person (202)."""
    subject_id = await services_of(request).subjects.find(data.subject)
    if subject_id is None:
        raise NotFound(f"there is no subject {data.subject[:80]!r}")
    payload: dict[str, Json] = {"subject": str(subject_id), "reason": data.reason, "hours": data.hours}
    made = await ask(request, "exemption.grant", payload, comment=data.reason)
    return {name: str(value) for name, value in made.items()}


@delete("/exemptions/{exemption:uuid}", opt=needs(Permission.ENFORCEMENT_FREEZE), operation_id="endExemption",
        tags=_TAGS)  # fmt: skip
async def end_exemption(request: Req, exemption: FromPath[UUID]) -> None:
    """End one before its time."""
    await services_of(request).standings.exemptions.end(exemption, actor=asker(request).actor)


@get("/feeds/{name:str}/shadow", opt=needs(Permission.FEED_READ), operation_id="getFeedShadow", tags=_TAGS)
async def shadow(
    request: Req, name: FromPath[str], days: Annotated[int, QueryParameter(ge=1, le=90)] = 7
) -> ShadowView:
    """What a feed would have done where it is only watched."""
    return await services_of(request).standings.shadow(name[:80], days=days)


@post("/feeds/{name:str}/rollout", opt=needs(Permission.FEED_WRITE), operation_id="setFeedRollout", tags=_TAGS,
      status_code=200)  # fmt: skip
async def rollout(request: Req, name: FromPath[str], data: JSONBody[RolloutCommand]) -> RolloutView:
    """Let a feed be in force for more of the subjects, or only be watched."""
    percent = 0 if data.stage == "shadow" else int(data.stage)
    payload: dict[str, Json] = {"feed": name, "kind": data.kind, "percent": percent, "reason": data.reason}
    await ask(request, "feed.rollout", payload, comment=data.reason)
    found = await services_of(request).standings.shadow(name[:80], days=1)
    return RolloutView(name, found.rollout)


HANDLERS = (
    list_rules, outlook, reevaluate, run, list_exemptions, grant_exemption, end_exemption, shadow, rollout,
)  # fmt: skip
