"""What a fenced installation's doors have in common: they refuse by a code, and log it as no failure."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from structlog.testing import capture_logs

from troth.pki.errors import FENCED, Fenced

#: Its detail is for the log alone.
FENCE = Fenced(FENCED, "the archive is of yesterday")


@contextmanager
def told_without_a_traceback(event: str) -> Iterator[None]:
    """Around a request that :data:`FENCE` refuses: ``event`` is logged once, by the code, with no traceback."""
    with capture_logs() as lines:
        yield
    [told] = [line for line in lines if line["event"] == event]
    assert FENCED.code in (told.get("code"), told.get("reason")), told
    assert told["log_level"] == "warning"
    assert not [line for line in lines if line.get("exc_info")]
