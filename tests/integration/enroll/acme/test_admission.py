"""What newOrder asks before it places an order: one-time client identifiers, devices, exemptions."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from tests.support.enrolling import EnrollingDesks, enrolling_for
from troth.enroll.acme.limits import Limit
from troth.enroll.acme.model import Account
from troth.enroll.acme.problems import URN, AcmeProblem, Identifier
from troth.enroll.credentials.model import NameRules, Wanted
from troth.enroll.credentials.service import Made
from troth.kit.clock import FakeClock
from troth.kit.ids import new_id
from troth.store.pool import Database
from troth.store.unit import Unit

SERIAL = Identifier("permanent-identifier", "C02X")


@pytest.fixture
def desks(database: Database, clock: FakeClock) -> EnrollingDesks:
    return enrolling_for(database, clock, limits={"orders_per_account": Limit("new orders", 1, timedelta(hours=1))})


def account(clock: FakeClock, enrolment: Made | None = None) -> Account:
    opened = (None, None) if enrolment is None else (enrolment.enrolment.id, enrolment.enrolment.kind)
    return Account(new_id(), "devices", "t", b"{}", "valid", (), True, clock.now(), *opened)


async def once(desks: EnrollingDesks, **more: object) -> tuple[Made, Identifier]:
    wanted = Wanted(kind="client-identifier", name="laptop", seconds=3600, rules=NameRules(devices=("C02X",)), **more)  # type: ignore[arg-type]
    made = await desks.enrolments.create(wanted, by="admin:alice")
    return made, Identifier("permanent-identifier", made.secret)


def rejected(problem: AcmeProblem, name: Identifier) -> bool:
    return problem.type == URN + "rejectedIdentifier" and [one.identifier for one in problem.subproblems] == [name]


async def test_a_client_identifier_is_good_for_one_order_and_tells_the_device(
    desks: EnrollingDesks, database: Database, clock: FakeClock
) -> None:
    made, name = await once(desks)
    accounts = [account(clock) for _ in range(3)]
    admitted = [await desks.admission.admit(one, [name], "device-identity") for one in accounts]
    assert admitted[0].once == {name: made.enrolment}
    assert admitted[0].once[name].rules.devices == ("C02X",)
    assert admitted[0].vouched == frozenset(), "a device is always asked to prove itself"
    units = [
        database.commit(desks.admission.guard(Unit(), who, order, []))
        for who, order in zip(accounts, admitted, strict=True)
    ]
    ended = await asyncio.gather(*units, return_exceptions=True)
    lost = [one for one in ended if isinstance(one, AcmeProblem)]
    assert len(lost) == 2
    assert all(rejected(one, name) for one in lost)
    with pytest.raises(AcmeProblem) as replayed:
        await desks.admission.admit(account(clock), [name], "device-identity")
    assert rejected(replayed.value, name)


async def test_a_client_identifier_is_good_only_where_and_for_what_it_was_made(
    desks: EnrollingDesks, clock: FakeClock
) -> None:
    for more in ({"directories": ("elsewhere",)}, {"profiles": ("wifi-device",)}):
        _, name = await once(desks, **more)
        with pytest.raises(AcmeProblem) as refused:
            await desks.admission.admit(account(clock), [name], "device-identity")
        assert rejected(refused.value, name)
    made, name = await once(desks)
    await desks.enrolments.revoke(made.enrolment.id, by="admin:bob", closing=[])
    _, late = await once(desks)
    clock.advance(timedelta(hours=1))
    for gone in (name, late):
        with pytest.raises(AcmeProblem) as refused:
            await desks.admission.admit(account(clock), [gone], "device-identity")
        assert rejected(refused.value, gone)


async def test_a_device_that_was_enrolled_by_its_serial_may_order_for_itself_alone(
    desks: EnrollingDesks, clock: FakeClock
) -> None:
    wanted = Wanted(kind="directory", name="laptop", seconds=60, rules=NameRules(devices=("C02X",)), vouches=True)
    made = await desks.enrolments.create(wanted, by="admin:alice")
    admitted = await desks.admission.admit(account(clock, made), [SERIAL], "device-identity")
    assert admitted.vouched == frozenset()
    other = Identifier("permanent-identifier", "C02Y")
    with pytest.raises(AcmeProblem) as refused:
        await desks.admission.admit(account(clock, made), [other], "device-identity")
    assert rejected(refused.value, other)


async def test_an_order_that_replaces_in_its_window_is_not_counted(desks: EnrollingDesks, clock: FakeClock) -> None:
    who, names = account(clock), [Identifier("dns", "a.test")]
    for _ in range(3):
        await desks.admission.admit(who, names, "tls-server", exempt=True)
    await desks.admission.admit(who, names, "tls-server")
    with pytest.raises(AcmeProblem) as refused:
        await desks.admission.admit(who, names, "tls-server")
    assert refused.value.type == URN + "rateLimited"
    await desks.admission.admit(who, names, "tls-server", exempt=True)
    await desks.meters.close()
