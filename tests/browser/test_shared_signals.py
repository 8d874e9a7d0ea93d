"""The pages of shared signals in Chromium: a stream is connected by its buttons, on a desk and on a phone."""

from __future__ import annotations

from tests.browser.conftest import Site
from tests.browser.looking import Looker
from tests.browser.test_dashboard import log_in
from tests.integration.web.test_shared_signals import FEEDS, _waiting, document
from tests.support.vendors.ssf_transmitter import FakeTransmitter
from tests.support.vendors.ssf_transmitter import transmitter as transmitter


async def test_a_person_connects_and_verifies_a_stream(site: Site, transmitter: FakeTransmitter) -> None:
    house, looker = site.house, Looker()
    transmitter.now = house.trust.clock.now
    await house.apply(FEEDS)
    await house.apply(document(transmitter))
    await _waiting(house)
    page = await site.open()
    await log_in(site, page)
    await looker.look(page, "streams", "/streams")
    await looker.look(page, "stream-planned", "/streams/idp")
    await page.fill("#secret", transmitter.secret)
    await page.click("text=Keep it")
    await page.click("button[value=connect]")
    await page.wait_for_selector("text=Connected: the transmitter has the stream")
    await page.click("button[value=verify]")
    await page.wait_for_selector("text=1 asked for, not come yet")
    await looker.see(page, "stream")
    await page.goto("/streams")
    await page.click("text=Look")
    await looker.see(page, "wide-act")
    looker.nothing_is_wrong()
    assert site.complaints == []
