"""Every vendor's access server, scripted by its documents, ends a session, or has it judged anew, at the first try."""

from __future__ import annotations

from uuid import UUID

import pytest
from msgspec.structs import replace

from tests.integration.radius.conftest import Joins
from tests.support.das import Fleet
from tests.support.radius_nas import MANNERS, NasSession, ScriptedNas
from tests.support.signals import Trust
from troth.radius.dynamic.desk import OrderDesk
from troth.radius.dynamic.model import Equipment
from troth.radius.dynamic.sender import Sender
from troth.radius.sessions import order_store, store
from troth.radius.sessions.model import Port, Where
from troth.radius.sessions.orders import Kind
from troth.radius.wire.addresses import mac

_SECRET = b"a secret of access servers"
_OTHER = NasSession(
    "AA-BB-CC-00-11-33", "other@example.com", "5F3A0002", "0A000001000001FF", "198.51.100.8", 4, "1/0/4"
)
_ENDS = {"disconnect", "bounce"}


def _port(session: NasSession, called: str) -> Port:
    return Port(
        mac=mac(session.calling_station_id) or "", calling_station_id=session.calling_station_id,
        user_name=session.user_name, acct_session_id=session.acct_session_id, audit_session_id=session.audit_session_id,
        nas_port=session.nas_port, nas_port_id=session.nas_port_id, framed_ip=session.framed_ip_address,
        called_station_id=called,
    )  # fmt: skip


@pytest.mark.parametrize("kind", ["disconnect", "reauthorize"])
async def test_every_vendors_session_ends_or_is_judged_anew(
    trust: Trust, joins: Joins, fleet: Fleet, sender: Sender, kind: Kind
) -> None:
    subject = await trust.subject()
    for vendor in sorted(MANNERS):
        async with ScriptedNas(vendor, _SECRET, [NasSession(), _OTHER]) as nas:
            await _one(trust, joins, fleet, sender, vendor, kind, nas, subject)


async def _one(
    trust: Trust, joins: Joins, fleet: Fleet, sender: Sender, vendor: str, kind: Kind, nas: ScriptedNas, subject: UUID
) -> None:
    fleet.more[vendor] = Equipment(name=vendor, vendor=vendor, secrets=(_SECRET,), address=nas.address, port=nas.port)
    sender._known_at = float("-inf")
    where = Where(vendor, "box", nas.address, nas.own_address, nas.own_identifier)
    present = _port(NasSession(), "02-11-22-33-44-55:corp")
    joined = await joins(subject, where=where, user_name=NasSession().user_name, port=present)
    await OrderDesk(trust.database, trust.clock).one(joined.id, kind, actor="admin:alice")
    await sender.drain()
    (order,) = await order_store.of_session(trust.database, joined.id)
    assert (vendor, order.state, nas.dropped) == (vendor, "done", 0), order.detail
    ((done, whom),) = nas.done
    assert whom == NasSession()
    session = await store.find(trust.database, joined.id)
    assert session is not None
    assert session.open is (done not in _ENDS)
    # Gone there already: nothing is left to be done, whatever the vendor calls it.
    absent = replace(
        present, mac="02-00-00-00-0f-0f", calling_station_id="02-00-00-00-0F-0F", user_name="gone@example.com",
        acct_session_id="FFFF", audit_session_id="0AFF", framed_ip="198.51.100.99", nas_port_id="1/0/9",
    )  # fmt: skip
    again = await joins(subject, where=where, port=absent, user_name="gone@example.com")
    await OrderDesk(trust.database, trust.clock).one(again.id, kind, actor="admin:alice")
    await sender.drain()
    (order,) = await order_store.of_session(trust.database, again.id)
    assert (vendor, order.state) == (vendor, "gone"), order.detail
    assert len(nas.done) == 1
