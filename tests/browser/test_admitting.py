"""An authority comes in by its page: a ceremony's results at once, a certificate under the two-person rule."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, load_der_public_key
from playwright.async_api import expect

from tests.browser.conftest import Site
from tests.browser.looking import Looker
from tests.browser.test_approvals import approve, at_its_address, enter
from tests.integration.web.test_ceremonies import fitted, office
from tests.support.ceremonies import Office
from tests.support.mint import ca_certificate
from troth.access.approvals.rule import REGULATED
from troth.access.roles import Role

__all__ = ["at_its_address", "office"]

pytestmark = pytest.mark.browser


def certify_a_key(site: Site, path: Path) -> bytes:
    """Bind the first key of the signer to a certificate by the test's root, and write that to ``path``."""
    mint, signer = site.house.trust.mint, site.house.services.keys._given  # type: ignore[attr-defined]
    public: Any = load_der_public_key(signer.keys[0].public_key)

    class Elsewhere:
        def public_key(self) -> Any:
            return public

    made = ca_certificate(Elsewhere(), "Corp Issuing", mint.clock.now(), (mint.root, mint.root_key))  # type: ignore[arg-type]
    signer.keys[0] = msgspec.structs.replace(signer.keys[0], certificate=made.public_bytes(Encoding.DER))
    path.write_bytes(made.public_bytes(Encoding.PEM))
    return made.public_bytes(Encoding.DER)


async def test_an_authority_and_a_ceremonys_crl_come_in_by_their_pages(
    at_its_address: Site, office: Office, tmp_path: Path
) -> None:
    site, house, looker = at_its_address, at_its_address.house, Looker()
    held = office.hold(office.plan("crl.yaml", fitted(office, office.crl())))
    ann = await enter(site, "ann", Role.ADMINISTRATOR)
    await looker.look(ann, "authority-add", "/authorities/add")
    for field, name in (("transcript", "transcript.jsonl"), ("result", "result.json"), ("made", "crl.der")):
        await ann.locator(f"#{field}").set_input_files(held.directory / name)
    await ann.get_by_label("Session key, as it stands on paper").fill(held.session_key)
    ceremony = ann.get_by_role("region", name="A ceremony's results")
    await ceremony.get_by_role("button", name="Show what it would do").click()
    await expect(ann.locator("main")).to_contain_text("Publishes a CRL of root with 1 entry, good until")
    await looker.see(ann, "authority-confirm")
    await ann.get_by_role("button", name="Take it in").click()
    await expect(ann.get_by_text("Taken in. The ledger has it.")).to_be_visible()

    # From now on two others must agree.
    rule = house.services.approvals
    accounts = {one.name: one for one in await house.access.accounts.list()}
    ben, cat = await enter(site, "ben", Role.APPROVER), await enter(site, "cat", Role.APPROVER)
    made = await rule.submit("rule.change", {"document": REGULATED}, _principal(accounts["ann"]))
    assert made.proposal is not None
    for page in (ben, cat):
        await approve(page, f"/approvals/{made.proposal.id}")
    der = certify_a_key(site, tmp_path / "corp.pem")
    await ann.goto("/authorities/add")
    await ann.get_by_label("Short name", exact=True).fill("corp")
    await ann.get_by_label("Its key").select_option("issuing-1")
    await ann.locator("#certificate").set_input_files(tmp_path / "corp.pem")
    await ann.get_by_label("people").check()
    certificate = ann.get_by_role("region", name="A certificate from elsewhere")
    await certificate.get_by_role("button", name="Show what it would do").click()
    await expect(ann.locator("main")).to_contain_text("Shall issue for: people")
    await expect(ann.locator("main")).to_contain_text("It is proposed first")
    await ann.get_by_role("button", name="Add it").click()
    await ann.wait_for_url(re.compile("/approvals/"))
    address = ann.url.partition("?")[0]
    for page in (ben, cat):
        await approve(page, address)
    await expect(ann.locator("#state .badge")).to_have_text("done")
    catalogue = house.trust.mint.catalogue
    await catalogue.refresh()
    added = catalogue.authority("corp")
    assert (added.certificate, added.key_id, added.state, [*added.issuer_classes]) == (
        der, "issuing-1", "planned", ["people"],
    )  # fmt: skip
    looker.nothing_is_wrong()
    assert site.complaints == []


def _principal(account: Any) -> Any:
    from troth.access.model import Principal

    return Principal(account.name, account.role, f"admin:{account.name}", account.id, "session")
