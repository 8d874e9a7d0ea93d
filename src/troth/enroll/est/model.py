"""A label: which certificates it gives, and to whom."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from troth.enroll.credentials.model import EST


class Rested(Protocol):
    """What a certificate rests on."""

    @property
    def label(self) -> str:
        """Where it came from."""
        ...


@dataclass(frozen=True, slots=True)
class Label:
    """One label, as the configuration has it; :class:`~troth.kit.est_settings.EstLabel` says what its fields mean."""

    name: str
    profile: str
    bootstrap: str = "off"
    from_profiles: frozenset[str] = frozenset()
    adopt: bool = False
    server_keygen: bool = False
    channel_binding: str = "verify"

    @property
    def directory(self) -> str:
        """How an enrolment names it among the directories that it is good in."""
        return directory_of(self.name)

    def renews(self, profile: str, footing: Rested | None) -> bool:
        """Whether a certificate of ``profile`` is renewed here.

        One that came from here is, whatever its profile: a policy may have put another in the place of the label's.
        """
        if footing is not None:
            return footing.label == self.name
        return self.adopt and profile == self.profile


def directory_of(label: str) -> str:
    """The word for a label among the names of directories."""
    return f"{EST}{label}"
