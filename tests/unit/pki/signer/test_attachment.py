"""What certificate makes an issuing key an authority's."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from tests.support.signing import authority_certificate, key_identifier, spki_of
from troth.pki.issuer_classes import IssuerClass
from troth.pki.signer.attachment import limits_from
from troth.pki.signer.errors import SignerRefused
from troth.pki.signer.protocol import Bounds

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
SPKI = spki_of(ec.generate_private_key(ec.SECP256R1()))
OTHER = spki_of(ec.generate_private_key(ec.SECP256R1()))


def test_limits_say_what_the_certificate_says() -> None:
    limits = limits_from(authority_certificate(SPKI, NOW), SPKI, Bounds(), NOW)
    assert limits.key_identifier == key_identifier(SPKI)
    assert limits.not_after == NOW + timedelta(days=365)
    assert limits.path_length == 0
    assert not limits.allow_ca


@pytest.mark.parametrize(
    ("certificate", "bounds"),
    [
        (authority_certificate(OTHER, NOW), Bounds()),
        (authority_certificate(SPKI, NOW, ca=False), Bounds()),
        (authority_certificate(SPKI, NOW, sign_crls=False), Bounds()),
        (authority_certificate(SPKI, NOW, identifier=False), Bounds()),
        (authority_certificate(SPKI, NOW - timedelta(days=366)), Bounds()),
        (authority_certificate(SPKI, NOW + timedelta(days=2)), Bounds()),
        (authority_certificate(SPKI, NOW, constraints=x509.NameConstraints([x509.DNSName("a/b")], None)), Bounds()),
        (authority_certificate(SPKI, NOW), Bounds(issuer_classes=())),
        (authority_certificate(SPKI, NOW), Bounds(issuer_classes=(IssuerClass.PEOPLE,))),
        (authority_certificate(SPKI, NOW), Bounds(issuer_classes=(IssuerClass.OPEN,) * 2)),
        (authority_certificate(SPKI, NOW), Bounds(extended_key_usages=())),
        (authority_certificate(SPKI, NOW), Bounds(extended_key_usages=("2.5.29.37.0",))),
        (authority_certificate(SPKI, NOW), Bounds(allow_ca=True)),
        (authority_certificate(SPKI, NOW), Bounds(max_validity_seconds=-1)),
        (authority_certificate(SPKI, NOW), Bounds(max_backdate_seconds=2**62)),
        (b"\x30\x00", Bounds()),
    ],
    ids=[
        "another key", "no CA", "no cRLSign", "no key identifier", "expired", "not yet",
        "name constraints that make no sense", "no class", "an EKU of another class", "a class twice", "no EKU",
        "any EKU", "CA under path length 0", "negative", "beyond time", "no certificate",
    ],
)  # fmt: skip
def test_a_certificate_that_cannot_be_this_keys_authority_is_refused(certificate: bytes, bounds: Bounds) -> None:
    with pytest.raises(SignerRefused) as caught:
        limits_from(certificate, SPKI, bounds, NOW)
    assert caught.value.code == "signer.authority_certificate"
