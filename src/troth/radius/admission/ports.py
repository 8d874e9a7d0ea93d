"""Who decides and who hears of it, for whoever answers access servers: EAP-TLS (``server.access``), MAB and PAP
(``methods``)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Protocol

from troth.radius.admission.model import Attempt, Verdict
from troth.radius.wire.packet import Packet
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
        self, attempt: Attempt, verdict: Verdict, timeline: Iterable[tuple[float, str]], *, notes: Sequence[Note] = ()
    ) -> object:
        """Durably where somebody is let in, or JournalError; with ``notes``."""
        ...

    def note(self, attempt: Attempt, notes: Sequence[Note]) -> None:
        """Write down ``notes`` alone, behind what waits for the disk."""
        ...


class Telling(Protocol):
    """What the sessions are to hear (``troth.radius.sessions.inbox``), written down with the decision.

    So who dies after its Accept has lost no session. An Accept that then does not leave is withdrawn. ``source``: where
    the request came from (:class:`troth.radius.server.desk.Source`, which this room does not know).
    """

    def admitted(self, attempt: Attempt, verdict: Verdict, source: Any, request: Packet) -> Sequence[Note]:
        """That somebody is let in; nothing where nobody is."""
        ...

    def withdrawn(self, verdict: Verdict) -> Sequence[Note]:
        """That it came to nothing; nothing where nobody was let in."""
        ...


class Untold:
    """Tells nothing: where there are no sessions."""

    def admitted(self, attempt: Attempt, verdict: Verdict, source: Any, request: Packet) -> Sequence[Note]:
        """See :class:`Telling`."""
        return ()

    def withdrawn(self, verdict: Verdict) -> Sequence[Note]:
        """See :class:`Telling`."""
        return ()
