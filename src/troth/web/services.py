"""What the faces need of the rooms below, as ports. Assembly hands in who fulfils them.

Every port that changes something takes the principal who asks; whether he may is settled before, by the guard.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Protocol
from uuid import UUID

from troth.access.approvals.service import Approvals
from troth.access.model import Principal
from troth.access.service import Access
from troth.audit.event import StreamEvent
from troth.enroll.acme.attempt_store import AttemptStore
from troth.enroll.acme.incidents import Incidents
from troth.kit.canonical import Json
from troth.kit.clock import Clock
from troth.ops.rollover.service import Rollovers
from troth.pki.bulk import BulkRevocations
from troth.web.approval_views import ApproversView
from troth.web.authority_views import AuthorityView
from troth.web.books.access_servers import AccessServers
from troth.web.books.anchors import Anchors
from troth.web.books.applications import ApplicationBook
from troth.web.books.attestations import AttestationBook
from troth.web.books.connectors import Connectors, Unresolved
from troth.web.books.effects import EffectBook
from troth.web.books.enrolments import AccountBook, EnrolmentBook
from troth.web.books.est import EstBook
from troth.web.books.found import Found
from troth.web.books.networks import ConversationBook, NetworkBook
from troth.web.books.places import Places
from troth.web.books.policies import PolicyBook
from troth.web.books.radius import RadiusBook
from troth.web.books.sessions import SessionBook
from troth.web.books.shared_signals import StreamBook
from troth.web.books.standings import Standings
from troth.web.books.tpms import Tpms
from troth.web.books.ways import Ways
from troth.web.configuring import Configuration, ProfileBook
from troth.web.crl_views import CrlView
from troth.web.health import Health, RecoveryView
from troth.web.inspecting import InspectionBook
from troth.web.key_views import CustodianView, KeysView, KeyTest, KeyView
from troth.web.live import Live
from troth.web.views import (
    Certificate,
    CertificateCounts,
    CertificateFilter,
    CertificateRow,
    CheckpointView,
    DecisionView,
    EventFilter,
    EventView,
    FreezeView,
    IssueCommand,
    Issued,
    Page,
    StagedView,
    Subject,
    SubjectFilter,
    SubjectRow,
)


class CertificateBook(Protocol):
    """Certificates: looking and acting."""

    async def search(self, wanted: CertificateFilter) -> Page[CertificateRow]:
        """Latest first. Raises TrothError for a cursor that is not ours."""
        ...

    async def get(self, certificate_id: UUID) -> Certificate | None:
        """One certificate by its id."""
        ...

    async def find(self, text: str) -> UUID | None:
        """The certificate meant by an id or a serial number in hexadecimal (with or without colons)."""
        ...

    async def counts(self) -> CertificateCounts:
        """How many there are of each status."""
        ...

    async def hold(self, certificate_id: UUID, by: Principal, note: str) -> None:
        """Put on hold for this person's cause. Raises TrothError (gone, revoked, not issued)."""
        ...

    async def release(self, certificate_id: UUID, by: Principal, note: str) -> None:
        """Clear this person's own cause; other causes stay. Raises TrothError."""
        ...

    async def revoke(self, certificate_id: UUID, by: Principal, reason: int, note: str) -> None:
        """Revoke for good, with an RFC 5280 reason code. Raises TrothError."""
        ...

    async def issue(self, command: IssueCommand, by: Principal) -> Issued:
        """Judge and issue. Raises TrothError: refused by policy, CSR, profile …"""
        ...


class SubjectBook(Protocol):
    """Subjects."""

    async def search(self, wanted: SubjectFilter) -> Page[SubjectRow]:
        """By name."""
        ...

    async def get(self, subject_id: UUID) -> Subject | None:
        """One subject with its causes and facts."""
        ...

    async def find(self, text: str) -> UUID | None:
        """The subject meant by an id, ``kind:name`` or a name."""
        ...

    async def counts(self) -> dict[str, int]:
        """How many subjects have each standing."""
        ...


class DecisionBook(Protocol):
    """Decisions."""

    async def get(self, decision_id: UUID) -> DecisionView | None:
        """One decision in words."""
        ...

    async def of_subject(self, subject_id: UUID, *, limit: int = 20) -> Sequence[DecisionView]:
        """A subject's decisions, latest first."""
        ...


class EventBook(Protocol):
    """The ledger's events and its proof."""

    async def list(self, wanted: EventFilter) -> Page[EventView]:
        """Latest first."""
        ...

    async def since(self, index: int, limit: int) -> Sequence[EventView]:
        """From ``index`` on, oldest first."""
        ...

    async def viewed(self, events: Sequence[StreamEvent]) -> Sequence[EventView]:
        """Events of the trust stream in the shape that pages show."""
        ...

    async def checkpoint(self) -> CheckpointView:
        """The latest signed checkpoint."""
        ...

    def export(self) -> AsyncIterator[bytes]:
        """The whole ledger in the form that ``troth audit verify`` reads."""
        ...


class StagedBook(Protocol):
    """Actions that wait for a person."""

    async def list(self, state: str = "waiting") -> Sequence[StagedView]:
        """Of one state, oldest first."""
        ...

    async def get(self, staged_id: UUID) -> StagedView | None:
        """One action."""
        ...

    async def approve(self, staged_id: UUID, by: Principal, note: str) -> None:
        """Do it now. Raises TrothError if it was decided before."""
        ...

    async def reject(self, staged_id: UUID, by: Principal, note: str) -> None:
        """Drop it. Raises TrothError if it was decided before."""
        ...


class Enforcement(Protocol):
    """The one switch that stops automation."""

    async def state(self) -> FreezeView:
        """Whether enforcement is stopped."""
        ...

    async def freeze(self, by: Principal, reason: str) -> None:
        """Stop: no hold, no release by automation until unfrozen."""
        ...

    async def unfreeze(self, by: Principal) -> None:
        """Go on."""
        ...


class AuthorityBook(Protocol):
    """Authorities."""

    async def list(self) -> Sequence[AuthorityView]:
        """Roots first, each followed by what it has signed."""
        ...

    async def get(self, slug: str) -> AuthorityView | None:
        """One authority."""
        ...

    async def take_issued(self, slug: str, certificates: Sequence[bytes], by: Principal) -> tuple[int, int]:
        """Record what a planned authority had issued elsewhere: (taken, here before). Raises TrothError."""
        ...


class CrlBook(Protocol):
    """Certificate revocation lists."""

    async def list(self, authority: str = "") -> Sequence[CrlView]:
        """Every CRL that is published now, of all authorities or of one."""
        ...

    async def want(self, authority: str, shard: int, by: Principal) -> None:
        """Have the worker make a complete CRL now."""
        ...


class ApproverBook(Protocol):
    """Those whose passkeys are pinned in the signer."""

    async def list(self) -> ApproversView:
        """Who is pinned, and how many must approve; asked of the signer now."""
        ...

    async def options(self, by: Principal) -> dict[str, Any]:
        """Options for a browser to make a passkey of ``by`` under the signer's challenge."""
        ...

    async def payload(self, by: Principal, label: str, credential: Mapping[str, Any]) -> dict[str, Json]:
        """The payload of the act that pins what the browser made."""
        ...

    async def pinned(self, credential_id: str) -> bool:
        """Whether the signer has pinned this passkey (its id in hexadecimal)."""
        ...


class KeyBook(Protocol):
    """Keys of the signer, and who holds them."""

    async def list(self) -> KeysView:
        """All custodians and all keys."""
        ...

    async def get(self, key_id: str) -> KeyView:
        """One key. Raises SignerRefused when there is none."""
        ...

    async def ordered(self, algorithm: str, custodian: str, by: Principal) -> None:
        """Write down that the machine's owner is about to have an issuing key made there."""
        ...

    async def recorded(self, key_id: str, by: Principal) -> KeyView:
        """Write down that it was made. Raises SignerRefused when the signer has no such key."""
        ...

    async def unsealed(self, custodian: str, by: Principal) -> CustodianView:
        """Write down that the machine's owner unsealed a custodian. Raises WebError while it is still sealed."""
        ...

    async def test(self, key_id: str) -> KeyTest:
        """Have the key sign now. Raises SignerRefused or SignerUnavailable when it does not."""
        ...


class HealthBook(Protocol):
    """How the installation is."""

    async def check(self) -> Health:
        """All checks, made now."""
        ...


class RecoveryBook(Protocol):
    """The recovery fence."""

    async def state(self) -> RecoveryView:
        """Whether it is closed, and why."""
        ...


@dataclass(frozen=True)
class AdminServices:
    """All that the admin application stands on.

    Attributes:
        owner_uid: the uid that owns the data directory: a local process of this uid (or root) is an administrator.
        test_mode: the ACME server is in test mode.
        session_grace: how often an open event stream asks whether its session still stands.
    """

    clock: Clock
    access: Access
    approvals: Approvals
    bulk: BulkRevocations
    incidents: Incidents
    certificates: CertificateBook
    subjects: SubjectBook
    decisions: DecisionBook
    events: EventBook
    staged: StagedBook
    configuration: Configuration
    policies: PolicyBook
    applications: ApplicationBook
    profiles: ProfileBook
    enforcement: Enforcement
    effects: EffectBook
    authorities: AuthorityBook
    crls: CrlBook
    approvers: ApproverBook
    keys: KeyBook
    rollovers: Rollovers
    anchors: Anchors
    connectors: Connectors
    places: Places
    ways: Ways
    access_servers: AccessServers
    networks: NetworkBook
    conversations: ConversationBook
    sessions: SessionBook
    radius: RadiusBook
    unresolved: Unresolved
    tpms: Tpms
    standings: Standings
    attestations: AttestationBook
    found: Found
    streams: StreamBook
    enrolments: EnrolmentBook
    est: EstBook
    acme_accounts: AccountBook
    attempts: AttemptStore
    health: HealthBook
    inspections: InspectionBook
    recovery: RecoveryBook
    live: Live
    owner_uid: int
    test_mode: bool = False
    session_grace: timedelta = timedelta(seconds=10)
