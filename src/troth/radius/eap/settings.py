"""How much one worker takes on, and how it cuts its messages."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class EapLimits:
    """Bounds of one worker's EAP server.

    Attributes:
        fragment_size: octets of TLS in one EAP request, where the link takes them.
        conversations: open at once past the first TLS octet.
        conversations_per_nas: of these through one access server.
        idle_seconds: without a word of the device; also the hint that its access server is given.
        total_seconds: from Start to the end.
    """

    fragment_size: int = 1024
    conversations: int = 4096
    conversations_per_nas: int = 1024
    idle_seconds: float = 30.0
    total_seconds: float = 60.0
