"""One OCSP request, one answer (RFC 6960, RFC 5019): signed live from what is known now.

In order: the authority in the URL, the request's bytes, whether it asks about that authority at all, whether this
worker may vouch for anything, the responder, the statuses, and only then a signature. Whatever fails on the way is
one of the unsigned answers, which say nothing about any certificate.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Protocol

from troth.kit.clock import Clock
from troth.kit.errors import Reason, TrothError
from troth.kit.log import get_logger
from troth.pki.authorities import Authority
from troth.pki.errors import OcspMalformed
from troth.pki.fence import in_doubt
from troth.pki.fence_store import FenceRow
from troth.pki.ocsp import (
    GOOD,
    MALFORMED_REQUEST,
    TRY_LATER,
    UNAUTHORIZED,
    UNKNOWN,
    CertId,
    IssuerIds,
    OcspRequest,
    Verdict,
    parse_request,
)
from troth.status.errors import BUSY, LAPSED, RESPONDER_MISSING, UNSURE, StatusUnavailable
from troth.status.lookups import Lookups
from troth.status.model import Entry, Found
from troth.status.responders import ActiveResponder, ActiveResponders
from troth.status.table import StatusTable

log = get_logger("status")

#: Clients without a nonce ask with the same bytes again and again. Short ones only: strangers fill this cache.
_SHORT = 256
_parse_short = lru_cache(maxsize=4096)(parse_request)


class Vouching(Protocol):
    """The lease on the trust stream (``troth.audit.stream.StreamPoint``)."""

    @property
    def live(self) -> bool:
        """Whether this worker may vouch for what it holds."""
        ...

    async def current(self, seconds: float) -> bool:
        """Wait until it may; False: not within ``seconds``."""
        ...


@dataclass(frozen=True, slots=True)
class Answer:
    """An OCSPResponse.

    Attributes:
        der: its bytes.
        signed_at: None for an unsigned answer, which nobody may cache.
        fresh: it echoes a nonce, and so is for one client only.
    """

    der: bytes
    signed_at: datetime | None = None
    fresh: bool = False


#: As of a serial number that was burnt.
_CESSATION_OF_OPERATION = 5
_MALFORMED = Answer(MALFORMED_REQUEST)
_UNAUTHORIZED = Answer(UNAUTHORIZED)
_TRY_LATER = Answer(TRY_LATER)


class OcspService:
    """See the module. ``counts`` has what was answered: ``good``, ``revoked``, ``unknown``, ``try_later`` …

    Args:
        patience: how long an answer waits for the database, and for a lease that has lapsed; a client that would wait
            longer is better told to try later.
    """

    def __init__(
        self,
        *,
        table: StatusTable,
        lookups: Lookups,
        responders: ActiveResponders,
        point: Vouching,
        clock: Clock,
        validity: timedelta,
        patience: timedelta,
    ) -> None:
        self._table = table
        self._lookups = lookups
        self._responders = responders
        self._point = point
        self._clock = clock
        self._validity = validity
        self._patience = patience.total_seconds()
        self._issuers: dict[str, IssuerIds] = {}
        self._since: dict[str, datetime] = {}
        #: As it was read last; the worker replaces it (``troth.pki.fence`` says what it means for an answer).
        self.fence = FenceRow()
        self.counts: Counter[str] = Counter()

    def serve(self, authorities: Mapping[str, Authority]) -> None:
        """Answer for these from now on (those that have ever been active)."""
        # Rows of expired certificates are kept for good, so status reaches back to the authority's beginning.
        self._since = {slug: authority.x509.not_valid_before_utc for slug, authority in authorities.items()}
        self._issuers = {
            slug: IssuerIds(authority.x509) for slug, authority in authorities.items() if authority.state != "planned"
        }

    async def answer(self, slug: str, body: bytes) -> Answer:
        """The answer to the OCSPRequest ``body`` (DER) at the URL of authority ``slug``."""
        issuer = self._issuers.get(slug)
        if issuer is None:
            return self._unsigned("unauthorized", _UNAUTHORIZED)
        try:
            request = _parse_short(body) if len(body) <= _SHORT else parse_request(body)
        except OcspMalformed:
            return self._unsigned("malformed", _MALFORMED)
        ours = [cert_id for cert_id in request.cert_ids if issuer.match(cert_id)]
        if not ours:
            return self._unsigned("unauthorized", _UNAUTHORIZED)
        try:
            return await self._signed(slug, request, ours)
        except TrothError as error:
            log.debug("ocsp.try_later", authority=slug, code=error.code, detail=error.detail)
            return self._unsigned("try_later", _TRY_LATER)

    def trouble(self, authorities: Mapping[str, Authority]) -> dict[str, Reason]:
        """Why answers are missing now: by authority, or ``""`` for all of them."""
        if not self._point.live:
            return {"": LAPSED}
        now = self._clock.now()
        wanted = [one.slug for one in authorities.values() if one.ocsp_url is not None and one.state == "active"]
        return {slug: RESPONDER_MISSING for slug in wanted if self._responders.current(slug, now) is None}

    async def _signed(self, slug: str, request: OcspRequest, ours: Sequence[CertId]) -> Answer:
        deadline = self._clock.monotonic() + self._patience
        await self._vouch(deadline)
        found = await self._look_up([one.serial for one in ours if self._table.find(one.serial) is None])
        while not self._point.live:
            await self._vouch(deadline)
            # What the table has learnt or forgotten meanwhile counts.
            found = await self._look_up([one.serial for one in ours if self._table.find(one.serial) is None])
        # From here to the signature nothing waits: what is told is what the table knows at this moment.
        now = self._clock.now()
        responder = self._responder(slug, now)
        mine = {one.serial: self._verdict(slug, one.serial, found, now) for one in ours}
        answers = [(one, mine[one.serial] if one in ours else UNKNOWN) for one in request.cert_ids]
        for _, verdict in answers:
            self.counts[verdict.status] += 1
        der = responder.writer.response(
            answers,
            nonce=request.nonce,
            produced_at=now,
            this_update=now,
            # An answer must not outlive the certificate that it is verified with.
            next_update=min(now + self._validity, responder.not_after),
        )
        return Answer(der, now, request.nonce is not None)

    async def _vouch(self, deadline: float) -> None:
        """Wait until this worker may vouch for what it holds: a busy machine misses a renewal now and then."""
        if not self._point.live and not await self._point.current(deadline - self._clock.monotonic()):
            raise StatusUnavailable(LAPSED)

    async def _look_up(self, serials: Sequence[bytes]) -> dict[bytes, Found | None]:
        """Rows for ``serials``. Raises StatusUnavailable, StoreError."""
        if not serials:
            return {}
        try:
            async with asyncio.timeout(self._patience):
                rows = await asyncio.gather(*(self._lookups.find(serial) for serial in serials))
        except TimeoutError:
            raise StatusUnavailable(BUSY, "the database took too long") from None
        return dict(zip(serials, rows, strict=True))

    def _verdict(self, slug: str, serial: bytes, found: Mapping[bytes, Found | None], now: datetime) -> Verdict:
        entry: Entry | None
        if serial in found:
            entry = self._table.settle(found[serial])
        else:
            entry = self._table.find(serial)
            if entry is None:
                # It was in the table a moment ago and has been released, or pushed out, while others were looked up.
                raise StatusUnavailable(BUSY, "the status changed while it was being told")
        revoked = entry is not None and entry.status != "good" and entry.authority == slug
        if self.fence.closed and not revoked:
            raise StatusUnavailable(UNSURE)
        if entry is None and self.fence.state == "revoked" and in_doubt(self.fence, serial):
            return Verdict("revoked", self.fence.settled_at, _CESSATION_OF_OPERATION)
        if entry is None or entry.authority != slug:
            return UNKNOWN
        archive = self._since.get(slug) if entry.not_after <= now else None
        if entry.status == "good":
            return GOOD if archive is None else Verdict("good", archive=archive)
        return Verdict("revoked", entry.at, entry.reason, archive)

    def _responder(self, slug: str, now: datetime) -> ActiveResponder:
        found = self._responders.current(slug, now)
        if found is None:
            raise StatusUnavailable(RESPONDER_MISSING, f"authority {slug}")
        own = self._table.find(found.serial)
        if own is not None and own.status != "good":
            # No client can learn it (ocsp-nocheck), so it is for us not to use it.
            raise StatusUnavailable(RESPONDER_MISSING, f"the responder of {slug} is itself {own.status}")
        return found

    def _unsigned(self, result: str, answer: Answer) -> Answer:
        self.counts[result] += 1
        return answer
