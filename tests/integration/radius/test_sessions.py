"""Accounting from the packet to the table: durable before the answer, folded once, aged, compared, forgotten."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from msgspec.structs import replace

from tests.support.accounting_month import Plan, Row, arriving, expected, in_order, month, packet
from tests.support.admissions import heard
from tests.support.signals import Trust
from troth.kit.ids import new_id
from troth.radius.sessions import inbox, inbox_store, order_store, store
from troth.radius.sessions.ageing import Ageing
from troth.radius.sessions.desk import SessionDesk
from troth.radius.sessions.errors import AccountingRefused
from troth.radius.sessions.folding import Folder
from troth.radius.sessions.model import Admitted, Ages, Port, Session, Where
from troth.radius.sessions.store import Meant
from troth.radius.wire.packet import Code, decode
from troth.radius.wire.signing import verify_reply
from troth.store.errors import LeaseLost
from troth.store.lease import Lease
from troth.store.pool import Database
from troth.store.unit import Unit

_SECRET = b"a secret of access servers"
_WHERE = Where("wlc", "wlc/192.0.2.1", "192.0.2.1", "192.0.2.1", "wlc")


@pytest.fixture
def folder(trust: Trust) -> Folder:
    return Folder(trust.database, trust.clock, new_id(), Ages())


def _admitted(trust: Trust, class_: bytes, **more: object) -> Admitted:
    made = Admitted(
        class_, _WHERE, Port(mac="02-00-00-00-00-01"), trust.clock.now(), "corp", "staff", "eap-tls", "allow",
        "policy.allowed", "alice@corp.example", until=trust.clock.now() + timedelta(hours=8),
    )  # fmt: skip
    return replace(made, **more)  # type: ignore[arg-type]


async def _rows(database: Database) -> list[Row]:
    return in_order(Row.of(one) for one in await store.meant(database, Meant(open=False), limit=10_000))


async def test_a_month_of_accounting_ends_in_exactly_the_models_table(trust: Trust, folder: Folder) -> None:
    begins = trust.clock.now().replace(microsecond=0)
    records = month(Plan(boxes=3, sessions=24, days=31.0, reboots=6), 20261201, begins)
    arrivals = arriving(records, 7, jitter=2 * 86_400.0)
    desk = SessionDesk(trust.database, trust.clock)

    async def told(number: int) -> None:
        at, one = arrivals[number]
        request = decode(packet(one, number % 256, _SECRET))
        trust.clock.set_wall(at)
        reply = decode(await desk.account(request, one.where.nas, one.where.source, [b"the old one", _SECRET]))
        assert (reply.code, reply.identifier) == (Code.ACCOUNTING_RESPONSE, request.identifier)
        verify_reply(reply, request.authenticator, _SECRET, require_message_authenticator=False)

    for start in range(0, len(records), 400):
        await asyncio.gather(*(told(number) for number in range(start, min(start + 400, len(records)))))
        await folder.drain()
    assert trust.clock.now() - begins > timedelta(days=30)
    assert await _rows(trust.database) == expected(records)
    assert await inbox_store.waiting(trust.database) == (0, None)
    assert len(records) > 1_500


async def test_an_answer_is_given_only_for_what_is_durable(trust: Trust, folder: Folder) -> None:
    (one, *_) = month(Plan(boxes=1, sessions=5, days=1.0, lost=0.0, reboots=0), 1, trust.clock.now())
    desk = SessionDesk(trust.database, trust.clock)
    request = decode(packet(one.told, 1, b"another secret"))
    with pytest.raises(AccountingRefused):
        await desk.account(request, "nas-0", "192.0.2.0", [_SECRET])
    assert (await inbox_store.waiting(trust.database))[0] == 0
    await desk.account(decode(packet(one.told, 1, _SECRET)), "nas-0", "192.0.2.0", [_SECRET])
    assert (await inbox_store.waiting(trust.database))[0] == 1
    assert desk.counts == {"authenticator": 1, "answered": 1}
    stop = asyncio.Event()
    stop.set()
    await desk.run(stop)
    await folder.drain()
    counts = await inbox_store.counts(trust.database)
    assert (counts["accounting.authenticator"], counts["accounting.answered"], counts["opened"]) == (1, 1, 1)


async def test_a_folder_that_was_overtaken_writes_nothing(trust: Trust, folder: Folder) -> None:
    await heard(trust.database, trust.clock, [_admitted(trust, b"k" * 16)])
    taken = asyncio.Event()
    async with folder._lease.kept(taken.set) as folder._tenure:
        await taken.wait()
        other = Lease(trust.database, trust.clock, "radius:sessions", new_id())
        while await other.acquire() is None:  # it is renewed beside this
            await trust.database.fetchval("UPDATE lease SET lease_until = now() - interval '1 second'")
        with pytest.raises(LeaseLost):
            await folder.once()
    assert await store.open_count(trust.database) == 0
    assert (await inbox_store.waiting(trust.database))[0] == 1


async def test_an_accept_is_told_again_as_often_as_the_journal_likes(trust: Trust, folder: Folder) -> None:
    one = _admitted(trust, b"k" * 16)
    unit = Unit()
    await inbox.taker(trust.clock)(unit, [inbox.note(one)[1]] * 2)
    await trust.database.commit(unit)
    for _ in range(2):
        await heard(trust.database, trust.clock, [one, one])
        await folder.drain()
    (session,) = await store.meant(trust.database, Meant(user="ALICE"))
    assert (session.network, session.where, session.until) == ("corp", _WHERE, one.until)


async def test_whoever_changed_while_the_accept_was_on_its_way_is_judged_anew(trust: Trust, folder: Folder) -> None:
    await trust.feed()
    laptop, other = await trust.subject(), await trust.subject("laptop-2")
    certificate = await trust.certificate(laptop)
    await heard(
        trust.database,
        trust.clock,
        [_admitted(trust, b"o" * 16, subject_ids=(other,), versions=(0,), port=Port(mac="02-02"))],
    )
    await folder.drain()
    await trust.take("edr.intrusion", laptop)
    later = _admitted(trust, b"k" * 16, subject_ids=(laptop,), versions=(0,), certificate_id=certificate)
    await heard(trust.database, trust.clock, [later])
    await folder.drain()
    (order,) = await order_store.listed(trust.database)
    assert (order.kind, order.lane, order.automated) == ("reauthorize", "02-00-00-00-00-01", True)
    assert "while it was let in" in order.reason
    # Let in by quarantine, with the certificate on hold: that is as it should be.
    fine = replace(later, class_=b"q" * 16, versions=(1,), outcome="quarantine")
    await heard(trust.database, trust.clock, [fine])
    await folder.drain()
    assert len(await order_store.listed(trust.database)) == 1


async def test_silence_ends_a_session_and_its_accounting_opens_it_again(trust: Trust, folder: Folder) -> None:
    ageing = Ageing(trust.database, trust.clock, Ages(), keep=timedelta(days=30))
    await heard(trust.database, trust.clock, [_admitted(trust, b"k" * 16)])
    await folder.drain()
    trust.clock.advance(timedelta(hours=8))
    assert await ageing.run_once() == 0
    trust.clock.advance(timedelta(minutes=2))
    assert await ageing.run_once() == 1
    (session,) = await store.meant(trust.database, Meant(open=False))
    assert (session.ended_by, session.ended_at) == ("age", session.until)
    assert (await inbox_store.counts(trust.database))["ended.age"] == 1


async def test_old_months_are_dropped_whole_unless_a_session_still_goes_on(trust: Trust, folder: Folder) -> None:
    ageing = Ageing(trust.database, trust.clock, Ages(), keep=timedelta(days=30))
    await heard(trust.database, trust.clock, [_admitted(trust, b"k" * 16)])
    await heard(
        trust.database, trust.clock, [_admitted(trust, b"p" * 16, until=None, port=Port(mac="02-00-00-00-00-02"))]
    )
    await folder.drain()
    trust.clock.advance(timedelta(hours=9))
    await ageing.run_once()
    trust.clock.advance(timedelta(days=100))
    await ageing.forget()
    (left,) = await store.meant(trust.database, Meant(open=False))
    assert left.port.mac == "02-00-00-00-00-02"
    await ageing.run_once()
    trust.clock.advance(timedelta(days=100))
    await ageing.forget()
    assert await store.meant(trust.database, Meant(open=False)) == []
    months = await trust.database.fetch(
        "SELECT relname FROM pg_class WHERE relname LIKE 'radius_session_2%' AND relkind = 'r'"
    )
    assert len(months) <= 2


async def test_sessions_are_found_by_whatever_is_known_of_them(trust: Trust, folder: Folder) -> None:
    owner, laptop, certificate = await trust.subject("alice", kind="user"), await trust.subject(), new_id()
    await trust.database.fetchval("UPDATE subject SET owner_id = $1 WHERE id = $2", owner, laptop)
    one = _admitted(trust, b"k" * 16, subject_ids=(laptop,), versions=(0,), certificate_id=certificate, serial="0a1b")
    two = _admitted(trust, b"m" * 16, port=Port(mac="02-00-00-00-00-02"), user_name="Alfred_1", network="guest")
    await heard(trust.database, trust.clock, [one, two])
    await folder.drain()

    async def macs(meant: Meant) -> list[str]:
        found: list[Session] = await store.meant(trust.database, meant)
        return [session.port.mac[-2:] for session in found]

    assert await macs(Meant()) == ["02", "01"]
    assert await macs(Meant(subjects=(owner,))) == await macs(Meant(subjects=(laptop,))) == ["01"]
    assert await macs(Meant(certificate=certificate)) == await macs(Meant(serial="0a1b")) == ["01"]
    assert await macs(Meant(user="al")) == ["02", "01"]
    assert await macs(Meant(user="alfred_")) == await macs(Meant(network="guest")) == ["02"]
    assert await macs(Meant(user="a%")) == await macs(Meant(nas="elsewhere")) == []
    assert await macs(Meant(nas="wlc", mac="02-00-00-00-00-01")) == ["01"]
