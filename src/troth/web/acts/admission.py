"""Adding an authority whose certificate was made elsewhere, as an act."""

from __future__ import annotations

import re
from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Mapping
from typing import Any, ClassVar

from cryptography import x509

from troth.access.approvals.acts import text
from troth.access.approvals.errors import PAYLOAD_INVALID, ApprovalRefused
from troth.access.approvals.model import Order, Preview
from troth.access.model import Principal
from troth.access.roles import Permission
from troth.kit.canonical import Json
from troth.kit.clock import Clock
from troth.pki.admission import Candidate, admit
from troth.pki.authorities import Authority
from troth.pki.catalogue import Catalogue, add_authority
from troth.pki.crl_import import check_crl, import_crl
from troth.pki.crl_store import CrlStore
from troth.pki.errors import AUTHORITY_CERTIFICATE, LINT_REFUSED, AuthorityRefused, LintRefused
from troth.pki.issuer_classes import issuer_classes
from troth.pki.lint_full import lint_full
from troth.pki.takeover import Entry, entries_in, take_entries
from troth.store.pool import Database
from troth.store.unit import Unit
from troth.web.acts.ceremonies import KeyList, base_url

_SLUG = re.compile(r"[a-z0-9]([a-z0-9-]{0,55}[a-z0-9])?\Z")


class AuthorityAdd:
    """``authority.add``: take in an authority; it issues when ``authority.state`` says so.

    Payload: ``authority`` (its short name), ``certificate`` (base64 of DER), ``chain`` (the same of what is above it,
    the root last), ``issuer_classes``, ``key_id``, ``crl`` (base64; empty for a new authority).
    """

    permission: ClassVar = Permission.ACCESS_MANAGE
    secret: ClassVar = False

    def __init__(self, database: Database, clock: Clock, catalogue: Catalogue, keys: KeyList | None) -> None:
        self._database = database
        self._clock = clock
        self._catalogue = catalogue
        self._keys = keys

    async def preview(self, payload: Mapping[str, Any], by: Principal) -> Preview:
        """See :class:`~troth.access.approvals.model.Executor`."""
        candidate = _candidate(payload)
        added, entries = await self._read(candidate)
        made, lines = added[-1], []
        for above in added[:-1]:
            what = "the root" if above.kind == "root" else "the authority above it,"
            lines.append(f"Also adds {what} {above.name}, SHA-256 {above.sha256.hex()}.")
            if above.kind == "root":
                lines.append("Whoever fetches this installation's roots will trust it.")
        lines.append(f"Subject: {made.x509.subject.rfc4514_string()}")
        lines.append(f"SHA-256: {made.sha256.hex()}")
        lines.append(f"Issuer: {made.x509.issuer.rfc4514_string()} ({made.parent}); in force until {made.not_after}")
        lines.append(f"Shall issue for: {', '.join(made.issuer_classes)}. Key: {made.key_id}.")
        if candidate.crl is not None:
            number = _number(candidate.crl)
            lines.append(
                f"Publishes its CRL number {number} with {len(entries)} entries; the next has a higher number."
            )
        lines += [f"Lint: {told}" for told in _findings(made.certificate)]
        lines.append("It is planned: it issues nothing until its state is changed.")
        state: Json = {"authorities": sorted(self._catalogue.authorities)}
        return Preview(f"Add the authority {made.slug}", tuple(lines), state)

    async def execute(self, payload: Mapping[str, Any], order: Order) -> Json:
        """See :class:`~troth.access.approvals.model.Executor`."""
        candidate = _candidate(payload)
        added, entries = await self._read(candidate)
        actor, made, unit = order.by.actor, added[-1], Unit()
        for one in added:
            add_authority(unit, one, actor=actor)
        await take_entries(self._database, unit, made, entries, actor=actor, now=self._clock.now())
        if candidate.crl is not None:
            present = await CrlStore(self._database).newest(made.slug)
            # Before the authority: a publication that was cut short, or an addition after it, is taken up here again.
            if present is None or b"".join(present.parts) != candidate.crl:
                await import_crl(self._database, made, candidate.crl, self._clock)
        await self._database.commit(unit.absorb(order.unit))
        await self._catalogue.refresh()
        return {"authority": made.slug, "added": [one.slug for one in added], "revoked": len(entries)}

    async def _read(self, candidate: Candidate) -> tuple[tuple[Authority, ...], list[Entry]]:
        await self._catalogue.refresh()
        added = admit(
            candidate, self._catalogue.authorities, await self._spki(candidate), await base_url(self._database),
            self._clock.now(),
        )  # fmt: skip
        if candidate.crl is None:
            return added, []
        check_crl(added[-1], candidate.crl)
        return added, entries_in(candidate.crl)

    async def _spki(self, candidate: Candidate) -> bytes:
        for key in [] if self._keys is None else await self._keys.list_keys():
            if key.key_id == candidate.key_id:
                if key.certificate != candidate.certificate:
                    raise AuthorityRefused(AUTHORITY_CERTIFICATE, f"{key.key_id} is not bound to this certificate")
                return key.public_key
        raise AuthorityRefused(AUTHORITY_CERTIFICATE, f"the signer holds no key {candidate.key_id[:80]!r}")


def _candidate(payload: Mapping[str, Any]) -> Candidate:
    slug, chain, classes = text(payload, "authority"), payload.get("chain", []), payload.get("issuer_classes")
    if not _SLUG.match(slug):
        raise ApprovalRefused(PAYLOAD_INVALID, "the short name has lower-case letters, digits and hyphens")
    if not isinstance(chain, list) or not isinstance(classes, list) or not classes:
        raise ApprovalRefused(PAYLOAD_INVALID, "chain and issuer_classes are lists, the latter with a member")
    try:
        named = issuer_classes(map(str, classes))
    except ValueError as error:
        raise ApprovalRefused(PAYLOAD_INVALID, str(error)) from error
    crl = text(payload, "crl", empty=True)
    return Candidate(
        slug, _der(text(payload, "certificate")), tuple(_der(str(one)) for one in chain), named,
        text(payload, "key_id"), _der(crl) if crl else None,
    )  # fmt: skip


def _der(encoded: str) -> bytes:
    try:
        return b64decode(encoded, validate=True)
    except (Base64Error, ValueError) as error:
        raise ApprovalRefused(PAYLOAD_INVALID, "certificates and CRLs are DER in base64") from error


def _number(crl: bytes) -> int:
    return x509.load_der_x509_crl(crl).extensions.get_extension_for_class(x509.CRLNumber).value.crl_number


def _findings(certificate: bytes) -> list[str]:
    """What lint says of a certificate that is signed already: to be known, and too late to be refused."""
    try:
        return [f"{one.severity} {one.code}" for one in lint_full(certificate)]
    except LintRefused as error:
        return [f"{LINT_REFUSED.code}: {error.detail}"]
