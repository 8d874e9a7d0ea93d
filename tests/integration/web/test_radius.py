"""The RADIUS server's identity over API, page and command: none yet, then what devices must be told."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from tests.support.dashboard import House
from troth.access.roles import Role
from troth.assembly.identity import ServiceIdentity
from troth.assembly.state import State
from troth.cli import radius as commands
from troth.pki.profile import shipped_profiles
from troth.radius.identity.issuing import PROFILE, ServerCertificates
from troth.web.books.radius import RadiusBook
from troth.web.errors import WebError

NAME = "radius.corp.test"
STATE = State(listeners={}, public_url="https://pki.test", public_http_url="", admin_url="https://pki.test:8444")


async def test_what_devices_must_be_told_is_shown(
    house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    browser = await house.logged_in(Role.ADMINISTRATOR)
    none = await browser.get("/api/v1/network/identity")
    assert (none.status_code, none.json()["code"]) == (404, "radius.eap.no_identity")
    assert "has no certificate of Troth" in (await browser.get("/network/networks")).text
    mint = house.trust.mint
    await mint.catalogue.apply_profile(shipped_profiles()[PROFILE], actor="test:mint")
    service = ServiceIdentity(mint.database, mint.gate, mint.catalogue, tmp_path / "s.pem", STATE, mint.clock)
    certificates = ServerCertificates(
        mint.database, mint.gate, mint.signer, mint.catalogue, mint.clock, name=NAME, subject=service.subject
    )
    await certificates.ensure()
    shown = (await browser.get("/api/v1/network/identity")).json()
    assert shown["name"] == NAME
    assert shown["not_before"] < shown["renewed_at"] < shown["not_after"]
    assert shown["anchor"]["sha256"] == mint.root.fingerprint(hashes.SHA256()).hex()
    assert x509.load_pem_x509_certificate(shown["anchor"]["pem"].encode()) == mint.root
    assert len(x509.load_pem_x509_certificates(shown["chain"].encode())) == 2
    page = (await browser.get("/network/networks")).text
    assert "radius.corp.test" in page
    assert shown["anchor"]["sha256"] in page

    kept = tmp_path / "radius.pem"
    kept.write_text(shown["chain"] + shown["anchor"]["pem"])
    of_people = await RadiusBook(mint.database, mint.catalogue, mint.clock, str(kept)).identity()
    assert (of_people.name, of_people.sha256, of_people.renewed_at) == (NAME, shown["sha256"], None)
    assert of_people.anchor is not None
    assert of_people.anchor.sha256 == shown["anchor"]["sha256"]
    kept.write_text("nothing")
    with pytest.raises(WebError, match="cannot be read"):
        await RadiusBook(mint.database, mint.catalogue, mint.clock, str(kept)).identity()

    class Answering:
        def get(self, path: str) -> object:
            assert path == "/network/identity"
            return shown

    monkeypatch.setattr(commands.Api, "at", lambda _data: Answering())
    assert commands.identity() == 0
    told = capsys.readouterr().out
    assert 'domain_match="radius.corp.test"' in told
    assert shown["anchor"]["sha256"] in told
    commands.identity(pem=True)
    assert capsys.readouterr().out == shown["anchor"]["pem"]
