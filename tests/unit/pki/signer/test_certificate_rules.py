"""Each limit of an issuing key: what is within is signed, what is outside is refused by the limit's own code."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from hypothesis import given
from hypothesis import strategies as st

from tests.support.signing import authority_certificate, leaf_tbs, spki_of, usage
from troth.pki import der
from troth.pki.keys.algorithm import KeyAlgorithm
from troth.pki.keys.model import IssuingLimits, KeyMetadata, KeyPurpose
from troth.pki.signer.attachment import limits_from
from troth.pki.signer.certificate_rules import CertificateRules
from troth.pki.signer.errors import SignerRefused
from troth.pki.signer.protocol import Bounds

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
CA_SPKI = spki_of(ec.generate_private_key(ec.SECP256R1()))
OCSP_SPKI = spki_of(ec.generate_private_key(ec.SECP256R1()))
RESPONDER = (ExtendedKeyUsageOID.OCSP_SIGNING,)
OWN = {
    CA_SPKI: KeyMetadata("issuing-1", KeyPurpose.ISSUING, KeyAlgorithm.P256, CA_SPKI, NOW),
    OCSP_SPKI: KeyMetadata("ocsp-1", KeyPurpose.OCSP, KeyAlgorithm.P256, OCSP_SPKI, NOW, NOW + timedelta(days=14)),
}
CA_CONSTRAINTS = x509.BasicConstraints(ca=True, path_length=0)
CA_USAGE = usage(sign_certificates=True, sign_crls=True)


def limits(bounds: Bounds | None = None, path_length: int | None = 0) -> IssuingLimits:
    certificate = authority_certificate(CA_SPKI, NOW, path_length=path_length)
    return limits_from(certificate, CA_SPKI, bounds or Bounds(), NOW)


def check(tbs: bytes, of: IssuingLimits | None = None, now: datetime = NOW) -> bytes:
    return CertificateRules(KeyAlgorithm.P256, of or limits(), OWN.get).check(tbs, now)


def refused(tbs: bytes, of: IssuingLimits | None = None) -> str:
    with pytest.raises(SignerRefused) as caught:
        check(tbs, of)
    return caught.value.code


def test_a_leaf_within_all_limits_passes_and_its_serial_comes_back() -> None:
    assert check(leaf_tbs(CA_SPKI, NOW, serial=0x40 << 120 | 7)) == (0x40 << 120 | 7).to_bytes(16, "big")


def test_a_leaf_without_basic_constraints_is_an_end_entity() -> None:
    check(leaf_tbs(CA_SPKI, NOW, constraints=None))


@pytest.mark.parametrize("serial", [1 << 56, 1 << 127, (1 << 159) - 1])
def test_serials_of_8_to_20_octets_pass(serial: int) -> None:
    check(leaf_tbs(CA_SPKI, NOW, serial=serial))


def with_serial(content: bytes) -> bytes:
    good = leaf_tbs(CA_SPKI, NOW)
    reader = der.Reader(good).enter(der.SEQUENCE)
    version = reader.whole()
    reader.whole()
    rest = b""
    while not reader.empty:
        rest += reader.whole()
    return der.sequence(version, der.tlv(der.INTEGER, content), rest)


@pytest.mark.parametrize(
    "content", [b"\x01", b"\x7f" * 7, b"\xff" + b"\x01" * 15, b"\x00\xff" + b"\x01" * 19, b"\x01" * 21]
)
def test_serials_that_are_short_long_or_negative_are_refused(content: bytes) -> None:
    assert refused(with_serial(content)) == "signer.limit.serial"


BAD: dict[str, tuple[str, Callable[[], bytes]]] = {
    "another issuer": (
        "signer.limit.issuer",
        lambda: leaf_tbs(
            CA_SPKI, NOW, issuer=x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Test Issuing CA 2")])
        ),
    ),
    "the same issuer in another string type": (
        "signer.limit.issuer",
        lambda: leaf_tbs(
            CA_SPKI,
            NOW,
            issuer=x509.Name(
                [x509.NameAttribute(NameOID.COMMON_NAME, "Test Issuing CA", x509.name._ASN1Type.PrintableString)]
            ),
        ),
    ),
    "another hash": ("signer.limit.algorithm", lambda: leaf_tbs(CA_SPKI, NOW, digest=hashes.SHA384())),
    "no authority key": ("signer.limit.authority_key", lambda: leaf_tbs(CA_SPKI, NOW, authority=None)),
    "another authority key": (
        "signer.limit.authority_key",
        lambda: leaf_tbs(CA_SPKI, NOW, authority=x509.AuthorityKeyIdentifier(b"x" * 20, None, None)),
    ),
    "a CA": ("signer.limit.ca", lambda: leaf_tbs(CA_SPKI, NOW, constraints=CA_CONSTRAINTS, key_usage=CA_USAGE)),
    "a CA that claims no CA key usage": ("signer.limit.ca", lambda: leaf_tbs(CA_SPKI, NOW, constraints=CA_CONSTRAINTS)),
    "no key usage": ("signer.limit.key_usage", lambda: leaf_tbs(CA_SPKI, NOW, key_usage=None)),
    "keyCertSign in a leaf": (
        "signer.limit.key_usage",
        lambda: leaf_tbs(CA_SPKI, NOW, key_usage=usage(sign_certificates=True)),
    ),
    "cRLSign in a leaf": ("signer.limit.key_usage", lambda: leaf_tbs(CA_SPKI, NOW, key_usage=usage(sign_crls=True))),
    "no extended key usage": ("signer.limit.extended_key_usage", lambda: leaf_tbs(CA_SPKI, NOW, usages=None)),
    "any extended key usage": (
        "signer.limit.extended_key_usage",
        lambda: leaf_tbs(CA_SPKI, NOW, usages=(ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,)),
    ),
    "code signing": (
        "signer.limit.extended_key_usage",
        lambda: leaf_tbs(CA_SPKI, NOW, usages=(ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CODE_SIGNING)),
    ),
    "too long": ("signer.limit.validity", lambda: leaf_tbs(CA_SPKI, NOW, lasts=timedelta(days=398, seconds=1))),
    "backdated too far": (
        "signer.limit.validity",
        lambda: leaf_tbs(CA_SPKI, NOW, begins=timedelta(days=-1, seconds=-1)),
    ),
    "begins in the future": ("signer.limit.validity", lambda: leaf_tbs(CA_SPKI, NOW, begins=timedelta(minutes=6))),
    "over already": ("signer.limit.validity", lambda: leaf_tbs(CA_SPKI, NOW, lasts=timedelta(minutes=5))),
    "name constraints in a leaf": (
        "signer.limit.extension",
        lambda: leaf_tbs(CA_SPKI, NOW, extra=[(x509.NameConstraints([x509.DNSName("a.example")], None), True)]),
    ),
    "an unknown critical extension": (
        "signer.limit.extension",
        lambda: leaf_tbs(
            CA_SPKI, NOW, extra=[(x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00"), True)]
        ),
    ),
    "nocheck in a leaf": (
        "signer.limit.extension",
        lambda: leaf_tbs(CA_SPKI, NOW, extra=[(x509.OCSPNoCheck(), False)]),
    ),
    "a responder with a stranger's key": ("signer.limit.responder", lambda: leaf_tbs(CA_SPKI, NOW, usages=RESPONDER)),
    "a responder with an issuing key": (
        "signer.limit.responder",
        lambda: leaf_tbs(CA_SPKI, NOW, spki=CA_SPKI, usages=RESPONDER),
    ),
    "a leaf with the authority's own key": ("signer.limit.responder", lambda: leaf_tbs(CA_SPKI, NOW, spki=CA_SPKI)),
    "a leaf with a responder's key": ("signer.limit.responder", lambda: leaf_tbs(CA_SPKI, NOW, spki=OCSP_SPKI)),
    "a responder that is a server too": (
        "signer.limit.extended_key_usage",
        lambda: leaf_tbs(CA_SPKI, NOW, spki=OCSP_SPKI, usages=(*RESPONDER, ExtendedKeyUsageOID.SERVER_AUTH)),
    ),
    "a responder for more than a week": (
        "signer.limit.validity",
        lambda: leaf_tbs(CA_SPKI, NOW, spki=OCSP_SPKI, usages=RESPONDER, lasts=timedelta(days=7, seconds=1)),
    ),
}


@pytest.mark.parametrize("case", list(BAD))
def test_what_lies_outside_of_a_limit_is_refused_by_its_code(case: str) -> None:
    code, make = BAD[case]
    assert refused(make()) == code


def test_a_week_long_responder_with_nocheck_for_an_ocsp_key_of_ours_passes() -> None:
    check(leaf_tbs(CA_SPKI, NOW, spki=OCSP_SPKI, usages=RESPONDER, extra=[(x509.OCSPNoCheck(), False)]))


def test_a_responder_does_not_outlive_its_key() -> None:
    late = NOW + timedelta(days=10)
    tbs = leaf_tbs(CA_SPKI, late, spki=OCSP_SPKI, usages=RESPONDER)
    with pytest.raises(SignerRefused, match="no longer than its key"):
        check(tbs, now=late)


def test_nothing_outlives_the_authority_or_begins_before_it() -> None:
    near_end = msgspec.structs.replace(limits(), not_after=NOW + timedelta(days=3))
    check(leaf_tbs(CA_SPKI, NOW, lasts=timedelta(days=3)), near_end)
    assert refused(leaf_tbs(CA_SPKI, NOW), near_end) == "signer.limit.validity"
    newborn = msgspec.structs.replace(limits(), not_before=NOW - timedelta(minutes=1))
    assert refused(leaf_tbs(CA_SPKI, NOW), newborn) == "signer.limit.validity"


def test_the_longest_validity_counts_the_last_second() -> None:
    of = limits(Bounds(max_validity_seconds=86_400))
    check(leaf_tbs(CA_SPKI, NOW, lasts=timedelta(days=1)), of)
    assert refused(leaf_tbs(CA_SPKI, NOW, lasts=timedelta(days=1, seconds=1)), of) == "signer.limit.validity"


def test_a_key_that_may_signs_CA_certificates_below_its_path_length_only() -> None:  # noqa: N802
    of = limits(Bounds(allow_ca=True), path_length=1)
    good = leaf_tbs(CA_SPKI, NOW, constraints=CA_CONSTRAINTS, key_usage=CA_USAGE, usages=None)
    check(good, of)
    for length in (1, 5, None):
        tbs = leaf_tbs(
            CA_SPKI,
            NOW,
            constraints=x509.BasicConstraints(ca=True, path_length=length),
            key_usage=CA_USAGE,
            usages=None,
        )
        assert refused(tbs, of) == "signer.limit.ca"
    check(
        leaf_tbs(CA_SPKI, NOW, constraints=x509.BasicConstraints(ca=True, path_length=None), key_usage=CA_USAGE),
        limits(Bounds(allow_ca=True), path_length=None),
    )


def test_a_certificate_body_with_unique_identifiers_or_trailing_bytes_is_malformed() -> None:
    good = leaf_tbs(CA_SPKI, NOW)
    assert refused(good + b"\x00") == "signer.malformed"
    reader = der.Reader(good).enter(der.SEQUENCE)
    parts = []
    while not reader.empty:
        parts.append(reader.whole())
    assert refused(der.sequence(*parts[:-1], der.implicit(1, b"\x00x"), parts[-1])) == "signer.malformed"
    assert refused(der.sequence(*parts[1:])) == "signer.malformed"


def test_a_doubled_extension_is_malformed() -> None:
    good = leaf_tbs(CA_SPKI, NOW)
    reader = der.Reader(good).enter(der.SEQUENCE)
    parts = []
    while not reader.empty:
        parts.append(reader.whole())
    extensions = der.Reader(parts[-1]).enter(0xA3).enter(der.SEQUENCE)
    each = []
    while not extensions.empty:
        each.append(extensions.whole())
    doubled = der.explicit(3, der.sequence(*each, each[1]))
    assert refused(der.sequence(*parts[:-1], doubled)) == "signer.malformed"


@given(st.binary(max_size=400))
def test_any_bytes_are_refused_with_a_typed_error(data: bytes) -> None:
    with pytest.raises(SignerRefused):
        check(data)


GOOD = leaf_tbs(CA_SPKI, NOW)


@given(st.integers(0, len(GOOD) - 1), st.integers(0, 255))
def test_a_changed_octet_is_refused_with_a_typed_error_or_still_within_the_limits(at: int, octet: int) -> None:
    try:
        check(GOOD[:at] + bytes([octet]) + GOOD[at + 1 :])
    except SignerRefused:
        pass
