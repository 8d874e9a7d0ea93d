"""What the pure rooms need from the database: the roots in force, the status list, and what was judged before.

Roots and status lists are read anew for each statement, as far as they have changed: statements are rare, and a root
that was withdrawn must count for nothing from that moment on.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta
from typing import TypeAlias

from troth.audit.event import Event
from troth.enroll.attest import store
from troth.enroll.attest.anchors import merged, read_roots, shipped_roots
from troth.enroll.attest.errors import REVOKED, ROOT_RACED, ROOT_UNREADABLE, AttestationRefused
from troth.enroll.attest.model import ANDROID_KEY, FORMATS, TPM, Check, Report, Result, Root, Roots, StatusList
from troth.enroll.attest.statement import Statement
from troth.enroll.attest.statuses import read_statuses
from troth.enroll.attest.store import AttestationStore, RootsVersion
from troth.kit.canonical import Json
from troth.kit.clock import Clock
from troth.pki.catalogue import Catalogue
from troth.pki.issuer_classes import IssuerClass
from troth.pki.store import CertificateStore
from troth.store.marks import MARK
from troth.store.pool import Database
from troth.store.unit import Unit

#: Roots of this installation's own making, by format: the attestation CA for TPMs.
OwnRoots: TypeAlias = "Callable[[], Awaitable[Mapping[str, tuple[Root, ...]]]]"


def own_roots(catalogue: Catalogue) -> OwnRoots:
    """The authorities that may certify attestation keys of TPMs: each for itself, not its root for all below."""

    async def own() -> Mapping[str, tuple[Root, ...]]:
        able = [
            one
            for one in catalogue.authorities.values()
            if one.kind == "issuing" and one.state != "planned" and IssuerClass.INFRASTRUCTURE in one.issuer_classes
        ]
        return {TPM: tuple(Root(one.x509, f"authority {one.slug}") for one in able)}

    return own


async def no_roots() -> Mapping[str, tuple[Root, ...]]:
    """For an installation that makes none."""
    return {}


class Attestations:
    """Roots, status lists and stored statements.

    Args:
        shipped: the makers' roots; None: those beside ``anchors``.
        own: roots that count beside the makers' and the operator's.
        most_age: a status list that is older is none.
    """

    def __init__(
        self,
        database: Database,
        clock: Clock,
        *,
        shipped: Roots | None = None,
        own: OwnRoots = no_roots,
        most_age: timedelta = timedelta(hours=24),
    ) -> None:
        self.store = AttestationStore(database)
        self.most_age = most_age
        self._database = database
        self._clock = clock
        self._shipped = shipped_roots() if shipped is None else shipped
        self._own = own
        self._certificates = CertificateStore(database)
        self._read: tuple[bytes, StatusList] | None = None

    # --- roots -------------------------------------------------------------------------------------------------

    async def roots(self) -> Roots:
        """The roots in force, by format."""
        now, replaced, added = self._clock.now(), {}, dict(await self._own())
        for kind, said in (await self.store.roots()).items():
            # They were judged when they were given; one that expired since vouches for nothing.
            found = read_roots(said.pem.encode(), origin=said.actor, at=said.at) if said.pem else ()
            found = tuple(one for one in found if one.certificate.not_valid_after_utc >= now)
            if said.shipped:
                added[kind] = (*added.get(kind, ()), *found)
            else:
                replaced[kind] = found
        return merged(self._shipped, replaced, added)

    async def set_roots(
        self, kind: str, pem: bytes, *, shipped: bool, actor: str, reason: str, joined: Unit | None = None
    ) -> RootsVersion:
        """Let a format's chains lead to these roots from now on, and to the shipped ones as well if ``shipped``.

        Empty ``pem`` with ``shipped`` is how it is at the beginning; without it the format is closed.
        Raises AttestationRefused.
        """
        if kind not in FORMATS:
            raise AttestationRefused(ROOT_UNREADABLE, f"{kind[:40]!r} is no format: {', '.join(FORMATS)}")
        now = self._clock.now()
        found = read_roots(pem, origin=actor, at=now) if pem.strip() else ()
        last = (await self.store.roots()).get(kind)
        text = pem.decode() if found else ""
        made = RootsVersion(kind, 1 if last is None else last.version + 1, shipped, text, reason, actor, now)
        unit = joined or Unit()
        unit.claim(
            store.SET_ROOTS, kind, made.version, shipped, text, reason, actor, now,
            refuse=AttestationRefused(ROOT_RACED), key=("attestation_roots", kind),
        )  # fmt: skip
        data: dict[str, Json] = {"format": kind, "version": made.version, "shipped": shipped, "reason": reason,
                "roots": [one.sha256 for one in found]}  # fmt: skip
        await self._database.commit(unit.record(Event("attestation.roots_set", actor, (), data)))
        return made

    async def held_against_own(self, statement: Statement, report: Report) -> Report:
        """``report``; of a statement that our own attestation CA vouches for, with the standing of that certificate.

        A certificate of an own authority counts only if we know that we issued it, and while it is good: whoever stole
        the authority's key attests nothing, and the attestation key of a device on hold attests nothing either.
        """
        own = {one.sha256 for one in (await self._own()).get(report.format, ())}
        if report.root is None or report.root[1] not in own:
            return report
        found = await self._certificates.by_sha256(hashlib.sha256(statement.chain[0]).digest())
        good = found is not None and found.state == "issued" and found.status == "good"
        got = "not issued here" if found is None else f"{found.state}, {found.status}"
        result = Result.PASSED if good else Result.FAILED
        return report.with_check(Check("chain.own", result, "issued here, and good", got, REVOKED))

    # --- status lists ------------------------------------------------------------------------------------------

    async def statuses(self) -> StatusList | None:
        """Android's list, as it was last fetched; whether it is fresh enough is the verifier's to say."""
        head = await self.store.status_head(ANDROID_KEY)
        if head is None:
            return None
        digest, fetched_at, _ = head
        if self._read is None or self._read[0] != digest:
            body = await self.store.status_body(ANDROID_KEY)
            if body is None:
                return None
            self._read = (digest, read_statuses(*body))
        return StatusList(self._read[1].entries, fetched_at, digest.hex())

    async def put_statuses(self, body: bytes, *, source: str, actor: str, fetched_at: datetime | None = None) -> int:
        """Take a status list in; how many certificates it lists. Raises AttestationRefused.

        Fetched again without a change, it becomes young again and nothing else is written.
        """
        now = fetched_at or self._clock.now()
        found = read_statuses(body, now)
        digest = hashlib.sha256(body).digest()
        before = await self.store.status_head(ANDROID_KEY)
        unit = Unit().write(store.PUT_STATUS, ANDROID_KEY, digest, body, now, source)
        unit.write(MARK, "attestation_status", now)
        if before is None or before[0] != digest:
            data: dict[str, Json] = {
                "format": ANDROID_KEY, "sha256": digest.hex(), "entries": len(found.entries), "source": source,
            }  # fmt: skip
            unit.record(Event("attestation.status_list", actor, (), data))
        await self._database.commit(unit)
        return len(found.entries)

    async def forget(self, keep: timedelta) -> None:
        """Drop what is older: reports, and statements that were refused. What an issuance rests on stays."""
        before = self._clock.now() - keep
        await self._database.commit(Unit().write(store.FORGET_REFUSED, before).write(store.FORGET_REPORTS, before))
