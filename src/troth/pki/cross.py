"""Cross-certificates: a second way up, for whoever does not know the new root yet, or the old one any more.

They are made in a ceremony, by the root that vouches for the other key. Here they are checked, kept and offered: the
chain with the server's own parents first, then one for each cross-certificate that leads to another root.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from cryptography import x509

from troth.audit.event import Event
from troth.pki.admission import issued_by, read_authority
from troth.pki.algorithms import PublicKey, spki_of
from troth.pki.authorities import Authority, chain_of, find
from troth.pki.cross_store import ADD_CROSS, CrossCertificate, CrossStore
from troth.pki.errors import AUTHORITY_CERTIFICATE, AUTHORITY_EXISTS, AUTHORITY_UNCHAINED, AuthorityRefused
from troth.pki.reading import value_of
from troth.store.unit import Unit

__all__ = ["CrossCertificate", "CrossStore", "add_cross", "chains_of", "preferred", "read_cross"]

_COMMON_NAME = x509.NameOID.COMMON_NAME


def read_cross(certificate: bytes, known: Mapping[str, Authority], now: datetime) -> CrossCertificate:
    """``certificate`` (DER) as a cross-certificate between two authorities here. Raises AuthorityRefused."""
    parsed = read_authority(certificate, now)
    key = parsed.public_key()
    spki = spki_of(key) if isinstance(key, PublicKey) else b""
    named = [one for one in known.values() if one.x509.subject == parsed.subject]
    subject = next((one for one in named if spki_of(one.public_key) == spki), None)
    if subject is None:
        raise AuthorityRefused(AUTHORITY_CERTIFICATE, "no authority here has its subject and its key")
    if subject.certificate == certificate:
        raise AuthorityRefused(AUTHORITY_EXISTS, f"it is the certificate of {subject.slug} itself")
    issuer = next((one for one in known.values() if one.slug != subject.slug and issued_by(parsed, one.x509)), None)
    if issuer is None:
        raise AuthorityRefused(AUTHORITY_UNCHAINED, f"nobody known here has issued {parsed.issuer.rfc4514_string()}")
    own = value_of(subject.x509.extensions, x509.SubjectKeyIdentifier)
    told = value_of(parsed.extensions, x509.SubjectKeyIdentifier)
    if own is None or told is None or own.digest != told.digest:
        # Certificates below name the key by it (RFC 5280, 4.2.1.1): with another one no path is found.
        raise AuthorityRefused(AUTHORITY_CERTIFICATE, f"its subject key identifier is not that of {subject.slug}")
    # What it leads to: a root's issuing authorities, and it is one authority more on their way up itself.
    below = 1 if subject.kind == "root" else 0
    for one, allows in ((parsed, below), (issuer.x509, below + 1)):
        limit = value_of(one.extensions, x509.BasicConstraints)
        if limit is not None and limit.path_length is not None and limit.path_length < allows:
            name = one.subject.rfc4514_string()
            raise AuthorityRefused(AUTHORITY_CERTIFICATE, f"{name} allows {limit.path_length} authorities below it")
    if parsed.not_valid_after_utc > issuer.not_after:
        raise AuthorityRefused(AUTHORITY_CERTIFICATE, f"it outlives its issuer {issuer.slug}")
    digest = hashlib.sha256(certificate).digest()
    return CrossCertificate(digest, subject.slug, issuer.slug, certificate, parsed.not_valid_after_utc, now)


def add_cross(unit: Unit, cross: CrossCertificate, *, actor: str) -> Unit:
    """Add it and its event to ``unit``."""
    refused = AuthorityRefused(AUTHORITY_EXISTS, "this cross-certificate is here already")
    unit.claim(
        ADD_CROSS, cross.sha256, cross.authority, cross.issuer, cross.certificate, cross.not_after, cross.added_at,
        actor, refuse=refused,
    )  # fmt: skip
    refs = (f"authority:{cross.authority}", f"authority:{cross.issuer}")
    data = {"authority": cross.authority, "issuer": cross.issuer, "sha256": cross.sha256.hex()}
    return unit.record(Event("authority.crossed", actor, refs, data))


def chains_of(
    slug: str, authorities: Mapping[str, Authority], crosses: Iterable[CrossCertificate], now: datetime
) -> Sequence[tuple[bytes, ...]]:
    """Every chain that can be offered for what ``slug`` issues, without roots; that of its own parents first."""
    first = chain_of(slug, authorities)
    found, path = [first], _path(slug, authorities)
    for cross in crosses:
        if cross.authority not in path or cross.not_after <= now:
            continue
        below = tuple(authorities[one].certificate for one in path[: path.index(cross.authority)])
        chain = (*below, cross.certificate, *chain_of(cross.issuer, authorities))
        if chain not in found:
            found.append(chain)
    return found


def preferred(chains: Sequence[tuple[bytes, ...]], name: str) -> Sequence[tuple[bytes, ...]]:
    """``chains`` with the first one on top whose last certificate was issued by the common name ``name``."""
    if not name or len(chains) < 2:
        return chains
    for place, chain in enumerate(chains):
        issuer = x509.load_der_x509_certificate(chain[-1]).issuer if chain else None
        if issuer is not None and name in [str(one.value) for one in issuer.get_attributes_for_oid(_COMMON_NAME)]:
            return (chain, *chains[:place], *chains[place + 1 :])
    return chains


def _path(slug: str, authorities: Mapping[str, Authority]) -> list[str]:
    """``slug`` and what is above it, the root included."""
    found, current = [slug], find(slug, authorities)
    while current.parent is not None and len(found) < 8:
        current = find(current.parent, authorities)
        found.append(current.slug)
    return found
