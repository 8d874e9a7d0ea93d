"""A clock that stands still."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from troth.kit.clock import FakeClock

#: When every test with a fake clock begins: a Monday morning, far from any year's end.
START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


@pytest.fixture
def clock() -> FakeClock:
    """A fake clock that stands at START until the test moves it."""
    return FakeClock(START)
