"""The page, the JSON and the commands of authorities."""

from __future__ import annotations

from datetime import UTC, datetime

from tests.integration.pki.test_issuers import added
from tests.support.dashboard import House
from troth.access.roles import Role
from troth.pki.crl import CrlPublisher
from troth.pki.issuer_classes import EVERY, IssuerClass
from troth.pki.keys.algorithm import KeyAlgorithm
from troth.pki.keys.model import IssuingLimits, KeyMetadata, KeyPurpose
from troth.pki.signer.errors import UNAVAILABLE, SignerUnavailable
from troth.web.books.authorities import Authorities


class Keys:
    """A signer that holds one key, or does not answer."""

    def __init__(self, *keys: KeyMetadata) -> None:
        self.keys = keys

    async def list_keys(self) -> list[KeyMetadata]:
        if not self.keys:
            raise SignerUnavailable(UNAVAILABLE)
        return list(self.keys)


NOW = datetime(2026, 1, 1, tzinfo=UTC)
LIMITS = IssuingLimits(
    b"", b"", NOW, NOW, None, 86_400, 0, 0, ("1.3.6.1.5.5.7.3.2", "1.3.6.1.4.1.311.20.2.2"), False, EVERY
)
KEY = KeyMetadata(
    "people-key", KeyPurpose.ISSUING, KeyAlgorithm.P256, b"", NOW, limits=LIMITS, custodian="pkcs11:luna",
    evidence=(("CKA_EXTRACTABLE", "false"),),
)  # fmt: skip


async def test_an_authority_has_a_page_and_json_and_stands_in_the_tree_below_its_root(house: House) -> None:
    mint = house.trust.mint
    await added(mint, "people", IssuerClass.PEOPLE)
    await CrlPublisher(mint.database, mint.signer, mint.catalogue, mint.interlock, mint.clock).publish("people")
    browser = await house.logged_in(Role.AUDITOR)
    tree = (await browser.get("/authorities")).text
    assert tree.index("Test Root") < tree.index("Test Issuing") < tree.index("Test people")
    assert 'href="/authorities/people"' in tree
    page = await browser.get("/authorities/people")
    assert page.status_code == 200
    assert "Issues for people" in page.text
    assert "-----BEGIN CERTIFICATE-----" in page.text
    one = (await browser.get("/api/v1/authorities/people")).json()
    assert one["issuer_classes"] == ["people"]
    assert (one["parent"], one["state"], one["custodian"]) == ("root", "active", None)
    assert [crl["kind"] for crl in one["crls"]] == ["full"]
    assert one["crls"][0]["number"] == one["crl_number"]


async def test_an_authority_that_is_not_there_is_not_found(house: House) -> None:
    browser = await house.logged_in(Role.AUDITOR)
    for path in ("/authorities/nobody", "/api/v1/authorities/nobody"):
        assert (await browser.get(path)).status_code == 404


async def test_the_signer_is_asked_who_holds_a_key_and_what_it_certifies(house: House) -> None:
    await added(house.trust.mint, "people", IssuerClass.PEOPLE)
    found = await Authorities(house.trust.database, house.trust.clock, Keys(KEY)).get("people")
    assert found is not None
    assert found.custodian == "pkcs11:luna"
    assert found.evidence == (("CKA_EXTRACTABLE", "false"),)
    assert found.usages == ("clientAuth", "smartcardLogon")
    root = await Authorities(house.trust.database, house.trust.clock, Keys(KEY)).get("root")
    assert root is not None
    assert root.custodian == "offline"


async def test_a_signer_that_does_not_answer_hides_no_authority(house: House) -> None:
    found = await Authorities(house.trust.database, house.trust.clock, Keys()).list()
    assert [(one.slug, one.custodian) for one in found] == [("root", "offline"), ("issuing", None)]
