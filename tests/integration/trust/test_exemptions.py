"""Break glass: automation lets go of a subject for some hours, but not of a stolen key, and every use is told."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.integration.trust.test_assessing import pass_time
from tests.support.signals import Trust
from troth.kit.ids import new_id
from troth.trust.enforcement.exemptions import Exemptions
from troth.trust.signals.errors import ExemptionRefused, SubjectUnknown
from troth.trust.standing import Standing


def desk(trust: Trust) -> Exemptions:
    return Exemptions(trust.database, trust.clock, trust.enforcer)


async def grant(trust: Trust, subject: object, hours: int = 4, reason: str = "the surgeon's tablet"):  # type: ignore[no-untyped-def]
    return await desk(trust).grant(
        subject, reason=reason, hours=hours, proposed_by="admin:ann", approved_by=["admin:ben"]  # type: ignore[arg-type]
    )  # fmt: skip


async def test_an_exemption_releases_at_once_and_ends_by_itself(trust: Trust) -> None:
    await trust.feed()
    laptop = await trust.subject()
    certificate = await trust.certificate(laptop)
    await trust.take("edr.contained", laptop)
    prospect = await desk(trust).prospect(laptop, reason="surgery", hours=4)
    assert (prospect.subject.standing, prospect.would_be) == (Standing.QUARANTINED, Standing.TRUSTED)
    await grant(trust, laptop)
    assert (await trust.standing(laptop), await trust.status(certificate)) == (Standing.TRUSTED, "good")
    await pass_time(trust, timedelta(hours=4))
    assert (await trust.standing(laptop), await trust.status(certificate)) == (Standing.QUARANTINED, "held")
    assert await desk(trust).listed(in_force=True) == []


async def test_every_use_is_told_and_counted(trust: Trust) -> None:
    await trust.feed()
    laptop = await trust.subject()
    await grant(trust, laptop)
    receipt = await trust.take("edr.intrusion", laptop)
    assert receipt.standing is Standing.TRUSTED
    await trust.take("edr.contained", laptop)
    used = [data for kind, data in await trust.events() if kind == "exemption.used"]
    assert [(one["standing"], one["would_be"]) for one in used] == [("trusted", "quarantined")] * 2
    (one,) = await desk(trust).listed(in_force=True)
    assert (one.used, one.proposed_by, one.approved_by) == (2, "admin:ann", ("admin:ben",))


@pytest.mark.parametrize("kind", ["integrity.key_compromised", "integrity.forgery"])
async def test_no_exemption_covers_a_key_in_other_hands(trust: Trust, kind: str) -> None:
    await trust.feed()
    laptop = await trust.subject()
    certificate = await trust.certificate(laptop)
    await grant(trust, laptop)
    assert (await trust.take(kind, laptop)).standing is Standing.DISTRUSTED
    assert await trust.status(certificate) == "held"


async def test_a_persons_order_stands_against_an_exemption(trust: Trust) -> None:
    laptop = await trust.subject()
    await grant(trust, laptop)
    held = await trust.orders.hold_by_person(laptop, person="alice", reason="stop")
    assert held.standing is Standing.QUARANTINED


async def test_one_can_be_ended_early_and_another_goes_on(trust: Trust) -> None:
    await trust.feed()
    laptop = await trust.subject()
    await trust.take("edr.contained", laptop)
    first, second = await grant(trust, laptop, 2), await grant(trust, laptop, 3)
    await desk(trust).end(first.id, actor="admin:ann")
    assert await trust.standing(laptop) is Standing.TRUSTED
    await desk(trust).end(second.id, actor="admin:ann")
    assert await trust.standing(laptop) is Standing.QUARANTINED
    with pytest.raises(ExemptionRefused):
        await desk(trust).end(second.id, actor="admin:ann")
    assert [one.ended_by for one in await desk(trust).listed(in_force=False)] == ["admin:ann"] * 2


@pytest.mark.parametrize(("hours", "reason"), [(0, "x"), (25, "x"), (-1, "x"), (1, " "), (1, "x" * 501)])
async def test_at_most_a_day_and_never_without_a_reason(trust: Trust, hours: int, reason: str) -> None:
    laptop = await trust.subject()
    with pytest.raises(ExemptionRefused):
        await grant(trust, laptop, hours, reason)


async def test_nobody_is_exempted_who_is_not_known(trust: Trust) -> None:
    with pytest.raises(SubjectUnknown):
        await grant(trust, new_id())


async def test_exemptions_stay_exceptions(trust: Trust) -> None:
    laptops = await trust.subjects(11)
    for one in laptops[:10]:
        await grant(trust, one)
    with pytest.raises(ExemptionRefused, match="10 subjects are exempt already"):
        await grant(trust, laptops[10])
    trust.clock.advance(timedelta(hours=4))
    await grant(trust, laptops[10])
