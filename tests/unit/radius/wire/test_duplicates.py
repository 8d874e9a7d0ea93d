from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from troth.radius.wire.duplicates import Asked, Duplicates, Ticket

ONE, OTHER = b"1" * 16, b"2" * 16


def ask(
    cache: Duplicates, authenticator: bytes = ONE, *, identifier: int = 7, now: float = 0.0, address: str = "192.0.2.1",
    port: int = 1645, code: int = 1, listener: str = "auth",
) -> Ticket | Asked | bytes:  # fmt: skip
    return cache.ask(address, port, code, identifier, authenticator, listener, now=now)


def ticket(cache: Duplicates, authenticator: bytes = ONE, *, identifier: int = 7, now: float = 0.0) -> Ticket:
    found = ask(cache, authenticator, identifier=identifier, now=now)
    assert isinstance(found, Ticket)
    return found


def test_a_request_that_is_worked_on_is_dropped_when_it_comes_again_and_then_gets_the_same_reply() -> None:
    cache = Duplicates()
    first = ticket(cache)

    assert ask(cache) is Asked.BUSY
    assert cache.answered(first, b"reply", now=1.0)
    assert ask(cache, now=2.0) == b"reply"
    assert ask(cache, now=3.0) == b"reply"


def test_a_reply_is_forgotten_in_time() -> None:
    cache = Duplicates(seconds=5)
    cache.answered(ticket(cache), b"reply", now=1.0)

    assert ask(cache, now=5.9) == b"reply"
    assert isinstance(ask(cache, now=6.0), Ticket)


def test_a_request_that_is_worked_on_for_long_is_worked_on_once() -> None:
    cache = Duplicates(seconds=5)
    first = ticket(cache)

    assert ask(cache, now=6.0) is Asked.BUSY
    assert cache.answered(first, b"reply", now=12.0)
    assert ask(cache, now=16.0) == b"reply"
    assert isinstance(ask(cache, now=17.0), Ticket)


@pytest.mark.parametrize(
    "other", [{"address": "192.0.2.2"}, {"port": 1646}, {"code": 4}, {"identifier": 8}, {"listener": "acct"}]
)
def test_anything_else_about_it_makes_another_request(other: dict[str, object]) -> None:
    cache = Duplicates()
    ticket(cache)

    found = ask(cache, **other)  # type: ignore[arg-type]

    assert isinstance(found, Ticket)
    assert found.replaced is None


def test_another_authenticator_under_the_same_identifier_cancels_the_request_before() -> None:
    cache = Duplicates()
    old = ticket(cache)
    new = ticket(cache, OTHER)

    assert new.replaced == ONE
    assert not cache.answered(old, b"too late", now=1.0)
    assert ask(cache, OTHER) is Asked.BUSY
    assert cache.answered(new, b"reply", now=1.0)
    assert ask(cache, OTHER, now=1.0) == b"reply"


def test_an_answered_request_is_not_cancelled_by_the_next_of_its_identifier() -> None:
    cache = Duplicates()
    cache.answered(ticket(cache), b"reply", now=0.0)

    assert ticket(cache, OTHER).replaced is None


def test_a_request_without_a_reply_begins_anew() -> None:
    cache = Duplicates()
    cache.dropped(ticket(cache))

    assert isinstance(ask(cache), Ticket)


def test_a_client_is_bounded_by_its_own_requests_and_pushes_out_its_own_replies_alone() -> None:
    cache = Duplicates(most=2)
    cache.answered(ticket(cache, identifier=1), b"one", now=0.0)
    ticket(cache, identifier=2)
    ticket(cache, identifier=3)

    assert ask(cache, identifier=4) is Asked.FULL
    assert ask(cache, identifier=2) is Asked.BUSY
    assert isinstance(ask(cache, identifier=4, address="192.0.2.9"), Ticket)
    assert cache.open("192.0.2.1") == 2
    assert len(cache) == 3


def test_clients_are_bounded_as_well() -> None:
    cache = Duplicates(clients=2)
    for number in (1, 2, 1, 3):
        ask(cache, address=f"192.0.2.{number}")

    assert (cache.open("192.0.2.1"), cache.open("192.0.2.2"), cache.open("192.0.2.3")) == (1, 0, 1)


@pytest.mark.parametrize("seconds", [0, 4.9, 31])
def test_the_time_that_a_reply_is_kept_is_that_of_the_rfc(seconds: float) -> None:
    with pytest.raises(ValueError, match="5 to 30"):
        Duplicates(seconds=seconds)


class Asking(RuleBasedStateMachine):
    """Against the plain model: a dict of what was answered, within its time."""

    def __init__(self) -> None:
        super().__init__()
        self.cache = Duplicates(seconds=5, most=8)
        self.now = 0.0
        self.open: dict[int, Ticket] = {}
        self.replies: dict[int, tuple[bytes, bytes, float]] = {}

    @rule(seconds=st.floats(0.0, 4.0))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule(identifier=st.integers(0, 3), authenticator=st.sampled_from([ONE, OTHER]))
    def asks(self, identifier: int, authenticator: bytes) -> None:
        found = ask(self.cache, authenticator, identifier=identifier, now=self.now)
        if isinstance(found, Ticket):
            self.open[identifier] = found
            self.replies.pop(identifier, None)
        elif isinstance(found, bytes):
            reply, of, at = self.replies[identifier]
            assert (found, authenticator) == (reply, of)
            assert self.now < at + 5
        else:
            assert found is Asked.BUSY
            assert self.open[identifier].authenticator == authenticator

    @rule(identifier=st.integers(0, 3), reply=st.binary(min_size=1, max_size=4))
    def answers(self, identifier: int, reply: bytes) -> None:
        held = self.open.pop(identifier, None)
        if held is not None and self.cache.answered(held, reply, now=self.now):
            self.replies[identifier] = (reply, held.authenticator, self.now)

    @invariant()
    def nothing_is_counted_wrong(self) -> None:
        assert 0 <= self.cache.open("192.0.2.1") <= len(self.cache) <= 8


TestAsking = Asking.TestCase
TestAsking.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
