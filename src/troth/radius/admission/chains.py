"""Which anchor of a network vouches for a certificate, and what the certificate says of whose it is.

OpenSSL has judged the chain during the handshake, against anchors as they were when its context was made, and not at
all when a session is resumed. So it is judged here again, at every attempt, by Troth's own rules
(:mod:`troth.pki.path`). A path that was found good is remembered for as long as nothing it rests on changes: the epoch
of the anchors, the network's version, and the time in which every link of it is valid.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from troth.pki.anchor_store import TrustAnchor
from troth.pki.authorities import Authority
from troth.pki.errors import PATH_REFUSED, PathRefused
from troth.pki.other_names import read_other_name
from troth.pki.path import validate_path
from troth.pki.unreadable import UNREADABLE
from troth.pki.usages import EXTENDED_KEY_USAGES, usage_oid
from troth.radius.admission.model import EkuRule, Network
from troth.radius.admission.points import Learned

_CLIENT_AUTH = usage_oid("clientAuth")
_ANY = "2.5.29.37.0"
_USAGES = {oid: name for name, oid in EXTENDED_KEY_USAGES.items()} | {_ANY: "anyExtendedKeyUsage"}
#: Certificates in one path; what a stranger sends beyond is not looked at.
_LONGEST = 8
#: Paths that are tried for one certificate: with cross-certificates there are several, with malice very many.
_TRIES = 16
#: Paths that are remembered.
_KEPT = 8_192


@dataclass(frozen=True, slots=True)
class Shown:
    """What a certificate says of itself, read once.

    Attributes:
        names: (kind, value) of its subject alternative names, of the kinds that Troth knows; in their order.
        usages: extended key usages by name, or dotted; None: it states none.
    """

    sha256: bytes
    serial: int
    subject: str
    common_name: str | None
    names: tuple[tuple[str, str], ...]
    usages: tuple[str, ...] | None
    not_before: datetime
    not_after: datetime


@dataclass(frozen=True, slots=True)
class Vouched:
    """A path that holds.

    Attributes:
        anchor: slug of our authority, or name of the foreign anchor.
        own: whether it is one of ours.
        links: the certificates below the anchor, the shown one first; each was signed by the next, the last by
            ``top``.
        begins, ends: when all of it is valid.
    """

    anchor: str
    own: bool
    shown: Shown
    links: tuple[x509.Certificate, ...]
    top: x509.Certificate
    begins: datetime
    ends: datetime


@dataclass(frozen=True, slots=True)
class Anchors:
    """Everybody who could vouch. ``epoch`` counts their changes."""

    authorities: Mapping[str, Authority]
    foreign: Mapping[str, TrustAnchor]
    epoch: int = 0

    def of(self, network: Network) -> Iterator[tuple[str, bool, x509.Certificate]]:
        """(name, whether ours, certificate) of who may vouch for ``network``."""
        for slug in network.authorities:
            authority = self.authorities.get(slug)
            if authority is not None and authority.state != "planned":
                yield slug, True, authority.x509
        for name in network.anchors:
            anchor = self.foreign.get(name)
            if anchor is not None and "clientAuth" in anchor.purposes:
                yield name, False, anchor.x509


class Paths:
    """Finds paths, and remembers them. Belongs to one event loop."""

    def __init__(self, *, kept: int = _KEPT) -> None:
        self._kept = kept
        self._found: OrderedDict[tuple[bytes, str, int, int], Vouched] = OrderedDict()
        #: Where strangers' certificates say that their revocation lists lie, for whoever writes it down.
        self.learned = Learned()

    def vouched(
        self, chain: Sequence[bytes], sha256: bytes, network: Network, anchors: Anchors, at: datetime
    ) -> Vouched:
        """Who vouches for ``chain[0]`` at ``at``. Raises PathRefused.

        ``chain``: DER as it was sent; what of it leads nowhere is left aside, and missing authorities of ours are
        known here. ``sha256``: of ``chain[0]``.
        """
        key = (sha256, network.name, network.version, anchors.epoch)
        known = self._found.get(key)
        at = at.replace(microsecond=0)
        if known is not None and known.begins <= at <= known.ends:
            self._found.move_to_end(key)
            return known
        found = _vouched(chain, sha256, network, anchors, at)
        if not found.own and network.foreign is not None and network.foreign.points:
            self.learned.see(network.version, found.anchor, found.links)
        self._found[key] = found
        if len(self._found) > self._kept:
            self._found.popitem(last=False)
        return found


def _vouched(chain: Sequence[bytes], sha256: bytes, network: Network, anchors: Anchors, at: datetime) -> Vouched:
    leaf, *sent = [_parsed(one) for one in chain[:_LONGEST]]
    shown = read_shown(leaf, sha256)
    if network.eku is EkuRule.CLIENT_AUTH and "clientAuth" not in (shown.usages or ()):
        stated = ", ".join(shown.usages) if shown.usages is not None else "no extended key usage"
        raise PathRefused(PATH_REFUSED, f"the certificate: expected clientAuth, got {stated[:200]}", depth=0)
    tops = list(anchors.of(network))
    ours = [one.x509 for one in anchors.authorities.values() if one.kind == "issuing"]
    last: PathRefused | None = None
    for tries, links in enumerate(_paths(leaf, [*sent, *ours])):
        if tries >= _TRIES:
            break
        issuer = links[-1].issuer.public_bytes()
        for name, own, top in tops:
            if top.subject.public_bytes() != issuer or top in links:
                continue
            try:
                validate_path(links, top, at=at, purpose=_CLIENT_AUTH, unstated=network.eku is EkuRule.UNSTATED)
                if not top.not_valid_before_utc <= at <= top.not_valid_after_utc:
                    raise PathRefused(PATH_REFUSED, f"{name}: the anchor itself is not valid at {at.isoformat()}")
            except PathRefused as error:
                last = error
                continue
            begins = max(one.not_valid_before_utc for one in (*links, top))
            ends = min(one.not_valid_after_utc for one in (*links, top))
            return Vouched(name, own, shown, tuple(links), top, begins, ends)
    if last is not None:
        raise last
    named = ", ".join(name for name, _, _ in tops) or "none at all"
    raise PathRefused(
        PATH_REFUSED,
        f"it was issued by {leaf.issuer.rfc4514_string()[:150]}, which leads to none of {named[:150]}",
    )


def _paths(leaf: x509.Certificate, pool: Sequence[x509.Certificate]) -> Iterator[list[x509.Certificate]]:
    """Every way up from ``leaf`` by names, the shortest first; no certificate stands in one twice."""
    by_subject: dict[bytes, list[x509.Certificate]] = {}
    for one in pool:
        same = by_subject.setdefault(one.subject.public_bytes(), [])
        if one not in same:
            same.append(one)
    level = [[leaf]]
    for _ in range(_LONGEST):
        yield from level
        level = [
            [*path, above]
            for path in level
            for above in by_subject.get(path[-1].issuer.public_bytes(), ())
            if above not in path
        ][:_TRIES]


def _parsed(data: bytes) -> x509.Certificate:
    try:
        return x509.load_der_x509_certificate(data)
    except UNREADABLE as error:
        raise PathRefused(PATH_REFUSED, "the chain holds something that is no certificate") from error


def read_shown(certificate: x509.Certificate, sha256: bytes | None = None) -> Shown:
    """What ``certificate`` says of itself. Raises PathRefused for extensions that cannot be read."""
    try:
        extensions = certificate.extensions
        common = certificate.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
        serial = certificate.serial_number
        subject = certificate.subject.rfc4514_string()
    except UNREADABLE as error:
        raise PathRefused(PATH_REFUSED, "the certificate: expected readable extensions", depth=0) from error
    names: list[tuple[str, str]] = []
    usages: tuple[str, ...] | None = None
    for extension in extensions:
        value = extension.value
        if isinstance(value, x509.SubjectAlternativeName):
            names += [name for one in value if (name := _name(one)) is not None]
        elif isinstance(value, x509.ExtendedKeyUsage):
            usages = tuple(_USAGES.get(one.dotted_string, one.dotted_string) for one in value)
    return Shown(
        sha256 or hashlib.sha256(certificate.public_bytes(Encoding.DER)).digest(),
        serial,
        subject[:500],
        str(common[0].value) if len(common) == 1 else None,
        tuple(names),
        usages,
        certificate.not_valid_before_utc,
        certificate.not_valid_after_utc,
    )


def _name(name: x509.GeneralName) -> tuple[str, str] | None:
    if isinstance(name, x509.OtherName):
        try:
            return read_other_name(name.type_id.dotted_string, name.value)
        except ValueError:
            return None
    for kind, form in _KINDS.items():
        if isinstance(name, form):
            return kind, str(name.value)
    return None


_KINDS = {"dns": x509.DNSName, "email": x509.RFC822Name, "uri": x509.UniformResourceIdentifier}
