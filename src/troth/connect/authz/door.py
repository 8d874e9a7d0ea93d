"""Who asks, how often he may, and what he is answered: what both dialects share."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import ipaddress
from dataclasses import dataclass
from typing import Final
from uuid import UUID

import msgspec

from troth.connect.authz.applications import PREFIX, Applications
from troth.connect.authz.errors import (
    CALLER_UNKNOWN,
    NO_PROFILE,
    NOT_ACCEPTED,
    TOO_MANY,
    UNDECIDED,
    AuthzError,
)
from troth.connect.authz.store import Application
from troth.kit.canonical import Json
from troth.kit.clock import Clock
from troth.kit.errors import TrothError
from troth.kit.lane import Request, Response
from troth.kit.log import get_logger
from troth.kit.problems import problem
from troth.kit.waiting import until_set
from troth.store.errors import StoreError
from troth.trust.connecting.connections import Admission, Asking, Connections
from troth.trust.decision.question import Given
from troth.trust.errors import SUBJECT_NOT_FOUND, JournalError
from troth.trust.model import Kind, Obligations, Outcome
from troth.trust.subjects.store import SubjectStore

log = get_logger("connect")

PROBLEM = ((b"content-type", b"application/problem+json"), (b"cache-control", b"no-store"))
JSON = ((b"content-type", b"application/json"), (b"cache-control", b"no-store"))

#: Seconds between two writes of the counters.
_COUNT_PACE: Final = 5.0


@dataclass(frozen=True, slots=True)
class Answer:
    """Whether somebody is let in there, and what is told of it."""

    permits: bool
    admission: Admission

    @property
    def decision(self) -> UUID | None:
        """The decision that determined it, where policy was asked."""
        deciding = self.admission.deciding
        return deciding.id if deciding is not None else None


class Caller:
    """Proves applications, holds their limits, counts their answers. Belongs to one event loop."""

    def __init__(self, applications: Applications, clock: Clock) -> None:
        self._applications = applications
        self._clock = clock
        #: application → (tokens left, monotonic seconds when that was so)
        self._buckets: dict[UUID, tuple[float, float]] = {}
        self._counts: dict[tuple[UUID, str], int] = {}

    async def prove(self, request: Request) -> Application:
        """The application that asks. Raises AuthzError.

        Its token stands in ``x-troth-token``, or as bearer in ``authorization``: a proxy passes its client's own
        ``authorization`` on, and then has no room there. Two tokens of ours that differ are believed neither: one of
        them is the client's, who may hold that of an application that is let in more easily.
        """
        token = request.headers.get("x-troth-token", "")
        scheme, _, bearer = request.headers.get("authorization", "").partition(" ")
        bearer = bearer.strip() if scheme.lower() == "bearer" else ""
        if not token:
            token = bearer
        elif bearer.startswith(PREFIX) and not hmac.compare_digest(bearer.encode(), token.encode()):
            raise AuthzError(CALLER_UNKNOWN)
        try:
            found = await self._applications.believe(token) if token else None
        except StoreError as error:
            raise AuthzError(UNDECIDED) from error
        if found is None:
            raise AuthzError(CALLER_UNKNOWN)
        if found.certificate_sha256 is not None:
            own = hashlib.sha256(request.tls_client_cert or b"").digest()
            if request.tls_client_cert is None or not hmac.compare_digest(own, found.certificate_sha256):
                raise AuthzError(CALLER_UNKNOWN)
        return found

    def take(self, application: Application, number: int = 1) -> None:
        """Take ``number`` of what it may ask; a second's worth may be saved up. Raises AuthzError."""
        if not application.per_second:
            return
        now, most = self._clock.monotonic(), float(application.per_second)
        left, at = self._buckets.get(application.id, (most, now))
        left = min(most, left + (now - at) * most)
        if left < number:
            self._buckets[application.id] = (left, now)
            raise AuthzError(TOO_MANY)
        self._buckets[application.id] = (left - number, now)

    def count(self, application: Application, result: str) -> None:
        """One answer more; ``result`` is a word of ours."""
        key = (application.id, result)
        self._counts[key] = self._counts.get(key, 0) + 1

    async def flush(self) -> None:
        """Write what was counted; what cannot be written is kept."""
        counts, self._counts = self._counts, {}
        if not counts:
            return
        try:
            await self._applications.count(counts)
        except StoreError as error:
            log.warning("authz.counts_postponed", error=str(error))
            for key, number in counts.items():
                self._counts[key] = self._counts.get(key, 0) + number

    async def run(self, stop: asyncio.Event) -> None:
        """Write the counters now and then, until told to stop."""
        while not stop.is_set():
            await until_set(stop, _COUNT_PACE)
            await self.flush()


class Gate:
    """Asks the judge on behalf of an application."""

    def __init__(self, connections: Connections, subjects: SubjectStore) -> None:
        self._connections = connections
        self._subjects = subjects

    async def certificate(self, application: Application, sha256: bytes, asking: Asking) -> Answer:
        """Whoever has shown the application the certificate with this SHA-256. Raises AuthzError (undecided)."""
        try:
            admission = await self._connections.by_certificate(sha256, asking)
        except (StoreError, JournalError) as error:
            raise AuthzError(UNDECIDED, error.code) from error
        asked = {one.asked for one in admission.decisions}
        if application.profiles and asked and not asked <= set(application.profiles):
            admission = Admission(
                Outcome.DENY, NOT_ACCEPTED.code, Obligations(), admission.decisions, admission.subjects
            )
        return _answer(application, admission)

    async def subject(self, application: Application, kind: str, name: str, asking: Asking) -> Answer:
        """A subject that the application has authenticated itself. Raises AuthzError (undecided)."""
        if application.profile is None:
            return _answer(application, Admission(Outcome.DENY, NO_PROFILE.code, Obligations()))
        try:
            known = {one.value for one in Kind}
            found = await self._subjects.find(Kind(kind), name) if kind in known else None
            if found is None:
                return _answer(application, Admission(Outcome.DENY, SUBJECT_NOT_FOUND.code, Obligations()))
            return _answer(application, await self._connections.by_subject(found, application.profile, asking))
        except (StoreError, JournalError) as error:
            raise AuthzError(UNDECIDED, error.code) from error


def _answer(application: Application, admission: Admission) -> Answer:
    """Quarantine is a place in a network; an application has none, so it is no entry there."""
    worst = Outcome.ALLOW if application.least == "allow" else Outcome.RESTRICT
    # Whatever would have to be approved first is not approved here.
    permits = admission.outcome <= worst and admission.obligations.approval is None
    return Answer(permits, admission)


def asking_of(
    application: Application, *, action: str = "", resource_type: str = "", resource: str = "", address: str = ""
) -> Asking:
    """The question in the judge's words; an address that is none is left out."""
    request: dict[str, Given] = {"protocol": "application"}
    try:
        request["address"] = str(ipaddress.ip_address(address))
    except ValueError:
        pass
    told = {"name": application.name, "action": action, "resource_type": resource_type, "resource": resource}
    return Asking(
        f"application:{application.name}", request, {name: text for name, text in told.items() if text},
        refs=(application.ref,),
    )  # fmt: skip


#: Names in :func:`obligations`.
DUTIES: Final = ("network", "role", "vlan", "acl", "session_seconds")


def obligations(given: Obligations) -> dict[str, Json]:
    """Obligations as JSON; times in whole seconds."""
    found: dict[str, Json] = {name: value for name in DUTIES[:4] if (value := getattr(given, name)) is not None}
    lengths = [one for one in (given.session_time, given.lifetime) if one is not None]
    if lengths:
        found["session_seconds"] = int(min(lengths).total_seconds())
    return found


def refusal(error: TrothError, *headers: tuple[bytes, bytes]) -> Response:
    """A question that was not answered, as a problem document."""
    extra = ((b"retry-after", b"1"),) if error.reason.status in (429, 503) else ()
    challenge = ((b"www-authenticate", b'Bearer realm="troth"'),) if error.reason.status == 401 else ()
    return Response(
        error.reason.status, problem(error.reason, error.detail), (*PROBLEM, *extra, *challenge, *headers)
    )  # fmt: skip


def as_json(value: object, *headers: tuple[bytes, bytes], status: int = 200) -> Response:
    """``value`` as JSON."""
    return Response(status, msgspec.json.encode(value), (*JSON, *headers))
