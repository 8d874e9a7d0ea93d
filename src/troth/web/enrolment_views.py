"""Enrolments and ACME accounts, as pages and the API show them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated
from uuid import UUID

from msgspec import Meta, Struct

from troth.enroll.credentials.apple import AppleWanted
from troth.enroll.credentials.model import Kind


class Named(Struct, frozen=True):
    """A subject: its id, and what it is called."""

    id: UUID
    kind: str
    name: str


class EnrolmentView(Struct, frozen=True, kw_only=True):
    """An enrolment.

    Attributes:
        state: ``valid``, ``used`` (as often as it may be), ``expired`` or ``revoked``.
        accounts, orders: how many it has opened and placed; counted only where there is a most.
        certificates: living ones of its accounts and by EST, 10,000 at most; None in lists.
        est_urls: where it is good as user name (its id) and password (its secret).
    """

    id: UUID
    kind: Kind
    name: str
    state: str
    directories: tuple[str, ...]
    profiles: tuple[str, ...]
    names: tuple[str, ...]
    suffixes: tuple[str, ...]
    networks: tuple[str, ...]
    devices: tuple[str, ...]
    vouches: bool
    device: Named | None
    user: Named | None
    expires_at: datetime
    most_accounts: int | None
    most_orders: int | None
    accounts: int
    orders: int
    created_at: datetime
    created_by: str
    revoked_at: datetime | None
    revoked_by: str | None
    certificates: int | None = None
    est_urls: tuple[str, ...] = ()


class EstLabelView(Struct, frozen=True, kw_only=True):
    """An EST label: see `[est.labels.NAME]`. ``default``: requests without a label go to it."""

    name: str
    url: str
    default: bool
    profile: str
    bootstrap: str
    from_profiles: tuple[str, ...]
    adopt: bool
    server_keygen: bool
    channel_binding: str


class EstCertificateRow(Struct, frozen=True, kw_only=True):
    """A certificate that an enrolment brought by EST."""

    id: UUID
    label: str
    names: tuple[str, ...]
    status: str
    issued_at: datetime
    not_after: datetime


class EnrolmentCommand(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an operator hands out. ``device`` and ``user`` are found as subjects are: by id, name or ``kind:name``."""

    kind: Kind
    name: Annotated[str, Meta(max_length=100)]
    seconds: int = 7 * 86_400
    directories: tuple[str, ...] = ()
    profiles: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    suffixes: tuple[str, ...] = ()
    networks: tuple[str, ...] = ()
    devices: tuple[str, ...] = ()
    vouches: bool = False
    device: str = ""
    user: str = ""
    most_accounts: int | None = None
    most_orders: int | None = None
    apple: AppleWanted | None = None


class ApplePayloadView(Struct, frozen=True):
    """An enrolment as Apple's devices take it."""

    mobileconfig: str
    credential: str


class EnrolmentMade(Struct, frozen=True, kw_only=True):
    """A new enrolment. What is secret in it is told this once.

    Attributes:
        key_id: of an external account.
        secret: the HMAC key, the directory's secret, or the client identifier.
        directory_urls: where clients start.
    """

    enrolment: EnrolmentView
    key_id: str | None
    secret: str
    directory_urls: tuple[str, ...]
    apple: ApplePayloadView | None = None


class AccountRow(Struct, frozen=True, kw_only=True):
    """An ACME account in a list."""

    id: UUID
    directory: str
    status: str
    contact: tuple[str, ...]
    thumbprint: str
    created_at: datetime
    enrolment_id: UUID | None
    enrolment_kind: str | None


class AccountOrder(Struct, frozen=True, kw_only=True):
    """An order of an account."""

    id: UUID
    profile: str
    status: str
    names: tuple[str, ...]
    created_at: datetime
    expires: datetime
    certificate_id: UUID | None


class PausedView(Struct, frozen=True, kw_only=True):
    """A name that is paused for an account."""

    account_id: UUID
    type: str
    value: str
    failures: int
    last_at: datetime
    paused_at: datetime


class AccountView(AccountRow, frozen=True, kw_only=True):
    """An ACME account with its latest orders.

    Attributes:
        certificates: living ones, 10,000 at most.
    """

    orders: tuple[AccountOrder, ...]
    paused: tuple[PausedView, ...]
    certificates: int


class Unpaused(Struct, frozen=True):
    """How many names were set going again."""

    names: int
