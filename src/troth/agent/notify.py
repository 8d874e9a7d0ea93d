"""Telling systemd how we are (sd_notify(3)): one datagram, no library."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping


class Notifier:
    """Speaks to the service manager, if there is one: NOTIFY_SOCKET and WATCHDOG_USEC of the environment."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        address = environ.get("NOTIFY_SOCKET", "")
        # "@" is how systemd writes the zero octet of an abstract socket.
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        usec, pid = environ.get("WATCHDOG_USEC", ""), environ.get("WATCHDOG_PID", "")
        mine = not pid or pid == str(os.getpid())
        #: Seconds between two signs of life; None if nobody watches.
        self.watchdog = int(usec) / 2_000_000 if usec.isdecimal() and int(usec) and mine else None

    def ready(self) -> None:
        """The agent works."""
        self._tell("READY=1")

    def stopping(self) -> None:
        """It ends because it was told to."""
        self._tell("STOPPING=1")

    def status(self, text: str) -> None:
        """One line for ``systemctl status``."""
        self._tell(f"STATUS={text}")

    def alive(self) -> None:
        """A sign of life."""
        self._tell("WATCHDOG=1")

    def _tell(self, message: str) -> None:
        if not self._address:
            return
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as told:
            told.setblocking(False)  # a manager that does not read must not stop us either
            try:
                told.sendto(message.encode(), self._address)
            except OSError:
                return
