"""The limits of an issuing key for CRLs, and the order of their numbers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from tests.support.signing import authority_certificate, crl_tbs, spki_of
from troth.pki import der
from troth.pki.keys.algorithm import KeyAlgorithm
from troth.pki.signer.attachment import limits_from
from troth.pki.signer.crl_rules import CrlHeader, CrlNumbers, check_crl
from troth.pki.signer.errors import SignerRefused
from troth.pki.signer.protocol import Bounds

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
SPKI = spki_of(ec.generate_private_key(ec.SECP256R1()))
LIMITS = limits_from(authority_certificate(SPKI, NOW), SPKI, Bounds(max_crl_validity_seconds=86_400), NOW)
HOUR = timedelta(hours=1)


def check(tbs: bytes) -> CrlHeader:
    return check_crl(tbs, KeyAlgorithm.P256, LIMITS, NOW)


def point(*, indirect: bool = False, url: str = "http://a.example/1.crl") -> x509.IssuingDistributionPoint:
    return x509.IssuingDistributionPoint(
        [x509.UniformResourceIdentifier(url)], None, False, False, None, indirect, False
    )


def test_an_empty_and_a_full_crl_pass() -> None:
    assert check(crl_tbs(SPKI, NOW, number=5)) == CrlHeader(5, "")
    assert check(crl_tbs(SPKI, NOW, number=6, revoked=300)).number == 6


def test_numbers_run_separately_in_each_distribution_point() -> None:
    one = check(crl_tbs(SPKI, NOW, extra=[(point(), True)]))
    two = check(crl_tbs(SPKI, NOW, extra=[(point(url="http://a.example/2.crl"), True)]))
    assert len({one.scope, two.scope, ""}) == 3


@pytest.mark.parametrize(
    ("tbs", "code"),
    [
        (crl_tbs(SPKI, NOW, digest=hashes.SHA384()), "signer.limit.algorithm"),
        (crl_tbs(SPKI, NOW, issuer=x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "x")])), "signer.limit.issuer"),
        (crl_tbs(SPKI, NOW, authority=False), "signer.limit.authority_key"),
        (crl_tbs(SPKI, NOW, number=None), "signer.limit.crl"),
        (crl_tbs(SPKI, NOW, number=2**63), "signer.limit.crl"),
        (crl_tbs(SPKI, NOW, lasts=timedelta(days=1, seconds=1)), "signer.limit.crl"),
        (crl_tbs(SPKI, NOW, this_update=HOUR), "signer.limit.crl"),
        (crl_tbs(SPKI, NOW, this_update=-HOUR - timedelta(seconds=1)), "signer.limit.crl"),
        (crl_tbs(SPKI, NOW, extra=[(x509.DeltaCRLIndicator(1), True)]), "signer.limit.crl"),
        (crl_tbs(SPKI, NOW, extra=[(point(indirect=True), True)]), "signer.limit.crl"),
        (crl_tbs(SPKI, NOW) + b"\x00", "signer.malformed"),
    ],
    ids=[
        "hash", "issuer", "no authority key", "no number", "number too large", "too long", "in the future", "too old",
        "delta", "indirect", "trailing bytes",
    ],
)  # fmt: skip
def test_a_header_outside_of_the_limits_is_refused_by_its_code(tbs: bytes, code: str) -> None:
    with pytest.raises(SignerRefused) as caught:
        check(tbs)
    assert caught.value.code == code


def parts_of(tbs: bytes) -> list[bytes]:
    reader = der.Reader(tbs).enter(der.SEQUENCE)
    parts = []
    while not reader.empty:
        parts.append(reader.whole())
    return parts


def test_a_crl_without_next_update_or_with_an_empty_list_is_refused() -> None:
    parts = parts_of(crl_tbs(SPKI, NOW))
    with pytest.raises(SignerRefused, match="nextUpdate is missing"):
        check(der.sequence(*parts[:4], *parts[5:]))
    with pytest.raises(SignerRefused, match="empty"):
        check(der.sequence(*parts[:5], der.sequence(), *parts[5:]))


@given(st.binary(max_size=300))
def test_any_bytes_are_refused_with_a_typed_error(data: bytes) -> None:
    with pytest.raises(SignerRefused):
        check(data)


def test_a_number_is_signed_once_and_never_a_lower_one_after_it(tmp_path: Path) -> None:
    numbers = CrlNumbers(tmp_path / "numbers")
    numbers.advance("k", CrlHeader(5, ""))
    for number in (5, 4):
        with pytest.raises(SignerRefused) as caught:
            numbers.advance("k", CrlHeader(number, ""))
        assert caught.value.code == "signer.crl_number"
    numbers.advance("k", CrlHeader(6, ""))
    numbers.advance("k", CrlHeader(1, "another point"))
    numbers.advance("another key", CrlHeader(1, ""))


def test_numbers_are_remembered_over_a_restart(tmp_path: Path) -> None:
    CrlNumbers(tmp_path / "numbers").advance("k", CrlHeader(5, ""))
    with pytest.raises(SignerRefused):
        CrlNumbers(tmp_path / "numbers").advance("k", CrlHeader(5, ""))


def test_a_number_whose_write_failed_is_used_up(tmp_path: Path) -> None:
    def broken(path: Path, content: bytes) -> None:
        raise OSError("disk full")

    numbers = CrlNumbers(tmp_path / "numbers", write=broken)
    with pytest.raises(OSError, match="disk full"):
        numbers.advance("k", CrlHeader(5, ""))
    with pytest.raises(SignerRefused):
        numbers.advance("k", CrlHeader(5, ""))


def test_an_unreadable_file_of_numbers_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "numbers").write_text("{")
    with pytest.raises(SignerRefused):
        CrlNumbers(tmp_path / "numbers")


def test_complete_crls_and_deltas_share_a_sequence(tmp_path: Path) -> None:
    numbers = CrlNumbers(tmp_path / "numbers")
    with pytest.raises(SignerRefused):
        numbers.advance("k", CrlHeader(5, "s", 4))  # its base was not signed here
    numbers.advance("k", CrlHeader(5, "s"))
    numbers.advance("k", CrlHeader(7, "s", 5))
    for refused in (CrlHeader(6, "s"), CrlHeader(7, "s", 5), CrlHeader(9, "s", 8)):
        with pytest.raises(SignerRefused):
            numbers.advance("k", refused)
    numbers.advance("k", CrlHeader(8, "s"))
    numbers.advance("k", CrlHeader(8, "s", 5))  # of one number, once each
    with pytest.raises(SignerRefused):
        CrlNumbers(tmp_path / "numbers").advance("k", CrlHeader(8, "s", 5))
