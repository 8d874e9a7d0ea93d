"""Cross-certificates: what is one, which chains are offered, and openssl on both ways up."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from tests.support.mint import Mint, ca_certificate
from troth.pki.catalogue import add_authority
from troth.pki.cross import add_cross, preferred, read_cross
from troth.pki.errors import AuthorityRefused
from troth.status.published import Published
from troth.store.unit import Unit

DER, PEM = Encoding.DER, Encoding.PEM


async def _new_root(mint: Mint) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    """A new root, under which an authority ``second`` issues."""
    root_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    mint.signer.keys["second-key"] = key
    mint.clock.advance(timedelta(minutes=1))
    root = ca_certificate(root_key, "New Root", mint.clock.now())
    issuing = ca_certificate(key, "New Issuing", mint.clock.now(), (root, root_key))
    like = mint.catalogue.authority("issuing")
    above = replace(mint.catalogue.authority("root"), slug="new-root", certificate=root.public_bytes(DER))
    made = replace(
        like, slug="second", parent="new-root", certificate=issuing.public_bytes(DER), key_id="second-key",
        created_at=mint.clock.now(),
    )  # fmt: skip
    await mint.database.commit(add_authority(add_authority(Unit(), above, actor="test"), made, actor="test"))
    await mint.catalogue.refresh()
    return root, root_key


def _cross(mint: Mint, root: x509.Certificate, *, days: int = 300, path_length: int | None = None) -> bytes:
    """The new root's key and name, certified by the old root."""
    builder = (
        x509.CertificateBuilder()
        .subject_name(root.subject)
        .issuer_name(mint.root.subject)
        .public_key(root.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(mint.clock.now() - timedelta(hours=1))
        .not_valid_after(mint.clock.now() + timedelta(days=days))
    )
    for kind in (x509.KeyUsage, x509.SubjectKeyIdentifier):
        found = root.extensions.get_extension_for_class(kind)
        builder = builder.add_extension(found.value, critical=found.critical)
    own = mint.root.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    builder = builder.add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(own), critical=False)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=path_length), critical=True)
    return builder.sign(mint.root_key, hashes.SHA256()).public_bytes(DER)


async def test_a_cross_certificate_offers_a_second_chain_and_openssl_takes_both(mint: Mint, tmp_path: Path) -> None:
    root, _ = await _new_root(mint)
    issued = await mint.gate.issue(mint.request(authority="second"))
    assert len(mint.catalogue.chains("second")) == 1
    cross = read_cross(_cross(mint, root), mint.catalogue.authorities, mint.clock.now())
    assert (cross.authority, cross.issuer) == ("new-root", "root")
    await mint.database.commit(add_cross(Unit(), cross, actor="test"))
    await mint.catalogue.refresh()
    chains = mint.catalogue.chains("second")
    assert [len(one) for one in chains] == [1, 2]
    for chain, anchor in zip(chains, (root, mint.root), strict=True):
        (tmp_path / "anchor.pem").write_bytes(anchor.public_bytes(PEM))
        pems = [x509.load_der_x509_certificate(one).public_bytes(PEM) for one in (issued.der, *chain)]
        (tmp_path / "leaf.pem").write_bytes(pems[0])
        (tmp_path / "chain.pem").write_bytes(b"".join(pems[1:]))
        at = str(int(mint.clock.now().timestamp()) + 60)
        done = subprocess.run(
            ["openssl", "verify", "-attime", at, "-CAfile", "anchor.pem", "-untrusted", "chain.pem", "leaf.pem"],
            cwd=tmp_path, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
    # The chain whose last certificate that name has issued comes first, the others after it.
    assert preferred(chains, "Test Root")[0] == chains[1]
    assert preferred(chains, "nobody") == chains
    published = Published(mint.database)
    await published.refresh()
    document = published.certificate("ca/new-root/by-root.cer")
    assert document is not None
    assert document.body == cross.certificate
    mint.clock.advance(timedelta(days=301))
    assert len(mint.catalogue.chains("second")) == 1


async def test_roots_are_served_as_pem_pkcs7_and_digests(mint: Mint, tmp_path: Path) -> None:
    await _new_root(mint)
    published = Published(mint.database)
    await published.refresh()
    found = {name: published.certificate(name) for name in ("roots.pem", "roots.p7c", "roots.txt")}
    bodies = {name: one.body for name, one in found.items() if one is not None}
    assert bodies["roots.pem"].count(b"BEGIN CERTIFICATE") == 2
    (tmp_path / "roots.p7c").write_bytes(bodies["roots.p7c"])
    shown = subprocess.run(
        ["openssl", "pkcs7", "-inform", "DER", "-in", "roots.p7c", "-print_certs", "-noout"],
        cwd=tmp_path, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert shown.count("subject=") == 2
    for slug in ("root", "new-root"):
        assert mint.catalogue.authority(slug).sha256.hex() in bodies["roots.txt"].decode()


@pytest.mark.parametrize(
    ("wrong", "code"),
    [("depth", "certificate"), ("days", "certificate"), ("own", "exists"), ("stranger", "certificate")],
)
async def test_what_is_no_cross_certificate_is_refused(mint: Mint, wrong: str, code: str) -> None:
    root, _ = await _new_root(mint)
    der = {
        "depth": lambda: _cross(mint, root, path_length=0),
        "days": lambda: _cross(mint, root, days=4000),
        "own": lambda: root.public_bytes(DER),
        "stranger": lambda: ca_certificate(
            ec.generate_private_key(ec.SECP256R1()), "Stranger", mint.clock.now()
        ).public_bytes(DER),
    }[wrong]()
    with pytest.raises(AuthorityRefused) as caught:
        read_cross(der, mint.catalogue.authorities, mint.clock.now())
    assert caught.value.code == f"pki.authority.{code}"
