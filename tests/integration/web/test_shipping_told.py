"""Whether the ledger is shipped, as `troth status` and the health page tell it."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pyrage
import pytest

from tests.integration.ops.test_shipping import MemoryTarget
from tests.support.dashboard import House
from troth.access.roles import Role
from troth.kit.ids import new_id
from troth.kit.settings import BackupSettings
from troth.ops.backup.errors import SHIPPING, ShippingFailed
from troth.ops.backup.sealing import Seal
from troth.ops.backup.shipped import SHIPPED, STOPPED
from troth.ops.backup.shipping import Shipper, ShippingDuty
from troth.store.marks import MARK, read_marks
from troth.store.unit import Unit


class _Away(MemoryTarget):
    """A place that can be taken away."""

    away = True

    def get(self, name: str) -> bytes | None:
        if self.away:
            raise ShippingFailed(SHIPPING, name)
        return super().get(name)


async def test_a_stop_is_told_with_its_reason_and_fix_and_no_more_when_it_is_over(
    house: House, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    database, clock, target = house.trust.database, house.trust.clock, _Away()
    seal = Seal((pyrage.x25519.Identity.generate().to_public(),))
    shipper = Shipper(database_url, target, seal, clock, origin="pki.test/ledger", secret=bytes(32))
    duty, stop, failed = ShippingDuty(shipper, database, clock, new_id()), asyncio.Event(), asyncio.Event()
    monkeypatch.setattr(house.services.health, "_backup", BackupSettings(tiles="/mnt/ledger"))
    browser = await house.logged_in(Role.AUDITOR)

    async def told() -> tuple[str, str]:
        checks = (await browser.get("/api/v1/status")).json()["checks"]
        [found] = [(one["state"], one["detail"]) for one in checks if one["name"] == "Shipping"]
        assert found[1].split(":")[0] in (await browser.get("/")).text
        return found

    assert await told() == ("warn", "the ledger has never been shipped whole: is a worker running?")
    await database.commit(Unit().write(MARK, SHIPPED, clock.now()))
    clock.advance(timedelta(minutes=5))
    assert await told() == ("warn", "all of the ledger was shipped 5 min ago: is a worker running?")
    running = asyncio.create_task(duty.run(stop, told=lambda _error: failed.set()))
    try:
        async with asyncio.timeout(120):
            await failed.wait()
        state, words = await told()
        assert state == "fail"
        assert words.startswith(f"stopped 0 s ago: {SHIPPING.summary} [ops.shipping.target]; all of the ledger was")
        assert words.endswith(f"shipped 5 min ago. {SHIPPING.fix}")
        target.away = False
        async with asyncio.timeout(120):  # it tries again each second
            while any(name.startswith(STOPPED) for name in await read_marks(database)):
                await asyncio.sleep(0.05)
        # Nobody sequences here, so all of it is not there yet.
        assert await told() == ("warn", "all of the ledger was shipped 5 min ago: is a worker running?")
    finally:
        stop.set()
        await running


async def test_where_nothing_is_to_be_shipped_nothing_is_told(house: House) -> None:
    browser = await house.logged_in(Role.AUDITOR)
    names = [one["name"] for one in (await browser.get("/api/v1/status")).json()["checks"]]
    assert "Recovery" in names
    assert "Shipping" not in names
