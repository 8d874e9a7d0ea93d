"""The forms by which authorities come in, sent by hand: what is odd is refused with a page, and nothing is done."""

from __future__ import annotations

import html
import re
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from tests.integration.web.test_ceremonies import fitted, office
from tests.support.ceremonies import Office
from tests.support.dashboard import House
from troth.access.roles import Role
from troth.pki.crl_store import CrlStore
from troth.web.pages.admitting import certificates_in, crl_in

__all__ = ["office"]

CEREMONY = "/authorities/add/ceremony"


def carried(text: str) -> str:
    found = re.search(r'name="carried" value="([^"]*)"', text)
    assert found is not None, text
    return html.unescape(found[1])


def results(office: Office) -> dict[str, Any]:
    held = office.hold(office.plan("crl.yaml", fitted(office, office.crl())))
    names = {"transcript": "transcript.jsonl", "result": "result.json", "made": "crl.der"}
    return {field: (name, (held.directory / name).read_bytes()) for field, name in names.items()}


async def published(house: House) -> bool:
    found = await CrlStore(house.trust.database).standing("root", 0)
    return found is not None and found.full_number == 1


async def test_what_is_shown_changes_nothing_and_what_is_sent_after_it_is_read_anew(
    house: House, office: Office
) -> None:
    browser = await house.logged_in(Role.ADMINISTRATOR)
    answer = await browser.post(CEREMONY, data={"session_key": "", "slug": ""}, files=results(office))
    assert (answer.status_code, "Publishes a CRL of root" in answer.text) == (200, True)
    assert not await published(house)
    told = carried(answer.text)
    spoilt = told.replace('"made":"M', '"made":"N')
    assert spoilt != told
    refused = await browser.post(f"{CEREMONY}/done", data={"carried": spoilt, "note": ""})
    assert refused.status_code >= 400
    assert not await published(house)
    done = await browser.post(f"{CEREMONY}/done", data={"carried": told, "note": "as agreed"})
    assert (done.status_code, done.headers["location"]) == (303, "/authorities/root?done=taken")
    assert await published(house)


@pytest.mark.parametrize(
    ("path", "data", "files"),
    [
        (CEREMONY, {}, {"transcript": ("t", b"{}")}),
        (CEREMONY, {"transcript": "text in the place of a file", "result": "x"}, None),
        (CEREMONY, {}, {"transcript": ("t", b"\xff\xfe"), "result": ("r", b"{}")}),
        (CEREMONY, {}, {"transcript": ("t", b"x" * (1024 * 1024 + 1)), "result": ("r", b"{}")}),
        (CEREMONY, {"slug": "x" * 5000}, {"transcript": ("t", b"{}"), "result": ("r", b"{}")}),
        ("/authorities/add/certificate", {"slug": "a", "key_id": "issuing-1"}, {"certificate": ("c", b"0\x03")}),
        ("/authorities/add/certificate", {"slug": "a", "key_id": "issuing-1"}, None),
        ("/authorities/add/elsewhere", {"slug": "a"}, None),
        (f"{CEREMONY}/done", {"carried": "[1]"}, None),
        (f"{CEREMONY}/done", {"carried": "{}"}, None),
        (f"{CEREMONY}/done", {"carried": '{"transcript": 1, "result": null, "made": []}'}, None),
        ("/authorities/add/certificate/done", {"carried": '{"authority": "a", "chain": [1], "issuer_classes": ["x"]}'},
         None),
        ("/authorities/add/elsewhere/done", {"carried": "{}"}, None),
    ],
)  # fmt: skip
async def test_odd_forms_are_refused_with_a_page(
    house: House, path: str, data: dict[str, Any], files: dict[str, Any] | None
) -> None:
    browser = await house.logged_in(Role.ADMINISTRATOR)
    answer = await browser.post(path, data=data, files=files)
    assert 400 <= answer.status_code < 500, (answer.status_code, answer.text[:400])
    assert "text/html" in answer.headers["content-type"]
    assert "Traceback" not in answer.text
    assert [one.slug for one in await house.services.authorities.list()] == ["root", "issuing"]


async def test_the_forms_are_for_administrators_and_their_own_pages(house: House, office: Office) -> None:
    files = results(office)
    for role in (Role.AUDITOR, Role.OPERATOR, Role.APPROVER):
        browser = await house.logged_in(role)
        assert (await browser.get("/authorities/add")).status_code == 403
        assert (await browser.post(CEREMONY, files=files)).status_code == 403
        assert "Add an authority" not in (await browser.get("/authorities")).text
    browser = await house.logged_in(Role.ADMINISTRATOR)
    assert "Add an authority" in (await browser.get("/authorities")).text
    elsewhere = await browser.post(CEREMONY, files=files, headers={"sec-fetch-site": "cross-site"})
    assert elsewhere.status_code == 403


async def test_a_signer_that_does_not_answer_leaves_the_form_for_ceremonies(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    browser = await house.logged_in(Role.ADMINISTRATOR)
    assert 'name="key_id"' in (await browser.get("/authorities/add")).text
    monkeypatch.setattr(house.services.keys, "_given", None)
    page = await browser.get("/authorities/add")
    assert (page.status_code, "The signer tells of no issuing key" in page.text) == (200, True)
    assert 'name="transcript"' in page.text


def test_certificates_are_read_in_either_form(house: House) -> None:
    mint = house.trust.mint
    pem, der = (mint.issuer.public_bytes(form) for form in (Encoding.PEM, Encoding.DER))
    assert certificates_in(pem, "chain") == certificates_in(der, "chain")
    assert len(certificates_in(pem + mint.root.public_bytes(Encoding.PEM), "chain")) == 2
    for spoilt in (b"", der[:-1], b"-----BEGIN X509 CRL-----"):
        with pytest.raises(Exception, match="PEM or DER"):
            certificates_in(spoilt, "chain")
        with pytest.raises(Exception, match="PEM or DER"):
            crl_in(spoilt)
