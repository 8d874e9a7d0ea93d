"""An event about everybody: it reaches nobody by itself, and through the caps when a person acts on it."""

from __future__ import annotations

from uuid import UUID

import pytest

from tests.integration.connect.ssf.conftest import ACTOR, Room
from tests.support.ssf import CAEP
from troth.connect.ssf.errors import SsfError
from troth.connect.ssf.wide import WideDesk
from troth.kit.ids import new_id
from troth.trust.intake.inbox import Inbox
from troth.trust.standing import Standing

TENANT = {"format": "complex", "tenant": {"format": "opaque", "id": "123456789"}}
RISK = {CAEP + "risk-level-change": {"principal": "TENANT", "current_level": "HIGH", "risk_reason": "BREACH"}}


@pytest.fixture
async def desk(room: Room) -> WideDesk:
    await room.connected(delivery="push")
    return WideDesk(room.trust.database, room.trust.clock, Inbox(room.trust.database, room.trust.clock))


async def held(room: Room, desk: WideDesk) -> UUID:
    assert (await room.push(room.fake.sign(RISK, sub_id=TENANT))).status == 202
    (waiting,) = await desk.waiting()
    return waiting.id


async def test_a_whole_tenant_fans_out_to_nobody(room: Room, desk: WideDesk) -> None:
    people = [await room.user(f"p{n}@example.com", f"p{n}") for n in range(3)]
    text = room.fake.sign({CAEP + "session-revoked": {}}, sub_id=TENANT)
    for _ in range(2):
        assert (await room.push(text)).status == 202
    await room.act()
    assert await room.signals() == []
    assert (await room.heard())[0][0] == "wide"
    assert {await room.trust.standing(one) for one in people} == {Standing.TRUSTED}
    (waiting,) = await desk.waiting()
    assert (waiting.subject, waiting.signals) == ("tenant: opaque 123456789", (("idp.sessions_revoked", None),))
    assert "ssf.wide_held" in await room.events()


async def test_acting_on_it_says_it_of_everybody_in_scope_within_the_feeds_cap(room: Room, desk: WideDesk) -> None:
    people = [await room.user(f"p{n}@example.com", f"p{n}") for n in range(4)]
    laptop = await room.device()
    await room.trust.feed("idp", cap={"percent": 0, "subjects": 2})
    waiting = await held(room, desk)
    reach = await desk.reach(waiting)
    assert (reach.kinds, reach.subjects) == (("user",), 4)
    assert await desk.act(waiting, actor=ACTOR) == 4
    await room.act()
    effects = [one[2] for one in await room.signals()]
    assert sum("cause.raised" in one for one in effects) == 2
    assert sum("action.staged" in one for one in effects) == 2
    assert await room.trust.standing(laptop) is Standing.TRUSTED
    assert len({await room.trust.standing(one) for one in people}) == 2
    assert await desk.waiting() == []
    assert (await room.events())[-1] == "ssf.wide_acted"


async def test_it_is_settled_once_and_a_half_done_act_is_finished_without_doubling(room: Room, desk: WideDesk) -> None:
    await room.user()
    waiting = await held(room, desk)
    # As if it had been killed after the signals and before its end.
    event = (await desk.waiting())[0]
    subject = await room.trust.database.fetchval("SELECT id FROM subject WHERE kind = 'user'")
    await Inbox(room.trust.database, room.trust.clock).accept("idp", desk._signals(event, subject))
    assert await desk.act(waiting, actor=ACTOR) == 1
    await room.act()
    assert len(await room.signals()) == 1
    for act in (
        desk.act(waiting, actor=ACTOR),
        desk.dismiss(waiting, actor=ACTOR),
        desk.dismiss(new_id(), actor=ACTOR),
    ):
        with pytest.raises(SsfError):
            await act


async def test_it_may_be_dismissed(room: Room, desk: WideDesk) -> None:
    alice = await room.user()
    await desk.dismiss(await held(room, desk), actor=ACTOR)
    await room.act()
    assert await room.trust.standing(alice) is Standing.TRUSTED
    assert (await room.events())[-1] == "ssf.wide_dismissed"
