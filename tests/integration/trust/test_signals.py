"""Signals on a real database with a real mint: what is taken, what it causes, and that it is all in one commit."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import timedelta
from typing import Any

import pytest

from tests.support.signals import Trust
from troth.kit.ids import new_id
from troth.trust.enforcement import action_store
from troth.trust.enforcement.action_store import ActionKind, Why
from troth.trust.signals import signal_store
from troth.trust.signals.errors import FeedUnknown, MessageReused, NotGranted
from troth.trust.signals.model import Whom
from troth.trust.standing import Standing


async def test_an_intrusion_holds_the_devices_certificates_and_the_clear_releases_them(trust: Trust) -> None:
    await trust.feed()
    laptop = await trust.subject()
    certificate = await trust.certificate(laptop)
    receipt = await trust.take("edr.intrusion", laptop)
    assert receipt.standing is Standing.QUARANTINED
    assert receipt.effects == ("cause.raised", "standing.changed")
    assert not receipt.staged
    row = await trust.row(certificate)
    assert (row.status, row.revocation_reason) == ("held", 6)
    receipt = await trust.take("edr.cleared", laptop)
    assert receipt.standing is Standing.TRUSTED
    assert receipt.effects == ("cause.cleared", "standing.changed")
    assert await trust.status(certificate) == "good"
    assert Counter(await trust.kinds()) == Counter(
        {
            "signal.accepted": 2, "cause.raised": 1, "cause.cleared": 1, "standing.changed": 2, "certificate.held": 1,
            "certificate.released": 1,
        }
    )  # fmt: skip


async def test_another_feed_cannot_clear_what_this_one_raised(trust: Trust) -> None:
    await trust.feed()
    await trust.feed("other")
    laptop = await trust.subject()
    certificate = await trust.certificate(laptop)
    await trust.take("edr.intrusion", laptop)
    receipt = await trust.take("edr.cleared", laptop, feed="other")
    assert receipt.effects == ("cause.not_open",)
    assert receipt.standing is Standing.QUARANTINED
    assert await trust.status(certificate) == "held"


async def test_with_two_causes_the_certificate_is_released_only_when_both_are_cleared(trust: Trust) -> None:
    await trust.feed()
    await trust.feed("mdm")
    laptop = await trust.subject()
    certificate = await trust.certificate(laptop)
    await trust.take("edr.intrusion", laptop)
    await trust.take("mdm.lost", laptop, feed="mdm")
    assert (await trust.take("edr.cleared", laptop)).standing is Standing.QUARANTINED
    assert await trust.status(certificate) == "held"
    assert (await trust.take("mdm.found", laptop, feed="mdm")).standing is Standing.TRUSTED
    assert await trust.status(certificate) == "good"


async def test_two_alerts_of_one_feed_are_two_causes(trust: Trust) -> None:
    await trust.feed()
    laptop = await trust.subject()
    await trust.take("edr.intrusion", laptop, cause="alert-1")
    await trust.take("edr.intrusion", laptop, cause="alert-2")
    assert (await trust.take("edr.cleared", laptop, cause="alert-1")).standing is Standing.QUARANTINED
    assert (await trust.take("edr.cleared", laptop, cause="alert-2")).standing is Standing.TRUSTED


async def test_restricted_changes_the_standing_and_no_certificate(trust: Trust) -> None:
    await trust.feed()
    laptop = await trust.subject()
    certificate = await trust.certificate(laptop)
    assert (await trust.take("mdm.noncompliant", laptop)).standing is Standing.RESTRICTED
    assert await trust.status(certificate) == "good"


async def test_a_quarantine_certificate_stays_good_so_that_the_device_can_heal(trust: Trust) -> None:
    await trust.feed()
    laptop = await trust.subject()
    ordinary = await trust.certificate(laptop)
    healing = await trust.certificate(laptop, profile="quarantine")
    await trust.take("edr.intrusion", laptop)
    assert (await trust.status(ordinary), await trust.status(healing)) == ("held", "good")


async def test_distrust_by_signal_holds_everything_and_stages_the_revocation(trust: Trust) -> None:
    await trust.feed()
    laptop = await trust.subject()
    ordinary = await trust.certificate(laptop)
    healing = await trust.certificate(laptop, profile="quarantine")
    receipt = await trust.take("mdm.retired", laptop)
    assert receipt.standing is Standing.DISTRUSTED
    assert receipt.staged
    assert (await trust.status(ordinary), await trust.status(healing)) == ("held", "held")
    (action,) = await action_store.actions(trust.database)
    assert (action.action, action.why) == (ActionKind.REVOKE, Why.IRREVERSIBLE)
    assert action.would["certificates"] == 2
    # The feed takes it back before anyone agreed: nothing was lost.
    await trust.take("mdm.reenrolled", laptop)
    assert (await trust.status(ordinary), await trust.status(healing)) == ("good", "good")
    assert await action_store.actions(trust.database) == []


async def test_from_distrust_to_quarantine_only_the_quarantine_certificate_is_released(trust: Trust) -> None:
    await trust.feed()
    laptop = await trust.subject()
    ordinary = await trust.certificate(laptop)
    healing = await trust.certificate(laptop, profile="quarantine")
    await trust.take("edr.intrusion", laptop)
    await trust.take("mdm.retired", laptop)
    assert (await trust.take("mdm.reenrolled", laptop)).standing is Standing.QUARANTINED
    assert (await trust.status(ordinary), await trust.status(healing)) == ("held", "good")


async def test_a_users_hold_covers_the_certificates_that_the_user_owns(trust: Trust) -> None:
    await trust.feed()
    user = await trust.subject("ada", kind="user")
    laptop = await trust.subject()
    certificate = await trust.certificate(laptop, owner=user)
    await trust.take("idp.user_disabled", user)
    assert await trust.status(certificate) == "held"
    # Held for two subjects, it is released when neither asks for it any more.
    await trust.take("edr.intrusion", laptop)
    await trust.take("idp.user_enabled", user)
    assert await trust.status(certificate) == "held"
    await trust.take("edr.cleared", laptop)
    assert await trust.status(certificate) == "good"


async def test_only_the_named_subject_is_touched(trust: Trust) -> None:
    await trust.feed()
    one, other = await trust.subject("one"), await trust.subject("other")
    theirs = await trust.certificate(other)
    await trust.take("edr.intrusion", one)
    assert await trust.standing(other) is Standing.TRUSTED
    assert await trust.status(theirs) == "good"


async def test_a_protected_subject_is_only_alarmed_about(trust: Trust) -> None:
    await trust.feed()
    controller = await trust.subject("dc-1", protected=True)
    certificate = await trust.certificate(controller)
    receipt = await trust.take("edr.intrusion", controller)
    assert receipt.effects == ("subject.alarm",)
    assert receipt.standing is Standing.TRUSTED
    assert await trust.status(certificate) == "good"
    assert await signal_store.cause_history(trust.database, controller) == []
    assert "subject.alarm" in await trust.kinds()


# --- messages --------------------------------------------------------------------------------------------------------


async def test_a_repeated_message_gets_the_same_answer_and_has_no_effect(trust: Trust) -> None:
    await trust.feed()
    laptop = await trust.subject()
    signal = trust.signal("edr.intrusion", laptop)
    first = await trust.desk.take(signal)
    await trust.take("edr.cleared", laptop)
    again = await trust.desk.take(signal)
    assert again.again
    assert (again.signal_id, again.standing, again.effects) == (first.signal_id, first.standing, first.effects)
    assert await trust.standing(laptop) is Standing.TRUSTED


async def test_twenty_deliveries_of_one_message_at_once_act_once(trust: Trust) -> None:
    await trust.feed()
    laptop = await trust.subject()
    signal = trust.signal("edr.intrusion", laptop)
    receipts = await asyncio.gather(*(trust.desk.take(signal) for _ in range(20)))
    assert len({receipt.signal_id for receipt in receipts}) == 1
    assert sum(not receipt.again for receipt in receipts) == 1
    assert (await trust.kinds()).count("cause.raised") == 1


async def test_one_message_id_with_two_bodies_is_refused(trust: Trust) -> None:
    await trust.feed()
    laptop = await trust.subject()
    await trust.take("edr.intrusion", laptop, message_id="m1")
    with pytest.raises(MessageReused):
        await trust.take("edr.cleared", laptop, message_id="m1")
    assert await trust.standing(laptop) is Standing.QUARANTINED


async def test_a_raise_that_its_own_clear_overtook_does_nothing(trust: Trust) -> None:
    await trust.feed()
    laptop = await trust.subject()
    trust.clock.advance(timedelta(minutes=5))
    await trust.take("edr.cleared", laptop)
    receipt = await trust.take("edr.intrusion", laptop, observed_at=trust.ago(60))
    assert receipt.effects == ("signal.late",)
    assert await trust.standing(laptop) is Standing.TRUSTED
    assert (await trust.take("edr.intrusion", laptop)).standing is Standing.QUARANTINED


async def test_an_old_clear_does_not_undo_a_newer_raise(trust: Trust) -> None:
    await trust.feed()
    laptop = await trust.subject()
    await trust.take("edr.intrusion", laptop)
    receipt = await trust.take("edr.cleared", laptop, observed_at=trust.ago(60))
    assert receipt.effects == ("signal.late",)
    assert await trust.standing(laptop) is Standing.QUARANTINED


async def test_a_milder_word_of_the_same_cause_does_not_weaken_it(trust: Trust) -> None:
    await trust.feed()
    laptop = await trust.subject()
    await trust.take("edr.intrusion", laptop)
    assert (await trust.take("edr.suspicious", laptop)).effects == ("cause.kept",)
    assert await trust.standing(laptop) is Standing.QUARANTINED


async def test_a_signal_about_nobody_is_kept_and_alarmed_about(trust: Trust) -> None:
    await trust.feed()
    receipt = await trust.take("edr.intrusion", "no-such-laptop")
    assert (receipt.standing, receipt.effects) == (None, ("subject.unknown",))
    (kept,) = await signal_store.signals(trust.database)
    assert (kept.id, kept.whom, kept.subject_id) == (receipt.signal_id, "device no-such-laptop", None)
    assert "signal.unresolved" in await trust.kinds()


async def test_a_device_is_found_by_its_serial_number_unless_two_share_it(trust: Trust) -> None:
    await trust.feed()
    laptop = await trust.subject(serial="C02XYZ")
    whom = Whom(device_serial="C02XYZ")
    receipt = await trust.take("edr.intrusion", laptop, whom=whom)
    assert receipt.subject_id == laptop
    await trust.subject("laptop-2", serial="C02XYZ")
    receipt = await trust.take("edr.intrusion", laptop, whom=whom)
    assert receipt.effects == ("subject.ambiguous",)


# --- what a feed is granted ------------------------------------------------------------------------------------------


async def test_a_feed_that_is_not_there_is_refused(trust: Trust) -> None:
    laptop = await trust.subject()
    with pytest.raises(FeedUnknown):
        await trust.take("edr.intrusion", laptop)


@pytest.mark.parametrize(
    ("grant", "kind", "code"),
    [
        ({"kinds": ["mdm.*"]}, "edr.intrusion", "signal.kind_not_granted"),
        ({"scope": {"subjects": ["user"]}}, "edr.intrusion", "signal.out_of_scope"),
        ({"scope": {"subjects": ["device"], "groups": ["lab"]}}, "edr.intrusion", "signal.out_of_scope"),
        ({"may_clear": False}, "edr.cleared", "signal.clear_not_granted"),
    ],
)
async def test_a_feed_that_exceeds_its_grant_is_refused_and_leaves_no_trace(
    trust: Trust, grant: dict[str, Any], kind: str, code: str
) -> None:
    await trust.feed(**grant)
    laptop = await trust.subject()
    with pytest.raises(NotGranted) as caught:
        await trust.take(kind, laptop)
    assert caught.value.code == code
    assert await signal_store.signals(trust.database) == []


async def test_a_feed_never_moves_a_subject_beyond_its_greatest_effect(trust: Trust) -> None:
    await trust.feed(greatest_effect="restricted")
    laptop = await trust.subject()
    receipt = await trust.take("edr.intrusion", laptop)
    assert receipt.effects[0] == "level.limited"
    assert receipt.standing is Standing.RESTRICTED


# --- caps ------------------------------------------------------------------------------------------------------------


async def test_thirty_signals_at_once_never_exceed_the_cap(trust: Trust) -> None:
    await trust.feed(cap={"percent": 2, "subjects": 10})
    laptops = await trust.subjects(30)
    receipts = await asyncio.gather(*(trust.desk.take(trust.signal("edr.intrusion", one)) for one in laptops))
    assert Counter(receipt.staged for receipt in receipts) == {False: 10, True: 20}
    standings = Counter([await trust.standing(one) for one in laptops])
    assert standings == {Standing.QUARANTINED: 10, Standing.TRUSTED: 20}
    staged = await action_store.actions(trust.database)
    assert {(action.action, action.why, action.level) for action in staged} == {
        (ActionKind.RAISE, Why.CAP, Standing.QUARANTINED)
    }


async def test_the_cap_is_the_greater_of_share_and_number(trust: Trust) -> None:
    await trust.feed(cap={"percent": 10, "subjects": 2})
    laptops = await trust.subjects(40)
    receipts = [await trust.take("edr.suspicious", one) for one in laptops[:6]]
    assert [receipt.staged for receipt in receipts] == [False] * 4 + [True] * 2


async def test_the_cap_forgets_after_its_window_and_counts_each_feed_apart(trust: Trust) -> None:
    await trust.feed(cap={"percent": 0, "subjects": 1, "window_seconds": 600})
    await trust.feed("other", cap={"percent": 0, "subjects": 1})
    one, two, three = await trust.subjects(3)
    assert not (await trust.take("edr.suspicious", one)).staged
    assert (await trust.take("edr.suspicious", two)).staged
    assert not (await trust.take("edr.suspicious", three, feed="other")).staged
    trust.clock.advance(timedelta(minutes=11))
    assert not (await trust.take("edr.suspicious", two)).staged


async def test_a_hard_rule_skips_no_cap(trust: Trust) -> None:
    await trust.feed(cap={"percent": 0, "subjects": 0})
    laptop = await trust.subject()
    certificate = await trust.certificate(laptop)
    receipt = await trust.take("integrity.key_compromised", laptop)
    assert receipt.staged
    assert await trust.status(certificate) == "good"
    (action,) = await action_store.actions(trust.database)
    assert action.would == {
        "standing": {"from": "trusted", "to": "distrusted"},
        "certificates": 1,
        "serials": [(await trust.row(certificate)).serial.hex()],
    }


async def test_clearing_withdraws_what_the_cap_had_staged(trust: Trust) -> None:
    await trust.feed(cap={"percent": 0, "subjects": 0})
    laptop = await trust.subject()
    await trust.take("edr.intrusion", laptop)
    receipt = await trust.take("edr.cleared", laptop)
    assert receipt.effects == ("action.withdrawn", "cause.not_open")
    assert await action_store.actions(trust.database) == []


async def test_a_staged_action_is_staged_once_however_often_it_is_asked_for(trust: Trust) -> None:
    await trust.feed(cap={"percent": 0, "subjects": 0})
    laptop = await trust.subject()
    await trust.take("edr.intrusion", laptop)
    await trust.take("edr.suspicious", laptop)
    (action,) = await action_store.actions(trust.database)
    assert action.level is Standing.QUARANTINED


async def test_a_suspended_feed_is_recorded_and_staged(trust: Trust) -> None:
    await trust.feed()
    laptop, other = await trust.subjects(2)
    await trust.take("edr.intrusion", laptop)
    await trust.feeds.suspend("edr", actor="admin:alice", reason="flood")
    assert (await trust.take("edr.cleared", laptop)).staged
    assert (await trust.take("edr.intrusion", other)).staged
    assert await trust.standing(laptop) is Standing.QUARANTINED
    assert await trust.standing(other) is Standing.TRUSTED
    assert {action.why for action in await action_store.actions(trust.database)} == {Why.FEED_SUSPENDED}


async def test_pages_of_signals_hang_together(trust: Trust) -> None:
    await trust.feed()
    laptop = await trust.subject()
    sent = [(await trust.take("edr.intrusion", laptop)).signal_id for _ in range(5)]
    first = await signal_store.signals(trust.database, subject_id=laptop, limit=3)
    second = await signal_store.signals(trust.database, subject_id=laptop, before=first[-1].id, limit=3)
    assert [one.id for one in [*first, *second]] == sent[::-1]
    assert len(await signal_store.signals(trust.database, feed="edr")) == 5
    assert await signal_store.signals(trust.database, subject_id=new_id()) == []
