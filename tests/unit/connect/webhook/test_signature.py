"""Standard Webhooks signatures, against the specification's own example."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from troth.connect.webhook.errors import Stale, Unauthenticated
from troth.connect.webhook.signature import Stamp, sign, verify

# The example that the reference libraries of Standard Webhooks are tested with.
SECRET = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
ID = "msg_p5jXN8AQM9LWM0D4loKWxJek"
TIMESTAMP = 1614265330
BODY = b'{"test": 2432232314}'
SIGNATURE = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="

NOW = datetime.fromtimestamp(TIMESTAMP, UTC)
TOLERANCE = timedelta(seconds=300)


def check(
    signatures: str = SIGNATURE, *, body: bytes = BODY, secrets: tuple[bytes, ...] = (SECRET,), now: datetime = NOW
) -> None:
    verify(Stamp(ID, str(TIMESTAMP), signatures), body, secrets=secrets, now=now, tolerance=TOLERANCE)


def test_the_published_example_verifies_and_is_what_we_sign() -> None:
    assert sign(SECRET, ID, TIMESTAMP, BODY) == SIGNATURE
    check()


@pytest.mark.parametrize(
    "signatures",
    [
        "v1,AAAA", "v1,", "v1", "v2,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=", SIGNATURE.lower(),
        SIGNATURE.removeprefix("v1,"), "v1,not base64!", "v1," + "A" * 1000, " ", ",", "v1,é",
    ],
)  # fmt: skip
def test_no_other_signature_verifies(signatures: str) -> None:
    with pytest.raises(Unauthenticated):
        check(signatures)


def test_one_good_signature_among_several_is_enough() -> None:
    check(f"v1a,AAAA v1,AAAA {SIGNATURE}")


def test_a_good_signature_behind_a_flood_of_bad_ones_is_not_looked_for() -> None:
    with pytest.raises(Unauthenticated):
        check(" ".join(["v1,AAAA"] * 20 + [SIGNATURE]))


def test_either_of_two_secrets_verifies_and_a_third_does_not() -> None:
    check(secrets=(b"new" * 10, SECRET))
    with pytest.raises(Unauthenticated):
        check(secrets=(b"new" * 10,))


def test_without_a_secret_nothing_verifies_not_even_under_the_stand_in() -> None:
    with pytest.raises(Unauthenticated):
        check(sign(b"\0" * 32, ID, TIMESTAMP, BODY), secrets=())


@pytest.mark.parametrize("seconds", [301, -301, 86_400])
def test_a_stamp_too_far_from_now_is_refused_both_ways(seconds: int) -> None:
    with pytest.raises(Stale):
        check(now=NOW + timedelta(seconds=seconds))


@pytest.mark.parametrize("seconds", [300, -300])
def test_a_stamp_within_the_tolerance_is_taken(seconds: int) -> None:
    check(now=NOW + timedelta(seconds=seconds))


def test_a_bad_signature_is_not_told_that_its_clock_is_wrong_too() -> None:
    with pytest.raises(Unauthenticated):
        check("v1,AAAA", now=NOW + timedelta(days=1))


def test_a_stamp_beyond_the_calendar_is_stale() -> None:
    stamp = Stamp(ID, "999999999999", sign(SECRET, ID, "999999999999", BODY))
    with pytest.raises(Stale):
        verify(stamp, BODY, secrets=(SECRET,), now=NOW, tolerance=TOLERANCE)


@pytest.mark.parametrize(
    "headers",
    [
        {"webhook-id": ""}, {"webhook-id": "a.b"}, {"webhook-id": "a b"}, {"webhook-id": "x" * 201},
        {"webhook-timestamp": ""}, {"webhook-timestamp": "-5"}, {"webhook-timestamp": "1.5"},
        {"webhook-timestamp": "1" * 13}, {"webhook-signature": ""}, {"webhook-signature": "v1," + "A" * 3000},
    ],
)  # fmt: skip
def test_headers_out_of_bounds_are_refused_before_any_work(headers: dict[str, str]) -> None:
    good = {"webhook-id": ID, "webhook-timestamp": str(TIMESTAMP), "webhook-signature": SIGNATURE}
    Stamp.of(good)
    with pytest.raises(Unauthenticated):
        Stamp.of(good | headers)
    for missing in good:
        with pytest.raises(Unauthenticated):
            Stamp.of({name: value for name, value in good.items() if name != missing})


@given(st.binary(max_size=200), st.integers(0, 199), st.integers(1, 255))
def test_a_changed_byte_of_the_body_never_verifies(body: bytes, place: int, change: int) -> None:
    signature = sign(SECRET, ID, TIMESTAMP, body)
    check(signature, body=body)
    if place < len(body):
        spoilt = body[:place] + bytes([body[place] ^ change]) + body[place + 1 :]
        with pytest.raises(Unauthenticated):
            check(signature, body=spoilt)


@given(st.text(max_size=100))
def test_no_header_text_makes_the_verifier_fail_otherwise(text: str) -> None:
    with pytest.raises(Unauthenticated):
        check(text)
