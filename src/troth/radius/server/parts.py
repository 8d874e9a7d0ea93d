"""What the access half asks of the rooms around it: who decides, who places, who hears of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from troth.radius.admission.model import Attempt, Verdict
from troth.radius.eap.model import Timeline
from troth.radius.nas.model import Nas
from troth.radius.server.asked import Asked
from troth.radius.server.desk import Answer, Source
from troth.radius.wire.packet import Attribute, Packet
from troth.radius.wire.signing import Protection
from troth.trust.connecting.journal import Note


class Judge(Protocol):
    """Who decides (:class:`troth.radius.admission.admissions.Admissions`)."""

    async def admit(self, attempt: Attempt) -> Verdict | None:
        """From memory, waiting a moment for what is not settled; None: it was not settled in time."""
        ...

    def holds(self, attempt: Attempt, verdict: Verdict) -> bool:
        """Whether the Accept may still leave."""
        ...

    async def vouched(self, attempt: Attempt, verdict: Verdict) -> bool:
        """The same, after a lapsed lease was waited for; nothing is awaited between that and the return."""
        ...

    async def record(
        self, attempt: Attempt, verdict: Verdict, timeline: Timeline, *, notes: Sequence[Note] = ()
    ) -> object:
        """Durably where somebody is let in, or JournalError; with ``notes``."""
        ...

    def note(self, attempt: Attempt, notes: Sequence[Note]) -> None:
        """Write down ``notes`` alone, behind what waits for the disk."""
        ...


class Placing(Protocol):
    """Where an outcome puts somebody (``troth.radius.places``)."""

    def attributes(self, verdict: Verdict, nas: Nas, request: Packet) -> Sequence[Attribute]:
        """Of the Accept. Raises TrothError where the access server cannot be told so."""
        ...

    def asked(self, request: Packet) -> Sequence[Attribute] | bool:
        """What a switch that asks for the rules of an ACL is given; True: there is no such ACL; False: it asks none."""
        ...


class Opened(Protocol):
    """Who hears of an Accept that leaves."""

    def __call__(self, attempt: Attempt, verdict: Verdict, source: Source, request: Packet) -> None:
        """Returns at once."""
        ...


class Telling(Protocol):
    """What the sessions are to hear (``troth.radius.sessions.inbox``), written down with the decision.

    So who dies after its Accept has lost no session. An Accept that then does not leave is withdrawn.
    """

    def admitted(self, attempt: Attempt, verdict: Verdict, source: Source, request: Packet) -> Sequence[Note]:
        """That somebody is let in; nothing where nobody is."""
        ...

    def withdrawn(self, verdict: Verdict) -> Sequence[Note]:
        """That it came to nothing; nothing where nobody was let in."""
        ...


class Untold:
    """Tells nothing: where there are no sessions."""

    def admitted(self, attempt: Attempt, verdict: Verdict, source: Source, request: Packet) -> Sequence[Note]:
        """See :class:`Telling`."""
        return ()

    def withdrawn(self, verdict: Verdict) -> Sequence[Note]:
        """See :class:`Telling`."""
        return ()


class Others(Protocol):
    """Requests that are not decided here or carry no EAP-TLS: proxied networks, MAB, PAP, downloads of ACLs."""

    def take(self, packet: Packet, source: Source, protection: Protection, asked: Asked) -> Answer | bool:
        """The answer; False: it is none of these."""
        ...
