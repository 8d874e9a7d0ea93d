"""Name constraints of an authority, held against what its key signs (RFC 5280, 4.2.1.10)."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from hypothesis import given
from hypothesis import strategies as st

from tests.support.signing import authority_certificate, leaf_tbs, spki_of, usage
from troth.pki import der
from troth.pki.keys.algorithm import KeyAlgorithm
from troth.pki.signer.attachment import limits_from
from troth.pki.signer.certificate_rules import CertificateRules
from troth.pki.signer.errors import SignerRefused
from troth.pki.signer.name_constraints import NameConstraints, read_constraints
from troth.pki.signer.protocol import Bounds

DNS, EMAIL, URI = x509.DNSName, x509.RFC822Name, x509.UniformResourceIdentifier
NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
SPKI = spki_of(ec.generate_private_key(ec.SECP256R1()))
UPN = x509.OtherName(x509.ObjectIdentifier("1.3.6.1.4.1.311.20.2.3"), b"\x0c\x01a")


def ip(text: str) -> x509.IPAddress:
    return x509.IPAddress(ipaddress.ip_network(text) if "/" in text else ipaddress.ip_address(text))


def dn(**parts: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(getattr(NameOID, oid), value) for oid, value in parts.items()])


def directory(**parts: str) -> x509.DirectoryName:
    return x509.DirectoryName(dn(**parts))


def code_of(call: Callable[[], object]) -> str | None:
    """What it is refused with, if it is; nothing here is refused for anything else than the constraints."""
    code = None
    try:
        call()
    except SignerRefused as error:
        code = error.code
    assert code in (None, "signer.limit.name_constraints")
    return code


EMPTY = x509.Name([])
CORP = directory(COUNTRY_NAME="DE", ORGANIZATION_NAME="Example  Ltd")


def accepted(
    permitted: Sequence[x509.GeneralName] | None,
    excluded: Sequence[x509.GeneralName] | None,
    names: Sequence[x509.GeneralName],
    subject: x509.Name = EMPTY,
    *,
    server: bool = True,
) -> bool:
    constraints = NameConstraints(x509.NameConstraints(permitted, excluded).public_bytes())
    return code_of(lambda: constraints.check(names, subject, server=server)) is None


PERMITTED: list[tuple[x509.GeneralName, x509.GeneralName, bool]] = [
    (DNS("corp.example"), DNS("corp.example"), True),
    (DNS("corp.example"), DNS("a.b.CORP.example"), True),
    (DNS("corp.example"), DNS("*.corp.example"), True),
    (DNS("corp.example"), DNS("evilcorp.example"), False),
    (DNS("corp.example"), DNS("corp.example.org"), False),
    (DNS("a.corp.example"), DNS("*.corp.example"), False),
    (DNS(".corp.example"), DNS("a.corp.example"), True),
    (DNS(".corp.example"), DNS("corp.example"), False),
    (DNS(""), DNS("anything.example"), True),
    (DNS("corp.example"), ip("192.0.2.1"), True),  # a form without a constraint of its own is free
    (ip("192.0.2.0/24"), ip("192.0.2.77"), True),
    (ip("192.0.2.0/24"), ip("192.0.3.1"), False),
    (ip("192.0.2.0/24"), ip("::ffff:192.0.2.1"), False),
    (ip("2001:db8::/32"), ip("2001:db8::5"), True),
    (ip("2001:db8::/32"), ip("192.0.2.1"), False),
    (EMAIL("corp.example"), EMAIL("a@CORP.example"), True),
    (EMAIL("corp.example"), EMAIL("a@sub.corp.example"), False),
    (EMAIL(".corp.example"), EMAIL("a@sub.corp.example"), True),
    (EMAIL(".corp.example"), EMAIL("a@corp.example"), False),
    (EMAIL("a@corp.example"), EMAIL("a@corp.example"), True),
    (EMAIL("a@corp.example"), EMAIL("A@corp.example"), False),
    (URI("corp.example"), URI("https://corp.example:8443/x"), True),
    (URI("corp.example"), URI("https://a.corp.example/x"), False),
    (URI(".corp.example"), URI("https://a.corp.example/x"), True),
    (URI("corp.example"), URI("spiffe://corp.example@evil.example/x"), False),
    (URI("corp.example"), URI("urn:uuid:1"), False),
    (URI("corp.example"), URI("https://192.0.2.1/"), False),
    (CORP, directory(COUNTRY_NAME="de", ORGANIZATION_NAME="EXAMPLE Ltd", COMMON_NAME="x"), True),
    (CORP, directory(COUNTRY_NAME="DE", COMMON_NAME="x", ORGANIZATION_NAME="Example Ltd"), False),
    (CORP, directory(COUNTRY_NAME="DE"), False),
    (UPN, DNS("a.example"), True),
    (UPN, UPN, False),  # cannot be compared here, so it may not occur
]


@pytest.mark.parametrize(("subtree", "name", "inside"), PERMITTED)
def test_of_a_permitted_form_only_names_within_are_signed(
    subtree: x509.GeneralName, name: x509.GeneralName, inside: bool
) -> None:
    assert accepted([subtree], None, [name]) is inside


EXCLUDED: list[tuple[x509.GeneralName, x509.GeneralName, bool]] = [
    (DNS("corp.example"), DNS("a.corp.example"), False),
    (DNS("corp.example"), DNS("other.example"), True),
    (DNS("secret.corp.example"), DNS("*.corp.example"), False),  # the wildcard would match it
    (DNS("deep.secret.corp.example"), DNS("*.corp.example"), True),
    (ip("192.0.2.0/24"), ip("192.0.2.1"), False),
    (EMAIL("corp.example"), EMAIL("a@corp.example"), False),
    (URI(".corp.example"), URI("https://a.corp.example/"), False),
    (URI(".corp.example"), URI("urn:uuid:1"), False),
    (CORP, directory(COUNTRY_NAME="DE", ORGANIZATION_NAME="example ltd", COMMON_NAME="x"), False),
    (CORP, directory(COUNTRY_NAME="FR"), True),
]


@pytest.mark.parametrize(("subtree", "name", "outside"), EXCLUDED)
def test_an_excluded_name_is_not_signed(subtree: x509.GeneralName, name: x509.GeneralName, outside: bool) -> None:
    assert accepted(None, [subtree], [name]) is outside


def test_excluded_counts_though_permitted_holds() -> None:
    assert not accepted([DNS("corp.example")], [DNS("lab.corp.example")], [DNS("x.lab.corp.example")])


def test_the_subject_is_held_against_them_too() -> None:
    assert accepted([CORP], None, [], EMPTY)
    assert not accepted([CORP], None, [], dn(COUNTRY_NAME="FR"))
    assert not accepted([EMAIL("corp.example")], None, [EMAIL("a@corp.example")], dn(EMAIL_ADDRESS="a@evil.example"))
    assert not accepted([DNS("corp.example")], None, [DNS("corp.example")], dn(COMMON_NAME="Evil.example."))
    assert accepted([DNS("corp.example")], None, [], dn(COMMON_NAME="a.person"), server=False)
    assert accepted([DNS("corp.example")], None, [], dn(COMMON_NAME="Alice Example"))


@pytest.mark.parametrize(
    "bad",
    [
        # GeneralSubtree with minimum 1, and with maximum 3 (RFC 5280: minimum is 0, maximum absent)
        der.sequence(der.explicit(0, der.sequence(der.implicit(2, b"a.example"), der.implicit(0, b"\x01")))),
        der.sequence(der.explicit(0, der.sequence(der.implicit(2, b"a.example"), der.implicit(1, b"\x03")))),
        der.sequence(der.explicit(0, der.sequence(der.implicit(7, bytes((192, 0, 2, 0, 255, 0, 255, 0)))))),
        der.sequence(der.explicit(0, der.sequence(der.explicit(3, b"")))),  # x400Address
        der.sequence(der.explicit(0, der.sequence(der.implicit(2, b"*.a.example")))),
        b"\x30\x80\x00\x00",
        b"",
    ],
    ids=["minimum", "maximum", "mask with holes", "X.400", "a wildcard", "BER", "nothing"],
)
def test_constraints_that_cannot_be_enforced_are_not_taken(bad: bytes) -> None:
    with pytest.raises(ValueError, match="constraint"):
        read_constraints(bad)


@given(st.binary(max_size=80))
def test_any_bytes_are_read_or_refused_with_one_kind_of_error(data: bytes) -> None:
    for value in (data, der.sequence(der.explicit(0, der.sequence(data)))):
        try:
            NameConstraints(value)
        except ValueError:
            pass


def rules(constraints: x509.NameConstraints, *, allow_ca: bool = False) -> CertificateRules:
    certificate = authority_certificate(SPKI, NOW, constraints=constraints, path_length=1 if allow_ca else 0)
    limits = limits_from(certificate, SPKI, Bounds(allow_ca=allow_ca), NOW)
    return CertificateRules(KeyAlgorithm.P256, limits, {SPKI: None}.get)


def test_the_constraints_of_the_authoritys_own_certificate_bind_its_key() -> None:
    tbs = leaf_tbs(SPKI, NOW)  # for leaf.example
    rules(x509.NameConstraints([DNS("leaf.example")], None)).check(tbs, NOW)
    with pytest.raises(SignerRefused) as caught:
        rules(x509.NameConstraints([DNS("other.example")], None)).check(tbs, NOW)
    assert caught.value.code == "signer.limit.name_constraints"


@pytest.mark.parametrize(
    ("permitted", "excluded", "narrow_enough"),
    [
        ([DNS("corp.example")], [ip("0.0.0.0/0")], True),
        ([DNS("lab.corp.example")], [ip("0.0.0.0/0"), DNS("x.corp.example")], True),
        ([DNS("example")], [ip("0.0.0.0/0")], False),
        ([DNS("corp.example"), DNS("more.example")], [ip("0.0.0.0/0")], False),
        ([EMAIL("corp.example")], [ip("0.0.0.0/0")], False),
        ([DNS("corp.example")], [ip("10.0.0.0/8")], False),
        ([DNS("corp.example")], None, False),
        (None, None, False),
    ],
)
def test_a_ca_certificate_carries_its_issuers_constraints_or_narrower_ones(
    permitted: list[x509.GeneralName] | None, excluded: list[x509.GeneralName] | None, narrow_enough: bool
) -> None:
    issuer = rules(x509.NameConstraints([DNS("corp.example")], [ip("0.0.0.0/0")]), allow_ca=True)
    extra = [] if permitted is None else [(x509.NameConstraints(permitted, excluded), True)]
    tbs = leaf_tbs(
        SPKI,
        NOW,
        constraints=x509.BasicConstraints(True, 0),
        key_usage=usage(sign_certificates=True, sign_crls=True),
        usages=(ExtendedKeyUsageOID.CLIENT_AUTH,),
        names=[DNS("ca.corp.example")],
        extra=extra,
    )
    assert (code_of(lambda: issuer.check(tbs, NOW)) is None) is narrow_enough
