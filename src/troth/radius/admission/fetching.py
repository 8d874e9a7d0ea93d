"""Fetching others' revocation lists: the worker's duty, far from anybody who waits to be let in.

1. Sources are what networks name (``foreign: crls:``), and, with ``distribution_points: true``, what certificates of
   strangers whose path holds name themselves; a RADIUS worker writes those down behind its answers.
2. What is due is asked for through the guarded client: only hosts on the egress allow-list, no redirect, so many octets
   at most. A list that is there already is not sent again (RFC 9110, 13: ``If-None-Match``, ``If-Modified-Since``).
3. What comes is judged as if it had been handed over: complete, signed by its issuer, below its anchor, in force, and
   of a higher number than the one there is. Anything else leaves that one in force until it ends by itself; what then
   happens is the network's word (``revocation: closed`` or ``open``).
4. The next look is after ``crl_every``, or at half of what the list has left. What fails is tried again after a
   minute, two, four … up to ``crl_every``.
"""

from __future__ import annotations

import random
import re
from base64 import b64decode
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final, Protocol

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from troth.kit.clock import Clock
from troth.kit.errors import TrothError
from troth.kit.http import Answer
from troth.kit.log import get_logger
from troth.radius.admission import network_store, source_store
from troth.radius.admission.document import NetworkDefinition, crl_every
from troth.radius.admission.errors import CRL_REFUSED, CRL_UNFETCHED, NetworkError
from troth.radius.admission.lists import ForeignLists
from troth.radius.admission.source_store import Source
from troth.store.errors import StoreError
from troth.store.pool import Database
from troth.store.unit import Unit

log = get_logger("radius")

_ACTOR: Final = "system:radius"
#: Longer than one exchange and one verification can take; of a worker that died, another takes it up after it.
_LEASE: Final = timedelta(minutes=5)
#: In one go.
_MOST: Final = 16
SOONEST: Final = timedelta(minutes=5)
_FIRST_PAUSE: Final = timedelta(minutes=1)
#: What a certificate named and never gave a list is forgotten.
_HOPELESS: Final = timedelta(days=7)
_PEM: Final = re.compile(rb"\s*-----BEGIN X509 CRL-----([A-Za-z0-9+/=\s]+)-----END X509 CRL-----\s*\Z")


class Gets(Protocol):
    """The guarded client."""

    async def request(
        self, method: str, url: str, *, headers: Mapping[str, str] | None = None, body: bytes = b""
    ) -> Answer:
        """One exchange. Raises EgressRefused, HttpFailed."""
        ...


class ListFetcher:
    """See the module."""

    def __init__(self, database: Database, clock: Clock, http: Gets) -> None:
        self._database = database
        self._clock = clock
        self._http = http
        self._lists = ForeignLists(database, clock)

    async def run_once(self) -> None:
        """Look at what is due. Raises StoreError."""
        if not await self._settle():
            return
        for _ in range(_MOST):
            now = self._clock.now()
            source = await source_store.claim(self._database, now=now, until=now + _LEASE)
            if source is None:
                return
            await self._look(source)

    async def _settle(self) -> bool:
        """Bring the sources into the form that the networks have them in; whether there are any."""
        definitions = [one.definition for one in await network_store.networks(self._database)]
        present = await source_store.sources(self._database)
        wanted = {key: value for one in definitions for key, value in declared(one).items()}
        pointed = {name for one in definitions if _follows(one) for name in one.anchors}
        now, unit = self._clock.now(), Unit()
        known = {(one.anchor, one.url): one for one in present}
        for (anchor, url), (issuers, every) in sorted(wanted.items()):
            there = known.get((anchor, url))
            if there is None or (there.origin, there.issuers, there.every) != ("document", issuers, every):
                source_store.declare(unit, anchor, url, issuers, every=every, at=now)
        gone = [
            key
            for key, one in known.items()
            if key not in wanted
            and (
                one.origin == "document"
                or one.anchor not in pointed
                or (one.checked_at is None and now - one.found_at > _HOPELESS)
            )
        ]
        source_store.forget(unit, gone)
        if unit.writes:
            await self._database.commit(unit)
        return bool(wanted or known)

    async def _look(self, source: Source) -> None:
        try:
            await self._fetch(source)
        except StoreError:
            raise
        except TrothError as error:
            said, unit = f"{error.detail} [{error.code}]", Unit()
            pause = min(max(source.every, SOONEST), _FIRST_PAUSE * 2 ** min(source.failures, 10))
            source_store.failed(unit, source, said, due=self._clock.now() + _about(pause))
            await self._database.commit(unit)
            if said != source.error:
                log.warning("admission.crl_unfetched", anchor=source.anchor, url=source.url, error=said)

    async def _fetch(self, source: Source) -> None:
        """Ask one. Raises TrothError for whatever leaves the list that is there in force."""
        headers = {}
        if source.issuer is not None and source.etag:
            headers["if-none-match"] = source.etag
        if source.issuer is not None and source.modified:
            headers["if-modified-since"] = source.modified
        answer = await self._http.request("GET", source.url, headers=headers)
        now = self._clock.now()
        if answer.status == 304 and headers and source.issuer is not None:
            head = await network_store.crl_head(self._database, source.issuer)
            if head is None or head.next_update <= now:
                raise NetworkError(CRL_UNFETCHED, "the server has nothing newer, and its list has ended")
            await self._confirmed(source, source.issuer, source.etag, source.modified, head.next_update)
            return
        if answer.status != 200:
            raise NetworkError(CRL_UNFETCHED, f"answered {answer.status}")
        der = _der(answer.body)
        made = await self._lists.read(source.anchor, der, source.issuers)
        etag, modified = answer.headers.get("etag", ""), answer.headers.get("last-modified", "")
        head = await network_store.crl_head(self._database, made.issuer)
        if head is not None and (head.number, head.this_update) == (made.number, made.this_update):
            await self._confirmed(source, made.issuer, etag, modified, made.next_update)
            return
        if head is not None and made.number <= head.number:
            raise NetworkError(CRL_REFUSED, f"its number is {made.number}, and number {head.number} is in force")
        unit = Unit()
        source_store.confirmed(
            unit, source, made.issuer, etag=etag, modified=modified, at=now,
            due=_next(source.every, made.next_update, now),
        )  # fmt: skip
        await self._lists.keep(made, source.anchor, der, actor=_ACTOR, joined=unit)
        log.info(
            "admission.crl_fetched", anchor=source.anchor, url=source.url, number=made.number, entries=made.entries
        )

    async def _confirmed(self, source: Source, issuer: bytes, etag: str, modified: str, ends: datetime) -> None:
        now, unit = self._clock.now(), Unit()
        due = _next(source.every, ends, now)
        source_store.confirmed(unit, source, issuer, etag=etag, modified=modified, at=now, due=due)
        await self._database.commit(unit)


def declared(one: NetworkDefinition) -> Mapping[tuple[str, str], tuple[tuple[bytes, ...], timedelta]]:
    """(anchor, address) → (issuers, how often), of what a network names itself."""
    if one.foreign is None:
        return {}
    every = crl_every(one)
    return {
        (named.anchor or one.anchors[0], named.url): (
            tuple(
                certificate.public_bytes(Encoding.DER)
                for text in named.issuers
                for certificate in x509.load_pem_x509_certificates(text.encode())
            ),
            every,
        )
        for named in one.foreign.crls
    }


def _follows(one: NetworkDefinition) -> bool:
    return one.foreign is not None and one.foreign.distribution_points


def _next(every: timedelta, ends: datetime, now: datetime) -> datetime:
    return now + _about(max(SOONEST, min(every, (ends - now) / 2)))


def _about(pause: timedelta) -> timedelta:
    """A tenth less at most, so that not all come to ask at once."""
    return pause * random.uniform(0.9, 1.0)  # noqa: S311 -- jitter is no secret


def _der(body: bytes) -> bytes:
    """Servers that send PEM in spite of RFC 5280, 4.2.1.13 are understood."""
    found = _PEM.match(body)
    try:
        return b64decode(found[1]) if found is not None else body
    except ValueError as error:
        raise NetworkError(CRL_REFUSED, "it is no revocation list") from error
