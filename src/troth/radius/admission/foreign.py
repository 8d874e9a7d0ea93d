"""Certificates of others: whose name they bear, and whether their issuer has revoked them.

Revocation lists are handed to Troth, or fetched by its worker, beforehand and lie in memory: nobody asks a stranger's
server while somebody waits to be let in. Where no list of an issuer is in force, the network's rule says what that
means (``revocation: closed`` or ``open``), and an admission in spite of it is marked.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID, uuid5

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from troth.radius.admission.chains import Shown, Vouched
from troth.radius.admission.model import ForeignRule, Identity
from troth.trust.decision.question import Given
from troth.trust.model import Kind, Subject

#: Names guests, so that the same one is the same subject at each attempt.
_GUESTS = UUID("c0a8f7d2-6c0e-5a0e-9d5c-7a6b1f0e2d34")
#: The same word as the SAN's kind, but for the common name.
_LONGEST_NAME = 253


@dataclass(frozen=True, slots=True)
class ForeignCrl:
    """A revocation list of somebody else's, verified when it was taken.

    Attributes:
        issuer: SHA-256 of the issuer's name and key (:func:`issuer_id`).
        serials: what it revokes.
    """

    issuer: bytes
    this_update: datetime
    next_update: datetime
    serials: frozenset[int]


@dataclass(frozen=True, slots=True)
class Checked:
    """What the lists say of a path. ``unchecked``: issuers of whom no list is in force."""

    revoked: str | None = None
    unchecked: tuple[str, ...] = ()


def issuer_id(issuer: x509.Certificate) -> bytes:
    """Names an issuer by its name and its key: an authority that was certified twice has one list."""
    key = issuer.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(issuer.subject.public_bytes() + key).digest()


def check_revocation(vouched: Vouched, lists: Mapping[bytes, ForeignCrl], at: datetime) -> Checked:
    """Ask the lists about every certificate of a path (RFC 5280, 6.3, for complete lists)."""
    unchecked: list[str] = []
    above = [*vouched.links[1:], vouched.top]
    for link, issuer in zip(vouched.links, above, strict=True):
        found = lists.get(issuer_id(issuer))
        if found is not None and link.serial_number in found.serials:
            # Of a list that has lapsed this is still true: nothing that was revoked for good comes back.
            return Checked(f"{link.subject.rfc4514_string()[:200]}, serial number {link.serial_number:x}")
        if found is None or not found.this_update <= at < found.next_update:
            unchecked.append(issuer.subject.rfc4514_string()[:200])
    return Checked(None, tuple(unchecked))


def name_of(shown: Shown, wanted: Iterable[Identity]) -> str | None:
    """The first name of a wanted kind; None: there is none that could be one."""
    for kind in wanted:
        if kind is Identity.COMMON_NAME:
            found = [shown.common_name] if shown.common_name else []
        else:
            found = [value for name, value in shown.names if name == kind.value]
        for value in found:
            if value.isprintable() and 0 < len(value) <= _LONGEST_NAME and value == value.strip():
                return value
    return None


def guest(rule: ForeignRule, anchor: str, name: str) -> Subject:
    """Somebody of whom nothing is known but what the certificate says."""
    return stranger(Kind(rule.kind), name, f"anchor:{anchor}")


def stranger(kind: Kind, name: str, origin: str) -> Subject:
    """A subject that is in no directory: the same one at each attempt, and in no group."""
    return Subject(uuid5(_GUESTS, f"{origin}\n{kind.value}\n{name}"), kind, name, origin, fresh=True)


def facts_of(vouched: Vouched, at: datetime) -> dict[str, Given]:
    """``certificate.*`` of a foreign certificate. It has no profile, no status and no assurance of ours."""
    shown = vouched.shown
    return {
        "issuer": vouched.anchor,
        "serial": f"{shown.serial:x}",
        "sha256": shown.sha256.hex(),
        "not_before": shown.not_before,
        "not_after": shown.not_after,
        "age": at - shown.not_before,
        "remaining": shown.not_after - at,
        "names": [f"{kind}:{value}" for kind, value in shown.names],
        "usages": list(shown.usages or ()),
    }
