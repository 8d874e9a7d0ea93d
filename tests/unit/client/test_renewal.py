"""How RFC 9773 names certificates, and what a client takes for renewal information."""

from __future__ import annotations

import pytest
from cryptography import x509
from hypothesis import given
from hypothesis import strategies as st

from troth.client.jose import b64url_encode
from troth.client.renewal import cert_id, make_cert_id, parse_cert_id, parse_renewal_info
from troth.kit.errors import TrothError

#: RFC 9773, appendix A.
EXAMPLE = """-----BEGIN CERTIFICATE-----
MIIBQzCB66ADAgECAgUAh2VDITAKBggqhkjOPQQDAjAVMRMwEQYDVQQDEwpFeGFt
cGxlIENBMCIYDzAwMDEwMTAxMDAwMDAwWhgPMDAwMTAxMDEwMDAwMDBaMBYxFDAS
BgNVBAMTC2V4YW1wbGUuY29tMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEeBZu
7cbpAYNXZLbbh8rNIzuOoqOOtmxA1v7cRm//AwyMwWxyHz4zfwmBhcSrf47NUAFf
qzLQ2PPQxdTXREYEnKMjMCEwHwYDVR0jBBgwFoAUaYhba4dGQEHhs3uEe6CuLN4B
yNQwCgYIKoZIzj0EAwIDRwAwRAIge09+S5TZAlw5tgtiVvuERV6cT4mfutXIlwTb
+FYN/8oCIClDsqBklhB9KAelFiYt9+6FDj3z4KGVelYM5MdsO3pK
-----END CERTIFICATE-----"""


def test_the_example_of_the_rfc() -> None:
    certificate = x509.load_pem_x509_certificate(EXAMPLE.encode())
    assert cert_id(certificate) == "aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE"
    key_id, serial = parse_cert_id("aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE")
    assert (key_id.hex(), serial) == ("69885b6b87464041e1b37b847ba0ae2cde01c8d4", 0x87654321)


def test_a_missing_zero_octet_is_taken_for_the_positive_number_that_was_meant() -> None:
    assert parse_cert_id(f"aYhba4dGQEHhs3uEe6CuLN4ByNQ.{b64url_encode(bytes.fromhex('87654321'))}")[1] == 0x87654321


@pytest.mark.parametrize(
    "text",
    [
        "", ".", "a.b", "AA", "AA.", ".AA", "AA.AA", "AA==.AQ==", "AA.AQ.AQ", "AA.A Q", "AA.AA/B", "AA.AA+B",
        "AA.AAAB", f"{'A' * 300}.AQ", "é.AQ", "AA.AR",
    ],
)  # fmt: skip
def test_what_is_no_cert_id(text: str) -> None:
    with pytest.raises(TrothError, match=r"client\.acme\.cert_id"):
        parse_cert_id(text)


@given(st.binary(min_size=1, max_size=32), st.integers(1, 2**159 - 1))
def test_names_are_read_back(key_id: bytes, serial: int) -> None:
    assert parse_cert_id(make_cert_id(key_id, serial)) == (key_id, serial)


@given(st.text(max_size=300))
def test_whatever_the_text_it_is_read_or_refused(text: str) -> None:
    try:
        key_id, serial = parse_cert_id(text)
    except TrothError:
        return
    assert key_id
    assert serial > 0


def test_a_window_is_read_with_its_explanation() -> None:
    body = b'{"suggestedWindow":{"start":"2026-01-02T03:04:05Z","end":"2026-01-02T04:04:05+01:00"}}'
    with pytest.raises(TrothError):
        parse_renewal_info(body, 0)  # it ends when it starts
    body = (
        b'{"suggestedWindow":{"start":"2026-01-02T03:04:05Z","end":"2026-01-03T00:00:00Z"},'
        b'"explanationURL":"https://a/why"}'
    )
    info = parse_renewal_info(body, 7.0)
    assert (info.start.isoformat(), info.explanation_url, info.retry_after) == (
        "2026-01-02T03:04:05+00:00", "https://a/why", 7.0,
    )  # fmt: skip


@given(st.binary(max_size=80) | st.sampled_from([b"{}", b"[]", b'{"suggestedWindow":{"start":"2026-01-02","end":1}}']))
def test_whatever_the_answer_it_is_a_refusal(body: bytes) -> None:
    with pytest.raises(TrothError):
        parse_renewal_info(body, 0)
