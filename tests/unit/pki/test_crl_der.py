from __future__ import annotations

from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.pki.forge import NOW, Forge
from troth.pki import algorithms
from troth.pki.crl_der import crl_der, crl_entry, crl_tbs
from troth.pki.serial import new_serial

FORGE = Forge.make()
SECOND = NOW.replace(microsecond=0)
FLAGS = {
    1: "key_compromise",
    3: "affiliation_changed",
    4: "superseded",
    5: "cessation_of_operation",
    6: "certificate_hold",
    9: "privilege_withdrawn",
}


@settings(max_examples=60, deadline=None)
@given(
    kind=st.sampled_from(["p256", "p384", "p521", "ed25519", "rsa2048"]),
    entries=st.lists(st.tuples(st.sampled_from([0, *FLAGS]), st.integers(0, 10**9)), max_size=8),
    number=st.integers(1, 2**63 - 1),
    days=st.integers(1, 20000),
)
def test_crls_are_byte_equal_to_the_builder(kind: str, entries: list[tuple[int, int]], number: int, days: int) -> None:
    issuer, key = FORGE.authorities[kind]
    issuer_id = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    next_update = SECOND + timedelta(days=days)
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(issuer.subject)
        .last_update(SECOND)
        .next_update(next_update)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(issuer_id), critical=False)
        .add_extension(x509.CRLNumber(number), critical=False)
    )
    ours = b""
    for reason, age in entries:
        serial, at = new_serial(NOW), SECOND - timedelta(seconds=age)
        revoked = x509.RevokedCertificateBuilder().serial_number(int.from_bytes(serial, "big")).revocation_date(at)
        if reason:
            revoked = revoked.add_extension(x509.CRLReason(x509.ReasonFlags[FLAGS[reason]]), critical=False)
        builder = builder.add_revoked_certificate(revoked.build())
        ours += crl_entry(serial, at, reason)
    digest = {"p256": hashes.SHA256(), "p384": hashes.SHA384(), "p521": hashes.SHA512(), "rsa2048": hashes.SHA256()}
    theirs = builder.sign(key, digest.get(kind))  # type: ignore[arg-type]
    public = key.public_key()
    tbs = crl_tbs(
        issuer_name=issuer.subject.public_bytes(),
        issuer_key=public,
        issuer_key_id=issuer_id.digest,
        number=number,
        this_update=SECOND,
        next_update=next_update,
        entries=ours,
    )
    assert tbs == theirs.tbs_certlist_bytes
    parsed = x509.load_der_x509_crl(crl_der(tbs, public, algorithms.sign_with(key, tbs)))
    assert parsed.is_signature_valid(public)
    assert len(parsed) == len(entries)


def test_an_empty_list_is_left_out() -> None:
    issuer, key = FORGE.authorities["p256"]
    tbs = crl_tbs(
        issuer_name=issuer.subject.public_bytes(),
        issuer_key=key.public_key(),
        issuer_key_id=b"x" * 20,
        number=1,
        this_update=SECOND,
        next_update=SECOND + timedelta(days=1),
        entries=b"",
    )
    parsed = x509.load_der_x509_crl(crl_der(tbs, key.public_key(), algorithms.sign_with(key, tbs)))
    assert list(parsed) == []
    with pytest.raises(x509.ExtensionNotFound):
        parsed.extensions.get_extension_for_class(x509.DeltaCRLIndicator)
