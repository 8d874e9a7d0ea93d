"""How the installation is, as the health page and ``/api/v1/health`` show it."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from msgspec import Struct


class CheckView(Struct, frozen=True):
    """One line of health: ``ok``, ``warn`` or ``fail``, in words."""

    name: str
    state: Literal["ok", "warn", "fail"]
    detail: str


class RecoveryView(Struct, frozen=True):
    """The recovery fence: ``open``, ``closed`` until a person decides, or what was decided."""

    state: Literal["open", "closed", "accepted", "revoked"]
    reason: str = ""
    closed_at: datetime | None = None
    unknown_from: datetime | None = None
    unknown_until: datetime | None = None
    settled_at: datetime | None = None
    settled_by: str | None = None
    settled_why: str = ""


class Health(Struct, frozen=True):
    """How this installation is."""

    version: str
    at: datetime
    checks: tuple[CheckView, ...]

    @property
    def state(self) -> str:
        """The worst of all checks."""
        for state in ("fail", "warn"):
            if any(check.state == state for check in self.checks):
                return state
        return "ok"
