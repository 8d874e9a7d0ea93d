"""Access servers as whoever sends to them sees them: how many at once, which secrets, which way."""

from __future__ import annotations

from dataclasses import replace

import pytest

from troth.kit.ids import new_id
from troth.radius.dynamic.errors import SILENT, UNREACHABLE, DynamicError
from troth.radius.dynamic.fleet import Roster
from troth.radius.dynamic.model import Equipment, Request
from troth.radius.dynamic.pacing import Gate
from troth.radius.nas.model import CoaTarget, Nas, NasTable, RadsecIdentity
from troth.radius.wire.packet import Code, Packet

_REQUEST = Request(Code.DISCONNECT_REQUEST, [], "192.0.2.1", 3799)
_NAS = Nas(new_id(), "wlc", ("192.0.2.1/32",), "cisco-9800", (b"now", b"next"), coa=CoaTarget(port=1700))


class Way:
    """A transport that answers, or fails as it is told."""

    def __init__(self, error: DynamicError | None = None) -> None:
        self.error = error
        self.sent = 0

    async def send(self, equipment: Equipment, request: Request) -> Packet:
        self.sent += 1
        if self.error is not None:
            raise self.error
        return Packet(Code.DISCONNECT_ACK, 1, bytes(16), (), b"")


def _roster(*entries: Nas, udp: Way, radsec: Way | None = None) -> Roster:
    table = NasTable(entries)

    async def load() -> NasTable:
        return table

    return Roster(load, udp, radsec, at_once=16, per_second=100)


async def test_an_access_server_is_known_with_all_that_may_prove_a_request_to_it() -> None:
    found = (await _roster(_NAS, udp=Way()).equipment())["wlc"]
    assert (found.vendor, found.port, found.address, found.secrets) == ("cisco-9800", 1700, None, (b"now", b"next"))
    assert (found.enabled, found.connected, found.require_message_authenticator) == (True, False, True)
    few = replace(_NAS, max_in_flight=4, coa=CoaTarget(secret=b"own"), require_message_authenticator="no")
    found = (await _roster(few, udp=Way()).equipment())["wlc"]
    assert (found.at_once, found.secrets, found.require_message_authenticator) == (4, (b"own",), False)
    narrow = replace(_NAS, coa=CoaTarget(unsigned=True), signs=True)
    assert not (await _roster(narrow, udp=Way()).equipment())["wlc"].require_message_authenticator
    assert narrow.require_message_authenticator == "yes", "of its own requests it goes on being required"
    off = (await _roster(replace(_NAS, coa=None), udp=Way()).equipment())["wlc"]
    bare = (await _roster(replace(_NAS, secrets=(None, None)), udp=Way()).equipment())["wlc"]
    assert (off.enabled, bare.enabled) == (False, False)


@pytest.mark.parametrize(
    ("only", "reason", "sent"),
    [(False, UNREACHABLE, 1), (False, SILENT, 0), (True, UNREACHABLE, 0)],
)
async def test_who_speaks_tls_alone_is_never_spoken_to_over_udp(only: bool, reason: object, sent: int) -> None:
    udp, radsec = Way(), Way(DynamicError(reason))  # type: ignore[arg-type]
    nas = replace(_NAS, radsec=RadsecIdentity(("dns:wlc.example",), ("192.0.2.0/24",), only))
    roster = _roster(nas, udp=udp, radsec=radsec)
    found = (await roster.equipment())["wlc"]
    way = roster.transport(found)
    if sent:
        assert (await way.send(found, _REQUEST)).code == Code.DISCONNECT_ACK
    else:
        with pytest.raises(DynamicError):
            await way.send(found, _REQUEST)
    assert (udp.sent, radsec.sent) == (sent, 1)


def test_a_gate_lets_few_through_at_once_and_one_alone_where_nobody_answers() -> None:
    gate = Gate(at_once=4, per_second=10.0)
    assert gate.room(0.0) == 4
    for _ in range(4):
        gate.begin()
    assert gate.room(0.0) == 0
    for _ in range(4):
        gate.end()
    assert gate.room(0.0) == 4
    for _ in range(3):
        gate.silent()
    assert gate.room(1.0) == 1
    gate.answered()
    assert gate.room(1.0) == 4
