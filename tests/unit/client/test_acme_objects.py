from __future__ import annotations

import msgspec
import pytest
from cryptography import x509

from troth.client.acme_objects import Authorization, Directory, Problem
from troth.client.acme_session import retry_after
from troth.client.csr import certificate_request
from troth.client.jose import SigningKey
from troth.client.transport import HttpAnswer


def answer(**headers: tuple[str, ...]) -> HttpAnswer:
    return HttpAnswer(200, headers, b"", "https://ca.example/acme/order/1")


@pytest.mark.parametrize(
    ("values", "rel", "found"),
    [
        (('</dir>;rel="index"',), "index", ["https://ca.example/dir"]),
        (('<https://a/1>;rel=up, <https://a/2>; title="x, y"; rel="alternate"',), "alternate", ["https://a/2"]),
        (('<https://a/1>;rel="up"', '<https://a/2>;rel="up alternate"'), "up", ["https://a/1", "https://a/2"]),
        (("<https://a/1>",), "up", []),
        ((), "up", []),
        (("no link at all",), "up", []),
    ],
)
def test_links_are_found_by_their_relation(values: tuple[str, ...], rel: str, found: list[str]) -> None:
    assert answer(link=values).links(rel) == found


@pytest.mark.parametrize(("value", "seconds"), [("5", 5.0), ("0", 0.0), ("soon", 0.0), ("-1", 0.0), ("1e9", 0.0)])
def test_retry_after_is_read_in_seconds(value: str, seconds: float) -> None:
    assert retry_after(HttpAnswer(200, {"retry-after": (value,)}, b"", "")) == seconds


def test_a_problem_is_read_with_its_subproblems() -> None:
    problem = msgspec.json.decode(
        b'{"type":"urn:ietf:params:acme:error:compound","detail":"d","status":400,"reason":"acme.identifier.compound",'
        b'"subproblems":[{"type":"urn:ietf:params:acme:error:dns","identifier":{"type":"dns","value":"a.test"}}]}',
        type=Problem,
    )
    assert problem.short_type == "compound"
    assert problem.reason == "acme.identifier.compound"
    assert problem.subproblems[0].short_type == "dns"
    assert problem.subproblems[0].identifier is not None


def test_a_directory_needs_its_urls() -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(b'{"newNonce":"https://a/"}', type=Directory)


def test_a_challenge_is_found_by_its_type() -> None:
    authorization = msgspec.json.decode(
        b'{"identifier":{"type":"dns","value":"a.test"},"status":"pending","challenges":['
        b'{"type":"dns-01","url":"https://a/1","status":"pending","token":"t"}]}',
        type=Authorization,
    )
    found = authorization.challenge("dns-01")
    assert found is not None
    assert found.token == "t"
    assert authorization.challenge("http-01") is None


@pytest.mark.parametrize("algorithm", ["ES256", "ES384", "RS256", "EdDSA"])
def test_a_certificate_request_holds_the_names_and_verifies(algorithm: str) -> None:
    encoded = certificate_request(
        SigningKey.generate(algorithm).private_key, dns=["a.test", "b.test"], ip=["::1"], common_name="a.test"
    )
    csr = x509.load_der_x509_csr(encoded)
    assert csr.is_signature_valid
    names = csr.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["a.test", "b.test"]
    assert [str(address) for address in names.get_values_for_type(x509.IPAddress)] == ["::1"]
