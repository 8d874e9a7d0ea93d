"""The RADIUS server's own certificate: made by the worker, taken by a RADIUS worker, renewed without a restart."""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.support.mint import Mint, ca_certificate
from tests.support.supplicants import OPENING, Supplicant, eap_server, lab
from troth.assembly.identity import ServiceIdentity
from troth.assembly.state import State
from troth.kit.radius_settings import RadiusSettings
from troth.pki.catalogue import add_authority
from troth.pki.profile import shipped_profiles
from troth.pki.revocation import OfCertificate, revoke
from troth.radius.eap.contexts import Contexts
from troth.radius.eap.errors import IdentityUnusable
from troth.radius.eap.model import Succeed
from troth.radius.identity.issuing import PROFILE, ServerCertificates
from troth.radius.identity.naming import server_name
from troth.radius.identity.source import Both, IdentityInFiles, IdentitySource, IssuedIdentity, source_of
from troth.store.unit import Unit
from troth.web.books.radius import RadiusBook

NAME = "radius.corp.test"
STATE = State(listeners={}, public_url="https://pki.test", public_http_url="", admin_url="https://pki.test:8444")


class Released:
    """The signer's one answer to a RADIUS worker."""

    def __init__(self, mint: Mint) -> None:
        self._keys, self._rsa_keys = mint.signer.keys, mint.signer.rsa_keys
        self.asked: list[str] = []

    async def release_key(self, key_id: str) -> bytes:
        self.asked.append(key_id)
        key = self._rsa_keys.get(key_id) or self._keys[key_id]
        return key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())


@pytest.fixture
async def certificates(mint: Mint, tmp_path: Path) -> ServerCertificates:
    await mint.catalogue.apply_profile(shipped_profiles()[PROFILE], actor="test:mint")
    service = ServiceIdentity(mint.database, mint.gate, mint.catalogue, tmp_path / "server.pem", STATE, mint.clock)
    return _for(mint, NAME, service)


def _for(mint: Mint, name: str, service: ServiceIdentity, *, rsa_authority: str = "") -> ServerCertificates:
    return ServerCertificates(
        mint.database, mint.gate, mint.signer, mint.catalogue, mint.clock, name=name, subject=service.subject,
        rsa_authority=rsa_authority,
    )  # fmt: skip


async def test_it_is_made_once_found_by_a_worker_and_devices_accept_it(
    mint: Mint, certificates: ServerCertificates
) -> None:
    first = await certificates.ensure()
    assert await certificates.ensure() == first
    released = Released(mint)
    source = IssuedIdentity(mint.database, released, mint.clock)
    identity = await source.refresh()
    assert identity is not None
    assert identity.names == (NAME,)
    assert len(identity.chain) == 2, "leaf and issuing authority, never the root"
    assert await source.refresh() is identity
    assert released.asked == [first.key_id], "a key is asked for once"
    contexts = Contexts()
    contexts.install(identity, [lab().network()])
    supplicant = Supplicant(lab().client, anchor_certificate=mint.root, at=mint.clock.now())
    server = eap_server(contexts=contexts, clock=mint.clock)
    assert isinstance(supplicant.join(server, OPENING).step, Succeed)
    bound = await mint.database.fetch(
        """SELECT s.protected FROM certificate_subject c JOIN subject s ON s.id = c.subject_id
           WHERE c.certificate_id = $1""",
        first.certificate_id,
    )
    assert [row["protected"] for row in bound] == [True], "no signal puts the network's own door on hold"


async def test_it_is_renewed_at_two_thirds_of_its_life_and_for_another_name(
    mint: Mint, certificates: ServerCertificates, tmp_path: Path
) -> None:
    first = await certificates.ensure()
    life = first.not_after - first.not_before
    source = IssuedIdentity(mint.database, Released(mint), mint.clock)
    before = await source.refresh()
    mint.clock.advance(life * 2 / 3 - timedelta(hours=1))
    assert await certificates.ensure() == first
    mint.clock.advance(timedelta(hours=2))
    second = await certificates.ensure()
    assert second.name == first.name
    assert second.key_id != first.key_id
    after = await source.refresh()
    assert before is not None
    assert after is not None
    assert after.fingerprint != before.fingerprint
    assert after.key != before.key
    service = ServiceIdentity(mint.database, mint.gate, mint.catalogue, tmp_path / "s.pem", STATE, mint.clock)
    renamed = await _for(mint, "radius2.corp.test", service).ensure()
    assert renamed.name == "radius2.corp.test"
    shown = await source.refresh()
    assert shown is not None
    assert shown.names == ("radius2.corp.test",)


async def test_a_revoked_one_is_shown_no_more_and_made_anew(mint: Mint, certificates: ServerCertificates) -> None:
    first = await certificates.ensure()
    source = IssuedIdentity(mint.database, Released(mint), mint.clock)
    assert await source.refresh() is not None
    target = OfCertificate(first.certificate_id)
    await mint.database.commit(revoke(Unit(), target, reason=1, actor="admin:a", at=mint.clock.now()))
    assert await source.refresh() is None
    second = await certificates.ensure()
    assert second.certificate_id != first.certificate_id
    assert await source.refresh() is not None


async def test_a_key_that_is_not_released_leaves_the_present_one_in_use(
    mint: Mint, certificates: ServerCertificates
) -> None:
    first = await certificates.ensure()
    source = IssuedIdentity(mint.database, Released(mint), mint.clock)
    present = await source.refresh()
    mint.clock.advance((first.not_after - first.not_before) * 0.7)
    second = await certificates.ensure()
    mint.signer.keys[second.key_id] = mint.signer.keys[first.key_id]  # not the key of that certificate
    assert await source.refresh() is present


async def test_files_are_read_again_when_they_change_and_half_a_change_is_passed_over(tmp_path: Path) -> None:
    certificate, key = tmp_path / "radius.pem", tmp_path / "radius.key"
    source = IdentityInFiles(certificate, key)
    assert await source.refresh() is None
    _write(certificate, key, "p256")
    first = await source.refresh()
    assert first is not None
    assert await source.refresh() is first
    certificate.write_bytes(_pem("mldsa65"))
    os.utime(certificate, ns=(1, 1))
    assert await source.refresh() is first, "the key does not fit yet"
    _write(certificate, key, "mldsa65")
    second = await source.refresh()
    assert second is not None
    assert second.fingerprint != first.fingerprint


def _pem(kind: str) -> bytes:
    holder = lab(kind).server
    return b"".join(one.certificate.public_bytes(Encoding.PEM) for one in (holder, *holder.above()))


def _write(certificate: Path, key: Path, kind: str) -> None:
    certificate.write_bytes(_pem(kind))
    private = lab(kind).server.key
    key.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))


def test_the_name_is_the_configured_one_or_a_reserved_one_or_made_from_the_public_host() -> None:
    assert server_name("r.corp.test", ["a.test"], "https://pki.test") == "r.corp.test"
    assert server_name("", ["A.test."], "https://pki.test") == "a.test"
    assert server_name("", [], "https://pki.test:8443") == "radius.pki.test"
    assert server_name("", [], "https://[::1]:8443") == "radius.localhost"


def test_files_are_taken_where_both_are_named_and_one_alone_is_refused(mint: Mint) -> None:
    released = Released(mint)

    def source(**settings: str) -> IdentitySource:
        return source_of(RadiusSettings(**settings), mint.database, released, mint.clock)  # type: ignore[arg-type]

    assert isinstance(source(), IssuedIdentity)
    assert isinstance(source(certificate="a.pem", key="a.key"), IdentityInFiles)
    assert isinstance(source(rsa_authority="rsa"), Both)
    assert isinstance(source(rsa_certificate="a.pem", rsa_key="a.key"), Both)
    for half in ({"certificate": "a.pem"}, {"key": "a.key"}, {"rsa_certificate": "a.pem"}, {"rsa_key": "a.key"}):
        with pytest.raises(IdentityUnusable, match="one is missing"):
            source(**half)


async def test_a_second_one_is_made_by_an_authority_with_an_rsa_key_and_renewed_beside_the_first(
    mint: Mint, certificates: ServerCertificates, tmp_path: Path
) -> None:
    root_key, key = (rsa.generate_private_key(65537, 2048) for _ in range(2))
    root = ca_certificate(root_key, "RSA Root", mint.clock.now())
    below = ca_certificate(key, "RSA Issuing", mint.clock.now(), (root, root_key))
    mint.signer.rsa_keys["rsa-key"] = key
    present = mint.catalogue.authorities
    unit = Unit()
    for slug, like, certificate, key_id in (("rsa-root", "root", root, None), ("rsa", "issuing", below, "rsa-key")):
        made = replace(
            present[like], slug=slug, name=slug, certificate=certificate.public_bytes(Encoding.DER), key_id=key_id,
            parent="rsa-root" if key_id else None,
        )  # fmt: skip
        add_authority(unit, made, actor="test:mint")
    await mint.database.commit(unit)
    await mint.catalogue.refresh()
    service = ServiceIdentity(mint.database, mint.gate, mint.catalogue, tmp_path / "s.pem", STATE, mint.clock)
    first = await certificates.ensure()
    both = _for(mint, NAME, service, rsa_authority="rsa")
    second = await both.ensure_second()
    assert (second.authority, second.rsa, first.rsa) == ("rsa", True, False)
    assert await both.ensure_second() == second
    assert await both.ensure() == first, "the second is not taken for the first, though it is younger"
    with pytest.raises(IdentityUnusable, match="has no RSA key itself"):
        await _for(mint, NAME, service, rsa_authority="issuing").ensure_second()

    source = source_of(RadiusSettings(rsa_authority="rsa"), mint.database, Released(mint), mint.clock)
    shown = await source.refresh()
    assert shown is not None
    assert shown.second is not None
    assert (shown.names, shown.second.names) == ((NAME,), (NAME,))
    assert await source.refresh() is shown
    contexts = Contexts()
    contexts.install(shown, [lab("rsa").network()])
    server = eap_server(contexts=contexts, clock=mint.clock)
    for offered, served in (("RSA-PSS+SHA256:RSA+SHA256", True), ("RSA-PSS+SHA256:ECDSA+SHA256", False)):
        device = Supplicant(
            lab("rsa").client, anchor_certificate=root, at=mint.clock.now(), signatures=offered
        )  # fmt: skip
        joined = isinstance(device.join(server, OPENING).step, Succeed)
        assert joined is served, "whoever takes ECDSA is shown it, and this one trusts the RSA root alone"
    target = OfCertificate(second.certificate_id)
    await mint.database.commit(revoke(Unit(), target, reason=1, actor="admin:a", at=mint.clock.now()))
    alone = await source.refresh()
    assert alone is not None
    assert (alone.fingerprint, alone.second) == (shown.fingerprint, None)
    book = RadiusBook(mint.database, mint.catalogue, mint.clock, rsa_authority="rsa")
    view = await book.identity()
    assert (view.second, book.wants_second) == (None, True)
    await both.ensure_second()
    view = await book.identity()
    assert view.second is not None
    assert (view.authority, view.second.authority) == ("issuing", "rsa")
    assert view.second.anchor is not None
    assert view.second.anchor.sha256 == root.fingerprint(hashes.SHA256()).hex()
