"""What this process holds in memory about whoever shows a certificate, so that a connection waits for no database.

An entry is a certificate with its subjects and all that is known of them. It may answer only while this process is
*current*: it has read the trust stream to its end less than a second ago (a lease, counted from before that look). Any
event about the certificate or its subjects forgets it, and what no event tells (that a fact was observed anew) is read
again in the background every few seconds. Where an entry may not answer, the database is asked, or nobody is let in.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from troth.audit.event import StreamEvent
from troth.kit.clock import Clock
from troth.kit.log import get_logger
from troth.pki.model import CertificateRecord
from troth.pki.store import CertificateStore
from troth.store.unit import Reader
from troth.trust.decision.decide import Judge
from troth.trust.model import Subject
from troth.trust.policy.compiled import Policy
from troth.trust.subjects.facts import Observation
from troth.trust.subjects.store import SubjectStore
from troth.trust.vocabulary import GATHERED_ROOTS

log = get_logger("trust")

#: Seconds for which one look at the end of the stream vouches.
LEASE = 1.0
#: After so many seconds an entry is read anew behind the answer; after so many it does not answer any more.
REFRESH, KEEP = 10.0, 60.0
#: It is kept current for so long after somebody has asked.
WANTED = 60.0
CAPACITY = 50_000
#: First words of the events that are about certificates or what is known of subjects.
ROOMS = frozenset({"certificate", "standing", "subject", "fact", "cause", "directory", "exemption"})


@dataclass(frozen=True, slots=True)
class Known:
    """One certificate, as it was read.

    Attributes:
        subjects: whom it speaks for; without them it lets nobody in.
        said: what sources say of them and of their owners.
        policy: that governed its profile when it was read.
        at: monotonic seconds before it was read.
    """

    certificate: CertificateRecord
    subjects: tuple[Subject, ...]
    said: tuple[Observation, ...]
    policy: Policy | None
    at: float

    @property
    def refs(self) -> frozenset[str]:
        """What an event about it refers to."""
        people = {one.id for subject in self.subjects for one in (subject, subject.owner) if one is not None}
        return frozenset({f"certificate:{self.certificate.id}", *(f"subject:{one}" for one in people)})


class Presence:
    """See the module. Belongs to one event loop."""

    def __init__(
        self, reader: Reader, judge: Judge, clock: Clock, *, capacity: int = CAPACITY, lease: float = LEASE
    ) -> None:
        #: Called when somebody asks after nobody has for long: from then on it is worth to be kept current.
        self.on_wanted: Callable[[], None] = lambda: None
        self._wanted_at = float("-inf")
        self._certificates = CertificateStore(reader)
        self._subjects = SubjectStore(reader)
        self._judge = judge
        self._clock = clock
        self._capacity = capacity
        self._lease = lease
        self._entries: OrderedDict[bytes, Known] = OrderedDict()
        self._by_ref: dict[str, set[bytes]] = {}
        self._loading: dict[bytes, asyncio.Task[Known | None]] = {}
        self._current_at = float("-inf")
        self._turn = 0
        #: ref → the turn at which it was last told of; what was read before that is not kept.
        self._told: OrderedDict[str, int] = OrderedDict()
        #: The turn at which something may have come that nobody was told of.
        self._missed = 0

    @property
    def current(self) -> bool:
        """Whether entries may answer: the stream was read to its end within the lease."""
        return self._clock.monotonic() - self._current_at < self._lease

    @property
    def wanted(self) -> bool:
        """Whether somebody has asked lately."""
        return self._clock.monotonic() - self._wanted_at < WANTED

    def __len__(self) -> int:
        return len(self._entries)

    def rooms(self) -> frozenset[str]:
        """What the next look at the stream has to read: where nobody asks, nothing that is remembered is worth it."""
        return ROOMS if self.wanted else frozenset()

    def follow(
        self, events: Iterable[StreamEvent], *, asked_at: float, complete: bool, rooms: frozenset[str] | None = ROOMS
    ) -> None:
        """Take in one batch of the stream: forget what it tells of; ``complete``: it reached the end.

        ``rooms``: what was read. Where that was nothing, everything is forgotten, and what is being read now is not
        kept: somebody may have asked while the stream was looked at.
        """
        if not rooms:
            self._turn += 1
            self._missed = self._turn
            for kept in (self._entries, self._by_ref, self._told):
                kept.clear()
        for event in events:
            for ref in event.subjects:
                self._forget(ref)
        if complete:
            self._current_at = max(self._current_at, asked_at)

    def _forget(self, ref: str) -> None:
        self._turn += 1
        self._told[ref] = self._turn
        self._told.move_to_end(ref)
        if len(self._told) > self._capacity:
            self._told.popitem(last=False)
        for sha256 in tuple(self._by_ref.get(ref, ())):
            self._drop(sha256)

    def _drop(self, sha256: bytes) -> None:
        known = self._entries.pop(sha256, None)
        for ref in known.refs if known is not None else ():
            holders = self._by_ref.get(ref)
            if holders is not None:
                holders.discard(sha256)
                if not holders:
                    del self._by_ref[ref]

    def at_hand(self, sha256: bytes) -> Known | None:
        """The entry, if it may answer now; no call leaves this process. None: ask :meth:`known`."""
        wanted, self._wanted_at = self.wanted, self._clock.monotonic()
        if not wanted:
            self.on_wanted()
        known = self._entries.get(sha256)
        if known is None or not self.current:
            return None
        age = self._clock.monotonic() - known.at
        if age >= KEEP or known.policy is not self._judge.policies.governing(known.certificate.profile):
            return None
        self._entries.move_to_end(sha256)
        if age >= REFRESH and sha256 not in self._loading:
            self._load(sha256).add_done_callback(_observed)
        return known

    async def known(self, sha256: bytes) -> Known | None:
        """What is known of the certificate with this SHA-256, from memory or the database; None: it is not one of ours.

        Raises StoreError.
        """
        return self.at_hand(sha256) or await asyncio.shield(self._load(sha256))

    def _load(self, sha256: bytes) -> asyncio.Task[Known | None]:
        """One look for all who ask at once."""
        task = self._loading.get(sha256)
        if task is None:
            task = self._loading[sha256] = asyncio.create_task(self._read(sha256))
            task.add_done_callback(lambda _: self._loading.pop(sha256, None))
        return task

    async def _read(self, sha256: bytes) -> Known | None:
        turn, at = self._turn, self._clock.monotonic()
        certificate = await self._certificates.by_sha256(sha256)
        if certificate is None or certificate.state != "issued":
            return None
        own = [one for one, role in await self._certificates.subjects(certificate.id) if role == "subject"]
        subjects = tuple(await self._subjects.by_ids(own))
        policy = self._judge.policies.governing(certificate.profile)
        said = await self.observed(subjects, policy)
        known = Known(certificate, subjects, said, policy, at)
        if self._missed <= turn and all(self._told.get(ref, 0) <= turn for ref in known.refs):
            self._drop(sha256)
            self._entries[sha256] = known
            for ref in known.refs:
                self._by_ref.setdefault(ref, set()).add(sha256)
            if len(self._entries) > self._capacity:
                self._drop(next(iter(self._entries)))
        return known

    async def observed(self, subjects: Sequence[Subject], policy: Policy | None) -> tuple[Observation, ...]:
        """What sources say of ``subjects`` and their owners, as far as ``policy`` reads it."""
        paths = policy.wants(*GATHERED_ROOTS) if policy is not None else frozenset[str]()
        whom = {one.id: one for subject in subjects for one in (subject, subject.owner) if one is not None}
        return tuple(await self._judge.observations(tuple(whom.values()), paths))


def _observed(task: asyncio.Task[Known | None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log.warning("presence.refresh_failed", error=type(error).__name__)
