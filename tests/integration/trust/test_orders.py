"""A person's orders, staged actions, the freeze, and holds that race with issuance."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.support.signals import Trust
from troth.kit.ids import new_id
from troth.pki.model import Binding
from troth.store.unit import Reader, Unit
from troth.trust.decision.decide import subject_key
from troth.trust.enforcement import action_store
from troth.trust.enforcement.action_store import ActionState
from troth.trust.enforcement.cap_store import Count
from troth.trust.enforcement.enforce import locked_subject
from troth.trust.enforcement.tally import tally_of
from troth.trust.errors import STANDING_CHANGED, StandingChanged
from troth.trust.signals import signal_store
from troth.trust.signals.errors import ActionSettled, ActionUnknown, CauseNotOpen, SubjectProtected, SubjectUnknown
from troth.trust.standing import Standing
from troth.trust.subjects.store import STANDING_UNCHANGED


async def test_a_person_holds_and_only_that_person_releases(trust: Trust) -> None:
    laptop = await trust.subject()
    certificate = await trust.certificate(laptop)
    held = await trust.orders.hold_by_person(laptop, person="alice", reason="lost on the train")
    assert (held.before, held.standing) == (Standing.TRUSTED, Standing.QUARANTINED)
    assert await trust.status(certificate) == "held"
    with pytest.raises(CauseNotOpen):
        await trust.orders.release_by_person(laptop, person="bob", reason="mine")
    released = await trust.orders.release_by_person(laptop, person="alice", reason="found")
    assert (released.standing, released.open_causes) == (Standing.TRUSTED, ())
    assert await trust.status(certificate) == "good"


async def test_a_person_who_releases_leaves_the_feeds_cause_standing(trust: Trust) -> None:
    await trust.feed()
    laptop = await trust.subject()
    await trust.take("edr.intrusion", laptop)
    await trust.orders.hold_by_person(laptop, person="alice", reason="look")
    released = await trust.orders.release_by_person(laptop, person="alice", reason="looked")
    assert released.standing is Standing.QUARANTINED
    assert [cause.feed for cause in released.open_causes] == ["edr"]


async def test_a_person_may_lower_the_own_word(trust: Trust) -> None:
    laptop = await trust.subject()
    await trust.orders.hold_by_person(laptop, person="alice", reason="look")
    lowered = await trust.orders.set_standing(laptop, Standing.RESTRICTED, person="alice", reason="less bad")
    assert lowered.standing is Standing.RESTRICTED


async def test_a_persons_distrust_revokes_with_the_reason_given(trust: Trust) -> None:
    laptop = await trust.subject()
    certificate = await trust.certificate(laptop)
    would = await trust.orders.would(laptop, Standing.DISTRUSTED)
    assert would["certificates"] == 1
    await trust.orders.set_standing(
        laptop, Standing.DISTRUSTED, person="alice", reason="key on a public share", revocation_reason=1
    )
    row = await trust.row(certificate)
    assert (row.status, row.revocation_reason) == ("revoked", 1)
    assert await action_store.actions(trust.database) == []


async def test_a_protected_subject_is_not_held_by_order_either(trust: Trust) -> None:
    controller = await trust.subject("dc-1", protected=True)
    with pytest.raises(SubjectProtected):
        await trust.orders.hold_by_person(controller, person="alice", reason="look")


async def test_an_order_about_nobody_is_refused(trust: Trust) -> None:
    with pytest.raises(SubjectUnknown):
        await trust.orders.hold_by_person(new_id(), person="alice", reason="look")


# --- staged ----------------------------------------------------------------------------------------------------------


async def test_an_approved_action_is_done_and_spends_nothing_of_the_cap(trust: Trust) -> None:
    await trust.feed(cap={"percent": 0, "subjects": 1})
    one, two, _ = await trust.subjects(3)
    certificate = await trust.certificate(two)
    await trust.take("edr.intrusion", one)
    await trust.take("edr.intrusion", two)
    (action,) = await action_store.actions(trust.database)
    done = await trust.orders.approve(action.id, person="bob", note="seen")
    assert done.standing is Standing.QUARANTINED
    assert await trust.status(certificate) == "held"
    (cause,) = await signal_store.cause_history(trust.database, two)
    assert (cause.feed, cause.approved_by) == ("edr", "bob")
    window = (await trust.feeds.feed("edr")).cap.window
    at = trust.clock.now()
    counted = await tally_of(trust.database, at).counts(trust.database, {"feed:edr": window}, at)
    assert counted["feed:edr"] == Count(spent=1, asked=2)
    # The feed that asked for it clears it.
    assert (await trust.take("edr.cleared", two)).standing is Standing.TRUSTED


async def test_an_action_is_settled_once(trust: Trust) -> None:
    await trust.feed(cap={"percent": 0, "subjects": 0})
    laptop = await trust.subject()
    await trust.take("edr.intrusion", laptop)
    (action,) = await action_store.actions(trust.database)
    await trust.orders.reject(action.id, person="bob", note="drill")
    with pytest.raises(ActionSettled):
        await trust.orders.approve(action.id, person="bob")
    with pytest.raises(ActionUnknown):
        await trust.orders.approve(new_id(), person="bob")
    assert await trust.standing(laptop) is Standing.TRUSTED
    (rejected,) = await action_store.actions_of(trust.database, laptop)
    assert (rejected.state, rejected.settled_by, rejected.note) == (ActionState.REJECTED, "admin:bob", "drill")


async def test_two_people_who_approve_at_once_do_it_once(trust: Trust) -> None:
    await trust.feed(cap={"percent": 0, "subjects": 0})
    laptop = await trust.subject()
    await trust.take("edr.intrusion", laptop)
    (action,) = await action_store.actions(trust.database)
    results = await asyncio.gather(
        *(trust.orders.approve(action.id, person=person) for person in ("bob", "carol")), return_exceptions=True
    )
    assert sum(isinstance(result, ActionSettled) for result in results) == 1
    assert (await trust.kinds()).count("action.approved") == 1


async def test_an_approved_revocation_gives_the_reason_that_the_signal_implies(trust: Trust) -> None:
    await trust.feed()
    laptop = await trust.subject()
    certificate = await trust.certificate(laptop)
    await trust.take("integrity.key_compromised", laptop)
    held_at = (await trust.row(certificate)).status_at
    (action,) = await action_store.actions(trust.database)
    await trust.orders.approve(action.id, person="bob")
    row = await trust.row(certificate)
    assert (row.status, row.revocation_reason, row.status_at) == ("revoked", 1, held_at)


async def test_freeze_records_and_stages_raises_and_clears_until_unfrozen(trust: Trust) -> None:
    await trust.feed()
    laptop, other = await trust.subjects(2)
    certificate = await trust.certificate(laptop)
    await trust.take("edr.intrusion", laptop)
    await trust.orders.freeze(person="alice", reason="EDR gone mad")
    assert (await trust.orders.switch()).frozen
    assert (await trust.take("edr.cleared", laptop)).staged
    assert (await trust.take("edr.intrusion", other)).staged
    assert await trust.status(certificate) == "held"
    assert await trust.standing(other) is Standing.TRUSTED
    for action in await action_store.actions(trust.database):
        await trust.orders.approve(action.id, person="bob")
    assert await trust.status(certificate) == "good"
    assert await trust.standing(other) is Standing.QUARANTINED
    await trust.orders.unfreeze(person="alice", reason="vendor fixed it")
    assert (await trust.take("edr.cleared", other)).standing is Standing.TRUSTED


# --- races -----------------------------------------------------------------------------------------------------------


async def _reserve(trust: Trust, laptop: Any) -> Unit:
    """What a verdict binds to the reserve unit: the guard that the standing is still the one that was judged."""
    subject = await locked_subject(trust.database, laptop)
    return Unit().guard(
        STANDING_UNCHANGED,
        subject.id,
        subject.standing_version,
        refuse=StandingChanged(STANDING_CHANGED),
        key=subject_key(subject),
    )


@pytest.mark.parametrize("processes", [1, 2])
async def test_a_reservation_that_races_with_a_hold_is_held_or_refused_never_missed(
    trust: Trust, processes: int, database_url: str
) -> None:
    from troth.store.pool import Database
    from troth.trust.intake.desk import SignalDesk

    await trust.feed(cap={"percent": 100})
    laptops = await trust.subjects(25)
    elsewhere = trust.database
    if processes == 2:
        elsewhere = await Database.open(database_url, clock=trust.clock)
    desk = SignalDesk(elsewhere, trust.clock, trust.enforcer)

    async def issue(laptop: Any, guarded: Unit) -> object:
        request = trust.mint.request(
            f"race-{laptop}", profile="client-device", subjects=(Binding(laptop),), names=(("dns", "l.example"),)
        )
        return await trust.mint.gate.issue(request, with_reserve=guarded)

    started = asyncio.Event()

    async def busy(_reader: Reader, _unit: Unit) -> None:
        started.set()
        await asyncio.sleep(0.5 if processes == 1 else 0.01)

    try:
        # Who wins a race is the machine's affair, and holds may win all of them. One issuance has won beforehand.
        await issue(laptops[0], await _reserve(trust, laptops[0]))
        # While one commit is under way, everything else gathers for the next batch.
        work: list[Any] = [desk.take(trust.signal("edr.intrusion", laptops[0]))]
        for laptop in laptops[1:]:
            work += [issue(laptop, await _reserve(trust, laptop)), desk.take(trust.signal("edr.intrusion", laptop))]
        before = asyncio.create_task(trust.database.commit(Unit().then(busy)))
        await started.wait()
        results = await asyncio.gather(*work, return_exceptions=True)
        await before
        for result in results:
            assert not isinstance(result, BaseException) or isinstance(result, StandingChanged), result
        rows = await trust.database.fetch("SELECT status, state FROM certificate")
        assert {(row["status"], row["state"]) for row in rows} == {("held", "issued")}
    finally:
        if elsewhere is not trust.database:
            await elsewhere.close()


async def test_many_feeds_about_one_subject_at_once_leave_every_cause_and_one_standing(trust: Trust) -> None:
    laptop = await trust.subject()
    certificate = await trust.certificate(laptop)
    names = [f"feed-{number}" for number in range(12)]
    for name in names:
        await trust.feed(name)
    await asyncio.gather(*(trust.desk.take(trust.signal("edr.intrusion", laptop, feed=name)) for name in names))
    causes = await signal_store.causes_of(trust.database, laptop)
    assert sorted(cause.feed for cause in causes) == sorted(names)
    assert (await locked_subject(trust.database, laptop)).standing_version == 1
    await asyncio.gather(*(trust.desk.take(trust.signal("edr.cleared", laptop, feed=name)) for name in names[1:]))
    assert await trust.status(certificate) == "held"
    await trust.take("edr.cleared", laptop, feed=names[0])
    assert await trust.status(certificate) == "good"
    assert (await locked_subject(trust.database, laptop)).standing_version == 2
