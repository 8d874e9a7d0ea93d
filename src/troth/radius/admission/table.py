"""The trust table: every certificate that could be admitted, with its subjects and what is said of them, in memory.

It is complete: what is not here is not admitted. It is filled by a snapshot and by what the stream tells, and these may
overlap and overtake each other in any order:

* a status and a standing carry a version; the greatest that was ever seen holds, wherever it came from;
* where an event does not say what has changed, its subject is *unsettled* until it was read again after the event; and
  nobody is let in on what is unsettled (:class:`~troth.radius.admission.model.Unsettled` is raised instead);
* a certificate whose birth was told of and that was not read yet is unsettled, too.

Belongs to one event loop; no method but :meth:`settled` waits. Whoever reads the database for it says before when it
began (:meth:`begin`).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from uuid import UUID

from msgspec import structs

from troth.audit.event import StreamEvent
from troth.kit.clock import Clock
from troth.radius.admission.doubts import Doubts
from troth.radius.admission.outcome import user_name
from troth.radius.admission.records import (
    CertificateRow,
    Known,
    SubjectRow,
    Words,
    certificate_of,
    event_status,
    made,
    microseconds,
    packed,
    seconds,
    subject_of,
)
from troth.radius.admission.waiting import Names
from troth.trust.model import Subject
from troth.trust.standing import Standing
from troth.trust.subjects.facts import Observation

#: First words of the events that are about certificates, or about what is known of subjects.
ROOMS = frozenset({"certificate", "standing", "subject", "fact", "cause", "exemption", "inventory"})
#: Certificates that stay unpacked.
UNPACKED = 4_096
_SUBJECT = "subject:"


class TrustTable:
    """See the module."""

    def __init__(self, clock: Clock, *, unpacked: int = UNPACKED) -> None:
        self._clock = clock
        self._capacity = unpacked
        #: Packed rows: certificates by their SHA-256, subjects by their id.
        self._certificates: dict[bytes, bytes] = {}
        self._subjects: dict[bytes, bytes] = {}
        self._by_id: dict[bytes, bytes] = {}
        self._unpacked: OrderedDict[bytes, Known] = OrderedDict()
        self.words = Words()
        #: What the certificates of these profiles, and these attributes of subjects, are held for.
        self.profiles: frozenset[str] = frozenset()
        self.paths: frozenset[str] = frozenset()
        self._wish = 0
        self.doubts = Doubts()
        #: SHA-256 → certificate id, of those that were born and are not read yet.
        self._born: dict[bytes, bytes] = {}
        self.names = Names(clock)
        #: Subjects that were put while a sweep goes on.
        self._touched: set[bytes] = set()
        #: Whether every certificate of ``profiles`` is here; until then a miss says nothing.
        self.complete = False

    def __len__(self) -> int:
        return len(self._certificates)

    def holds(self, subject_id: UUID) -> bool:
        """Whether a subject is held, as the present wish for attributes has it."""
        data = self._subjects.get(subject_id.bytes)
        return data is not None and subject_of(data).paths == self._wish

    @property
    def people(self) -> int:
        """Subjects and owners that are held."""
        return len(self._subjects)

    # --- asking ------------------------------------------------------------------------------------------------

    def known(self, sha256: bytes) -> Known | None:
        """The certificate with this SHA-256; None: it is none of ours, or of no profile that any network admits.

        Raises KeyError with the id (or SHA-256) that is not settled; :meth:`wait` for it.
        """
        data = self._certificates.get(sha256)
        if data is None:
            if sha256 in self._born or not self.complete:
                raise KeyError(sha256)
            return None
        found = self._unpacked.get(sha256)
        if found is None or found.row is not data or any(self._subjects.get(id) is not row for id, row in found.people):
            found = self._unpack(data)
            self._unpacked[sha256] = found
            if len(self._unpacked) > self._capacity:
                self._unpacked.popitem(last=False)
        if self.doubts:
            for key in (found.certificate.id.bytes, *(id for id, _ in found.people)):
                if key in self.doubts:
                    raise KeyError(key)
        return found

    def certificate(self, sha256: bytes) -> CertificateRow | None:
        """The certificate alone, settled or not. Its status is what was told last."""
        data = self._certificates.get(sha256)
        if data is None:
            return None
        found = self._unpacked.get(sha256)
        return found.certificate if found is not None and found.row is data else certificate_of(data)

    def expects(self, sha256: bytes) -> bool:
        """Whether a certificate that is not here may be one of ours, and is about to be read."""
        return not self.complete or sha256 in self._born

    def unchanged(self, known: Known) -> bool:
        """Whether nothing has come since about the certificate or anybody whose standing counts."""
        return (
            self._certificates.get(known.certificate.sha256) is known.row
            and known.certificate.id.bytes not in self.doubts
            and all(self._subjects.get(id) is row and id not in self.doubts for id, row in known.people)
        )

    def subject(self, subject_id: UUID) -> tuple[Subject, tuple[Observation, ...], float] | None:
        """A subject by itself, with what is said of it, and when that was read; None: it is not held here.

        Raises KeyError as :meth:`known` does.
        """
        if subject_id.bytes not in self._subjects:
            return None
        people, said, read_at, keys = self._people((subject_id,))
        for key, _ in keys:
            if key in self.doubts:
                raise KeyError(key)
        return (people[0], tuple(said), read_at) if people else None

    def _unpack(self, data: bytes) -> Known:
        certificate = certificate_of(data)
        subjects, said, read_at, keys = self._people(certificate.subjects)
        name, ends = user_name(certificate.names), seconds(certificate.not_after)
        return Known(certificate, name, ends, tuple(subjects), tuple(said), read_at, data, keys)

    def _people(
        self, ids: Iterable[UUID]
    ) -> tuple[list[Subject], list[Observation], float, tuple[tuple[bytes, bytes], ...]]:
        subjects: list[Subject] = []
        said: dict[bytes, list[Observation]] = {}
        keys: list[tuple[bytes, bytes]] = []
        read_at = float("inf")

        def row_of(subject_id: UUID) -> SubjectRow:
            nonlocal read_at
            data = self._subjects.get(subject_id.bytes)
            if data is None:
                self.doubts.tell(subject_id.bytes)
                raise KeyError(subject_id.bytes)
            row = subject_of(data)
            if row.paths != self._wish:
                self.doubts.tell(row.id.bytes)
                raise KeyError(row.id.bytes)
            keys.append((row.id.bytes, data))
            read_at = min(read_at, row.read_at)
            said[row.id.bytes] = self.words.unpack(row)
            return row

        for subject_id in ids:
            row = row_of(subject_id)
            owner = row_of(row.owner) if row.owner is not None else None
            if not row.removed:
                subjects.append(made(row, owner))
        return subjects, [one for each in said.values() for one in each], read_at, tuple(keys)

    async def settled(self, key: bytes, seconds: float) -> bool:
        """Wait until ``key`` (from a KeyError of :meth:`known`) is worth asking for again; False: not in time."""
        return await self.doubts.settled(key, self._born.get(key, key), seconds)

    # --- filling -----------------------------------------------------------------------------------------------

    def want(self, profiles: frozenset[str], paths: frozenset[str]) -> frozenset[str]:
        """Hold certificates of ``profiles`` and of their subjects ``paths``. Returns the profiles to be loaded.

        A wish for attributes only grows: what was read without the new ones is unsettled.
        """
        fresh = profiles - self.profiles
        gone = self.profiles - profiles
        self.profiles = profiles
        if not paths <= self.paths:
            self.paths |= paths
            self._wish += 1
            self._unpacked.clear()
        if fresh:
            self.complete = False
        if gone:
            for sha256 in [key for key, data in self._certificates.items() if certificate_of(data).profile in gone]:
                self._drop(sha256)
        return fresh

    def begin(self) -> int:
        """A read begins: the turn, to be given back with what it brought. See :meth:`end`."""
        return self.doubts.begin()

    def end(self) -> None:
        """A read is over."""
        born = set(self._born.values())
        self.doubts.end(lambda key: key in self._subjects or key in self._by_id or key in born)

    def put_certificates(self, rows: Iterable[CertificateRow], turn: int) -> None:
        """Take in certificates that were read, beginning at ``turn``."""
        for row in rows:
            known = self._certificates.get(row.sha256)
            if known is not None:
                before = certificate_of(known)
                if before.version > row.version:
                    row = structs.replace(  # an event has overtaken the read
                        row, status=before.status, version=before.version, held_by=before.held_by,
                        held_beside=before.held_beside,
                    )  # fmt: skip
            self._certificates[row.sha256] = packed(row)
            self._by_id[row.id.bytes] = row.sha256
            self._born.pop(row.sha256, None)
            self.doubts.settle(row.id.bytes, turn)
            self.doubts.waiting.wake(row.sha256)

    def put_subjects(self, rows: Iterable[SubjectRow], turn: int) -> None:
        """Take in subjects and owners that were read, beginning at ``turn``."""
        for row in rows:
            known = self._subjects.get(row.id.bytes)
            if known is not None:
                before = subject_of(known)
                if before.version > row.version:
                    row = structs.replace(  # as above
                        row, standing=before.standing, version=before.version, since=before.since
                    )
            self._subjects[row.id.bytes] = packed(row)
            self._touched.add(row.id.bytes)
            if row.paths == self._wish:
                self.doubts.settle(row.id.bytes, turn)

    def put_name(self, kind: str, name: str, found: UUID | None) -> None:
        """What the look-up of a name has brought; the subject itself was put before."""
        self.doubts.waiting.wake(self.names.put(kind, name, found))

    def missing(self, keys: Iterable[bytes], turn: int) -> None:
        """These were looked for, beginning at ``turn``, and are not there (any more)."""
        for key in keys:
            sha256 = self._by_id.get(key)
            if sha256 is not None:
                self._drop(sha256)
            self._subjects.pop(key, None)
            for born, id in list(self._born.items()):
                if id == key:
                    del self._born[born]
                    self.doubts.waiting.wake(born)
            self.doubts.settle(key, turn)

    def loaded(self) -> None:
        """Every certificate of the profiles that are wanted is here."""
        self.complete = True
        for key in self.doubts.waiting.keys():  # noqa: SIM118 -- a copy
            if key not in self.doubts:
                self.doubts.waiting.wake(key)

    # --- following ---------------------------------------------------------------------------------------------

    def apply(self, events: Iterable[StreamEvent]) -> None:
        """Take in events of the stream; those that are about nothing of this pass by."""
        for event in events:
            room = event.kind.partition(".")[0]
            if room == "certificate":
                self._certificate(event)
            elif event.kind == "standing.changed":
                self._standing(event)
            elif room in ROOMS and self._matters(event):
                if room == "subject":
                    self.names.forget()
                for ref in event.subjects:
                    if ref.startswith(_SUBJECT):
                        self._tell(UUID(ref.removeprefix(_SUBJECT)).bytes)

    def _matters(self, event: StreamEvent) -> bool:
        """Whether an event about a fact is about one that any policy reads."""
        if event.kind == "fact.changed":
            return event.data.get("name") in self.paths
        if event.kind == "fact.reported":
            return not self.paths.isdisjoint(event.data.get("values", ()))
        if event.kind == "inventory.reported":
            return not self.paths.isdisjoint(event.data.get("facts", ()))
        return True

    def _tell(self, key: bytes) -> None:
        if key in self._subjects or key in self._by_id or self.doubts.reading:
            self.doubts.tell(key)

    def _certificate(self, event: StreamEvent) -> None:
        data = event.data
        if "status_version" not in data or "certificate_id" not in data:
            return
        key = UUID(data["certificate_id"]).bytes
        if event.kind == "certificate.issued" and data.get("profile") in self.profiles:
            sha256 = bytes.fromhex(data["sha256"])
            if sha256 not in self._certificates:
                self._born[sha256] = key
                self.doubts.tell(key)
        sha256 = self._by_id.get(key, b"")
        known = self._certificates.get(sha256)
        if known is None:
            self._tell(key)
            return
        row = certificate_of(known)
        status, version, by, beside = event_status(data)
        if version > row.version:
            self._certificates[sha256] = packed(
                structs.replace(row, status=status, version=version, held_by=by, held_beside=beside)
            )

    def _standing(self, event: StreamEvent) -> None:
        data = event.data
        key = UUID(data["subject_id"]).bytes
        known = self._subjects.get(key)
        if known is None:
            self._tell(key)
            return
        row = subject_of(known)
        version = int(data["standing_version"])
        if version > row.version:
            self._subjects[key] = packed(
                structs.replace(
                    row, standing=Standing(data["to"]).value, version=version,
                    since=microseconds(event.recorded_at),
                )
            )  # fmt: skip

    # --- keeping it true, and small ----------------------------------------------------------------------------

    @property
    def wish(self) -> int:
        """The state of the wish for attributes: what is read now is read with ``paths`` of this state."""
        return self._wish

    def subject_ids(self) -> list[bytes]:
        """Ids of all subjects, to go through."""
        return list(self._subjects)

    def sweep(self) -> Iterator[None]:
        """Forget certificates that have expired, and subjects that none speaks for; yields between small parts."""
        now = int(self._clock.now().timestamp())
        used = self._touched = self.names.subjects()
        for number, (sha256, data) in enumerate(list(self._certificates.items())):
            row = certificate_of(data)
            if row.not_after < now:
                self._drop(sha256)
            else:
                used.update(one.bytes for one in row.subjects)
            if number % 1_000 == 999:
                yield
        for number, key in enumerate(list(used)):  # owners have no owners that count
            data = self._subjects.get(key, b"")
            owner = subject_of(data).owner if data else None
            if owner is not None:
                used.add(owner.bytes)
            if number % 1_000 == 999:
                yield
        if not self.doubts.reading:  # whose certificate is being read just now may be held by none yet
            for key in [key for key in self._subjects if key not in used]:
                del self._subjects[key]
                self.doubts.settle(key)
        self._touched = set()

    def _drop(self, sha256: bytes) -> None:
        data = self._certificates.pop(sha256, None)
        self._unpacked.pop(sha256, None)
        if data is not None:
            key = certificate_of(data).id.bytes
            self._by_id.pop(key, None)
            self.doubts.settle(key)
