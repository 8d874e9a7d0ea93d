"""Answers of an access server that cannot sign them: believed only where its definition says so, and said why not."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from tests.support.das import Das, listening
from troth.kit.clock import FakeClock
from troth.radius.dynamic.errors import DynamicError
from troth.radius.dynamic.model import Request
from troth.radius.dynamic.udp import UdpTransport
from troth.radius.wire.packet import Code


async def test_an_unsigned_answer_is_believed_by_exception_alone() -> None:
    async with listening(Das(signed=False)) as das:
        udp = UdpTransport(FakeClock(datetime(2026, 12, 1, tzinfo=UTC)), first=0.05, tries=2)
        asked = Request(Code.DISCONNECT_REQUEST, ((1, b"laptop-17"),), "127.0.0.1", das.port)
        try:
            with pytest.raises(DynamicError, match="unsigned_answers") as refused:
                await udp.send(das.equipment, asked)
            assert "message_authenticator_missing" in str(refused.value)
            exempt = replace(das.equipment, require_message_authenticator=False)
            assert (await udp.send(exempt, asked)).code == Code.DISCONNECT_ACK
            das.signed = True
            assert (await udp.send(das.equipment, asked)).code == Code.DISCONNECT_ACK
        finally:
            await udp.close()
