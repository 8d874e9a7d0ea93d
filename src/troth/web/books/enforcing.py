"""Staged actions and the enforcement switch."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from troth.access.model import Principal
from troth.store.pool import Database
from troth.trust.enforcement import action_store
from troth.trust.enforcement.action_store import ActionKind, ActionState, StagedAction, Why
from troth.trust.enforcement.orders import Orders
from troth.trust.subjects.store import SubjectStore
from troth.web.books.certificates import link
from troth.web.views import FreezeView, StagedView, SubjectLink

_STATES = {"waiting": ActionState.PENDING} | {state.value: state for state in ActionState}
_WHY = {
    Why.CAP: "above the feed's cap",
    Why.FROZEN: "enforcement is frozen",
    Why.FEED_SUSPENDED: "the feed is suspended",
    Why.IRREVERSIBLE: "it cannot be undone",
    Why.QUORUM: "several sources agree",
    Why.UNHEALED: "nothing has healed for long",
}


class Staged:
    """See :class:`troth.web.services.StagedBook`."""

    def __init__(self, database: Database, orders: Orders) -> None:
        self._database = database
        self._orders = orders
        self._subjects = SubjectStore(database)

    async def list(self, state: str = "waiting") -> Sequence[StagedView]:
        found = await action_store.actions(self._database, _STATES.get(state, ActionState.PENDING), limit=500)
        return await self._views(list(reversed(found)))

    async def get(self, staged_id: UUID) -> StagedView | None:
        found = await action_store.find_action(self._database, staged_id)
        return None if found is None else (await self._views([found]))[0]

    async def approve(self, staged_id: UUID, by: Principal, note: str) -> None:
        await self._orders.approve(staged_id, person=by.name, note=note)

    async def reject(self, staged_id: UUID, by: Principal, note: str) -> None:
        await self._orders.reject(staged_id, person=by.name, note=note)

    async def _views(self, actions: Sequence[StagedAction]) -> Sequence[StagedView]:
        known = {one.id: one for one in await self._subjects.by_ids([action.subject_id for action in actions])}
        return [_staged(action, link(known[action.subject_id])) for action in actions if action.subject_id in known]


def _staged(action: StagedAction, subject: SubjectLink) -> StagedView:
    would = action.would.get("standing")
    becomes = would.get("to", action.level.value) if isinstance(would, dict) else action.level.value
    what = {
        ActionKind.RAISE: f"raises {action.cause}",
        ActionKind.CLEAR: f"clears {action.cause}",
        ActionKind.REVOKE: "revoke every certificate for good",
    }[action.action]
    return StagedView(
        id=action.id,
        subject=subject,
        action=str(becomes),
        kind=action.action.value,
        feed=action.feed,
        reason=f"{action.feed} {what}" if action.action is not ActionKind.REVOKE else what,
        cap=f"{_WHY[action.why]}: {action.detail}" if action.detail else _WHY[action.why],
        staged_at=action.staged_at,
        state="waiting" if action.state is ActionState.PENDING else action.state.value,
        certificates=int(action.would.get("certificates", 0)),
        decided_by=action.settled_by,
        decided_at=action.settled_at,
    )


class Switch:
    """See :class:`troth.web.services.Enforcement`."""

    def __init__(self, orders: Orders) -> None:
        self._orders = orders

    async def state(self) -> FreezeView:
        switch = await self._orders.switch()
        return FreezeView(switch.frozen, switch.actor if switch.frozen else None, switch.changed_at, switch.reason)

    async def freeze(self, by: Principal, reason: str) -> None:
        await self._orders.freeze(person=by.name, reason=reason)

    async def unfreeze(self, by: Principal) -> None:
        await self._orders.unfreeze(person=by.name, reason="")
