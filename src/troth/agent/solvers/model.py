"""What is to be shown, and what a solver promises."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Protocol

from troth.agent.errors import CHALLENGE, AgentError

#: RFC 8555, 8.3: base64url. It becomes the name of a file, so nothing else is taken from a server.
_TOKEN = re.compile(r"[A-Za-z0-9_-]{1,256}\Z")


@dataclass(frozen=True, slots=True)
class Proof:
    """One challenge as the server gave it. ``dns_value`` is what a TXT record holds."""

    type: str
    value: str
    token: str
    key_authorization: str
    dns_value: str

    def __post_init__(self) -> None:
        if not _TOKEN.match(self.token):
            raise AgentError(CHALLENGE, "the server's token is not base64url")


class Solver(Protocol):
    """Shows a proof while the server looks."""

    @property
    def challenge(self) -> str:
        """The challenge type: ``http-01``."""
        ...

    def shown(self, proof: Proof) -> AbstractAsyncContextManager[Mapping[str, Any]]:
        """While it is entered, the proof can be seen; gives what the challenge is answered with, ``{}`` for most."""
        ...
