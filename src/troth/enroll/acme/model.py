"""What the ACME door keeps: accounts, orders, authorizations with their challenges (RFC 8555, section 7.1)."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal, TypeAlias
from uuid import UUID

import msgspec

from troth.enroll.acme.problems import Identifier

AccountStatus: TypeAlias = Literal["valid", "deactivated", "revoked"]
OrderStatus: TypeAlias = Literal["pending", "ready", "processing", "valid", "invalid"]
#: ``expired`` is never stored: it is what a valid authorization is called once its time is over.
AuthzStatus: TypeAlias = Literal["pending", "valid", "invalid", "deactivated", "expired"]

#: The challenge types offered, in the order in which clients see them.
HTTP_01, DNS_01, TLS_ALPN_01 = "http-01", "dns-01", "tls-alpn-01"
DNS_ACCOUNT_01, DNS_PERSIST_01 = "dns-account-01", "dns-persist-01"
#: Of devices: draft-ietf-acme-device-attest.
DEVICE_ATTEST_01 = "device-attest-01"


class Account(msgspec.Struct, frozen=True):
    """A key that may ask. ``directory`` is the one it was made in: an account is good there and nowhere else.

    Attributes:
        enrolment_id, enrolment_kind: what vouched for it when it was made, if anything did.
    """

    id: UUID
    directory: str
    thumbprint: str
    jwk: bytes
    status: AccountStatus
    contact: tuple[str, ...]
    terms_agreed: bool
    created_at: datetime
    enrolment_id: UUID | None = None
    enrolment_kind: str | None = None


class Challenge(msgspec.Struct, frozen=True, omit_defaults=True):
    """One way to prove control of an identifier.

    Attributes:
        token: at least 128 random bits, base64url; of this challenge alone.
        validated: ISO 8601, when it became valid.
        error: the problem document of the last failed try (RFC 8555 erratum 5732 allows it while processing).
        issuers: names of this server, of which a dns-persist-01 record holds one.
        by: what stood in the place of a proof, where there was none: ``enrolment``.
    """

    type: str
    token: str
    status: str = "pending"
    validated: str | None = None
    error: dict[str, Any] | None = None
    by: str | None = None
    issuers: tuple[str, ...] = ()


class Authorization(msgspec.Struct, frozen=True):
    """Control over one identifier, for one order; with ``subdomains``, over all names below it too (RFC 9444)."""

    id: UUID
    order_id: UUID
    account_id: UUID
    identifier: Identifier
    wildcard: bool
    status: AuthzStatus
    expires: datetime
    challenges: tuple[Challenge, ...]
    subdomains: bool = False

    @property
    def name(self) -> str:
        """The identifier's value as it stands in the order: with ``*.`` for a wildcard."""
        return f"*.{self.identifier.value}" if self.wildcard else self.identifier.value

    @property
    def method(self) -> str:
        """The type of the challenge that proved it, or what stood in its place; empty if nothing did."""
        return next(
            (challenge.by or challenge.type for challenge in self.challenges if challenge.status == "valid"), ""
        )

    def challenge(self, kind: str) -> Challenge | None:
        """The challenge of this type, if it is offered."""
        return next((challenge for challenge in self.challenges if challenge.type == kind), None)


class Order(msgspec.Struct, frozen=True):
    """A request for a certificate.

    Attributes:
        identifiers: with ``*.`` where a wildcard was asked for; sorted, without doubles.
        attempt: how often the gate was asked; part of the request id.
        csr_sha256: digest of the CSR that finalize accepted.
        replaces: CertID of the certificate whose place it takes (RFC 9773, 5).
    """

    id: UUID
    account_id: UUID
    profile: str
    status: OrderStatus
    identifiers: tuple[Identifier, ...]
    not_after: datetime | None
    expires: datetime
    error: dict[str, Any] | None
    attempt: int
    csr_sha256: bytes | None
    certificate_id: UUID | None
    authorizations: tuple[UUID, ...] = ()
    replaces: str | None = None

    def request_id(self, attempt: int) -> str:
        """The gate's request id for the try numbered ``attempt``."""
        return f"acme:{self.id}:{attempt}"
