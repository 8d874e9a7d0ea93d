"""Taking in an authority that was certified elsewhere: by a root in a ceremony, by another CA, or long ago.

What comes in is believed only as far as the bytes prove it. The certificate must be an authority's and in force, carry
the key that the signer holds, and lead to a root that is known here or is given along, through certificates each of
which verifies, allows the depth below it and outlives nobody above it (RFC 5280, 6.1.3 and 6.1.4, as far as they
speak of CA certificates; name constraints are the signer's to hold every leaf to). It comes in ``planned``: it issues
when somebody says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import SignatureAlgorithmOID

from troth.pki import algorithms
from troth.pki.authorities import Authority
from troth.pki.errors import AUTHORITY_CERTIFICATE, AUTHORITY_EXISTS, AUTHORITY_UNCHAINED, AuthorityRefused, KeyRefused
from troth.pki.issuer_classes import IssuerClasses
from troth.pki.keycheck import check_key
from troth.pki.reading import value_of
from troth.pki.unreadable import UNREADABLE

#: A chain that is longer than this is no chain that anybody builds.
MAX_CHAIN = 8
#: MD5 and SHA-1: two certificates can be made that have one signature. A root's own signature proves nothing anyway.
_BROKEN = frozenset(
    {
        SignatureAlgorithmOID.RSA_WITH_MD5,
        SignatureAlgorithmOID.RSA_WITH_SHA1,
        SignatureAlgorithmOID.ECDSA_WITH_SHA1,
    }
)


@dataclass(frozen=True, slots=True)
class Candidate:
    """What is brought.

    Attributes:
        slug: its name here.
        certificate: DER.
        chain: DER of what is above it and not known here yet, its issuer first, the root last.
        issuer_classes: for whom it shall issue.
        key_id: its key in the signer.
        crl: DER of its latest complete CRL elsewhere, or None.
    """

    slug: str
    certificate: bytes
    chain: tuple[bytes, ...]
    issuer_classes: IssuerClasses
    key_id: str
    crl: bytes | None = None


def read_authority(certificate: bytes, now: datetime) -> x509.Certificate:
    """``certificate`` (DER), if it is an authority's and in force. Raises AuthorityRefused."""
    try:
        parsed = x509.load_der_x509_certificate(certificate)
        constraints, usage = (
            value_of(parsed.extensions, x509.BasicConstraints),
            value_of(parsed.extensions, x509.KeyUsage),
        )
        identifier = value_of(parsed.extensions, x509.SubjectKeyIdentifier)
        key = parsed.public_key()
        if not isinstance(key, algorithms.PublicKey):
            raise _refused("its key is of a kind that Troth does not know")
        check_key(key)
    except UNREADABLE as error:
        raise _refused("it cannot be read") from error
    except KeyRefused as error:
        raise _refused(f"its key: {error.detail}") from error
    name = parsed.subject.rfc4514_string()
    if parsed.subject != parsed.issuer and parsed.signature_algorithm_oid in _BROKEN:
        raise _refused(f"{name} is signed with a hash that is broken")
    if constraints is None or not constraints.ca:
        raise _refused(f"{name}: basicConstraints do not say CA")
    if usage is None or not (usage.key_cert_sign and usage.crl_sign):
        raise _refused(f"{name}: keyUsage lacks keyCertSign or cRLSign")
    if identifier is None or not list(parsed.subject):
        raise _refused("it has no subject, or no subject key identifier")
    if not parsed.not_valid_before_utc <= now < parsed.not_valid_after_utc:
        raise _refused(f"{name} is not in force: {parsed.not_valid_before_utc} to {parsed.not_valid_after_utc}")
    return parsed


def issued_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    """Whether ``issuer``'s name and key are those that signed ``certificate``, with whatever hash."""
    try:
        certificate.verify_directly_issued_by(issuer)
    except (InvalidSignature, ValueError, TypeError, UnsupportedAlgorithm):
        return False
    return True


def admit(
    candidate: Candidate, known: Mapping[str, Authority], spki: bytes, base: str, now: datetime
) -> tuple[Authority, ...]:
    """The authorities to add, the topmost first, the candidate last. Raises AuthorityRefused.

    Args:
        known: those that are here.
        spki: public key of ``candidate.key_id``, as the signer tells it.
        base: URL under which this installation serves certificates, CRLs and OCSP over plain HTTP.
    """
    subject = read_authority(candidate.certificate, now)
    if _spki(subject) != spki:
        raise _refused(f"it carries another key than {candidate.key_id}")
    if candidate.slug in known:
        raise AuthorityRefused(AUTHORITY_EXISTS, f"an authority is named {candidate.slug}")
    same = [one.slug for one in known.values() if one.x509.subject == subject.subject]
    if same:
        # CRLs and OCSP know an issuer by its name: two keys under one name are told apart by few (RFC 5280, 4.1.2.4).
        raise _refused(f"{same[0]} has the same subject")
    if len(candidate.chain) > MAX_CHAIN:
        raise _refused(f"a chain of more than {MAX_CHAIN} certificates")
    added: list[Authority] = []
    here = dict(known)
    for place, der in reversed(list(enumerate(candidate.chain))):
        parsed = read_authority(der, now)
        if any(one.certificate == der for one in here.values()):
            continue
        parent = None if issued_by(parsed, parsed) else _parent(parsed, here.values())
        slug = f"{candidate.slug}-{'root' if parent is None else f'ca{place + 1}'}"
        if slug in here:
            raise AuthorityRefused(AUTHORITY_EXISTS, f"an authority is named {slug}")
        above = authority_from(slug, parsed, der, parent, (), None, base, now)
        here[slug] = above
        added.append(above)
    parent = _parent(subject, here.values())
    made = authority_from(
        candidate.slug, subject, candidate.certificate, parent, candidate.issuer_classes, candidate.key_id, base, now
    )
    _check_path(made, here)
    return (*added, made)


def common_name(certificate: x509.Certificate) -> str:
    """What people call it: its common name, else all of its subject."""
    found = certificate.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    return str(found[0].value) if found else certificate.subject.rfc4514_string()


def authority_from(
    slug: str,
    parsed: x509.Certificate,
    der: bytes,
    parent: Authority | None,
    classes: IssuerClasses,
    key_id: str | None,
    base: str,
    now: datetime,
) -> Authority:
    """An authority that was certified elsewhere. One whose key is here is ``planned``: an issuer that nobody trusts yet
    must not take over by being the newest. One without (a root, a policy authority) signs nothing here.

    Args:
        parsed: of ``der``.
        base: as for :func:`admit`.
    """
    issuing = key_id is not None
    return Authority(
        slug=slug,
        name=common_name(parsed),
        kind="root" if parent is None else "issuing",
        parent=None if parent is None else parent.slug,
        certificate=der,
        key_id=key_id,
        state="planned" if issuing else "active",
        trial=False,
        ca_issuers_url=f"{base}/ca/{slug}.cer",
        ocsp_url=f"{base}/ocsp/{slug}" if issuing else None,
        crl_url=f"{base}/crl/{slug}.crl",
        created_at=now,
        issuer_classes=classes,
    )


def _parent(certificate: x509.Certificate, among: Iterable[Authority]) -> Authority:
    for one in among:
        if issued_by(certificate, one.x509):
            return one
    raise AuthorityRefused(AUTHORITY_UNCHAINED, f"nobody known here has issued {certificate.subject.rfc4514_string()}")


def _check_path(made: Authority, here: Mapping[str, Authority]) -> None:
    """Depth, validity and self-issued subjects on the way up."""
    current, below = made, 0
    while current.parent is not None:
        parent = here[current.parent]
        limit = value_of(parent.x509.extensions, x509.BasicConstraints)
        if limit is not None and limit.path_length is not None and limit.path_length < below:
            raise _refused(f"{parent.slug} allows {limit.path_length} authorities below it")
        if current.x509.not_valid_after_utc > parent.not_after:
            raise _refused(f"{current.slug} outlives {parent.slug}, which ends {parent.not_after}")
        if parent.state == "retired":
            raise _refused(f"{parent.slug} is retired")
        current, below = parent, below + 1
        if below > MAX_CHAIN:
            raise _refused("the chain does not end")
    if current.kind != "root":
        raise AuthorityRefused(AUTHORITY_UNCHAINED, f"{current.slug} is no root")


def _spki(certificate: x509.Certificate) -> bytes:
    return certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _refused(detail: str) -> AuthorityRefused:
    return AuthorityRefused(AUTHORITY_CERTIFICATE, detail)
