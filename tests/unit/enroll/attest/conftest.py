"""What the verifiers' tests share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import TypeAlias

import pytest

from tests.support.attesting import roots
from troth.enroll.attest.examine import examine
from troth.enroll.attest.model import Known, Report, Result, Rules, StatusList
from troth.enroll.attest.statement import read_attestation

AUTHORIZATION = "evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA.9jg46WB3rR_AHD-EBXdN7cBkH1WOu0tA3M9fm21mqTI"
NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)
NONE_REVOKED = StatusList({}, NOW)

Examine: TypeAlias = Callable[..., Report]


@pytest.fixture
def judged() -> Examine:
    """A statement held against a device's identifier, under the roots of our own makers."""

    def examined(data: bytes, identifier: str, *, kind: str = "permanent-identifier", **changes: object) -> Report:
        known = Known(
            at=NOW,
            key_authorization=AUTHORIZATION,
            identifiers=frozenset({(kind, identifier)}),
            statuses=NONE_REVOKED,
            rules=Rules(),
        )
        return examine(read_attestation(data), replace(known, **changes), roots())  # type: ignore[arg-type]

    return examined


def failing(report: Report) -> list[str]:
    """The names of the checks that did not pass."""
    return [one.name for one in report.checks if one.result is not Result.PASSED]
