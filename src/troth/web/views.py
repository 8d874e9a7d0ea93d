"""What pages and the API show: one set of shapes for both, so that the JSON form of a page is never another truth.

Times are aware UTC datetimes; serial numbers and hashes are lower-case hexadecimal text.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Generic, Literal, TypeVar
from uuid import UUID

from msgspec import Struct

T = TypeVar("T")


class Page(Struct, Generic[T], frozen=True):
    """One page of a list. ``next`` is the cursor to ask for, None at the end."""

    items: Sequence[T]
    next: str | None = None


class Name(Struct, frozen=True):
    """One subject alternative name."""

    kind: str
    value: str


class CertificateRow(Struct, frozen=True, kw_only=True):
    """A certificate in a list.

    Attributes:
        state: ``reserved``, ``issued`` or ``burnt``.
        status: ``good``, ``held`` or ``revoked``; whether it has expired is told by ``not_after``.
    """

    id: UUID
    serial: str
    authority: str
    profile: str
    common_name: str | None
    names: tuple[Name, ...]
    not_before: datetime
    not_after: datetime
    state: str
    status: str
    status_at: datetime | None
    revocation_reason: int | None
    issued_at: datetime | None

    @property
    def title(self) -> str:
        """The name a person knows it by."""
        return self.common_name or (self.names[0].value if self.names else self.serial)


class Hold(Struct, frozen=True):
    """One cause for which a certificate is on hold. ``title``: in words; ``subject_id``: whose standing it is."""

    cause: str
    actor: str
    raised_at: datetime
    title: str = ""
    subject_id: UUID | None = None


class SubjectLink(Struct, frozen=True):
    """A subject that a certificate is bound to, and in which role."""

    id: UUID
    kind: str
    name: str
    standing: str
    role: str = "subject"


class Certificate(CertificateRow, frozen=True, kw_only=True):
    """A certificate with all that is known of it.

    Attributes:
        subject: (attribute, value) of the distinguished name, in order.
        key_assurance: attested, mdm-asserted or unproven.
    """

    sha256: str | None
    spki_sha256: str
    pem: str | None
    actor: str
    request_id: str
    profile_version: int
    decision_id: UUID | None
    holds: tuple[Hold, ...] = ()
    subjects: tuple[SubjectLink, ...] = ()
    fields: tuple[tuple[str, str], ...] = ()
    subject: tuple[tuple[str, str], ...] = ()
    key_assurance: str = "unproven"


class CertificateCounts(Struct, frozen=True):
    """Issued certificates by status; ``expiring``: good ones that end within 14 days."""

    good: int = 0
    held: int = 0
    revoked: int = 0
    expired: int = 0
    expiring: int = 0


class CertificateFilter(Struct, frozen=True, kw_only=True):
    """What to list. ``text`` matches serials and names by prefix."""

    text: str = ""
    status: Literal["", "good", "held", "revoked", "expired", "expiring", "reserved", "burnt"] = ""
    profile: str = ""
    subject: UUID | None = None
    cursor: str | None = None
    limit: int = 50


class IssueCommand(Struct, frozen=True, kw_only=True):
    """An operator's order for a certificate: a CSR made where the key is, and for whom."""

    profile: str
    subject: str
    csr: str
    lifetime_seconds: int | None = None
    request_id: str | None = None


class Issued(Struct, frozen=True):
    """A fresh certificate. ``chain``: issuing authorities first, the root left out."""

    id: UUID
    serial: str
    certificate: str
    chain: tuple[str, ...]
    not_before: datetime
    not_after: datetime


class CauseView(Struct, frozen=True):
    """One reason why a subject does not stand better: who raised it, and who may clear it."""

    cause: str
    effect: str
    source: str
    raised_at: datetime
    detail: str = ""
    clears: str = ""


class FactView(Struct, frozen=True):
    """One thing known of a subject. ``stale``: older than its source promises."""

    path: str
    value: Any
    source: str
    observed_at: datetime
    stale: bool = False


class SubjectRow(Struct, frozen=True, kw_only=True):
    """A subject in a list."""

    id: UUID
    kind: str
    name: str
    standing: str
    standing_since: datetime | None
    protected: bool = False
    owner: str | None = None
    certificates: int = 0


class Owned(Struct, frozen=True, kw_only=True):
    """What belongs to a subject, and the last decision about it: what a user's device was told."""

    id: UUID
    kind: str
    name: str
    standing: str
    decision_id: UUID | None = None
    decided_at: datetime | None = None
    moment: str = ""
    outcome: str = ""
    reason: str = ""


class Subject(SubjectRow, frozen=True, kw_only=True):
    """A subject with all that is known of it. ``owns``: who was decided about last first, at most a hundred."""

    origin: str
    owner_id: UUID | None = None
    confirmed_at: datetime | None = None
    groups: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    causes: tuple[CauseView, ...] = ()
    facts: tuple[FactView, ...] = ()
    decision_id: UUID | None = None
    explained: tuple[str, ...] = ()
    owns: tuple[Owned, ...] = ()


class SubjectFilter(Struct, frozen=True, kw_only=True):
    """What to list."""

    text: str = ""
    standing: Literal["", "trusted", "restricted", "quarantined", "distrusted"] = ""
    kind: Literal["", "user", "device", "workload"] = ""
    cursor: str | None = None
    limit: int = 50


class SeenView(Struct, frozen=True):
    """A value that a condition looked at."""

    path: str
    value: Any
    source: str
    observed_at: datetime
    age_seconds: int


class ConditionView(Struct, frozen=True):
    """One condition of the rule, as it was answered: ``true``, ``false`` or ``unknown``."""

    name: str
    expression: str
    result: str
    seen: tuple[SeenView, ...] = ()
    why: tuple[str, ...] = ()
    fix: str | None = None


class DecisionView(Struct, frozen=True, kw_only=True):
    """A decision as a person reads it.

    Attributes:
        sentence: the whole of it in one sentence.
        changes: what would have to change for a better outcome, one clause each.
        lines: the long form, as ``troth why`` prints it.
    """

    id: UUID
    at: datetime
    moment: str
    outcome: str
    asked: str
    reason: str
    subject: SubjectLink
    policy: str | None
    policy_version: int | None
    rule: str | None
    sentence: str
    conditions: tuple[ConditionView, ...] = ()
    changes: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()
    obligations: tuple[tuple[str, str], ...] = ()
    request: tuple[SeenView, ...] = ()
    failures: tuple[str, ...] = ()
    lines: tuple[str, ...] = ()


class EventView(Struct, frozen=True):
    """A ledger event. ``sentence`` says it in words; ``links`` are pages of what it is about, (title, path)."""

    index: int
    id: UUID
    at: datetime
    kind: str
    actor: str
    subjects: tuple[str, ...]
    data: dict[str, Any]
    sentence: str = ""
    links: tuple[tuple[str, str], ...] = ()


class EventFilter(Struct, frozen=True, kw_only=True):
    """What to list. ``before``: events below this index, latest first; ``kind``: a prefix, ``certificate.``."""

    kind: str = ""
    ref: str = ""
    before: int | None = None
    limit: int = 50


class StagedView(Struct, frozen=True, kw_only=True):
    """An action of automation that waits for a person.

    Attributes:
        action: the standing that the subject would come to.
        kind: ``raise``, ``clear`` or ``revoke``.
        cap: why it was not done at once.
    """

    id: UUID
    subject: SubjectLink
    action: str
    kind: str
    feed: str
    reason: str
    cap: str
    staged_at: datetime
    state: str
    certificates: int = 0
    decided_by: str | None = None
    decided_at: datetime | None = None


class PolicyView(Struct, frozen=True, kw_only=True):
    """A policy version. ``text`` is the YAML as applied."""

    name: str
    version: int
    sha256: str
    applied_at: datetime
    applied_by: str
    active: bool
    text: str = ""
    rules: tuple[str, ...] = ()
    profiles: tuple[str, ...] = ()


class FeedView(Struct, frozen=True, kw_only=True):
    """A source of signals, what it is granted, and how it is.

    Attributes:
        health: ``fresh``, ``late``, ``stale``, ``dead``, or ``unwatched`` for one without a cadence.
        waiting, refused: signals that were accepted and not acted on yet, or refused.
        unresolved, strangers: signals, and others, that name nobody we know, or several.
    """

    name: str
    state: str
    kinds: tuple[str, ...]
    scope: str
    greatest_effect: str
    may_clear: bool
    cap: str
    last_signal_at: datetime | None = None
    signals_today: int = 0
    staged: int = 0
    health: str = "unwatched"
    health_since: datetime | None = None
    heard_at: datetime | None = None
    cadence_seconds: int | None = None
    waiting: int = 0
    refused: int = 0
    unresolved: int = 0
    strangers: int = 0
    rollout: dict[str, int] = {}
    suspended_why: str = ""


class CheckpointView(Struct, frozen=True, kw_only=True):
    """The ledger's latest signed checkpoint. ``note`` is the C2SP signed note."""

    origin: str
    size: int
    root_hash: str
    signed_at: datetime | None
    note: str
    events: int


class FreezeView(Struct, frozen=True):
    """Whether enforcement is stopped, by whom and why."""

    frozen: bool
    by: str | None = None
    at: datetime | None = None
    reason: str = ""


class Change(Struct, frozen=True):
    """What applying a document did: ``created``, ``changed``, ``unchanged`` or ``removed``.

    ``secret``: of a feed just created, shown this once.
    """

    kind: str
    name: str
    action: str
    detail: str = ""
    secret: str | None = None


class Applied(Struct, frozen=True):
    """All that an ``apply`` did, or would do when ``dry_run``. ``notes``: what policies would change, and for whom."""

    changes: tuple[Change, ...]
    dry_run: bool = False
    notes: tuple[str, ...] = ()
