"""Two persons pin passkeys in the signer, and with them have it do what it judges itself; in Chromium."""

from __future__ import annotations

import re

import pytest
from playwright.async_api import Page, expect

from tests.browser.conftest import Site
from tests.browser.looking import Looker
from tests.browser.test_approvals import approve, at_its_address, enter
from tests.support.judging import confirm
from troth.access.roles import Role
from troth.pki.keys.model import KeyPurpose

__all__ = ["at_its_address"]

pytestmark = pytest.mark.browser

_MAKE_A_KEY = """async () => (await fetch("/api/v1/keys", {method: "POST",
    headers: {"content-type": "application/json"},
    body: JSON.stringify({algorithm: "p384", custodian: "software"})})).json()"""


async def propose_a_passkey(page: Page, label: str) -> str:
    """Make a passkey for the signer; the id of the proposal to pin it."""
    await page.goto("/approvers")
    await page.get_by_label("Name of the passkey").fill(label)
    await page.get_by_role("button", name="Make it and propose it").click()
    await page.wait_for_url(re.compile("/approvals/"))
    return page.url.rpartition("/")[2].partition("?")[0]


async def test_two_persons_are_pinned_and_then_have_the_signer_make_a_key(at_its_address: Site) -> None:
    site, house = at_its_address, at_its_address.house
    pages = {"ann": await enter(site, "ann", Role.ADMINISTRATOR), "ben": await enter(site, "ben", Role.APPROVER)}
    for name, page in pages.items():
        proposal = await propose_a_passkey(page, f"{name}'s grey key")
        await expect(page.get_by_text(f"troth approver confirm {proposal}")).to_be_visible()
        await expect(page.get_by_role("button", name="Approve with a passkey")).to_have_count(0)
        assert (await confirm(house, proposal)).status_code == 200
        await expect(page.locator("#state .badge")).to_have_text("done")
    await pages["ann"].goto("/approvers")
    await expect(pages["ann"].locator("#pinned")).to_contain_text("2 of 2 persons must approve")

    before = len(await house.signer.list_keys(KeyPurpose.ISSUING))
    made = await pages["ann"].evaluate(_MAKE_A_KEY)
    for page in pages.values():
        await approve(page, made["page"])
    await expect(pages["ben"].locator("#state .badge")).to_have_text("done")
    await expect(pages["ann"].locator("#state .badge")).to_have_text("done")
    assert len(await house.signer.list_keys(KeyPurpose.ISSUING)) == before + 1
    assert site.complaints == []


async def test_the_pages_of_keys_and_approvers_fit_and_are_accessible(at_its_address: Site) -> None:
    site, house, looker = at_its_address, at_its_address.house, Looker()
    ann = await enter(site, "ann", Role.ADMINISTRATOR)
    ben = await enter(site, "ben", Role.APPROVER)
    cat = await enter(site, "cat", Role.APPROVER)
    founding = await propose_a_passkey(ann, "blue key")
    await looker.look(ann, "approver-founding", f"/approvals/{founding}")
    await looker.look(ann, "approvers-none", "/approvers")
    assert (await confirm(house, founding)).status_code == 200
    assert (await confirm(house, await propose_a_passkey(ben, "phone"))).status_code == 200
    third = await propose_a_passkey(cat, "grey key")
    await looker.look(ann, "approver-third", f"/approvals/{third}")
    await looker.look(ann, "approvers", "/approvers")
    await looker.look(ann, "keys", "/keys")
    await ann.get_by_role("button", name="Have the key issuing-1 sign now").click()
    await expect(ann.get_by_text("signs, and the signature verifies")).to_be_visible()
    looker.nothing_is_wrong()
    assert site.complaints == []
