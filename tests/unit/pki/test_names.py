from __future__ import annotations

import ipaddress

import pytest
from cryptography import x509
from hypothesis import given
from hypothesis import strategies as st

from troth.kit.errors import TrothError
from troth.pki.errors import NameRefused
from troth.pki.names import KINDS, canonical_dns, canonical_names, canonical_uri, general_names_der, names_of


@pytest.mark.parametrize(
    ("given_name", "canonical"),
    [
        ("A.Example", "a.example"),
        ("localhost", "localhost"),
        ("*.A.example", "*.a.example"),
        ("xn--mnchen-3ya.de", "xn--mnchen-3ya.de"),
        ("1.example", "1.example"),
        ("a-b.example", "a-b.example"),
    ],
)
def test_dns_names_become_lower_case(given_name: str, canonical: str) -> None:
    assert canonical_dns(given_name) == canonical


@pytest.mark.parametrize(
    "bad",
    [
        "",
        ".",
        "a..b",
        "a.example.",
        ".a",
        "*",
        "*.com",
        "a.*.example",
        "**.a.example",
        "*a.example",
        "a b.example",
        "a_b.example",
        "-a.example",
        "a-.example",
        "münchen.de",
        "ab--c.example",
        "xn--.example",
        "xn--a-.example",
        "127.0.0.1",
        "a.1",
        "a.0x1f",
        "a" * 64 + ".example",
        ".".join(["a" * 60] * 5),
        "a.example\x00.evil",
        "a/b",
        "a:1",
    ],
)
def test_dns_names_that_are_none_are_refused(bad: str) -> None:
    with pytest.raises(NameRefused):
        canonical_dns(bad)


@pytest.mark.parametrize(
    ("kind", "bad"),
    [
        ("ip", "1.2.3"),
        ("ip", "fe80::1%eth0"),
        ("ip", "10.0.0.0/8"),
        ("ip", "010.0.0.1"),
        ("ip", ""),
        ("email", "nobody"),
        ("email", "a b@c.example"),
        ("email", "@c.example"),
        ("email", "a@*.c.example"),
        ("uri", "relative/path"),
        ("uri", "http://"),
        ("uri", "http://a b/"),
        ("uri", "https://bad_host/x"),
        ("uri", "https://[::1/x"),
        ("uri", "x:" + "y" * 3000),
        ("othername", "x"),
        ("uri", "https://a.example:x1/"),
    ],
)
def test_other_malformed_names_are_refused(kind: str, bad: str) -> None:
    with pytest.raises(NameRefused):
        canonical_names([(kind, bad)])


def test_uris_keep_path_and_lose_case_of_host() -> None:
    assert canonical_uri("SPIFFE://Trust.Example/Path/X") == "spiffe://trust.example/Path/X"
    assert canonical_uri("https://User@[2001:DB8:0::1]:8443/a?b#c") == "https://User@[2001:db8::1]:8443/a?b#c"
    assert canonical_uri("urn:uuid:ABC") == "urn:uuid:ABC"


def test_names_are_sorted_and_doubles_drop() -> None:
    names = canonical_names([("ip", "10.0.0.1"), ("dns", "B.example"), ("dns", "a.example"), ("dns", "b.example")])
    assert names == (("dns", "a.example"), ("dns", "b.example"), ("ip", "10.0.0.1"))


@given(st.lists(st.tuples(st.sampled_from((*KINDS, "other")), st.text(max_size=60)), max_size=5))
def test_any_text_is_refused_or_stable(names: list[tuple[str, str]]) -> None:
    try:
        once = canonical_names(names)
    except TrothError:
        return
    assert canonical_names(once) == once


def test_der_names_read_back_with_cryptography() -> None:
    names = canonical_names([("dns", "a.example"), ("ip", "::1"), ("email", "x@a.example"), ("uri", "urn:x")])
    built = x509.SubjectAlternativeName(
        [
            x509.DNSName("a.example"),
            x509.IPAddress(ipaddress.ip_address("::1")),
            x509.RFC822Name("x@a.example"),
            x509.UniformResourceIdentifier("urn:x"),
        ]
    )
    assert general_names_der(names) == built.public_bytes()
    assert tuple(names_of(built)) == names


def test_a_common_name_has_at_most_64_characters_however_many_octets_they_take() -> None:
    from troth.pki.attributes import canonical_attribute

    assert canonical_attribute("CN", "é" * 64) == ("CN", "é" * 64)
    for refused in ("a" * 65, "e\u0301" * 65):
        with pytest.raises(NameRefused, match="1 to 64 characters"):
            canonical_attribute("CN", refused)
