"""Okta: sessions ended, users suspended. Scopes *okta.sessions.manage*, *okta.users.manage*. Not tried live.

``DELETE /api/v1/users/{id}/sessions?oauthTokens=true``; ``POST /api/v1/users/{id}/lifecycle/suspend|unsuspend``. A user
is named by id, or by login where that is not known. Only active users are suspended, only suspended ones let in again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from urllib.parse import quote

import msgspec

from troth.connect.api import shaped
from troth.connect.effects.acting import Action, Hand, user_of
from troth.trust.outbox.model import Effect, EffectSubject, Outcome

_USERS: Final = "/api/v1/users/"


class _User(msgspec.Struct):
    id: str
    status: str = ""


async def _clear_sessions(hand: Hand, _effect: Effect, subject: EffectSubject) -> Outcome:
    user = _key(subject)
    if user is None:
        return Outcome.refused("it is no user and belongs to none that Okta could know")
    await hand.api.answer(
        "DELETE", f"{_USERS}{user}/sessions", {"oauthTokens": "true"}, scope="okta.sessions.manage"
    )  # fmt: skip
    return Outcome.done("its sessions and tokens are ended")


async def _lifecycle(hand: Hand, effect: Effect, subject: EffectSubject) -> Outcome:
    user = _key(subject)
    if user is None:
        return Outcome.refused("it is no user and belongs to none that Okta could know")
    suspend = effect.port == "okta.suspend_user"
    told = shaped(await hand.api.get(_USERS + user, scope="okta.users.read"), _User)
    if (told.status == "SUSPENDED") is suspend:
        return Outcome.done(f"it was so already: {told.status}")
    if suspend and told.status in ("DEPROVISIONED", "STAGED"):
        return Outcome.done(f"it cannot log in anyway: {told.status}")
    verb = "suspend" if suspend else "unsuspend"
    await hand.api.post(f"{_USERS}{quote(told.id, safe='')}/lifecycle/{verb}", None, scope="okta.users.manage")
    return Outcome.done(f"{verb}ed")


def _key(subject: EffectSubject) -> str | None:
    """How the user is named in a path."""
    user = user_of(subject)
    if user is None:
        return None
    logins = [user.attributes.get(name) for name in ("upn", "email")]
    known = [*user.known_as("okta.user"), *(one for one in logins if isinstance(one, str) and one)]
    return quote(known[0], safe="") if known else None


ACTIONS: Final[Mapping[str, Action]] = {
    "okta.clear_sessions": _clear_sessions, "okta.suspend_user": _lifecycle, "okta.unsuspend_user": _lifecycle,
}  # fmt: skip
