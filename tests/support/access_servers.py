"""Access servers for tests."""

from __future__ import annotations

from typing import Any

from troth.kit.ids import new_id
from troth.radius.nas.model import Nas


class Watcher:
    """Remembers what the desk says of access servers: (what, name)."""

    def __init__(self) -> None:
        self.said: list[tuple[str, str]] = []

    def proved(self, nas: Nas, address: str, secret: bytes, *, signed: bool) -> None:
        """See ``desk.Seen``."""
        self.said.append((nas.which(secret), nas.name))

    def unsigned(self, nas: Nas, address: str) -> None:
        """See ``desk.Seen``."""
        self.said.append(("unsigned", nas.name))

    def wrong(self, nas: Nas, address: str) -> None:
        """See ``desk.Seen``."""
        self.said.append(("wrong", nas.name))

    def signs(self, nas: Nas) -> None:
        """See ``desk.Seen``."""
        self.said.append(("signs", nas.name))


def access_server(
    secret: bytes,
    following: bytes | None = None,
    *,
    require: Any = "yes",
    limit_proxy_state: bool = True,
    name: str = "ap",
) -> Nas:
    """One at 192.0.2.1 with this secret."""
    return Nas(
        id=new_id(),
        name=name,
        prefixes=("192.0.2.1/32",),
        vendor="generic",
        secrets=(secret, following),
        require_message_authenticator=require,
        limit_proxy_state=limit_proxy_state,
    )
