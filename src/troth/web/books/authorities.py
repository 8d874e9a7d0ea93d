"""Authorities: the tree of who certifies whom, with their keys, their limits and the freshness of their CRLs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Protocol

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from troth.access.model import Principal
from troth.kit.clock import Clock
from troth.kit.errors import TrothError
from troth.kit.log import get_logger
from troth.pki.algorithms import mldsa_kind
from troth.pki.authorities import Authority, find
from troth.pki.authority_store import AuthorityStore
from troth.pki.crl_store import CrlStore
from troth.pki.errors import AUTHORITY_STATE, AuthorityRefused
from troth.pki.keys.model import KeyMetadata
from troth.pki.model import Crl
from troth.pki.pem import pem
from troth.pki.takeover import take_issued
from troth.pki.usages import usage_name
from troth.store.pool import Database
from troth.web.authority_views import AuthorityView, CrlView
from troth.web.books.store import BookStore

log = get_logger("web")


class KeyList(Protocol):
    """What the signer tells of its keys (``troth.pki.signer.client.SignerClient``)."""

    async def list_keys(self) -> list[KeyMetadata]:
        """All keys, oldest first."""
        ...


class Authorities:
    """See :class:`troth.web.services.AuthorityBook`."""

    def __init__(self, database: Database, clock: Clock, keys: KeyList | None = None) -> None:
        self._database = database
        self._clock = clock
        self._authorities = AuthorityStore(database)
        self._crls = CrlStore(database)
        self._books = BookStore(database)
        self._keys = keys

    async def list(self) -> Sequence[AuthorityView]:
        """See the port."""
        issued, keys = await self._books.issued_by(), await self._held()
        crls: defaultdict[str, list[Crl]] = defaultdict(list)
        for crl in await self._crls.published():
            crls[crl.authority].append(crl)
        found = [
            _view(one, issued.get(one.slug, 0), crls[one.slug], keys.get(one.key_id or ""))
            for one in await self._authorities.authorities()
        ]
        ordered: list[AuthorityView] = []

        def descend(parent: str | None) -> None:
            for one in found:
                if one.parent == parent and one not in ordered:
                    ordered.append(one)
                    descend(one.slug)

        descend(None)
        return ordered + [one for one in found if one not in ordered]

    async def get(self, slug: str) -> AuthorityView | None:
        """See the port."""
        return next((one for one in await self.list() if one.slug == slug), None)

    async def take_issued(self, slug: str, certificates: Sequence[bytes], by: Principal) -> tuple[int, int]:
        """See the port."""
        known = {one.slug: one for one in await self._authorities.authorities()}
        authority = find(slug, known)
        if authority.state != "planned":
            # Once it issues, whatever it signs comes by the gate; what came otherwise must not be taken for issued.
            raise AuthorityRefused(
                AUTHORITY_STATE, f"{slug} is {authority.state}: certificates are taken in before that"
            )
        return await take_issued(self._database, authority, certificates, actor=by.actor, clock=self._clock)

    async def _held(self) -> Mapping[str, KeyMetadata]:
        """The signer's keys by id; none of them while it does not answer, which must not hide the rest."""
        if self._keys is None:
            return {}
        try:
            return {key.key_id: key for key in await self._keys.list_keys()}
        except TrothError as error:
            log.warning("authorities.keys_unknown", code=error.code, error=error.detail)
            return {}


def _view(authority: Authority, issued: int, crls: Sequence[Crl], key: KeyMetadata | None) -> AuthorityView:
    certificate = authority.x509
    views = tuple(
        CrlView(one.kind, one.shard, one.number, one.this_update, one.next_update, one.entries, one.size)
        for one in sorted(crls, key=lambda one: (one.shard, one.kind == "delta"))
    )
    # What is late is told: of several shards the one that ends first.
    crl = min((one for one in views if one.kind == "full"), key=lambda one: one.next_update, default=None)
    limits = None if key is None else key.limits
    issuing = authority.kind == "issuing"
    return AuthorityView(
        slug=authority.slug,
        name=authority.name,
        kind=authority.kind,
        parent=authority.parent,
        trial=authority.trial,
        key_algorithm=_key(authority),
        sha256=authority.sha256.hex(),
        not_before=certificate.not_valid_before_utc,
        not_after=authority.not_after,
        pem=pem(authority.certificate).decode(),
        crl_number=crl.number if crl else None,
        crl_this_update=crl.this_update if crl else None,
        crl_next_update=crl.next_update if crl else None,
        crl_entries=sum(one.entries for one in views if one.kind == "full") if crl else None,
        crl_url=authority.crl_url,
        certificates=issued,
        state=authority.state,
        issuer_classes=tuple(authority.issuer_classes) if issuing else (),
        subject=certificate.subject.rfc4514_string(),
        serial=f"{certificate.serial_number:x}",
        key_id=authority.key_id,
        custodian="offline" if authority.key_id is None else None if key is None else key.custodian,
        evidence=() if key is None else key.evidence,
        usages=() if limits is None else tuple(usage_name(oid) for oid in limits.extended_key_usages),
        max_validity_seconds=None if limits is None else limits.max_validity_seconds,
        name_constraints=_constraints(certificate),
        ca_issuers_url=authority.ca_issuers_url,
        ocsp_url=authority.ocsp_url,
        crls=views,
    )


def _key(authority: Authority) -> str:
    key = authority.public_key
    if isinstance(key, ec.EllipticCurvePublicKey):
        return f"ECDSA {key.curve.name}"
    if isinstance(key, rsa.RSAPublicKey):
        return f"RSA {key.key_size} bits"
    if isinstance(key, ed25519.Ed25519PublicKey):
        return "Ed25519"
    return f"ML-DSA-{mldsa_kind(key).removeprefix('mldsa')}"


def _constraints(certificate: x509.Certificate) -> tuple[str, ...]:
    """The name constraints in words."""
    try:
        found = certificate.extensions.get_extension_for_class(x509.NameConstraints).value
    except (x509.ExtensionNotFound, ValueError):
        return ()
    told = [f"only {_told(one)}" for one in found.permitted_subtrees or ()]
    return (*told, *(f"not {_told(one)}" for one in found.excluded_subtrees or ()))


def _told(name: x509.GeneralName) -> str:
    value = name.value.rfc4514_string() if isinstance(name, x509.DirectoryName) else str(name.value)
    return f"{type(name).__name__} {value}"
