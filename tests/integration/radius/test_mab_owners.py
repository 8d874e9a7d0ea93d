"""A device that owns a certificate and has never joined: its address alone lets nobody in."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from tests.support.signals import Trust
from troth.pki.revocation import OfCertificate, revoke
from troth.radius.methods.owners import Owners
from troth.store.errors import UNAVAILABLE, Unavailable
from troth.store.unit import Reader, Row, Unit
from troth.trust.signals.alias_store import Alias, bind_alias

PRINTER, LAPTOP, STRANGER = "02-00-5e-10-00-01", "02-00-5e-10-00-02", "02-00-5e-10-00-03"


def _owners(trust: Trust, reader: Reader | None = None, *profiles: str, patience: float = 60.0) -> Owners:
    admitted = frozenset(profiles or ("client-device",))
    return Owners(reader or trust.database, trust.clock, lambda: admitted, patience=patience)


async def _told(trust: Trust, subject: UUID, address: str) -> None:
    unit = Unit()
    bind_alias(unit, Alias("mac", address, subject, "person", 100, trust.clock.now()))
    await trust.database.commit(unit)


async def test_a_device_is_known_by_its_name_and_by_the_address_that_others_told(trust: Trust) -> None:
    printer, laptop = await trust.subject(PRINTER), await trust.subject("laptop-1")
    await _told(trust, laptop, "02:00:5E:10:00:02")
    owners = _owners(trust)
    asked = (PRINTER, LAPTOP, STRANGER)
    assert await asyncio.gather(*map(owners.owns, asked)) == [False, False, False]
    certificates = [await trust.certificate(printer), await trust.certificate(laptop)]
    assert await _owners(trust, None, "wifi-user").owns(PRINTER) is False, "of a profile that no network admits"
    assert await owners.owns(PRINTER) is False, "what was read is good for some seconds"
    trust.clock.advance(timedelta(seconds=11))
    assert await asyncio.gather(*map(owners.owns, asked)) == [True, True, False]
    unit = Unit()
    revoke(unit, OfCertificate(certificates[0]), reason=4, at=trust.clock.now(), actor="admin:a")
    await trust.database.commit(unit)
    trust.clock.advance(timedelta(seconds=11))
    assert await asyncio.gather(*map(owners.owns, asked)) == [False, True, False]
    trust.clock.advance(timedelta(days=3650))
    assert await owners.owns(LAPTOP) is False, "it has ended"


class _Away:
    """A database that answers until it does not; counts what is asked."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self.away = False
        self.asked = 0

    async def fetch(self, sql: str, *values: Any) -> list[Row]:
        self.asked += 1
        if self.away:
            raise Unavailable(UNAVAILABLE, "it is away")
        return await self._reader.fetch(sql, *values)

    async def fetchrow(self, sql: str, *values: Any) -> Row | None:
        return await self._reader.fetchrow(sql, *values)

    async def fetchval(self, sql: str, *values: Any) -> Any:
        return await self._reader.fetchval(sql, *values)


@pytest.mark.parametrize("owns", [True, False])
async def test_in_an_outage_what_was_read_before_counts_and_a_stranger_is_not_answered(
    trust: Trust, owns: bool
) -> None:
    printer = await trust.subject(PRINTER)
    if owns:
        await trust.certificate(printer)
    reader = _Away(trust.database)
    owners = _owners(trust, reader)
    assert await asyncio.gather(*(owners.owns(PRINTER) for _ in range(50))) == [owns] * 50
    assert reader.asked == 1, "who comes at once is read at once"
    reader.away = True
    trust.clock.advance(timedelta(seconds=11))
    assert await owners.owns(PRINTER) is owns
    assert await owners.owns(STRANGER) is None
    reader.away = False
    assert await owners.owns(STRANGER) is False
