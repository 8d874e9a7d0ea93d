"""Loans: how long they last, and of what."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace

from troth.enroll.acme.lately import LEASE_SECONDS, Lately
from troth.enroll.acme.model import Account, Authorization, Order
from troth.enroll.acme.problems import Identifier
from troth.enroll.acme.store import Ordered
from troth.kit.clock import FakeClock
from troth.kit.ids import new_id

NOW = datetime(2026, 12, 1, tzinfo=UTC)
ACCOUNT = Account(new_id(), "tls-server", "t", b"{}", "valid", (), True, NOW)
ORDER = Order(
    id=new_id(), account_id=ACCOUNT.id, profile="tls-server", status="pending", identifiers=(), not_after=None,
    expires=NOW + timedelta(days=1), error=None, attempt=0, csr_sha256=None, certificate_id=None,
)  # fmt: skip
FIRST, SECOND = (
    Authorization(
        new_id(), ORDER.id, ACCOUNT.id, Identifier("dns", name), False, "pending", NOW + timedelta(days=1), ()
    )
    for name in ("a.test", "b.test")
)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(NOW)


def test_a_loan_ends_a_second_after_its_look_was_begun(clock: FakeClock) -> None:
    lately = Lately(clock)
    begun = lately.begin()
    clock.advance(timedelta(seconds=LEASE_SECONDS / 2))
    lately.saw(ACCOUNT, begun)
    assert lately.for_new_order(ACCOUNT.id, ORDER.id) == (ACCOUNT, None)
    clock.advance(timedelta(seconds=LEASE_SECONDS / 2))
    assert lately.for_new_order(ACCOUNT.id, ORDER.id) is None


def test_only_a_valid_account_is_lent(clock: FakeClock) -> None:
    lately = Lately(clock)
    lately.saw(ACCOUNT, lately.begin())
    lately.saw(replace(ACCOUNT, status="revoked"), lately.begin())
    assert lately.for_new_order(ACCOUNT.id, ORDER.id) is None


def test_an_order_is_lent_once_all_is_proved_and_lasts_no_longer_than_its_proofs(clock: FakeClock) -> None:
    lately = Lately(clock)
    lately.saw(ACCOUNT, lately.begin())
    lately.placed(ORDER, (FIRST, SECOND), lately.begin())
    soon = NOW + timedelta(hours=1)
    first, second = (replace(one, status="valid", expires=soon) for one in (FIRST, SECOND))
    lately.proved(first, lately.begin())
    assert lately.for_finalize(ACCOUNT.id, ORDER.id) is None
    lately.proved(second, lately.begin())
    lent = lately.for_finalize(ACCOUNT.id, ORDER.id)
    assert lent == (ACCOUNT, (replace(ORDER, status="ready", expires=soon), (first, second)))
    assert lately.for_finalize(ACCOUNT.id, ORDER.id) is None, "the next one wants to know what became of it"


def test_a_certificate_is_lent_to_an_account_that_is_known(clock: FakeClock) -> None:
    lately = Lately(clock)
    certificate, ordered = new_id(), Ordered(ACCOUNT.id, "issuing", b"der")
    lately.issued(certificate, ordered)
    assert lately.for_certificate(ACCOUNT.id, certificate) is None
    lately.saw(ACCOUNT, lately.begin())
    assert lately.for_certificate(ACCOUNT.id, certificate) == (ACCOUNT, ordered)
    lately.forget(ACCOUNT.id)
    assert lately.for_certificate(ACCOUNT.id, certificate) is None


def test_what_has_ended_is_not_kept(clock: FakeClock) -> None:
    lately = Lately(clock)
    for _ in range(20):
        lately.placed(replace(ORDER, id=new_id()), (FIRST, SECOND), lately.begin())
    clock.advance(timedelta(seconds=LEASE_SECONDS))
    lately.placed(ORDER, (FIRST, SECOND), lately.begin())
    assert lately.kept == 1
    late = lately.begin() - LEASE_SECONDS
    lately.saw(ACCOUNT, late)
    assert lately.kept == 1, "a look that took so long is not lent at all"
