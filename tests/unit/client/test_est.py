"""EST as a client: what is believed of an answer, and the ways from a leaf to a root."""

from __future__ import annotations

import base64
from collections.abc import Mapping

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st

from tests.support.mint import ca_certificate
from troth.client.csr import certificate_request, renewal_request
from troth.client.errors import TransportError
from troth.client.est import Credential, EstClient, EstError, chains, is_root
from troth.client.transport import HttpAnswer, Transport
from troth.enroll.est.body import certs_only, encoded
from troth.kit.clock import SystemClock

NOW = SystemClock().now()
KEYS = [ec.generate_private_key(ec.SECP256R1()) for _ in range(4)]
ROOT = ca_certificate(KEYS[0], "Root", NOW)
ISSUER = ca_certificate(KEYS[1], "Issuer", NOW, (ROOT, KEYS[0]))
LEAF = ca_certificate(KEYS[2], "Leaf", NOW, (ISSUER, KEYS[1]))
PKCS7 = "application/pkcs7-mime; smime-type=certs-only"


class Told(Transport):
    """Answers with what it is given, and remembers what it was asked."""

    def __init__(self, status: int, body: bytes = b"", **headers: str) -> None:
        super().__init__()
        self.answer = (status, body, {name.replace("_", "-"): (value,) for name, value in headers.items()})
        self.asked: list[tuple[str, str, Mapping[str, str]]] = []

    async def request(
        self, method: str, url: str, *, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> HttpAnswer:
        self.asked.append((method, url, headers or {}))
        status, said, told = self.answer
        return HttpAnswer(status, told, said, url)


def client(told: Told, credential: Credential | None = None) -> EstClient:
    return EstClient("https://pki.test/.well-known/est/hosts/", told, credential)


async def test_a_secret_goes_with_requests_for_certificates_and_over_tls_alone() -> None:
    body = encoded(certs_only([LEAF.public_bytes(Encoding.DER)]))
    told = Told(200, body, content_type=PKCS7)
    asker = client(told, Credential("id", "secret"))
    assert await asker.authorities() == [LEAF]
    assert "Authorization" not in told.asked[0][2]
    csr = certificate_request(KEYS[2], dns=["a.example"])
    assert await asker.enrol(csr) == LEAF
    method, url, headers = told.asked[1]
    assert (method, url) == ("POST", "https://pki.test/.well-known/est/hosts/simpleenroll")
    assert headers["Authorization"] == "Basic " + base64.b64encode(b"id:secret").decode()
    assert "secret" not in repr(Credential("id", "secret"))
    with pytest.raises(TransportError):
        EstClient("http://pki.test/.well-known/est", told)


async def test_of_several_certificates_the_one_for_the_key_is_taken() -> None:
    several = certs_only(one.public_bytes(Encoding.DER) for one in (ROOT, ISSUER, LEAF))
    told = Told(200, base64.encodebytes(several), content_type="application/pkcs7-mime")
    assert await client(told).renew(renewal_request(KEYS[2], LEAF)) == LEAF
    with pytest.raises(EstError) as refused:
        await client(told).renew(renewal_request(KEYS[3], LEAF))
    assert refused.value.code == "client.est.answer"


@pytest.mark.parametrize(
    ("status", "code", "waits", "after"),
    [(202, "client.est.waits", True, 60), (503, "client.est.waits", True, 60), (429, "client.est.waits", True, 60),
     (403, "client.est.refused", False, 0), (500, "client.est.refused", False, 0),
     (302, "client.est.refused", False, 0)],
)  # fmt: skip
async def test_what_waits_and_what_is_refused(status: int, code: str, waits: bool, after: float) -> None:
    told = Told(status, b"a line\x1b[0m\nmore", retry_after="60", troth_code="est.x")
    with pytest.raises(EstError) as refused:
        await client(told).enrol(certificate_request(KEYS[2], dns=["a.example"]))
    assert (refused.value.code, refused.value.waits, refused.value.retry_after) == (code, waits, after)
    assert (refused.value.status, refused.value.server_code) == (status, "est.x")
    odd = Told(status, b"a line\x1b[0m\nmore", retry_after="\xb2")
    with pytest.raises(EstError) as refused:
        await client(odd).enrol(certificate_request(KEYS[2], dns=["a.example"]))
    assert refused.value.retry_after == 0
    assert "a line[0m" in refused.value.detail


@given(st.binary(max_size=200), st.sampled_from([PKCS7, "text/html", "application/pkcs7-mime", ""]))
async def test_an_answer_is_read_or_refused(body: bytes, kind: str) -> None:
    for said in (body, base64.b64encode(body)):
        with pytest.raises(EstError):
            await client(Told(200, said, content_type=kind)).authorities()


def test_the_ways_to_a_root_are_found_cross_certificates_among_them() -> None:
    other = ca_certificate(KEYS[3], "Other Root", NOW)
    crossed = ca_certificate(KEYS[0], "Root", NOW, (other, KEYS[3]))
    assert chains(LEAF, [ROOT, ISSUER]) == [(LEAF, ISSUER)]
    assert chains(LEAF, [other, ISSUER]) == []
    assert chains(LEAF, [crossed, other, ROOT, ISSUER]) == [(LEAF, ISSUER), (LEAF, ISSUER, crossed)]
    assert chains(LEAF, []) == []
    assert is_root(ROOT)
    assert not is_root(crossed)
    forged = ca_certificate(KEYS[3], "Issuer", NOW)  # the issuer's name, another key
    assert chains(LEAF, [forged]) == []


def test_authorities_that_all_certify_one_another_cost_no_more_than_some() -> None:
    ring = [ca_certificate(KEYS[0], "Same", NOW, (ca_certificate(KEYS[0], "Same", NOW), KEYS[0])) for _ in range(40)]
    assert len(chains(ring[0], ring)) <= 8


def test_a_renewal_asks_for_what_the_certificate_has() -> None:
    csr = x509.load_der_x509_csr(renewal_request(KEYS[3], LEAF))
    assert csr.subject == LEAF.subject
    assert csr.is_signature_valid
