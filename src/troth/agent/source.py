"""Where certificates come from.

ACME (:mod:`troth.agent.acme`) or EST (:mod:`troth.agent.est`). The Protocol asks for little, so that both fit: a
source is asked for a chain for a key, may leave a bookmark before each thing that it would not do twice, and may know
when a certificate should be renewed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from cryptography import x509

from troth.agent.config import Identifier
from troth.agent.keys.model import HeldKey
from troth.agent.settings import ChallengeSettings
from troth.agent.state import Window

Remember = Callable[[Mapping[str, str]], None]


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked for.

    Attributes:
        replaces: the PEM leaf that the new certificate takes the place of, or empty.
        present: directory of the generation in use: ``leaf.pem``, ``chain.pem`` and, where the key is a file,
            ``key.pem``; None if there is none.
    """

    identifiers: tuple[Identifier, ...]
    profile: str
    challenge: ChallengeSettings | None
    replaces: str = ""
    present: Path | None = None


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
