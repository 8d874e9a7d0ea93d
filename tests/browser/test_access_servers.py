"""A secret of an access server as a person meets it, in Chromium: shown once, and replaced while both are good."""

from __future__ import annotations

import re

import pytest
from playwright.async_api import expect

from tests.browser.conftest import Site
from tests.browser.test_dashboard import log_in

pytestmark = pytest.mark.browser


async def test_a_secret_is_made_shown_once_and_replaced(site: Site) -> None:
    await site.house.apply("nas: [{name: switches, addresses: [10.1.0.0/24], vendor: cisco-ios-xe}]")
    page = await site.open()
    await log_in(site, page)
    await page.goto("/network/nas")
    await page.get_by_role("link", name="switches").click()
    await expect(page.get_by_text("It lacks a secret.")).to_be_visible()
    await page.get_by_role("button", name="Give it its secret").click()
    secret = await page.locator("#secret").inner_text()
    assert re.fullmatch(r"[A-Za-z0-9]{32}", secret)

    await page.goto("/network/nas/switches")
    await expect(page.get_by_text("kept, sealed")).to_be_visible()
    assert secret not in await page.content()
    await page.get_by_role("button", name="Replace it, both good meanwhile").click()
    following = await page.locator("#secret").inner_text()
    assert following != secret
    await expect(page.get_by_text("0 of 0 addresses seen with the new secret")).to_be_visible()
    await page.get_by_role("button", name="Finish: the new one alone").click()
    await expect(page.get_by_text("The new secret counts alone now.")).to_be_visible()
    await expect(page.get_by_role("button", name="Replace it, both good meanwhile")).to_be_visible()
    assert site.complaints == []
