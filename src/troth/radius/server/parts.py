"""What the access half asks of the rooms around it; who decides and who hears of it stands in ``admission.ports``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from troth.radius.admission.model import Attempt, Verdict
from troth.radius.nas.model import Nas
from troth.radius.server.asked import Asked
from troth.radius.server.desk import Answer, Source
from troth.radius.wire.packet import Attribute, Packet
from troth.radius.wire.signing import Protection


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


class Others(Protocol):
    """Requests that are not decided here or carry no EAP-TLS: proxied networks, MAB, PAP, downloads of ACLs."""

    def take(self, packet: Packet, source: Source, protection: Protection, asked: Asked) -> Answer | bool:
        """The answer; False: it is none of these."""
        ...
