"""What an offline ceremony made, taken in by a running Troth."""

from __future__ import annotations

import asyncio
import hashlib
from base64 import b64encode
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat

from tests.support.ceremonies import Office
from tests.support.dashboard import House, sequencing
from troth.kit.clock import FakeClock
from troth.kit.errors import TrothError
from troth.pki.ceremony.errors import TranscriptRefused
from troth.pki.crl_store import CrlStore
from troth.pki.cross_store import CrossStore
from troth.pki.keys.algorithm import KeyAlgorithm
from troth.pki.keys.model import KeyMetadata, KeyPurpose
from troth.pki.lint_full import sample_spki
from troth.pki.pem import pem
from troth.web.acts.ceremonies import CeremonyImport
from troth.web.views import EventView


class Keys:
    """A signer that holds one key, bound to a certificate."""

    def __init__(self, certificate: bytes) -> None:
        now = FakeClock(Office(Path()).clock.now()).now()
        self.key = KeyMetadata("issuing-1", KeyPurpose.ISSUING, KeyAlgorithm.P256, b"", now, certificate=certificate)

    async def list_keys(self) -> list[KeyMetadata]:
        return [self.key]


@pytest.fixture
def office(house: House, tmp_path: Path) -> Office:
    """An office that has the test's root key in an encrypted file."""
    mint = house.trust.mint
    office = Office(tmp_path, FakeClock(mint.clock.now()))
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "certificate.pem").write_bytes(mint.root.public_bytes(Encoding.PEM))
    key = mint.root_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"open sesame"))
    (tmp_path / "root-key.pem").write_bytes(key)
    (tmp_path / "root-key.passphrase").write_text("open sesame\n")
    return office


def fitted(office: Office, document: dict[str, Any]) -> dict[str, Any]:
    """``document`` for the test's root and clock."""
    now = office.clock.now().replace(microsecond=0)
    document["window"] = {"from": (now - timedelta(days=1)).isoformat(), "until": (now + timedelta(days=1)).isoformat()}
    document["key"] = {
        "custody": "pem",
        "algorithm": "p256",
        "file": "root-key.pem",
        "passphrase": "root-key.passphrase",
    }
    if "crl" in document:
        document["crl"] |= {"this_update": now.isoformat(), "next_update": (now + timedelta(days=365)).isoformat()}
        document["crl"]["revoked"][0]["at"] = now.isoformat()
    else:
        document["certificate"]["validity"] = {
            "from": now.isoformat(),
            "until": (now + timedelta(days=1000)).isoformat(),
        }
    return document


def payload(directory: Path, made: str, **changes: str) -> dict[str, str]:
    return {
        "transcript": (directory / "transcript.jsonl").read_text(),
        "result": (directory / "result.json").read_text(),
        "made": b64encode((directory / made).read_bytes()).decode(),
        **changes,
    }


async def test_a_roots_crl_is_published_and_its_ceremony_stands_in_the_ledger(house: House, office: Office) -> None:
    held = office.hold(office.plan("crl.yaml", fitted(office, office.crl())))
    told = payload(held.directory, "crl.der", session_key=held.session_key)
    done = await house.services.approvals.submit("ceremony.import", told, house.admin)
    assert done.outcome == {"ceremony": "root-crl", "authority": "root", "added": False}
    published = await CrlStore(house.trust.database).standing("root", 0)
    assert published is not None
    assert published.full_number == 1
    events: list[EventView] = []
    async with sequencing(house), asyncio.timeout(120):
        while not events:
            await asyncio.sleep(0.05)
            events = [event for event in await house.services.events.since(0, 500) if event.kind == "ceremony.recorded"]
    assert len(events) == 1
    transcript = hashlib.sha256((held.directory / "transcript.jsonl").read_bytes()).hexdigest()
    assert events[0].data["transcript_sha256"] == transcript
    assert events[0].data["session_key"] == held.session_key


async def test_an_issuing_authority_is_added_only_if_the_signer_holds_its_key(house: House, office: Office) -> None:
    mint = house.trust.mint
    spki = sample_spki("p256")
    document = office.intermediate(pem(spki, "PUBLIC KEY"), hashlib.sha256(spki).hexdigest(), "people")
    document["certificate"]["issuer_classes"] = ["people"]
    held = office.hold(office.plan("people.yaml", fitted(office, document)))
    told = payload(held.directory, "certificate.der", slug="people")
    stranger = CeremonyImport(house.trust.database, mint.clock, mint.catalogue, Keys(b"another"))
    with pytest.raises(TranscriptRefused, match="no key of this signer"):
        await stranger.preview(told, house.admin)
    made = (held.directory / "certificate.der").read_bytes()
    act = CeremonyImport(house.trust.database, mint.clock, mint.catalogue, Keys(made))
    preview = await act.preview(told, house.admin)
    assert any(line.startswith("Adds the issuing authority people for people, planned") for line in preview.lines)
    house.services.approvals._executors["ceremony.import"] = act  # type: ignore[index]
    await house.services.approvals.submit("ceremony.import", told, house.admin)
    await mint.catalogue.refresh()
    added = mint.catalogue.authority("people")
    assert (added.key_id, added.parent, added.state, added.trial) == ("issuing-1", "root", "planned", False)
    assert [*added.issuer_classes] == ["people"]
    assert added.x509 == x509.load_der_x509_certificate(made)


async def test_an_authority_that_certifies_authorities_is_added_with_its_key_offline(
    house: House, office: Office
) -> None:
    spki = sample_spki("p384")
    document = office.intermediate(pem(spki, "PUBLIC KEY"), hashlib.sha256(spki).hexdigest(), "policy")
    document["certificate"] |= {"path_length": 1, "issuer_classes": ["open", "people"]}
    held = office.hold(office.plan("policy.yaml", fitted(office, document)))
    told = payload(held.directory, "certificate.der", slug="policy")
    preview, _ = await house.services.approvals.preview("ceremony.import", told, house.admin)
    assert "Adds the issuing authority policy for open, people, its key offline" in preview.lines
    await house.services.approvals.submit("ceremony.import", told, house.admin)
    catalogue = house.trust.mint.catalogue
    await catalogue.refresh()
    added = catalogue.authority("policy")
    assert (added.key_id, added.parent, added.state, added.ocsp_url) == (None, "root", "active", None)
    assert catalogue.issuer_for("tls-server").slug != "policy"  # it issues nothing here


async def test_a_cross_certificate_of_an_authority_that_is_here_is_offered_as_a_second_way_up(
    house: House, office: Office
) -> None:
    mint = house.trust.mint
    issuing = mint.catalogue.authority("issuing")
    (office.directory / "issuing.pem").write_bytes(issuing.x509.public_bytes(Encoding.PEM))
    document = office.document(
        "cross-certificate",
        "cross",
        key={},
        inputs={"issuer": "root/certificate.pem", "certificate": "issuing.pem"},
        certificate={
            "path_length": 0,
            "ca_issuers_url": "http://pki.test/ca/root.cer",
            "crl_url": "http://pki.test/crl/root.crl",
        },
    )
    held = office.hold(office.plan("cross.yaml", fitted(office, document)))
    told = payload(held.directory, "certificate.der")
    preview, _ = await house.services.approvals.preview("ceremony.import", told, house.admin)
    assert "Offers a second way up from issuing, by root" in preview.lines
    await house.services.approvals.submit("ceremony.import", told, house.admin)
    crosses = await CrossStore(house.trust.database).all()
    assert [(one.authority, one.issuer) for one in crosses] == [("issuing", "root")]


@pytest.mark.parametrize("change", ["transcript", "result", "made", "session_key"])
async def test_results_that_are_not_those_of_the_transcript_are_refused(
    house: House, office: Office, change: str
) -> None:
    held = office.hold(office.plan("crl.yaml", fitted(office, office.crl())))
    told = payload(held.directory, "crl.der", session_key=held.session_key)
    wrong = {
        "transcript": told["transcript"].replace("root-crl of", "root-crl 0f"),
        "result": told["result"].replace("root-crl of", "root-crl 0f"),
        "made": b64encode(b"0").decode(),
        "session_key": "00" * 32,
    }
    with pytest.raises(TrothError) as caught:
        await house.services.approvals.submit("ceremony.import", told | {change: wrong[change]}, house.admin)
    assert caught.value.code == "ceremony.transcript"


async def test_a_dry_run_is_never_taken_in(house: House, office: Office) -> None:
    held = office.hold(office.plan("crl.yaml", fitted(office, office.crl())), dry_run=True)
    with pytest.raises(TrothError) as caught:
        await house.services.approvals.submit("ceremony.import", payload(held.directory, "crl.der"), house.admin)
    assert caught.value.code == "ceremony.dry_run"
