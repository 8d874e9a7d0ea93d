"""Rows of the trust table, packed: what a worker holds for each of a hundred thousand devices must be small.

A row lies in memory as MessagePack and is unpacked for a decision; the few that are asked for often stay unpacked
beside it. Texts that every row repeats (names of attributes, of sources) are numbers in a table of words.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

import msgspec

from troth.pki.model import Status
from troth.trust.decision.question import Given
from troth.trust.enforcement.enforce import hold_cause_of
from troth.trust.model import Kind, Subject
from troth.trust.standing import Standing
from troth.trust.subjects.facts import Observation

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_BY_STANDING = hold_cause_of(UUID(int=0)).partition(":")[0] + ":"


class CertificateRow(msgspec.Struct, frozen=True, array_like=True):
    """A certificate of ours that could be admitted.

    Attributes:
        not_before, not_after, issued_at: seconds since 1970, UTC.
        version: counts changes of its status.
        held_by: subjects whose standing holds it.
        held_beside: something else does, too: a person, a feed's own cause, a policy.
        subjects: whom it speaks for.
    """

    id: UUID
    sha256: bytes
    serial: bytes
    authority: str
    profile: str
    not_before: int
    not_after: int
    issued_at: int
    status: Status
    version: int
    held_by: tuple[UUID, ...]
    held_beside: bool
    key_assurance: str
    names: tuple[tuple[str, str], ...]
    subjects: tuple[UUID, ...]


class SubjectRow(msgspec.Struct, frozen=True, array_like=True):
    """A subject or an owner, with what sources say of it.

    Attributes:
        version: counts changes of its standing.
        since, confirmed_at: microseconds since 1970, UTC.
        said: (number of the attribute, number of the source, value, microseconds since 1970).
        paths: the state of the wish for attributes when it was read; see ``TrustTable.want``.
        read_at: monotonic seconds before it was read.
    """

    id: UUID
    kind: str
    name: str
    origin: str
    standing: str
    version: int
    since: int | None
    protected: bool
    owner: UUID | None
    attributes: dict[str, Any]
    groups: tuple[str, ...]
    confirmed_at: int | None
    removed: bool
    said: tuple[tuple[int, int, Any, int], ...] = ()
    paths: int = 0
    read_at: float = 0.0


@dataclass(frozen=True, slots=True)
class Known:
    """One certificate with whom it speaks for. All of it is as of one state of the table.

    Attributes:
        user_name: whom the certificate names, as an Accept says it.
        ends: the certificate does.
        subjects: those that are not removed.
        said: what sources say of them and their owners.
        read_at: monotonic seconds before the oldest part was read.
        row, people: the packed rows that it was made from.
    """

    certificate: CertificateRow
    user_name: str
    ends: datetime
    subjects: tuple[Subject, ...]
    said: tuple[Observation, ...]
    read_at: float
    row: bytes
    people: tuple[tuple[bytes, bytes], ...]

    @property
    def worst(self) -> Standing:
        """The strictest standing of all whose standing counts."""
        standings = [one.standing for subject in self.subjects for one in (subject, subject.keeper) if one is not None]
        return max(standings, default=Standing.DISTRUSTED)


_encoder = msgspec.msgpack.Encoder(uuid_format="bytes")
_certificate = msgspec.msgpack.Decoder(CertificateRow)
_subject = msgspec.msgpack.Decoder(SubjectRow)


def packed(row: CertificateRow | SubjectRow) -> bytes:
    """``row`` as it lies in memory."""
    return _encoder.encode(row)


def certificate_of(data: bytes) -> CertificateRow:
    """A packed certificate."""
    return _certificate.decode(data)


def subject_of(data: bytes) -> SubjectRow:
    """A packed subject."""
    return _subject.decode(data)


class Words:
    """Texts by number, each once."""

    def __init__(self) -> None:
        self._texts: list[str] = []
        self._numbers: dict[str, int] = {}

    def number(self, text: str) -> int:
        """The number of ``text``, given to it now if it has none."""
        found = self._numbers.get(text)
        if found is None:
            found = self._numbers[text] = len(self._texts)
            self._texts.append(text)
        return found

    def text(self, number: int) -> str:
        """The text of that number."""
        return self._texts[number]

    def pack(self, observations: Iterable[Observation]) -> tuple[tuple[int, int, Any, int], ...]:
        """What sources say, as it lies in a row."""
        return tuple(
            (self.number(one.path), self.number(one.source), one.value, microseconds(one.observed_at))
            for one in observations
        )

    def unpack(self, row: SubjectRow) -> list[Observation]:
        """What sources say of ``row``'s subject."""
        return [
            Observation(row.id, self._texts[path], value, self._texts[source], moment(observed))
            for path, source, value, observed in row.said
        ]


def made(row: SubjectRow, owner: SubjectRow | None) -> Subject:
    """The subject as the judge knows it."""
    return Subject(
        id=row.id,
        kind=Kind(row.kind),
        name=row.name,
        origin=row.origin,
        standing=Standing(row.standing),
        standing_version=row.version,
        standing_since=None if row.since is None else moment(row.since),
        protected=row.protected,
        owner=None if owner is None or owner.removed else made(owner, None),
        attributes=row.attributes,
        groups=row.groups,
        confirmed_at=None if row.confirmed_at is None else moment(row.confirmed_at),
    )


def holders(causes: Iterable[str]) -> tuple[tuple[UUID, ...], bool]:
    """Causes of a hold, sorted into subjects whose standing it is, and whether there are others."""
    by: list[UUID] = []
    beside = False
    for cause in causes:
        if cause.startswith(_BY_STANDING):
            try:
                by.append(UUID(cause.removeprefix(_BY_STANDING)))
                continue
            except ValueError:
                pass
        beside = True
    return tuple(by), beside


#: Of a certificate that is shown: what every decision records.
NAMED: Final = frozenset({"serial", "profile", "status"})


def facts_of(row: CertificateRow, at: datetime, wanted: frozenset[str]) -> dict[str, Given]:
    """``certificate.*`` of what the row knows, as :func:`troth.trust.decision.certificate_facts.certificate_facts` has
    it, as far as ``wanted`` asks; its usages stand in the certificate itself."""
    return {name: _FACTS[name](row, at) for name in wanted if name in _FACTS}


_FACTS: Final[Mapping[str, Callable[[CertificateRow, datetime], Given]]] = {
    "key_assurance": lambda row, _: row.key_assurance,
    "issuer": lambda row, _: row.authority,
    "serial": lambda row, _: row.serial.hex(),
    "sha256": lambda row, _: row.sha256.hex(),
    "profile": lambda row, _: row.profile,
    "status": lambda row, _: row.status,
    "issued_at": lambda row, _: seconds(row.issued_at),
    "not_before": lambda row, _: seconds(row.not_before),
    "not_after": lambda row, _: seconds(row.not_after),
    "age": lambda row, at: at - seconds(row.issued_at),
    "remaining": lambda row, at: seconds(row.not_after) - at,
    "names": lambda row, _: [f"{kind}:{value}" for kind, value in row.names],
}


def event_status(data: Mapping[str, Any]) -> tuple[Status, int, tuple[UUID, ...], bool]:
    """Status, its version and who holds, from the data of an event of the mint's."""
    status: Status = data["status"]
    causes = data.get("causes", ()) if status == "held" else ()
    by, beside = holders(str(cause) for cause in causes)
    # One that is held for no cause that it names is held all the same.
    return status, int(data["status_version"]), by, beside or (status == "held" and not by)


def microseconds(at: datetime) -> int:
    """``at`` as it lies in a row."""
    return (at - _EPOCH) // _MICROSECOND


def moment(at: int) -> datetime:
    """From microseconds."""
    return _EPOCH + timedelta(microseconds=at)


def seconds(at: int) -> datetime:
    """From seconds."""
    return _EPOCH + timedelta(seconds=at)
