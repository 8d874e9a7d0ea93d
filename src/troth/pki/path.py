"""Is this chain good, link by link, for this use at this time? RFC 5280, 6.1, without policies and revocation.

For chains of our own making and for foreign anchors. ``cryptography.x509.verification`` judges web server and client
certificates by the web's rules and refuses what private PKIs have every right to (no subject alternative name, name
constraints on directory names, purposes of their own); so the rules stand here, each refusal with what was expected and
what was found. Names are compared as they are encoded (7.1 asks for that at least). Revocation is asked elsewhere; a
chain that needs a policy tree (critical policy constraints) is refused as not understood.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm

from troth.pki import algorithms
from troth.pki.errors import PATH_REFUSED, KeyRefused, PathRefused
from troth.pki.keycheck import check_key
from troth.pki.name_constraints import Subtrees, sound_base, sound_name, touches, understood, within
from troth.pki.unreadable import UNREADABLE

#: What is understood, and may therefore be critical.
_UNDERSTOOD = frozenset(
    {"2.5.29.14", "2.5.29.15", "2.5.29.17", "2.5.29.19", "2.5.29.30", "2.5.29.32", "2.5.29.35", "2.5.29.37"}
)
_ANY = "2.5.29.37.0"
_LONGEST = 10
#: Of names with subtrees, in one chain: thousands of each in a chain of a stranger's are work and nothing else.
_MOST_COMPARISONS = 200_000


@dataclass(slots=True)
class _State:
    """What the links above say of those below. ``left``: how many more authorities may follow."""

    issuer: x509.Certificate
    left: int = _LONGEST
    permitted: list[Subtrees] = field(default_factory=list)
    excluded: Subtrees = field(default_factory=list)
    #: Kinds of name that an authority constrains and that cannot be compared here: they may not occur (4.2.1.10).
    closed: set[type[x509.GeneralName]] = field(default_factory=set)
    comparisons: int = 0


def validate_path(
    chain: Sequence[x509.Certificate],
    anchor: x509.Certificate,
    *,
    at: datetime,
    purpose: str | None = None,
    unstated: bool = False,
) -> None:
    """Raise PathRefused unless ``anchor`` vouches for ``chain[0]``.

    Args:
        chain: the certificate, then whoever signed it, and so on up to the one that the anchor signed.
        anchor: trusted for its name and key; what else it says binds nobody (6.1.1), but for its own constraints.
        purpose: object identifier that the extended key usage of every link must allow; None asks for none.
        unstated: take a certificate without extended key usage as one for every purpose (4.2.1.12).
    """
    if not chain or len(chain) > _LONGEST:
        raise _refused(0, f"a chain of 1 to {_LONGEST} certificates", str(len(chain)))
    # 4.1.2.5: validity is told in whole seconds, both ends included.
    state, at = _State(anchor), at.replace(microsecond=0)
    _constrain(state, anchor, len(chain))
    for depth in range(len(chain) - 1, -1, -1):
        certificate = chain[depth]
        _link(certificate, state, depth, at)
        extensions = _extensions(certificate, depth)
        if purpose is not None:
            _purpose(extensions, purpose, depth, unstated=unstated)
        self_issued = certificate.subject == certificate.issuer
        if depth == 0 or not self_issued:
            _names(certificate, extensions, state, depth)
        if depth > 0:
            _authority(extensions, state, depth, self_issued)
            _constrain(state, certificate, depth)
            state.issuer = certificate


def _link(certificate: x509.Certificate, state: _State, depth: int, at: datetime) -> None:
    begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if not begin <= at <= end:
        raise _refused(depth, f"valid at {at.isoformat()}", f"{begin.isoformat()} to {end.isoformat()}")
    if not state.issuer.subject.rdns:
        raise _refused(depth, "an issuer with a name", "an empty one")  # 4.1.2.6
    if certificate.issuer.public_bytes() != state.issuer.subject.public_bytes():
        raise _refused(depth, state.issuer.subject.rfc4514_string(), certificate.issuer.rfc4514_string())
    try:
        key = certificate.public_key()
        certificate.verify_directly_issued_by(state.issuer)
    except (InvalidSignature, ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise _refused(depth, "a signature of the issuer's", type(error).__name__) from error
    if not isinstance(key, algorithms.PublicKey):
        raise _refused(depth, "an RSA, ECDSA, Ed25519 or ML-DSA key", type(key).__name__)
    try:
        check_key(key)
    except KeyRefused as refusal:
        raise _refused(depth, "a sound key", refusal.detail) from refusal


def _extensions(certificate: x509.Certificate, depth: int) -> dict[str, x509.ExtensionType]:
    try:
        found = list(certificate.extensions)
    except UNREADABLE as error:
        raise _refused(depth, "readable extensions", type(error).__name__) from error
    unknown = [one.oid.dotted_string for one in found if one.critical and one.oid.dotted_string not in _UNDERSTOOD]
    if unknown:
        raise _refused(depth, "critical extensions that are understood", ", ".join(unknown))
    return {one.oid.dotted_string: one.value for one in found}


def _purpose(extensions: dict[str, x509.ExtensionType], purpose: str, depth: int, *, unstated: bool) -> None:
    usage = extensions.get("2.5.29.37")
    if isinstance(usage, x509.ExtendedKeyUsage):
        allowed = {one.dotted_string for one in usage}
        if not allowed & {purpose, _ANY}:
            raise _refused(depth, purpose, ", ".join(sorted(allowed)))
    elif depth == 0 and not unstated:
        raise _refused(depth, purpose, "no extended key usage")


def _authority(extensions: dict[str, x509.ExtensionType], state: _State, depth: int, self_issued: bool) -> None:
    constraints, usage = extensions.get("2.5.29.19"), extensions.get("2.5.29.15")
    if not isinstance(constraints, x509.BasicConstraints) or not constraints.ca:
        raise _refused(depth, "an authority", "basic constraints that do not say so")
    if isinstance(usage, x509.KeyUsage) and not usage.key_cert_sign:
        raise _refused(depth, "keyCertSign", "a key usage without it")
    if not self_issued:
        if state.left <= 0:
            raise _refused(depth, "no further authority", "one more than the path length allows")
        state.left -= 1
    if constraints.path_length is not None:
        state.left = min(state.left, constraints.path_length)


def _constrain(state: _State, authority: x509.Certificate, depth: int) -> None:
    try:
        value = authority.extensions.get_extension_for_class(x509.NameConstraints).value
    except x509.ExtensionNotFound:
        return
    except UNREADABLE as error:
        raise _refused(depth, "readable extensions", type(error).__name__) from error
    permitted, excluded = list(value.permitted_subtrees or ()), list(value.excluded_subtrees or ())
    for one in (*permitted, *excluded):
        if not understood(one):
            state.closed.add(type(one))
        elif not sound_base(one):
            raise _refused(depth, "name constraints as RFC 5280 writes them", str(one.value))
    if permitted:
        state.permitted.append(permitted)
    state.excluded.extend(excluded)


def _names(certificate: x509.Certificate, extensions: dict[str, x509.ExtensionType], state: _State, depth: int) -> None:
    names: list[x509.GeneralName] = []
    if certificate.subject.rdns:
        names.append(x509.DirectoryName(certificate.subject))
    alternative = extensions.get("2.5.29.17")
    if isinstance(alternative, x509.SubjectAlternativeName):
        names.extend(alternative)
    else:
        # Where mail stands in the subject alone, the constraints on mail hold for it (4.2.1.10).
        names += [
            x509.RFC822Name(str(one.value))
            for one in certificate.subject.get_attributes_for_oid(x509.NameOID.EMAIL_ADDRESS)
        ]
    state.comparisons += len(names) * (len(state.excluded) + sum(map(len, state.permitted)))
    if state.comparisons > _MOST_COMPARISONS:
        raise _refused(depth, f"names and constraints for at most {_MOST_COMPARISONS:,} comparisons", str(len(names)))
    for name in names:
        if type(name) in state.closed:
            raise _refused(depth, "no name of a kind whose constraints are not understood", type(name).__name__)
        for subtrees in state.permitted:
            same = [one for one in subtrees if type(one) is type(name)]
            if same and not (sound_name(name) and any(within(name, one) for one in same)):
                raise _refused(depth, "a name within what is permitted", str(name.value))
        if any(type(one) is type(name) and touches(name, one) for one in state.excluded):
            raise _refused(depth, "a name outside what is excluded", str(name.value))


def _refused(depth: int, expected: str, got: str) -> PathRefused:
    where = "the certificate" if depth == 0 else f"authority {depth} above it"
    return PathRefused(PATH_REFUSED, f"{where}: expected {expected[:200]}, got {got[:200]}", depth=depth)
