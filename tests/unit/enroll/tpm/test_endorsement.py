"""Endorsement keys: which are taken, and who is believed about them."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ObjectIdentifier

from tests.support import attesting
from troth.enroll.tpm.credential import kdfa, make_credential
from troth.enroll.tpm.endorsement import EK_PURPOSE, endorse, make_of, read_endorsement_key, unpadded, vendors
from troth.enroll.tpm.errors import TpmRefused
from troth.pki import der
from troth.pki.anchor_store import TrustAnchor
from troth.pki.errors import KeyRefused

NOW = datetime(2026, 6, 1, tzinfo=UTC)
EK = rsa.generate_private_key(65537, 2048)
MAKER = attesting.maker("endorsement")


def ek_certificate(
    key: attesting.Key = EK, *, purpose: str = EK_PURPOSE, named: bool = True, issuer: attesting.Authority | None = None
) -> x509.Certificate:
    by = issuer or MAKER.issuing
    extensions: list[tuple[x509.ExtensionType, bool]] = [
        (x509.ExtendedKeyUsage([ObjectIdentifier(purpose)]), False),
        (x509.BasicConstraints(False, None), True),
    ]
    if named:
        extensions.append((x509.SubjectAlternativeName([attesting.device_name()]), True))
    (common,) = by.certificate.subject
    return attesting.certificate("", key, by.key, str(common.value), extensions=extensions)


def anchor(authority: attesting.Authority = MAKER.root, purpose: str = EK_PURPOSE) -> TrustAnchor:
    return TrustAnchor(hashlib.sha256(authority.der).digest(), "maker", authority.der, (purpose,), NOW, NOW, "test")


def spki(key: rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey) -> bytes:
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def test_an_intermediate_comes_along_or_is_an_anchor_itself() -> None:
    leaf, between = ek_certificate(), MAKER.issuing.certificate
    strange = attesting.maker("strange").issuing.certificate
    for chain, anchors in (
        ([leaf, between], [anchor()]),
        ([leaf, strange, between, MAKER.root.certificate], [anchor()]),
        ([leaf], [anchor(MAKER.issuing)]),
        ([leaf, between], [anchor(attesting.maker("strange").root), anchor()]),
    ):
        found = endorse(chain, anchors, NOW)
        assert (found.certified, found.root) == (True, "maker")
        assert found.sha256 == hashlib.sha256(spki(EK.public_key())).digest()
        assert found.make is not None
        assert found.make.manufacturer == attesting.MANUFACTURER


@pytest.mark.parametrize(
    ("chain", "anchors", "says"),
    [
        ([ek_certificate()], [anchor()], "no root"),
        ([ek_certificate(), MAKER.issuing.certificate], [anchor(purpose="serverAuth")], "no root"),
        ([ek_certificate(purpose="2.23.133.8.3"), MAKER.issuing.certificate], [anchor()], "expected 2.23.133.8.1"),
        ([ek_certificate(named=False), MAKER.issuing.certificate], [anchor()], "without manufacturer"),
        ([ek_certificate(attesting.new_key(), issuer=attesting.maker("strange").issuing)], [anchor()], "no root"),
    ],
    ids=["no-intermediate", "other-purpose", "an-attestation-key's", "no-make", "strange"],
)
def test_a_certificate_that_nobody_vouches_for_is_refused(
    chain: list[x509.Certificate], anchors: list[TrustAnchor], says: str
) -> None:
    with pytest.raises(TpmRefused, match=says):
        endorse(chain, anchors, NOW)


def test_the_certificate_of_an_authority_of_the_same_name_with_another_key_is_refused() -> None:
    imposter = attesting.new_key()
    forged = attesting.certificate("endorsement Sub CA 1", imposter, imposter, "endorsement Root", ca=0)
    leaf = ek_certificate(issuer=attesting.Authority(forged, imposter))
    with pytest.raises(TpmRefused, match="signature"):
        endorse([leaf, forged], [anchor()], NOW)


@pytest.mark.parametrize(
    "key",
    [ed25519.Ed25519PrivateKey.generate().public_key(), ec.generate_private_key(ec.SECP256K1()).public_key()],
    ids=["ed25519", "k256"],
)
def test_a_key_that_no_tpm_has_as_its_endorsement_key_is_refused(
    key: ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey,
) -> None:
    with pytest.raises((TpmRefused, KeyRefused)):
        read_endorsement_key(spki(key))


def test_what_is_no_key_is_refused() -> None:
    for data in (b"", b"\x30\x00", bytes(5000)):
        with pytest.raises(TpmRefused, match="no SubjectPublicKeyInfo"):
            read_endorsement_key(data)


def test_a_link_signed_over_sha1_is_not_believed() -> None:
    """The library signs nothing so any more, hence the algorithm is written over; it is refused before it verifies."""
    outer = der.Reader(ek_certificate().public_bytes(Encoding.DER)).enter(der.SEQUENCE)
    over_sha256, over_sha1 = (der.sequence(der.oid(one)) for one in ("1.2.840.10045.4.3.2", "1.2.840.10045.4.1"))
    tbs, algorithm, signature = outer.whole(), outer.whole(), outer.whole()
    assert algorithm == over_sha256
    inner, fields = der.Reader(tbs).enter(der.SEQUENCE), []
    while not inner.empty:
        field = inner.whole()
        fields.append(over_sha1 if field == over_sha256 else field)
    weak = x509.load_der_x509_certificate(der.sequence(der.sequence(*fields), over_sha1, signature))
    with pytest.raises(TpmRefused, match="signed over sha1"):
        endorse([weak, MAKER.issuing.certificate], [anchor()], NOW)


def test_makers_fill_an_index_up_and_what_follows_is_dropped() -> None:
    plain = ek_certificate().public_bytes(Encoding.DER)
    assert unpadded(plain + bytes(700)) == unpadded(plain + b"\xff" * 700) == unpadded(plain) == plain
    assert unpadded(plain + b"\x01") == plain + b"\x01"
    assert unpadded(b"\x30\x82") == b"\x30\x82"


def test_the_roots_that_come_with_troth_are_authorities_of_makers() -> None:
    found = vendors()
    assert {maker for maker, _ in found} == {"AMD", "Atmel", "Infineon", "Intel", "NationZ", "STMicro"}
    for _, root in found:
        assert root.extensions.get_extension_for_class(x509.BasicConstraints).value.ca


def test_a_certificate_without_names_tells_no_make() -> None:
    with pytest.raises(TpmRefused, match="without manufacturer"):
        make_of(MAKER.root.certificate)


def test_a_secret_longer_than_the_digest_is_a_mistake_of_ours() -> None:
    with pytest.raises(ValueError, match="33 octets"):
        make_credential(EK.public_key(), b"\0\x0b" + bytes(32), bytes(33))


def test_kdfa_runs_on_until_it_has_enough() -> None:
    """SP 800-108 in counter mode: more than one block, and the count of bits within each."""
    long = kdfa("sha256", b"key", b"STORAGE", b"u", b"v", 512)
    assert len(long) == 64
    assert long[:32] != kdfa("sha256", b"key", b"STORAGE", b"u", b"v", 256)
