"""Taking in what an offline ceremony has made.

An issuing authority is added if this signer holds its key; one that may have authorities below it also without, for
its key may stay offline as a root's does. A cross-certificate for an authority that is here is offered from now on.
"""

from __future__ import annotations

import re
from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Mapping
from typing import Any, ClassVar, Protocol

from cryptography import x509

from troth.access.approvals.acts import text
from troth.access.approvals.errors import PAYLOAD_INVALID, ApprovalRefused
from troth.access.approvals.model import Order, Preview
from troth.access.model import Principal
from troth.access.roles import Permission
from troth.kit.canonical import Json
from troth.kit.clock import Clock
from troth.pki.admission import authority_from
from troth.pki.authorities import Authority
from troth.pki.authority_store import AuthorityStore
from troth.pki.catalogue import Catalogue, add_authority
from troth.pki.ceremony.errors import NOT_IMPORTED, TranscriptRefused
from troth.pki.ceremony.plan import Ceremony
from troth.pki.ceremony.record import Brought, certificate_of, issuer_of, read_brought, recorded
from troth.pki.crl_import import import_crl
from troth.pki.cross import CrossCertificate, add_cross, read_cross
from troth.pki.keys.model import KeyMetadata
from troth.store.pool import Database
from troth.store.unit import Unit

_SLUG = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\Z")


class KeyList(Protocol):
    """What the signer tells of its keys."""

    async def list_keys(self) -> list[KeyMetadata]:
        """All of them."""
        ...


class CeremonyImport:
    """``ceremony.import``: record a ceremony; publish its CRL, or take in the authority that it certified.

    Payload: ``transcript`` (text), ``result`` (text of result.json), ``made`` (base64 of certificate.der or crl.der),
    ``session_key`` (hex, as on paper; may be empty), ``slug`` (of a new authority; else empty).
    """

    # Who can add an authority can have anything trusted: that is the administrators' alone.
    permission: ClassVar = Permission.ACCESS_MANAGE
    secret: ClassVar = False

    def __init__(self, database: Database, clock: Clock, catalogue: Catalogue, keys: KeyList | None) -> None:
        self._database = database
        self._clock = clock
        self._catalogue = catalogue
        self._keys = keys

    async def preview(self, payload: Mapping[str, Any], by: Principal) -> Preview:
        """See :class:`~troth.access.approvals.model.Executor`."""
        brought = _brought(payload)
        proved = brought.proved
        lines = [
            f"Ceremony: {proved.ceremony}, {proved.title}, sealed {proved.sealed_at:%Y-%m-%d %H:%M:%S} UTC",
            f"Session key: {proved.session_key}",
            f"Plan: {proved.plan.hex()}",
        ]
        authority, added = await self._authority(brought, payload)
        if brought.kind is Ceremony.ROOT_CRL and authority is not None:
            crl = x509.load_der_x509_crl(brought.made)
            entries = "1 entry" if len(crl) == 1 else f"{len(crl)} entries"
            until = f", good until {crl.next_update_utc:%Y-%m-%d %H:%M} UTC" if crl.next_update_utc else ""
            lines.append(f"Publishes a CRL of {authority.slug} with {entries}{until}")
        elif brought.kind is Ceremony.CROSS_CERTIFICATE:
            cross = self._cross(brought)
            lines.append(
                "Is recorded alone: nobody here has its subject and key"
                if cross is None
                else f"Offers a second way up from {cross.authority}, by {cross.issuer}"
            )
        elif added and authority is not None:
            classes = ", ".join(authority.issuer_classes)
            planned = ", planned: it issues nothing until it is activated" if authority.state == "planned" else ""
            offline = ", its key offline" if authority.kind == "issuing" and authority.key_id is None else ""
            about = f"{authority.slug}{f' for {classes}' if classes else ''}{planned}{offline}"
            lines.append(f"Adds the {authority.kind} authority {about}")
        state: Json = {
            "authorities": sorted(self._catalogue.authorities),
            "transcript": brought.transcript_sha256.hex(),
        }
        return Preview(f"Take in the ceremony {proved.title}", tuple(lines), state)

    async def execute(self, payload: Mapping[str, Any], order: Order) -> Json:
        """See :class:`~troth.access.approvals.model.Executor`."""
        brought = _brought(payload)
        authority, added = await self._authority(brought, payload)
        actor, slug = order.by.actor, None if authority is None else authority.slug
        if authority is not None and brought.kind is Ceremony.ROOT_CRL:
            await import_crl(self._database, authority, brought.made, self._clock)
        unit = Unit()
        if authority is not None and added:
            add_authority(unit, authority, actor=actor)
        cross = self._cross(brought) if brought.kind is Ceremony.CROSS_CERTIFICATE else None
        if cross is not None:
            add_cross(unit, cross, actor=actor)
        unit.record(recorded(brought, actor, slug))
        await self._database.commit(unit.absorb(order.unit))
        await self._catalogue.refresh()
        return {"ceremony": brought.proved.ceremony, "authority": slug, "added": added}

    async def _authority(self, brought: Brought, payload: Mapping[str, Any]) -> tuple[Authority | None, bool]:
        """What the ceremony is about here, and whether it is to be added."""
        await self._catalogue.refresh()
        known = self._catalogue.authorities
        match brought.kind:
            case Ceremony.KEY:
                return None, False
            case Ceremony.ROOT_CRL:
                return issuer_of(brought, known.values()), False
            case Ceremony.CROSS_CERTIFICATE:
                issuer = issuer_of(brought, known.values())
                certificate_of(brought, issuer)
                return issuer, False
        parent = issuer_of(brought, known.values()) if brought.kind is Ceremony.INTERMEDIATE else None
        return await self._made(brought, parent, str(payload.get("slug") or "")), True

    async def _made(self, brought: Brought, parent: Authority | None, slug: str) -> Authority:
        if not _SLUG.match(slug):
            raise TranscriptRefused(NOT_IMPORTED, "name the new authority with --slug: lower-case, digits and hyphens")
        certificate = certificate_of(brought, parent)
        base = await base_url(self._database)
        key_id = None if parent is None else await self._key_id(brought.made, certificate)
        return authority_from(
            slug, certificate, brought.made, parent, brought.result.issuer_classes, key_id, base, self._clock.now()
        )

    def _cross(self, brought: Brought) -> CrossCertificate | None:
        """A second way up for an authority that is here; None if its subject is somebody else's."""
        known = self._catalogue.authorities
        made = x509.load_der_x509_certificate(brought.made)
        if not any(one.x509.subject == made.subject for one in known.values()):
            return None
        return read_cross(brought.made, known, self._clock.now())

    async def _key_id(self, made: bytes, certificate: x509.Certificate) -> str | None:
        """The signer's key; None for one that is elsewhere and may be."""
        for key in [] if self._keys is None else await self._keys.list_keys():
            if key.certificate == made:
                return key.key_id
        if certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.path_length != 0:
            return None  # a policy authority: it certifies authorities, in ceremonies, and its key never comes here
        raise TranscriptRefused(NOT_IMPORTED, "no key of this signer is bound to the certificate")


async def base_url(database: Database) -> str:
    """Where this installation serves certificates and CRLs."""
    for authority in await AuthorityStore(database).authorities():
        if authority.crl_url is not None and "/crl/" in authority.crl_url:
            return authority.crl_url.rsplit("/crl/", 1)[0]
    raise TranscriptRefused(NOT_IMPORTED, "this installation serves no CRL yet")


def _brought(payload: Mapping[str, Any]) -> Brought:
    try:
        made = b64decode(text(payload, "made"), validate=True) if payload.get("made") else b""
    except (Base64Error, ValueError) as error:
        raise ApprovalRefused(PAYLOAD_INVALID, "made is base64") from error
    transcript, result = text(payload, "transcript").encode(), text(payload, "result").encode()
    return read_brought(transcript, result, made, str(payload.get("session_key") or ""))
