"""Authorities as pages and API show them."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from msgspec import Struct


class CrlView(Struct, frozen=True):
    """A published CRL of an authority: a complete one or a delta, of one shard."""

    kind: str
    shard: int
    number: int
    this_update: datetime
    next_update: datetime
    entries: int
    size: int


class AuthorityView(Struct, frozen=True, kw_only=True):
    """A certificate authority.

    Attributes:
        trial: born on a networked machine (``trial, online-born``), as every root that ``troth up`` makes.
        crl_*: None while it has not published one.
        issuer_classes: for whom it issues: ``open``, ``people``, ``infrastructure``, ``radius``.
        custodian: who holds its key: ``offline``, ``software``, ``pkcs11:<name>`` …; None while the signer is silent.
        evidence: what the custodian said of the key when it was made.
        usages: extended key usages that its key certifies, as the signer limits it.
        name_constraints: in words.
        crls: the published ones, by shard; ``crl_*`` tell of the complete one that ends first.
    """

    slug: str
    name: str
    kind: Literal["root", "issuing"]
    parent: str | None
    trial: bool
    key_algorithm: str
    sha256: str
    not_before: datetime
    not_after: datetime
    pem: str
    crl_number: int | None = None
    crl_this_update: datetime | None = None
    crl_next_update: datetime | None = None
    crl_entries: int | None = None
    crl_url: str | None = None
    certificates: int = 0
    state: str = "active"
    issuer_classes: tuple[str, ...] = ()
    subject: str = ""
    serial: str = ""
    key_id: str | None = None
    custodian: str | None = None
    evidence: tuple[tuple[str, str], ...] = ()
    usages: tuple[str, ...] = ()
    max_validity_seconds: int | None = None
    name_constraints: tuple[str, ...] = ()
    ca_issuers_url: str | None = None
    ocsp_url: str | None = None
    crls: tuple[CrlView, ...] = ()
