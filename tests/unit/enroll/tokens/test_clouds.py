"""Documents of AWS and Azure, as their documentation has them: sound, forged, old, of others; and in BER."""

from __future__ import annotations

import contextlib
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import given
from hypothesis import strategies as st

from tests.support.platform_tokens import (
    aws_document,
    azure_document,
    cloud_certificate,
    indefinite,
    rsa_key,
    signed_document,
    text,
)
from tests.unit.fuzz.test_parsers import mutated
from troth.enroll.tokens import clouds, cms
from troth.enroll.tokens.errors import TokenRefused
from troth.enroll.tokens.model import Proof
from troth.kit.clock import FakeClock
from troth.pki.der import DerError

HOST, ACCOUNT = "metadata.azure.com", "123456789012"
SKEW, AGE = timedelta(seconds=60), timedelta(minutes=15)


class Aws:
    """A region whose certificate is pinned."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.certificate = cloud_certificate(rsa_key(), "AWS eu-central-1", clock.now())

    def signed(self, content: bytes, **more: Any) -> bytes:
        return signed_document(content, self.certificate, rsa_key(), send=False, **more)

    def proof(self, data: bytes | str) -> Proof:
        given_ = data if isinstance(data, str) else text(data)
        return clouds.aws(
            given_, [self.certificate], (ACCOUNT,), now=self.clock.now(), max_age=AGE, skew=SKEW
        )  # fmt: skip


def test_an_instance_of_aws_is_proved(clock: FakeClock) -> None:
    region = Aws(clock)
    proof = region.proof(region.signed(aws_document(clock.now())))
    assert proof.subject == "aws:123456789012:eu-central-1:i-0123456789abcdef0"
    assert proof.claims["instanceType"] == "t3.micro"
    framed = f"-----BEGIN PKCS7-----\n{text(region.signed(aws_document(clock.now())))}-----END PKCS7-----\n"
    assert region.proof(framed).digest == proof.digest  # the same instance, however often it is signed


def test_indefinite_lengths_say_the_same(clock: FakeClock) -> None:
    region = Aws(clock)
    data = region.signed(aws_document(clock.now()))
    loose = indefinite(data)
    assert loose != data
    assert cms.definite(loose) == data
    assert cms.definite(data) == data
    assert region.proof(loose).subject == region.proof(data).subject


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"accountId": "999999999999"}, "claim"),
        ({"accountId": None}, "claim"),
        ({"instanceId": "../i-1"}, "claim"),
        ({"region": ""}, "claim"),
        ({"pendingTime": "yesterday"}, "claim"),
        ({"pendingTime": "2026-03-02T08:43:59Z"}, "time"),
        ({"pendingTime": "2026-03-02T09:02:00Z"}, "time"),
    ],
)
def test_an_instance_of_others_or_an_old_one_is_refused(clock: FakeClock, change: dict[str, Any], code: str) -> None:
    region = Aws(clock)
    with pytest.raises(TokenRefused, match=rf"enroll\.token\.{code}"):
        region.proof(region.signed(aws_document(clock.now(), **change)))


def test_what_another_signed_or_somebody_changed_is_refused(clock: FakeClock) -> None:
    region, content = Aws(clock), aws_document(clock.now())
    other = cloud_certificate(rsa_key(1), "AWS eu-central-1", clock.now())
    with pytest.raises(TokenRefused, match="none of the pinned"):
        region.proof(signed_document(content, other, rsa_key(1), send=False))
    data = region.signed(content)
    with pytest.raises(TokenRefused, match="about another document"):
        region.proof(data.replace(b"t3.micro", b"t3.large"))
    with pytest.raises(TokenRefused, match="does not fit"):
        region.proof(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(TokenRefused, match="digest algorithm"):
        region.proof(region.signed(content, hashed=hashes.SHA224()))
    with pytest.raises(TokenRefused, match=r"enroll\.token\.malformed"):
        region.proof(region.signed(b"not json"))
    for junk in ("", "!", "AAAA", "MIAG"):
        with pytest.raises(TokenRefused, match=r"enroll\.token\.malformed"):
            region.proof(junk)


def test_a_short_key_is_refused_whoever_pinned_it(clock: FakeClock) -> None:
    key = rsa.generate_private_key(65537, 1024)  # noqa: S505 -- refused
    certificate = cloud_certificate(key, "AWS", clock.now())
    data = signed_document(aws_document(clock.now()), certificate, key, send=False)
    with pytest.raises(TokenRefused, match="2,048"):
        clouds.aws(text(data), [certificate], (ACCOUNT,), now=clock.now(), max_age=AGE, skew=SKEW)


class Azure:
    """The metadata service under a root and an authority."""

    def __init__(self, clock: FakeClock, host: str = HOST) -> None:
        now = clock.now()
        self.clock = clock
        self.root = cloud_certificate(rsa_key(2), "Cloud Root", now, ca=True)
        self.middle = cloud_certificate(rsa_key(3), "Cloud CA", now, issuer=(self.root, rsa_key(2)), ca=True)
        self.leaf = cloud_certificate(rsa_key(), host, now, issuer=(self.middle, rsa_key(3)))

    def signed(self, content: bytes, *more: Any) -> bytes:
        return signed_document(content, self.leaf, rsa_key(), *more)

    def proof(self, data: bytes, *known: Any) -> Proof:
        return clouds.azure(
            text(data), known or (self.root, self.middle), HOST, ("sub-1",), now=self.clock.now(), max_age=AGE,
            skew=SKEW,
        )  # fmt: skip


def test_a_machine_of_azure_is_proved(clock: FakeClock) -> None:
    azure = Azure(clock)
    data = azure.signed(azure_document(clock.now()))
    assert azure.proof(data).subject == "azure:sub-1:d3e0e374-fda6-4649-bbc9-7f20dc379f34"
    assert azure.proof(azure.signed(azure_document(clock.now()), azure.middle), azure.root)
    assert Azure(clock, f"westeurope.{HOST}").leaf
    west = Azure(clock, f"westeurope.{HOST}")
    assert west.proof(west.signed(azure_document(clock.now())))


def test_a_certificate_of_a_stranger_that_cannot_be_read_is_refused(clock: FakeClock) -> None:
    """The library refuses another version, or another kind of name, by exceptions of its own kind."""
    azure = Azure(clock)
    data = azure.signed(azure_document(clock.now()))
    assert data.count(bytes.fromhex("a003020102")) == 1
    with pytest.raises(TokenRefused, match=r"enroll\.token\.malformed"):
        azure.proof(data.replace(bytes.fromhex("a003020102"), bytes.fromhex("a003020101")))
    name = b"\x82" + bytes([len(HOST)]) + HOST.encode()
    assert data.count(name) == 1
    with pytest.raises(TokenRefused, match=r"enroll\.token\.malformed"):
        azure.proof(data.replace(name, b"\xa3" + name[1:]))


def test_a_signer_that_is_not_the_metadata_service_is_refused(clock: FakeClock) -> None:
    content = azure_document(clock.now())
    for host in ("evil.example", f"evil{HOST}", f"{HOST}.evil.example"):
        evil = Azure(clock, host)
        with pytest.raises(TokenRefused, match="its signer is not"):
            evil.proof(evil.signed(content))
    azure, other = Azure(clock), Azure(clock)
    with pytest.raises(TokenRefused, match=r"pinned root|signer:"):
        azure.proof(azure.signed(content), other.root)
    with pytest.raises(TokenRefused, match="no pinned root"):
        azure.proof(azure.signed(content), azure.middle)
    itself = cloud_certificate(rsa_key(1), HOST, clock.now())
    with pytest.raises(TokenRefused, match="no pinned root"):
        azure.proof(signed_document(content, itself, rsa_key(1)))
    with pytest.raises(TokenRefused, match="not in it"):
        azure.proof(signed_document(content, azure.leaf, rsa_key(), send=False))


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"subscriptionId": "sub-2"}, "claim"),
        ({"vmId": None}, "claim"),
        ({"timeStamp": "now"}, "claim"),
        ({"timeStamp": {"createdOn": "x", "expiresOn": "y"}}, "claim"),
        ({"timeStamp": {"createdOn": "03/02/26 08:00:00 -0000", "expiresOn": "03/02/26 14:00:00 -0000"}}, "time"),
        ({"timeStamp": {"createdOn": "03/02/26 08:59:00 -0000", "expiresOn": "03/02/26 08:58:00 -0000"}}, "time"),
        ({"timeStamp": {"createdOn": "03/02/26 10:00:00 -0000", "expiresOn": "03/02/26 14:00:00 -0000"}}, "time"),
    ],
)
def test_a_machine_of_others_or_an_old_document_is_refused(clock: FakeClock, change: dict[str, Any], code: str) -> None:
    azure = Azure(clock)
    with pytest.raises(TokenRefused, match=rf"enroll\.token\.{code}"):
        azure.proof(azure.signed(azure_document(clock.now(), **change)))


def test_pinned_certificates_that_cannot_be_read_are_told(tmp_path: Path) -> None:
    path = tmp_path / "pins.pem"
    for content in (None, b"junk"):
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(TokenRefused, match=r"enroll\.token\.keys"):
            clouds.certificates_in(str(path))


_SEED: list[bytes] = []


@given(st.booleans(), st.integers(0, 8), st.integers(0, 2**32))
def test_whatever_is_sent_is_read_or_refused(loose: bool, changes: int, number: int) -> None:
    import datetime

    if not _SEED:
        now = datetime.datetime(2026, 3, 2, 9, tzinfo=datetime.UTC)
        certificate = cloud_certificate(rsa_key(), "AWS", now)
        _SEED.append(signed_document(json.dumps({"a": 1}).encode(), certificate, rsa_key()))
    data = mutated(indefinite(_SEED[0]) if loose else _SEED[0], changes, number)
    with contextlib.suppress(TokenRefused):
        cms.parse(text(data))
    with contextlib.suppress(DerError):
        cms.definite(data)


def test_depth_and_number_are_bounded() -> None:
    for bomb in (b"\x30\x80" * 400, b"\x30\x82\x27\x10" + b"\x05\x00" * 5000, b"\x24\x80" * 40, b"x" * 40_000):
        with pytest.raises(DerError):
            cms.definite(bomb)
