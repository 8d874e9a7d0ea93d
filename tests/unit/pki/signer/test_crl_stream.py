"""A CRL that comes in pieces is signed once, as announced, or not at all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509

from tests.support.signing import authority_certificate, crl_tbs
from troth.pki import algorithms
from troth.pki.crl_der import CrlFrame, split_tbs
from troth.pki.keys.algorithm import KeyAlgorithm, generate_private_key, public_key_info
from troth.pki.prehash import sign_digest
from troth.pki.signer.attachment import limits_from
from troth.pki.signer.crl_rules import CrlHeader, check_frame
from troth.pki.signer.crl_stream import CrlStream
from troth.pki.signer.errors import SignerRefused
from troth.pki.signer.protocol import Bounds

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
KEY = generate_private_key(KeyAlgorithm.P256)
SPKI = public_key_info(KEY)
URL = "http://pki.example/crl/issuing.crl"
LIMITS = limits_from(authority_certificate(SPKI, NOW), SPKI, Bounds(max_crl_validity_seconds=86_400, crl_url=URL), NOW)


@dataclass
class Whole:
    """A key that signs whole messages only: a token without a mechanism for digests."""

    algorithm: KeyAlgorithm = KeyAlgorithm.P256

    def sign(self, message: bytes) -> bytes:
        return algorithms.sign_with(KEY, message)


class Digests(Whole):
    def sign(self, message: bytes) -> bytes:
        raise AssertionError("the whole list was kept")

    def sign_digest(self, digest: bytes) -> bytes:
        return sign_digest(KEY, digest)


def stream(frame: CrlFrame, key: Whole) -> CrlStream:
    return CrlStream("issuing-1", CrlHeader(1, ""), frame, key, KEY.public_key())


@pytest.mark.parametrize("key", [Whole(), Digests()], ids=["whole", "digest"])
def test_entries_in_pieces_are_signed_as_one_list(key: Whole) -> None:
    tbs = crl_tbs(SPKI, NOW, revoked=40)
    frame, entries = split_tbs(tbs)
    assert frame.head + entries + frame.tail == tbs
    assert check_frame(frame, KeyAlgorithm.P256, LIMITS, NOW).number == 1
    passing = stream(frame, key)
    for at in range(0, len(entries), 7):
        passing.feed(entries[at : at + 7])
    algorithms.verify(KEY.public_key(), passing.sign(key), tbs)
    with pytest.raises(SignerRefused):
        passing.sign(key)


@pytest.mark.parametrize(
    "spoil",
    [lambda e: e[:-1], lambda e: e + b"\x30", lambda e: b"\x02" + e[1:], lambda _: b""],
    ids=["cut short", "too long", "no list", "nothing"],
)
def test_entries_that_were_not_announced_are_not_signed(spoil: Callable[[bytes], bytes]) -> None:
    frame, entries = split_tbs(crl_tbs(SPKI, NOW, revoked=3))
    passing = stream(frame, Digests())

    def send(pieces: list[bytes]) -> None:
        for piece in pieces:
            passing.feed(piece)
        passing.sign(Digests())

    with pytest.raises(SignerRefused):
        send([spoil(entries)[:5], spoil(entries)[5:]])


def test_a_head_that_announces_another_length_is_refused() -> None:
    frame, _ = split_tbs(crl_tbs(SPKI, NOW, revoked=3))
    for size in (frame.size - 1, frame.size + 1, 0, -5):
        with pytest.raises(SignerRefused) as caught:
            check_frame(CrlFrame(frame.head, size, frame.tail), KeyAlgorithm.P256, LIMITS, NOW)
        assert caught.value.code == "signer.malformed"


def point(url: str, **changes: bool) -> x509.IssuingDistributionPoint:
    values = {"only_contains_user_certs": False, "only_contains_ca_certs": False, "indirect_crl": False} | changes
    return x509.IssuingDistributionPoint(
        full_name=[x509.UniformResourceIdentifier(url)], relative_name=None, only_some_reasons=None,
        only_contains_attribute_certs=False, **values,
    )  # fmt: skip


def freshest(url: str) -> x509.FreshestCRL:
    return x509.FreshestCRL([x509.DistributionPoint([x509.UniformResourceIdentifier(url)], None, None, None)])


SHARD, DELTA = "http://pki.example/crl/issuing/3.crl", "http://pki.example/crl/issuing/3-delta.crl"


@pytest.mark.parametrize(
    "extra",
    [
        [(point(SHARD), True)],
        [(point(URL), True), (freshest(DELTA), False)],
        [(x509.DeltaCRLIndicator(4), True)],
        [(x509.DeltaCRLIndicator(4), True), (point(SHARD), True)],
    ],
    ids=["shard", "freshest", "delta", "delta of a shard"],
)
def test_shards_and_deltas_of_the_authority_pass(extra: list[tuple[x509.ExtensionType, bool]]) -> None:
    frame, _ = split_tbs(crl_tbs(SPKI, NOW, number=5, extra=extra))
    assert check_frame(frame, KeyAlgorithm.P256, LIMITS, NOW).number == 5


@pytest.mark.parametrize(
    "extra",
    [
        [(point(SHARD), False)],
        [(point("http://elsewhere.example/crl/issuing/3.crl"), True)],
        [(point(SHARD, only_contains_user_certs=True), True)],
        [(point(SHARD, indirect_crl=True), True)],
        [(freshest("http://elsewhere.example/delta.crl"), False)],
        [(x509.DeltaCRLIndicator(4), False)],
        [(x509.DeltaCRLIndicator(5), True)],
        [(x509.DeltaCRLIndicator(4), True), (freshest(DELTA), False)],
    ],
    ids=["not critical", "elsewhere", "limited", "indirect", "freshest elsewhere", "delta not critical", "its own base",
         "a delta's delta"],
)  # fmt: skip
def test_a_crl_that_could_pass_for_another_is_refused(extra: list[tuple[x509.ExtensionType, bool]]) -> None:
    frame, _ = split_tbs(crl_tbs(SPKI, NOW, number=5, extra=extra))
    with pytest.raises(SignerRefused) as caught:
        check_frame(frame, KeyAlgorithm.P256, LIMITS, NOW)
    assert caught.value.code == "signer.limit.crl"


def test_lasting_is_still_limited() -> None:
    frame, _ = split_tbs(crl_tbs(SPKI, NOW, lasts=timedelta(days=2)))
    with pytest.raises(SignerRefused):
        check_frame(frame, KeyAlgorithm.P256, LIMITS, NOW)
