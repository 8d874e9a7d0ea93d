"""A certificate for each workload that somebody waits for, and word of every change.

:meth:`Svids.watch` counts who waits for a workload; :meth:`Svids.tick` does what is due: fetch, renew at half of the
life with the old one kept until its end, ask the server whether what is handed out is still in force, let go of what
nobody waits for. A key is made for each certificate, lives in memory alone and is never used twice.

The clock that counts is the wall's, since certificates end by it; a clock that jumps forward ends them early, one that
jumps back delays a renewal by at most the jump, and the server's word (``standing``) ends them whatever our clock says.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Protocol

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from troth.agent.door.client import Refused
from troth.agent.door.errors import SERVER
from troth.agent.errors import AgentError
from troth.agent.spiffe.messages import X509Svid
from troth.agent.spiffe.settings import WorkloadSettings
from troth.client.csr import certificate_request
from troth.client.jose import b64url_encode
from troth.kit.clock import Clock
from troth.kit.log import get_logger

log = get_logger("agent")

#: Pauses after a failure double up to this.
_LONGEST_PAUSE = timedelta(minutes=1)
_FIRST_PAUSE = timedelta(seconds=1)
#: A refusal is asked about again after this: policy, standing or directory may have changed.
_AFTER_REFUSAL = timedelta(seconds=15)


class Asks(Protocol):
    """The server's door."""

    async def ask(self, path: str, payload: Mapping[str, Any]) -> dict[str, Any]:
        """Its answer. Raises Refused, Unavailable, AgentError."""
        ...


@dataclass(frozen=True, slots=True)
class Live:
    """What is handed out.

    Attributes:
        renew_at: half of its life.
    """

    svid: X509Svid
    sha256: str
    not_after: datetime
    renew_at: datetime
    selectors: frozenset[str]


@dataclass(slots=True)
class _Workload:
    settings: WorkloadSettings
    watchers: int = 0
    live: Live | None = None
    refused: str = ""
    failed: str = ""
    due: datetime | None = None
    pause: timedelta = _FIRST_PAUSE
    selectors: frozenset[str] = frozenset()


@dataclass(slots=True)
class _News:
    event: asyncio.Event = field(default_factory=asyncio.Event)


class Svids:
    """See the module. Belongs to one event loop."""

    def __init__(
        self,
        door: Asks,
        clock: Clock,
        workloads: tuple[WorkloadSettings, ...],
        *,
        poll: timedelta,
        heard: Callable[[Mapping[str, Any]], bool] = lambda _: False,
        ended: Callable[[str], None] = lambda _: None,
    ) -> None:
        """``heard`` is told each answer of the server and says whether that is news, ``ended`` each workload whose
        certificate is taken away."""
        self._heard = heard
        self._ended = ended
        self._door = door
        self._clock = clock
        self._workloads = {one.name: _Workload(one) for one in workloads}
        self._poll = poll
        self._polled = clock.now() - poll
        self._roots: tuple[bytes, ...] = ()
        self._news = _News()
        self.wanted = asyncio.Event()

    # --- for those who wait -------------------------------------------------------------------------------------------

    @contextmanager
    def watch(self, names: frozenset[str], selectors: frozenset[str]) -> Iterator[None]:
        """Have certificates for ``names`` as long as the block runs."""
        for name in names:
            self._workloads[name].watchers += 1
            self._workloads[name].selectors = selectors
        self.wanted.set()
        try:
            yield
        finally:
            for name in names:
                self._workloads[name].watchers -= 1

    def live(self, names: frozenset[str]) -> list[X509Svid]:
        """What there is for ``names``, in the order of the configuration."""
        return [
            one.live.svid
            for name, one in self._workloads.items()
            if name in names and one.live is not None and one.live.not_after > self._clock.now()
        ]

    def settled(self, names: frozenset[str]) -> bool:
        """Whether each of them has an answer, whichever: a first message should not lack an identity by haste."""
        found = (self._workloads[name] for name in names)
        return all(one.live is not None or one.refused or one.failed for one in found)

    def refused(self, names: frozenset[str]) -> bool:
        """Whether the server refuses all of them."""
        return all(self._workloads[name].refused for name in names)

    def failure(self, names: frozenset[str]) -> str:
        """Why there is nothing yet; empty while nothing has failed."""
        return next((one.failed for name, one in self._workloads.items() if name in names and one.failed), "")

    @property
    def news(self) -> asyncio.Event:
        """Set at the next change, of whatever workload."""
        return self._news.event

    def status(self) -> dict[str, object]:
        """Of each workload: until when, and what is wrong."""
        return {
            name: {
                "watchers": one.watchers,
                "spiffe_id": one.live.svid.spiffe_id if one.live else None,
                "not_after": one.live.not_after.isoformat() if one.live else None,
                "trouble": one.refused or one.failed or None,
            }
            for name, one in self._workloads.items()
        }

    # --- the work -----------------------------------------------------------------------------------------------------

    async def run(self, stop: asyncio.Event) -> None:
        """Tick every second and whenever somebody comes, until ``stop``."""
        stopping = asyncio.create_task(stop.wait())
        try:
            while not stop.is_set():
                await self.tick()
                self.wanted.clear()
                coming = asyncio.create_task(self.wanted.wait())
                await asyncio.wait((stopping, coming), timeout=1.0, return_when=asyncio.FIRST_COMPLETED)
                coming.cancel()
        finally:
            stopping.cancel()

    async def tick(self) -> None:
        """Do what is due now."""
        now = self._clock.now()
        await self._look(now)
        for one in self._workloads.values():
            if one.live is not None and one.live.not_after <= now:
                one.live = None
                self._tell()
            if one.watchers == 0 and not self._waits(one, now):
                # Nobody waits: what is there ends by itself, and nothing is fetched in its place. A refusal is kept
                # for its time, or a caller that comes again and again would have the server asked each time.
                one.refused = one.failed = ""
                one.due = None
        due = [one for one in self._workloads.values() if one.watchers and self._is_due(one, now)]
        await asyncio.gather(*(self._fetch(one) for one in due))

    def _is_due(self, one: _Workload, now: datetime) -> bool:
        if one.due is not None:
            return not self._waits(one, now)
        return one.live is None or now >= one.live.renew_at

    def _waits(self, one: _Workload, now: datetime) -> bool:
        """Whether it is too early to ask again after a failure; a clock that was set back does not make it longer."""
        return one.due is not None and timedelta(0) < one.due - now <= _LONGEST_PAUSE

    async def _fetch(self, one: _Workload) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        payload: dict[str, Any] = {
            "workload": one.settings.name,
            "csr": b64url_encode(certificate_request(key)),
            "selectors": sorted(one.selectors)[:64],
        }
        if one.settings.lifetime_seconds:
            payload["lifetime_seconds"] = one.settings.lifetime_seconds
        try:
            said = await self._door.ask("/workload/svid", payload)
            one.live = self._live(said, key, one)
            self._heard(said)
        except AgentError as error:
            if isinstance(error, Refused) and error.facts.get("status", 403) == 403:
                self._end(one, str(error.facts.get("code", error.code)))
                return
            log.warning("svid.failed", workload=one.settings.name, code=error.code, detail=error.detail)
            one.failed, one.due = error.detail, self._clock.now() + one.pause
            one.pause = min(one.pause * 2, _LONGEST_PAUSE)
            self._tell()
        else:
            one.refused = one.failed = ""
            one.due, one.pause = None, _FIRST_PAUSE
            log.info("svid.fetched", spiffe_id=one.live.svid.spiffe_id, not_after=one.live.not_after.isoformat())
            self._tell()

    def _live(self, said: Mapping[str, Any], key: ec.EllipticCurvePrivateKey, one: _Workload) -> Live:
        """What the server said, held against what was asked. Raises AgentError."""
        chain, roots = _octets(said, "chain"), _octets(said, "roots")
        try:
            leaf = x509.load_der_x509_certificate(chain[0])
            names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
            uris = names.get_values_for_type(x509.UniformResourceIdentifier)
            same = leaf.public_key() == key.public_key()
        except (ValueError, IndexError, x509.ExtensionNotFound, x509.InvalidVersion, TypeError) as error:
            raise AgentError(SERVER, f"the answer holds no certificate: {error}") from error
        now, until = self._clock.now(), leaf.not_valid_after_utc
        if not same or len(uris) != 1 or not uris[0].startswith("spiffe://") or until <= now or not roots:
            raise AgentError(SERVER, "the answer is no SVID for the key that was sent, in date by this host's clock")
        self._roots = roots
        svid = X509Svid(
            uris[0], chain, key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()), roots,
            one.settings.name,
        )  # fmt: skip
        digest = hashlib.sha256(chain[0]).hexdigest()
        return Live(svid, digest, until, now + (until - now) / 2, one.selectors)

    async def _look(self, now: datetime) -> None:
        """Ask whether all that is handed out is in force, and for the roots."""
        live = {one.live.sha256: one for one in self._workloads.values() if one.live is not None}
        if not live or abs(now - self._polled) < self._poll:
            return
        self._polled = now
        try:
            said = await self._door.ask("/workload/standing", {"certificates": sorted(live)})
        except AgentError as error:
            if isinstance(error, Refused) and error.facts.get("status", 403) == 403:
                # The agent itself is not heard any more: held, revoked or removed. Nothing that it brought in stays.
                for one in live.values():
                    self._end(one, str(error.facts.get("code", error.code)))
                return
            log.warning("svid.standing_unknown", code=error.code, detail=error.detail)
            return
        if self._heard(said):
            self._tell()
        ended = said.get("ended")
        for digest in ended if isinstance(ended, list) else ():
            if digest in live:
                self._end(live[digest], "not in force any more")
        self._take_roots(_octets(said, "roots"))

    def _take_roots(self, roots: tuple[bytes, ...]) -> None:
        if not roots or roots == self._roots:
            return
        self._roots = roots
        for one in self._workloads.values():
            if one.live is not None:
                old, svid = one.live, one.live.svid
                fresh = X509Svid(svid.spiffe_id, svid.chain, svid.key, roots, svid.hint)
                one.live = Live(fresh, old.sha256, old.not_after, old.renew_at, old.selectors)
        log.info("svid.roots_changed", roots=len(roots))
        self._tell()

    def _end(self, one: _Workload, why: str) -> None:
        log.warning("svid.ended", workload=one.settings.name, why=why)
        self._ended(one.settings.name)
        one.live, one.refused, one.failed = None, why, ""
        one.due = self._clock.now() + _AFTER_REFUSAL
        self._tell()

    def _tell(self) -> None:
        told, self._news.event = self._news.event, asyncio.Event()
        told.set()


def _octets(said: Mapping[str, Any], member: str) -> tuple[bytes, ...]:
    """A member with certificates in base64. Raises AgentError."""
    found = said.get(member)
    if not isinstance(found, list) or not all(isinstance(one, str) for one in found):
        raise AgentError(SERVER, f"the answer has no {member}")
    try:
        return tuple(base64.b64decode(one, validate=True) for one in found)
    except (binascii.Error, ValueError) as error:
        raise AgentError(SERVER, f"{member} is no base64") from error
