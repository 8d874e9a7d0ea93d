"""A real systemd as the first process of namespaces of its own, with units of its own: for those who write units.

It sees this machine's files and network. ``/run`` and ``/var/lib`` are its own, and what a test gives it lies at
``/srv/host``, since units hide ``/tmp``. It takes root; where namespaces cannot be had, the test is skipped.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

from tests.support.programs import find_program

_SYSTEMD = Path("/lib/systemd/systemd")
_START = """
set -e
mount --make-rprivate /
for place in /run /var/lib /srv; do mount -t tmpfs tmpfs $place; done
mkdir -p /run/lock /srv/host
mount --bind "$1" /srv/host
exec "$2" --system --unit=wait.target --log-target=console --show-status=no
"""
_WAIT = "[Unit]\nDescription=Nothing\nDefaultDependencies=no\n"


@dataclass
class Systemd:
    """A running one.

    Attributes:
        home: seen inside as :attr:`inside`.
        units: where it looks for units.
    """

    home: Path
    units: Path
    inside: Path = Path("/srv/host")
    _unshare: subprocess.Popen[bytes] | None = field(default=None)
    _pid: int = 0

    def start(self) -> None:
        """Start it, and wait until it answers; skips the test where this machine does not let us."""
        self.units.mkdir(exist_ok=True)
        for name in ("wait", "sysinit", "basic", "shutdown"):  # the last three: what every service leans on
            (self.units / f"{name}.target").write_text(_WAIT)
        if os.geteuid() != 0:
            pytest.skip("a systemd of one's own takes root")
        environment = {**os.environ, "SYSTEMD_UNIT_PATH": str(self.units), "container": "docker"}
        log = (self.home / "systemd.log").open("wb")
        self._unshare = subprocess.Popen(
            [find_program("unshare"), "--pid", "--mount", "--cgroup", "--uts", "--ipc", "--fork", "--kill-child",
             "--mount-proc", "sh", "-c", _START, "sh", str(self.home), str(find_program(str(_SYSTEMD)))],
            env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
        )  # fmt: skip
        log.close()
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            if self._unshare.poll() is not None:
                break
            children = psutil.Process(self._unshare.pid).children()
            if children and children[0].name() == "systemd":
                self._pid = children[0].pid
                if self.run("systemctl", "is-active", "wait.target", check=False).stdout.strip() == "active":
                    return
            time.sleep(0.05)  # the kernel tells nobody when a program has been put in place of another
        told = (self.home / "systemd.log").read_text(errors="replace")[-2000:]
        self.stop()
        pytest.skip(f"no systemd can be started in namespaces here: {told}")

    def run(self, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a command where it is."""
        done = subprocess.run(
            [find_program("nsenter"), "--target", str(self._pid), "--pid", "--mount", "--cgroup", "--uts", "--ipc",
             *command],
            capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip
        told = (self.home / "systemd.log").read_text(errors="replace")[-3000:]
        assert not check or done.returncode == 0, f"{command}: {done.returncode}\n{done.stderr}\n{told}"
        return done

    def show(self, unit: str, *properties: str) -> dict[str, str]:
        """Properties of a unit."""
        told = self.run("systemctl", "show", unit, f"--property={','.join(properties)}").stdout
        return dict(line.split("=", 1) for line in told.splitlines() if "=" in line)

    def stop(self) -> None:
        """End it, with all that it has started."""
        if self._unshare is not None:
            self._unshare.kill()
            self._unshare.wait(20)
            self._unshare = None


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[Systemd]:
    """One of this test's own."""
    home = tmp_path / "host"
    home.mkdir()
    made = Systemd(home, tmp_path / "units")
    made.start()
    yield made
    made.stop()
