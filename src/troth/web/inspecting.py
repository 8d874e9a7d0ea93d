"""What the faces show of blocked keys and of findings, and the port that knows them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Literal, Protocol
from uuid import UUID

from msgspec import Meta, Struct

from troth.access.model import Principal


class BlockedKeyView(Struct, frozen=True, kw_only=True):
    """A key that is never certified again. ``source``: ``proof``, ``acme`` or ``operator``."""

    spki_sha256: str
    reason: str
    source: str
    note: str
    at: datetime
    actor: str


class KeyUse(Struct, frozen=True):
    """A certificate of a key."""

    id: UUID
    title: str
    serial: str
    status: str
    not_after: datetime


class KeyView(Struct, frozen=True, kw_only=True):
    """A public key and where it is used. ``live``: certificates that a block would revoke now."""

    spki_sha256: str
    blocked: BlockedKeyView | None
    ever: int
    live: int
    certificates: tuple[KeyUse, ...]


class BlockCommand(Struct, frozen=True, forbid_unknown_fields=True):
    """``key``: a certificate, request or public key in PEM, or the SHA-256 of a SubjectPublicKeyInfo in hexadecimal.

    ``proof``: a PKCS#10 request in PEM that proves the compromise, in place of ``key``. ``confirmed``: how many live
    certificates were shown; needed above 50.
    """

    key: Annotated[str, Meta(max_length=65_536)] = ""
    proof: Annotated[str, Meta(max_length=65_536)] = ""
    reason: Literal["compromised", "weak"] = "compromised"
    note: Annotated[str, Meta(max_length=500)] = ""
    confirmed: Annotated[int, Meta(ge=0)] | None = None


class FindingView(Struct, frozen=True, kw_only=True):
    """What lint or audit has found. ``object``: ``certificate:ID``; ``meaning`` is empty for pkilint's own codes."""

    object: str
    code: str
    meaning: str
    source: str
    severity: str
    detail: str
    first_at: datetime
    last_at: datetime
    cleared_at: datetime | None


class WalkView(Struct, frozen=True, kw_only=True):
    """How far a walk over the certificates has come. ``name``: ``lint`` (a sample) or ``audit`` (every one)."""

    name: str
    looked: int
    found: int
    began_at: datetime | None
    ended_at: datetime | None
    moved_at: datetime | None


class Audited(Struct, frozen=True):
    """What an audit on demand has seen."""

    looked: int
    found: int


class InspectionBook(Protocol):
    """Blocked keys and findings."""

    async def blocked(self, limit: int) -> Sequence[BlockedKeyView]:
        """Blocked keys, latest first."""
        ...

    async def key(self, spki_sha256: bytes) -> KeyView:
        """One key, blocked or not."""
        ...

    async def report(self, proof: bytes, by: Principal) -> KeyView:
        """Block the key that ``proof`` shows to be no secret, and revoke what uses it. Raises TrothError."""
        ...

    async def findings(self, *, source: str, cleared: bool, limit: int) -> Sequence[FindingView]:
        """Findings, latest first."""
        ...

    async def walks(self) -> Sequence[WalkView]:
        """How far lint and audit have come."""
        ...

    async def audit(self, by: Principal) -> Audited:
        """Walk over every certificate now."""
        ...
