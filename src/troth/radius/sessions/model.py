"""A session, and what is heard of one: typed records."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final, Literal, TypeAlias
from uuid import UUID

import msgspec

#: Acct-Status-Type (RFC 2866, 5.1) that are kept; others are answered, and nothing is remembered of them.
Status: TypeAlias = Literal["start", "stop", "interim", "on", "off"]

#: How far two words on when a session began may differ and still mean one session.
SAME_START: Final = timedelta(seconds=120)
#: How long an Accept waits for the accounting that belongs to it where only the station tells so.
AWAITS: Final = timedelta(minutes=15)


class Where(msgspec.Struct, frozen=True, array_like=True):
    """Which access server speaks.

    Attributes:
        nas: its name under ``nas:``.
        box: which one behind that name: its NAS-Identifier and address, or whence the packet came.
        source: the address that the packet came from.
    """

    nas: str
    box: str
    source: str
    address: str = ""
    identifier: str = ""


class Port(msgspec.Struct, frozen=True, array_like=True):
    """What an access server says of where a station is; empty or None where it does not.

    Attributes:
        mac: the station's address, canonical; what it sent where that is none.
        calling_station_id: as it spells it, for it must be spelled so when it is asked to do something.
    """

    mac: str = ""
    calling_station_id: str = ""
    user_name: str = ""
    acct_session_id: str = ""
    acct_multi_session_id: str = ""
    audit_session_id: str = ""
    nas_port: int | None = None
    nas_port_id: str = ""
    nas_port_type: int | None = None
    called_station_id: str = ""
    framed_ip: str = ""
    framed_ipv6: str = ""


class Counters(msgspec.Struct, frozen=True, array_like=True, order=True):
    """Since the session began: seconds, octets and packets from (in) and to (out) the station, gigawords included."""

    seconds: int = 0
    octets_in: int = 0
    octets_out: int = 0
    packets_in: int = 0
    packets_out: int = 0


class Told(msgspec.Struct, frozen=True, array_like=True, tag="told"):
    """What one Accounting-Request tells.

    Attributes:
        at: when it happened, by the access server's clock if that can be believed, less what it was delayed.
        received_at: by our clock.
        began_at: when the session began, where that follows; None for On and Off, or where nothing says so.
        class_: our join key, if the access server returned it; None otherwise.
        cause: Acct-Terminate-Cause, in words.
    """

    status: Status
    where: Where
    at: datetime
    received_at: datetime
    port: Port = Port()
    counters: Counters = Counters()
    began_at: datetime | None = None
    class_: bytes | None = None
    cause: str = ""


class Admitted(msgspec.Struct, frozen=True, array_like=True, tag="admitted"):
    """What an Accept tells.

    Attributes:
        class_: 16 random octets, sent as Class: the key by which accounting finds its admission.
        user_name: whom the certificate names.
        versions: the version of each subject's standing that was decided on, in the order of ``subject_ids``.
        until: when Session-Timeout ends it; None: nothing does.
    """

    class_: bytes
    where: Where
    port: Port
    at: datetime
    network: str
    place: str
    method: str
    outcome: str
    reason: str
    user_name: str = ""
    certificate_id: UUID | None = None
    serial: str = ""
    subject_ids: tuple[UUID, ...] = ()
    versions: tuple[int, ...] = ()
    until: datetime | None = None


class Withdrawn(msgspec.Struct, frozen=True, array_like=True, tag="withdrawn"):
    """The Accept of an admission will not leave: the device broke off, or something changed while it was awaited.

    Attributes:
        class_: of the admission.
    """

    class_: bytes
    at: datetime


Heard: TypeAlias = Told | Admitted | Withdrawn

#: Who has seen a session end: its Accounting-Stop, Accounting-On or -Off of the box, a later session of the same name,
#: nobody (it was not heard of any more, or Session-Timeout is over), the access server when asked (NAK 503, RFC 5176),
#: or we, by an acknowledged Disconnect, or since its Accept did not leave.
EndedBy: TypeAlias = Literal["", "stop", "boot", "replaced", "age", "gone", "disconnect", "withdrawn"]


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """One session, as the table has it (migration 0036 says what each field is)."""

    id: UUID
    opened_at: datetime
    where: Where
    port: Port = Port()
    class_: bytes | None = None
    admitted_at: datetime | None = None
    network: str = ""
    place: str = ""
    method: str = ""
    outcome: str = ""
    reason: str = ""
    user_name: str = ""
    certificate_id: UUID | None = None
    serial: str = ""
    subject_ids: tuple[UUID, ...] = ()
    until: datetime | None = None
    started_at: datetime | None = None
    start_seen: bool = False
    stopped: bool = False
    last_at: datetime
    described_at: datetime | None = None
    addressed_at: datetime | None = None
    counters: Counters = Counters()
    interims: int = 0
    cause: str = ""
    heard_at: datetime
    ages_at: datetime
    closed_at: datetime | None = None
    closed_by: EndedBy = ""
    ended_at: datetime | None = None
    ended_by: EndedBy = ""

    @property
    def open(self) -> bool:
        """Whether it goes on, as far as anybody knows."""
        return self.ended_at is None

    @property
    def accounted(self) -> bool:
        """Whether accounting tells of it, and not only its Accept."""
        return self.described_at is not None

    @property
    def lane(self) -> str:
        """What names the device for whoever sends to it: its address, else this session."""
        return self.port.mac or str(self.id)

    @property
    def key(self) -> tuple[str, str, str]:
        """By which accounting knows it."""
        return self.where.nas, self.where.box, self.port.acct_session_id


class Boot(msgspec.Struct, frozen=True):
    """A box said Accounting-On or -Off at ``at``; ``called`` confines it to one radio (empty: to all it serves)."""

    nas: str
    box: str
    called: str
    at: datetime

    def covers(self, session: Session) -> bool:
        """Whether a session of that place is over for it (when it is the later, see ``fold.settle``)."""
        return (
            (self.nas, self.box) == (session.where.nas, session.where.box)
            and self.called in ("", session.port.called_station_id)
        )  # fmt: skip


class Ages(msgspec.Struct, frozen=True):
    """When a session has aged, by our clock.

    Attributes:
        interval: between two Interim-Updates, as access servers were told (RFC 2869, 5.16).
        silent: for one that neither says how it goes nor ends by a Session-Timeout.
    """

    interval: timedelta = timedelta(seconds=600)
    silent: timedelta = timedelta(hours=24)
    margin: timedelta = timedelta(seconds=60)

    def of(self, session: Session) -> datetime:
        """When it has."""
        if session.interims:
            # Three may be lost one after the other (RFC 5080, 2.2.1 has NASes give up on packets).
            return session.heard_at + 3 * self.interval + self.margin
        if session.until is not None:
            return session.until + self.margin
        return session.heard_at + self.silent
