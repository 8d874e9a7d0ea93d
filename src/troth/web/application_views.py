"""Applications as pages and API show them."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from msgspec import Struct


class ApplicationView(Struct, frozen=True, kw_only=True):
    """One application that may ask, and how it was answered."""

    id: UUID
    name: str
    profile: str | None
    profiles: tuple[str, ...]
    least: str
    per_second: int
    certificate_sha256: str | None
    created_at: datetime
    created_by: str
    permitted: int = 0
    denied: int = 0
    last_at: datetime | None = None


class NewApplication(Struct, frozen=True, kw_only=True):
    """An application just registered. ``token``: shown this once."""

    token: str
    application: ApplicationView
