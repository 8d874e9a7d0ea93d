"""Subject identifiers: RFC 9493, SSF 1.0, and how older transmitters write them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.ssf import ISSUER
from troth.connect.ssf.errors import SetRefused
from troth.connect.ssf.subjects import ComplexSubject, Identifier, matches, names, parse_subject

EMAIL = {"format": "email", "email": "Alice@Example.com"}
TENANT = {"format": "opaque", "id": "t-1"}


def simple(value: dict[str, Any]) -> Identifier:
    found = parse_subject(value)
    assert isinstance(found, Identifier)
    return found


@pytest.mark.parametrize(
    ("value", "known_as"),
    [
        ({"format": "account", "uri": "acct:Alice@example.com"},
         [("upn", "alice@example.com"), ("email", "alice@example.com")]),
        ({"format": "did", "url": "did:example:123"}, [("did", "did:example:123")]),
        (EMAIL, [("email", "alice@example.com")]),
        ({"format": "iss_sub", "iss": "https://else.example/", "sub": "145234573"},
         [("iss_sub", "https://else.example/|145234573")]),
        ({"format": "iss_sub", "iss": ISSUER + "/", "sub": "jane@example.com"},
         [("iss_sub", f"{ISSUER}/|jane@example.com"), ("upn", "jane@example.com"), ("email", "jane@example.com")]),
        # Another issuer's address is another issuer's affair.
        ({"format": "iss_sub", "iss": "https://else.example", "sub": "jane@example.com"},
         [("iss_sub", "https://else.example|jane@example.com")]),
        ({"format": "opaque", "id": "11112222333344445555"}, [("iss_sub", f"{ISSUER}|11112222333344445555")]),
        ({"format": "phone_number", "phone_number": "+1 206 555 0123"}, [("phone", "+12065550123")]),
        ({"format": "uri", "uri": "spiffe://example.com/shop"}, [("uri", "spiffe://example.com/shop")]),
        ({"format": "aliases", "identifiers": [EMAIL, {"format": "did", "url": "did:example:1"}]},
         [("email", "alice@example.com"), ("did", "did:example:1")]),
        ({"format": "jwt_id", "iss": "https://i", "jti": "x"}, []),
        ({"format": "saml_assertion_id", "issuer": "https://i", "assertion_id": "_a"}, []),
        ({"format": "ip-addresses", "ip-addresses": ["10.29.37.75", "2001:db8::1"]}, []),
        ({"format": "catalog_item", "catalog_id": "c0384/winter/2354122"}, []),
        # Google's and older RISC's words.
        ({"subject_type": "iss-sub", "iss": "https://accounts.google.com/", "sub": "7375"},
         [("iss_sub", "https://accounts.google.com/|7375")]),
        ({"format": "phone", "phone_number": "+12065550123"}, [("phone", "+12065550123")]),
        ({"subject_type": "phone", "phone": "+12065550123"}, [("phone", "+12065550123")]),
    ],
)  # fmt: skip
def test_every_format_is_read_and_named(value: dict[str, Any], known_as: list[tuple[str, str]]) -> None:
    assert names(simple(value), ISSUER) == known_as


@pytest.mark.parametrize(
    "value",
    [
        None, "alice", [], {}, {"format": 7}, {"format": "email"}, {"format": "email", "email": 7},
        {"format": "email", "email": ""}, {"format": "email", "email": "a\0b"}, {"format": "iss_sub", "iss": "x"},
        {"format": "aliases", "identifiers": []}, {"format": "aliases", "identifiers": [EMAIL] * 17},
        {"format": "aliases", "identifiers": [{"format": "aliases", "identifiers": [EMAIL]}]},
        {"format": "ip-addresses", "ip-addresses": ["300.1.1.1"]}, {"format": "complex"},
        {"format": "complex", "user": {"format": "complex", "user": EMAIL}},
        {"format": "complex", "user": "alice"}, {"format": "complex"} | {f"m{n}": EMAIL for n in range(17)},
        {"email": "alice@example.com"},
    ],
)  # fmt: skip
def test_what_is_no_subject_is_refused(value: Any) -> None:
    with pytest.raises(SetRefused) as caught:
        parse_subject(value)
    assert caught.value.wire_code == "invalid_request"


def test_a_complex_subject_is_read_with_and_without_its_format() -> None:
    said = {"user": EMAIL, "device": {"format": "opaque", "id": "d"}}
    for value in (said | {"format": "complex"}, said):
        found = parse_subject(value)
        assert isinstance(found, ComplexSubject)
        assert set(found.members) == {"user", "device"}
        assert not found.wide


@pytest.mark.parametrize(
    ("members", "wide"),
    [
        ({"tenant": TENANT}, True), ({"group": TENANT, "org_unit": TENANT}, True),
        ({"tenant": TENANT, "x": TENANT}, True),
        ({"tenant": TENANT, "user": EMAIL}, False), ({"tenant": TENANT, "session": TENANT}, False),
        ({"device": TENANT}, False),
    ],
)  # fmt: skip
def test_what_names_nobody_in_particular_means_everybody(members: dict[str, Any], wide: bool) -> None:
    found = parse_subject({"format": "complex"} | members)
    assert isinstance(found, ComplexSubject)
    assert found.wide is wide


def test_matching_is_that_of_the_specification() -> None:
    """SSF 1.0, 8.1.3.1, its three examples and simple subjects."""
    tenant = {"format": "complex", "tenant": {"format": "opaque", "id": "example-a38h4792-uw2"}}
    user = {"format": "email", "email": "jdoe@example.com"}
    device = {"format": "ip-addresses", "ip-addresses": ["10.29.37.75"]}
    groups = [{"format": "did", "url": f"did:example:{n}"} for n in ("123456", "9999999")]
    cases = (
        (tenant, tenant | {"user": user}, True),
        ({"format": "complex", "user": user, "device": device}, {"format": "complex", "user": user}, True),
        *(({"format": "complex", "user": user, "group": groups[0]},
           {"format": "complex", "user": user, "group": groups[n]}, n == 0) for n in (0, 1)),
        (user, user, True), (user, device, False),
    )  # fmt: skip
    for one, other, match in cases:
        assert matches(parse_subject(one), parse_subject(other)) is match
        assert matches(parse_subject(other), parse_subject(one)) is match


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(st.sampled_from(["format", "subject_type", "user", "tenant", "identifiers", "iss", "sub", "id",
                                       "email", "uri"]) | st.text(max_size=8), inner, max_size=5),
    max_leaves=20,
)  # fmt: skip


@given(_JSON)
def test_any_value_is_a_subject_or_refused(value: Any) -> None:
    try:
        found = parse_subject(value)
    except SetRefused:
        return
    assert len(str(found)) <= 1_000
    if isinstance(found, Identifier):
        names(found, ISSUER)
