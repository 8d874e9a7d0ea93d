"""Contradictions, made by hand, are found and put right; a sound database is left alone."""

from __future__ import annotations

from datetime import timedelta

from tests.support.signals import Trust
from troth.trust.enforcement.mending import Mended, Mender
from troth.trust.standing import Standing


def mender(trust: Trust) -> Mender:
    return Mender(trust.database, trust.clock, trust.enforcer)


async def test_a_sound_database_needs_no_mending(trust: Trust) -> None:
    await trust.feed()
    one, two, three = await trust.subjects(3)
    await trust.certificate(one)
    await trust.certificate(one, profile="quarantine")
    await trust.certificate(two, owner=three)
    await trust.take("edr.intrusion", one)
    await trust.take("mdm.retired", two)
    await trust.take("mdm.noncompliant", three)
    before = await trust.events()
    assert await mender(trust).run_once() == Mended()
    assert await trust.events() == before


async def test_a_certificate_that_should_be_held_is_held(trust: Trust) -> None:
    await trust.feed()
    user = await trust.subject("ada", kind="user")
    laptop = await trust.subject()
    certificate = await trust.certificate(laptop)
    await trust.take("idp.user_disabled", user)
    # The owner is bound after the hold: nothing in the hold's own transaction could have seen it.
    await trust.database.fetchval("INSERT INTO certificate_subject VALUES ($1, $2, 'owner')", user, certificate)
    assert (await mender(trust).run_once()).subjects == (user,)
    assert await trust.status(certificate) == "held"
    assert await mender(trust).run_once() == Mended()
    assert "standing.mended" in await trust.kinds()


async def test_a_certificate_that_should_not_be_held_is_released(trust: Trust) -> None:
    await trust.feed()
    laptop = await trust.subject()
    certificate = await trust.certificate(laptop)
    await trust.take("edr.intrusion", laptop)
    await trust.database.fetchval("UPDATE hold_cause SET cleared_at = now()")
    assert (await mender(trust).run_once()).subjects == (laptop,)
    assert await trust.standing(laptop) is Standing.TRUSTED
    assert await trust.status(certificate) == "good"


async def test_a_standing_that_was_edited_is_brought_back_to_its_causes(trust: Trust) -> None:
    await trust.feed()
    laptop = await trust.subject()
    certificate = await trust.certificate(laptop)
    await trust.take("edr.intrusion", laptop)
    await trust.database.fetchval("UPDATE subject SET standing = 'trusted'")
    assert (await mender(trust).run_once()).subjects == (laptop,)
    assert await trust.standing(laptop) is Standing.QUARANTINED
    assert await trust.status(certificate) == "held"
    await trust.database.fetchval("UPDATE subject SET standing = 'distrusted'")
    await mender(trust).run_once()
    assert await trust.standing(laptop) is Standing.QUARANTINED


async def test_while_frozen_nothing_is_mended(trust: Trust) -> None:
    await trust.feed()
    laptop = await trust.subject()
    await trust.take("edr.intrusion", laptop)
    await trust.database.fetchval("UPDATE subject SET standing = 'trusted'")
    await trust.orders.freeze(person="alice", reason="looking")
    done = await mender(trust).run_once()
    assert (done.subjects, done.frozen, done.more) == ((), True, True)
    assert await trust.standing(laptop) is Standing.TRUSTED


async def test_a_status_that_contradicts_its_own_causes_is_reported_and_left(trust: Trust) -> None:
    laptop = await trust.subject()
    certificate = await trust.certificate(laptop)
    await trust.database.fetchval(
        "INSERT INTO certificate_hold VALUES ($1, 'admin:alice', 'admin:alice', $2)", certificate, trust.clock.now()
    )
    assert (await mender(trust).run_once()).incoherent == (certificate,)
    assert await trust.status(certificate) == "good"


async def test_expired_certificates_are_nobodys_business(trust: Trust) -> None:
    await trust.feed()
    laptop = await trust.subject()
    await trust.certificate(laptop)
    await trust.take("edr.intrusion", laptop)
    trust.clock.advance(timedelta(days=800))
    await trust.database.fetchval("DELETE FROM certificate_hold")
    assert await mender(trust).run_once() == Mended()
