"""Errors that carry a stable, dotted reason code, and the one registry of those codes.

A code (``policy.posture.stale``) is the same in the log, the API, the dashboard and the docs. A room defines its
codes once, in its ``errors.py``, with :func:`reason`; raising an unregistered code is impossible, since
:class:`TrothError` takes a :class:`Reason` and not a string. ``docs/reason-codes.md`` is made from the registry.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

_CODE = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)+\Z")


@dataclass(frozen=True)
class Reason:
    """One registered reason.

    Attributes:
        code: dotted, stable, lower-case: ``acme.order.not_ready``.
        summary: one sentence a person can read, without a full stop's worth of blame.
        fix: what to do about it; empty only where nothing can be done.
        status: the HTTP status an API answers with when a request fails for this reason.
    """

    code: str
    summary: str
    fix: str
    status: int = 400


_registry: dict[str, Reason] = {}


def reason(code: str, summary: str, *, fix: str, status: int = 400) -> Reason:
    """Register a reason and return it. Raises ValueError for a malformed or doubled code."""
    if not _CODE.match(code):
        raise ValueError(f"reason code {code!r} is not dotted lower-case")
    if code in _registry:
        raise ValueError(f"reason code {code!r} is defined twice")
    made = Reason(code, summary, fix, status)
    _registry[code] = made
    return made


def registered_reasons() -> Mapping[str, Reason]:
    """Every reason registered so far, by code (complete once all rooms are imported)."""
    return dict(sorted(_registry.items()))


class TrothError(Exception):
    """An expected failure with a stable reason. Rooms subclass it where callers must tell cases apart.

    Attributes:
        reason: the registered reason.
        detail: what happened this time, safe to show to the caller: no secrets, no internals.
        facts: small typed values that a client or a test can rely on.
        expected: whether this is no defect of anything, whatever its status: an interlock refuses for as long as it is
            closed. Whoever logs it tells the code, and no traceback (:func:`trace_of`).
    """

    expected: ClassVar[bool] = False

    def __init__(self, reason: Reason, detail: str = "", **facts: object) -> None:
        super().__init__(f"{reason.code}: {detail or reason.summary}")
        self.reason = reason
        self.detail = detail or reason.summary
        self.facts = facts

    @property
    def code(self) -> str:
        """The dotted reason code."""
        return self.reason.code


def trace_of(error: BaseException) -> BaseException | None:
    """What goes into a log line's ``exc_info`` for ``error``: nothing for one that is expected."""
    return None if isinstance(error, TrothError) and error.expected else error


INTERNAL = reason(
    "internal.error",
    "something failed inside Troth",
    fix="Look up the correlation id in the log; the entry there has the detail.",
    status=500,
)
SEAL_BROKEN = reason(
    "seal.broken",
    "a sealed secret does not open",
    fix="The key files in `secrets/` and the database belong together: restore both from one backup.",
    status=500,
)
