"""Whom a format's chains must lead to: the roots that Troth ships, and those that an operator put in their place.

A root is pinned for one format and vouches for no other: a maker of security keys says nothing about phones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature

from troth.enroll.attest.errors import ROOT_UNREADABLE, AttestationRefused
from troth.enroll.attest.model import FORMATS, Root, Roots
from troth.pki.unreadable import UNREADABLE

_SHIPPED = Path(__file__).with_name("roots")
MAX_BYTES = 262_144
MAX_ROOTS = 64


@lru_cache(maxsize=1)
def shipped_roots() -> Roots:
    """The roots of the makers, from the files beside this module (their SOURCE.txt says where they come from)."""
    return {
        kind: tuple(
            Root(one, "shipped") for one in x509.load_pem_x509_certificates((_SHIPPED / f"{kind}.pem").read_bytes())
        )
        for kind in FORMATS
    }


def merged(shipped: Roots, replaced: Mapping[str, Sequence[Root]], added: Mapping[str, Sequence[Root]]) -> Roots:
    """The roots in force: a format's shipped ones unless an operator replaced them, and what was added.

    ``replaced``: a format that stands here has these and no others, even if there are none; so a format is closed.
    """
    return {
        kind: _distinct((*replaced.get(kind, shipped.get(kind, ())), *added.get(kind, ())))
        for kind in sorted({*shipped, *replaced, *added})
    }


def _distinct(roots: Sequence[Root]) -> tuple[Root, ...]:
    return tuple({one.sha256: one for one in reversed(roots)}.values())[::-1]


def read_roots(data: bytes, *, origin: str, at: datetime) -> tuple[Root, ...]:
    """The roots in a PEM file: self-signed CA certificates that have not expired. Raises AttestationRefused."""
    if len(data) > MAX_BYTES:
        raise AttestationRefused(ROOT_UNREADABLE, f"longer than {MAX_BYTES:,} bytes")
    try:
        found = x509.load_pem_x509_certificates(data)
    except UNREADABLE:
        raise AttestationRefused(ROOT_UNREADABLE, "not PEM certificates") from None
    if not 0 < len(found) <= MAX_ROOTS:
        raise AttestationRefused(ROOT_UNREADABLE, f"{len(found)} certificates; 1 to {MAX_ROOTS} are taken")
    for one in found:
        _judge(one, at)
    return tuple(Root(one, origin) for one in found)


def _judge(certificate: x509.Certificate, at: datetime) -> None:
    try:
        name = certificate.subject.rfc4514_string()
        constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
        certificate.verify_directly_issued_by(certificate)
    except x509.ExtensionNotFound:
        raise AttestationRefused(ROOT_UNREADABLE, "a certificate without basic constraints is no CA") from None
    except (InvalidSignature, *UNREADABLE) as error:
        raise AttestationRefused(ROOT_UNREADABLE, f"not self-signed, or not readable: {type(error).__name__}") from None
    if not constraints.ca:
        raise AttestationRefused(ROOT_UNREADABLE, f"{name} is no CA")
    if certificate.not_valid_after_utc < at:
        raise AttestationRefused(ROOT_UNREADABLE, f"{name} expired {certificate.not_valid_after_utc:%Y-%m-%d}")
