"""Two persons approve an act of a third, each with a passkey of their own, in Chromium."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.async_api import Page, expect

from tests.browser.conftest import Site
from tests.browser.looking import Looker
from tests.support.dashboard import PASSWORD
from troth.access.approvals.rule import REGULATED
from troth.access.passkeys import RelyingParty
from troth.access.roles import Role

pytestmark = pytest.mark.browser


@pytest.fixture
def at_its_address(site: Site) -> Site:
    """Passkeys are tied to the address that is served, whose port only the test knows."""
    access = site.house.access
    party = RelyingParty("localhost", (site.url,))
    services = site.house.services
    adding = services.approvals._executors["approver.add"]
    rooms: tuple[Any, ...] = (
        access.log_ins, access.invitations, access.credentials, services.approvals.proposals, services.approvers,
        adding,
    )  # fmt: skip
    for room in rooms:
        room._party = party
    return site


async def authenticator(page: Page) -> None:
    """A security key in this browser, whose owner always touches it."""
    session = await page.context.new_cdp_session(page)
    await session.send("WebAuthn.enable")
    options: dict[str, Any] = {
        "protocol": "ctap2", "transport": "internal", "hasResidentKey": True, "hasUserVerification": True,
        "isUserVerified": True, "automaticPresenceSimulation": True,
    }  # fmt: skip
    await session.send("WebAuthn.addVirtualAuthenticator", {"options": options})


async def enter(site: Site, name: str, role: Role, **options: Any) -> Page:
    """Somebody new, logged in by password, who then makes a passkey on the account page."""
    await site.house.account(role, name)
    page = await site.open(**options)
    await page.goto("/login")
    await page.get_by_label("Name").fill(name)
    await page.get_by_label("Password").fill(PASSWORD)
    await page.get_by_role("button", name="Log in", exact=True).click()
    await expect(page.get_by_role("heading", name="Overview")).to_be_visible()
    await authenticator(page)
    await page.goto("/account")
    await page.get_by_label("Name of a new passkey").fill(f"{name}'s key")
    await page.locator("#present-add").fill(PASSWORD)
    await page.get_by_role("button", name="Add a passkey").click()
    await expect(page.get_by_text("The passkey is added.")).to_be_visible()
    return page


async def approve(page: Page, address: str) -> None:
    await page.goto(address)
    await page.get_by_role("button", name="Approve with a passkey").click()
    await expect(page.get_by_text("Your approval is counted.")).to_be_visible()


async def test_two_persons_approve_with_passkeys_what_a_third_proposes(at_its_address: Site) -> None:
    site, house = at_its_address, at_its_address.house
    ann = await enter(site, "ann", Role.ADMINISTRATOR)
    ben = await enter(site, "ben", Role.APPROVER)
    cat = await enter(site, "cat", Role.APPROVER)
    accounts = {one.name: one for one in await house.access.accounts.list()}
    made = await house.services.approvals.submit(
        "rule.change", {"document": REGULATED}, _principal(accounts["ann"]), comment="as the auditors ask"
    )
    assert made.proposal is not None
    for page in (ben, cat):
        await approve(page, f"/approvals/{made.proposal.id}")
    await expect(cat.locator("#state .badge")).to_have_text("done")

    # The count in the navigation moves by itself, wherever the others are.
    await ben.goto("/ledger")
    count = ben.locator(".side [data-count=approvals]")
    await expect(count).to_be_hidden()
    await house.trust.orders.freeze(person="ann", reason="drill")
    await ann.goto("/")
    await ann.get_by_role("button", name="Unfreeze").click()
    await expect(ann.get_by_role("heading", name="Let automation go on")).to_be_visible()
    await expect(ann.get_by_text("You proposed this")).to_be_visible()
    await expect(ann.get_by_role("button", name="Approve with a passkey")).to_have_count(0)
    await expect(count).to_have_text("1")
    address = ann.url.partition("?")[0]
    await approve(ben, address)
    await expect(ann.locator("#approvals")).to_contain_text("ben")
    assert (await house.trust.orders.switch()).frozen
    await approve(cat, address)
    await expect(ann.locator("#state .badge")).to_have_text("done")
    await expect(count).to_be_hidden()
    assert not (await house.trust.orders.switch()).frozen
    assert site.complaints == []


async def test_the_pages_of_approvals_fit_and_are_accessible(at_its_address: Site) -> None:
    site, house, looker = at_its_address, at_its_address.house, Looker()
    page = await enter(site, "ann", Role.ADMINISTRATOR)
    for name in ("ben", "cat"):
        await house.account(Role.APPROVER, name)
    accounts = {one.name: one for one in await house.access.accounts.list()}
    approvals = house.services.approvals
    for n in range(4):
        await house.issue(f"old-{n}.example.org", f"old-{n}.example.org")
    mine = await approvals.submit(
        "certificate.revoke_many", {"profile": "tls-server", "reason": 4}, _principal(accounts["ann"]), propose=True,
        comment="the old names go on Friday",
    )  # fmt: skip
    theirs = await approvals.submit(
        "account.disable", {"account": str(accounts["cat"].id)}, house.admin, propose=True, comment="left the company"
    )
    assert mine.proposal is not None
    assert theirs.proposal is not None
    gone = await approvals.submit("enforcement.unfreeze", {}, house.admin, propose=True)
    assert gone.proposal is not None
    await approvals.proposals.reject(gone.proposal.id, _principal(accounts["ben"]), why="not during the drill")
    for name, path in {
        "approvals": "/approvals",
        "approval-mine": f"/approvals/{mine.proposal.id}",
        "approval": f"/approvals/{theirs.proposal.id}",
        "approval-rejected": f"/approvals/{gone.proposal.id}",
        "account": "/account",
    }.items():
        await looker.look(page, name, path)
    looker.nothing_is_wrong()
    assert site.complaints == []


def _principal(account: Any) -> Any:
    from troth.access.model import Principal

    return Principal(account.name, account.role, f"admin:{account.name}", account.id, "session")
