"""Where certificates come from.

ACME is the one source that Troth's agent has today. The Protocol asks for so little that EST (RFC 7030) fits it: a
source is asked for a chain for a key, may leave a bookmark before each thing that it would not do twice, and may know
when a certificate should be renewed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from cryptography import x509

from troth.agent.config import Identifier
from troth.agent.keys.model import HeldKey
from troth.agent.settings import ChallengeSettings
from troth.agent.state import Window

Remember = Callable[[Mapping[str, str]], None]


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked for. ``replaces`` is the PEM leaf that the new certificate takes the place of, or empty."""

    identifiers: tuple[Identifier, ...]
    profile: str
    challenge: ChallengeSettings | None
    replaces: str = ""


@dataclass(frozen=True, slots=True)
class Suggestion:
    """When the source would have a certificate renewed, and after how many seconds to ask again (0: not said)."""

    window: Window
    retry_after: float = 0.0


class Source(Protocol):
    """Raises TrothError for whatever goes wrong; ``retry_after`` on it, in seconds, is heeded."""

    async def obtain(
        self, request: Request, key: HeldKey, bookmark: Mapping[str, str], remember: Remember
    ) -> Sequence[bytes]:
        """The certificate with its chain, PEM, leaf first; where there are several chains (to an old root and a new
        one), all of them, the source's choice first.

        ``bookmark`` is what an earlier try, cut short or failed, remembered last.
        """
        ...

    async def suggest(self, leaf: x509.Certificate) -> Suggestion | None:
        """When to renew ``leaf``; None if the source has nothing to say about that."""
        ...
