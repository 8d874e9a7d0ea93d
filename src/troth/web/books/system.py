"""Authorities with the freshness of their CRLs, and how the installation is."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

import troth
from troth.audit.store import LedgerStore
from troth.kit.clock import Clock
from troth.kit.errors import TrothError
from troth.pki.algorithms import mldsa_kind
from troth.pki.authorities import Authority
from troth.pki.authority_store import AuthorityStore
from troth.pki.crl_store import CrlStore
from troth.pki.model import Crl
from troth.pki.pem import pem
from troth.pki.ports import Interlock
from troth.store.pool import Database
from troth.web.books.store import BookStore
from troth.web.health import CheckView, Health
from troth.web.views import AuthorityView

#: An event without an index for longer than this: nobody sequences.
_LAGGING = timedelta(seconds=10)
_CHECKPOINT_AGE = timedelta(minutes=10)


class Authorities:
    """See :class:`troth.web.services.AuthorityBook`."""

    def __init__(self, database: Database) -> None:
        self._authorities = AuthorityStore(database)
        self._crls = CrlStore(database)
        self._books = BookStore(database)

    async def list(self) -> Sequence[AuthorityView]:
        issued = await self._books.issued_by()
        crls = {one.authority: one for one in await self._crls.published() if one.kind == "full" and one.shard == 0}
        found = [
            self._view(one, issued.get(one.slug, 0), crls.get(one.slug))
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

    def _view(self, authority: Authority, issued: int, crl: Crl | None) -> AuthorityView:
        certificate = authority.x509
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
            crl_entries=crl.entries if crl else None,
            crl_url=authority.crl_url,
            certificates=issued,
            state=authority.state,
            issuer_classes=tuple(authority.issuer_classes) if authority.kind == "issuing" else (),
        )


def _key(authority: Authority) -> str:
    key = authority.public_key
    if isinstance(key, ec.EllipticCurvePublicKey):
        words = f"ECDSA {key.curve.name}"
    elif isinstance(key, rsa.RSAPublicKey):
        words = f"RSA {key.key_size} bits"
    elif isinstance(key, ed25519.Ed25519PublicKey):
        words = "Ed25519"
    else:
        words = f"ML-DSA-{mldsa_kind(key).removeprefix('mldsa')}"
    return words if authority.key_id is not None else f"{words}, not on this installation (offline)"


class HealthChecks:
    """See :class:`troth.web.services.HealthBook`."""

    def __init__(self, database: Database, clock: Clock, authorities: Authorities, interlock: Interlock) -> None:
        self._clock = clock
        self._ledger = LedgerStore(database)
        self._books = BookStore(database)
        self._authorities = authorities
        self._interlock = interlock

    async def check(self) -> Health:
        return Health(
            troth.__version__,
            self._clock.now(),
            (await self._processes(), await self._clocks(), await self._sequencing(), await self._crls(),
             await self._points()),
        )  # fmt: skip

    async def _processes(self) -> CheckView:
        roles = await self._books.roles()
        words = ", ".join(f"{live} {role}" for role, live, _ in roles if live) or "none has reported"
        silent = [role for role, live, gone in roles if not live and gone]
        if silent:
            return CheckView("Processes", "fail", f"{words}; no living process of role {', '.join(silent)}")
        return CheckView("Processes", "ok" if roles else "warn", words)

    async def _clocks(self) -> CheckView:
        try:
            await self._interlock.ensure()
        except TrothError as error:
            return CheckView("Clocks", "fail", error.detail)
        return CheckView("Clocks", "ok", "this node, the database and the ledger agree")

    async def _sequencing(self) -> CheckView:
        now = self._clock.now()
        oldest = await self._ledger.oldest_unsequenced()
        if oldest is not None and now - oldest > _LAGGING:
            return CheckView("Ledger", "fail", "events wait to be sequenced: is a worker running?")
        head, last = await self._ledger.head(), await self._ledger.last_checkpoint()
        if last is None:
            return CheckView("Ledger", "warn" if head.size else "ok", f"{head.size} events, none signed yet")
        behind = head.size - last.size
        if behind and now - last.signed_at > _CHECKPOINT_AGE:
            return CheckView("Ledger", "warn", f"{behind} events are not under a signed checkpoint")
        return CheckView("Ledger", "ok", f"{head.size} events, {last.size} of them under a signed checkpoint")

    async def _crls(self) -> CheckView:
        now = self._clock.now()
        with_crl = [one for one in await self._authorities.list() if one.crl_url]
        late = [one.name for one in with_crl if one.crl_next_update is None or one.crl_next_update <= now]
        if late:
            return CheckView("CRLs", "fail", f"no valid CRL of {', '.join(late)}")
        return CheckView("CRLs", "ok", f"{len(with_crl)} fresh")

    async def _points(self) -> CheckView:
        points = await self._ledger.points()
        lapsed = [point.name for point in points if not point.live]
        if lapsed:
            return CheckView("Decision points", "warn", f"lapsed, following their stated policy: {', '.join(lapsed)}")
        return CheckView("Decision points", "ok" if points else "warn", f"{len(points)} up to date")
