"""Effects, targets and reactions over the API."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal
from uuid import UUID

from litestar import get, post
from litestar.params import FromPath, FromQuery, JSONBody
from msgspec import Meta, Struct

from troth.access.roles import Permission
from troth.web.books.effects import EffectFilter, EffectView, LatencyView, ReactionsView, TargetView
from troth.web.guard import asker, needs
from troth.web.parameters import Limit
from troth.web.render import Req, services_of
from troth.web.views import Page

_State = Literal["", "waiting", "done", "dead", "superseded", "unavailable", "dropped"]


class WhyCommand(Struct, frozen=True, forbid_unknown_fields=True):
    """Why it is tried again, or given up; it goes to the ledger."""

    reason: Annotated[str, Meta(max_length=500)] = ""


class TargetSecret(Struct, frozen=True, forbid_unknown_fields=True):
    """A target's secret; without one, that of a webhook is made."""

    secret: Annotated[str, Meta(max_length=4_096)] | None = None


class MadeSecret(Struct, frozen=True):
    """The secret, if it was made here: shown this once."""

    target: str
    secret: str | None


@get("/effects", opt=needs(Permission.EFFECT_READ), operation_id="listEffects", tags=["Enforcement"])
async def list_effects(
    request: Req,
    status: FromQuery[_State] = "",
    target: FromQuery[str] = "",
    subject: FromQuery[UUID | None] = None,
    cursor: FromQuery[str] = "",
    limit: Limit = 50,
) -> Page[EffectView]:
    """What changes of standing have set going elsewhere, the newest first."""
    wanted = EffectFilter(state=status, target=target[:63], subject=subject, cursor=cursor, limit=limit)
    return await services_of(request).effects.search(wanted)


@get("/effects/{effect_id:uuid}", opt=needs(Permission.EFFECT_READ), operation_id="getEffect", tags=["Enforcement"])
async def get_effect(request: Req, effect_id: FromPath[UUID]) -> EffectView:
    """One effect."""
    return await services_of(request).effects.get(effect_id)


@post("/effects/{effect_id:uuid}/retry", opt=needs(Permission.EFFECT_MANAGE), operation_id="retryEffect",
      tags=["Enforcement"], status_code=200)  # fmt: skip
async def retry_effect(request: Req, effect_id: FromPath[UUID], data: JSONBody[WhyCommand]) -> EffectView:
    """Try what ended without success again, as if for the first time."""
    book = services_of(request).effects
    await book.retry(effect_id, asker(request), data.reason)
    return await book.get(effect_id)


@post("/effects/{effect_id:uuid}/drop", opt=needs(Permission.EFFECT_MANAGE), operation_id="dropEffect",
      tags=["Enforcement"], status_code=200)  # fmt: skip
async def drop_effect(request: Req, effect_id: FromPath[UUID], data: JSONBody[WhyCommand]) -> EffectView:
    """Give an effect up. One that is on its way may have been done all the same."""
    book = services_of(request).effects
    await book.drop(effect_id, asker(request), data.reason)
    return await book.get(effect_id)


@get("/effect-targets", opt=needs(Permission.EFFECT_READ), operation_id="listEffectTargets", tags=["Enforcement"])
async def list_targets(request: Req) -> Sequence[TargetView]:
    """Where effects go, and how it is there."""
    return await services_of(request).effects.targets()


@get("/effect-latencies", opt=needs(Permission.EFFECT_READ), operation_id="listEffectLatencies", tags=["Enforcement"])
async def list_latencies(request: Req) -> Sequence[LatencyView]:
    """From the signal accepted to the effect done, of the last day, by port."""
    return await services_of(request).effects.latencies()


@post("/effect-targets/{name:str}/secret", opt=needs(Permission.POLICY_WRITE), operation_id="setTargetSecret",
      tags=["Enforcement"], status_code=200)  # fmt: skip
async def set_secret(request: Req, name: FromPath[str], data: JSONBody[TargetSecret]) -> MadeSecret:
    """Give a target its secret: a webhook's key, a mail account's password, a chat room's address."""
    made = await services_of(request).effects.set_secret(name, data.secret, asker(request))
    return MadeSecret(name, made)


@get("/reactions", opt=needs(Permission.POLICY_READ), operation_id="getReactions", tags=["Configuration"])
async def get_reactions(request: Req) -> ReactionsView:
    """The document of reactions in force."""
    return await services_of(request).effects.reactions()


HANDLERS = (
    list_effects, get_effect, retry_effect, drop_effect, list_targets, list_latencies, set_secret, get_reactions,
)  # fmt: skip
