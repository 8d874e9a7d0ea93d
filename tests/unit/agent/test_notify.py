"""sd_notify without a library."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from troth.agent.notify import Notifier


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[socket.socket, str]]:
    """A service manager's socket, and how the environment names it."""
    name = str(tmp_path / "notify") if request.param == "path" else f"@troth-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(name.replace("@", "\0", 1) if request.param == "abstract" else name)
        listening.settimeout(5)
        yield listening, name


def test_the_manager_is_told(manager: tuple[socket.socket, str]) -> None:
    listening, name = manager
    notifier = Notifier({"NOTIFY_SOCKET": name, "WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())})
    notifier.ready()
    notifier.status("2 of 2 certificates are good")
    notifier.alive()
    notifier.stopping()

    said = [listening.recv(200).decode() for _ in range(4)]
    assert said == ["READY=1", "STATUS=2 of 2 certificates are good", "WATCHDOG=1", "STOPPING=1"]
    assert notifier.watchdog == 15.0


def test_a_manager_that_does_not_read_stops_nobody(manager: tuple[socket.socket, str]) -> None:
    listening, name = manager
    for _ in range(2000):
        Notifier({"NOTIFY_SOCKET": name}).alive()
    assert listening.recv(200) == b"WATCHDOG=1"


def test_with_nobody_to_tell_nothing_happens(tmp_path: Path) -> None:
    for environ in ({}, {"NOTIFY_SOCKET": str(tmp_path / "gone")}):
        Notifier(environ).ready()
    assert Notifier({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}).watchdog is None
    assert Notifier({"WATCHDOG_USEC": "soon"}).watchdog is None
