"""Authorities: who certifies, with which key, and where the world finds their certificate and status."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Literal, TypeAlias

from cryptography import x509

from troth.pki import algorithms
from troth.pki.errors import AUTHORITY_INACTIVE, AUTHORITY_UNKNOWN, AuthorityRefused
from troth.pki.issuer_classes import EVERY, IssuerClass, IssuerClasses
from troth.pki.template import StatusUrls

AuthorityState: TypeAlias = Literal["planned", "active", "retiring", "retired"]


@dataclass(frozen=True)
class Authority:
    """One authority.

    Attributes:
        slug: names it in URLs and settings: ``issuing``.
        name: for people.
        kind: ``root`` or ``issuing``.
        parent: slug of the authority that certified it; None for a root.
        certificate: DER.
        key_id: its key in the signer; None when the key is not here (an offline root).
        state: only ``active`` issues; ``retiring`` and ``retired`` still sign CRLs.
        trial: its root was born on an online machine.
        crl_shards: CRLs that certificates issued from now on are spread over.
        crl_deltas: a delta CRL on change, complete CRLs on schedule.
        issuer_classes: for whom it issues; says nothing of a root, which issues for nobody.
    """

    slug: str
    name: str
    kind: Literal["root", "issuing"]
    parent: str | None
    certificate: bytes
    key_id: str | None
    state: AuthorityState
    trial: bool
    ca_issuers_url: str | None
    ocsp_url: str | None
    crl_url: str | None
    created_at: datetime
    crl_shards: int = 1
    crl_deltas: bool = False
    issuer_classes: IssuerClasses = EVERY

    @cached_property
    def x509(self) -> x509.Certificate:
        """The certificate, parsed once."""
        return x509.load_der_x509_certificate(self.certificate)

    @cached_property
    def public_key(self) -> algorithms.PublicKey:
        """The key that its signatures verify under. Raises ValueError for kinds that Troth does not support."""
        key = self.x509.public_key()
        if not isinstance(key, algorithms.PublicKey):
            raise ValueError(f"authority {self.slug} has a key of kind {type(key).__name__}")
        return key

    @cached_property
    def sha256(self) -> bytes:
        """SHA-256 of the certificate."""
        return hashlib.sha256(self.certificate).digest()

    @property
    def not_after(self) -> datetime:
        """Last second of its certificate, UTC."""
        return self.x509.not_valid_after_utc

    @property
    def urls(self) -> StatusUrls:
        """What its certificates point to."""
        return StatusUrls(self.ca_issuers_url, self.ocsp_url, self.crl_url, self.crl_shards)

    def issues_for(self, issuer_class: IssuerClass) -> bool:
        """Whether certificates of that class may come from it now."""
        ready = self.kind == "issuing" and self.state == "active" and self.key_id is not None
        return ready and issuer_class in self.issuer_classes

    def issuing_key(self) -> str:
        """The key to sign certificates with. Raises AuthorityRefused unless active and online."""
        if self.state != "active" or self.key_id is None:
            raise AuthorityRefused(AUTHORITY_INACTIVE, f"authority {self.slug} is {self.state}", state=self.state)
        return self.key_id

    def crl_key(self) -> str:
        """The key to sign CRLs with, and certificates of its OCSP responder: a retired authority keeps these duties.

        Raises AuthorityRefused when it is planned or offline.
        """
        if self.state == "planned" or self.key_id is None:
            raise AuthorityRefused(AUTHORITY_INACTIVE, f"authority {self.slug} has no key here", state=self.state)
        return self.key_id


def chain_of(slug: str, authorities: Mapping[str, Authority]) -> tuple[bytes, ...]:
    """DER of ``slug`` and its parents, the root left out (clients have it, or must not trust ours)."""
    found: list[bytes] = []
    current = find(slug, authorities)
    while current.parent is not None and len(found) < 8:
        found.append(current.certificate)
        current = find(current.parent, authorities)
    return tuple(found)


def find(slug: str, authorities: Mapping[str, Authority]) -> Authority:
    """The authority named ``slug``. Raises AuthorityRefused."""
    found = authorities.get(slug)
    if found is None:
        raise AuthorityRefused(AUTHORITY_UNKNOWN, f"no authority is named {slug[:80]!r}")
    return found
