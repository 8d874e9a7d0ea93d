"""The agent's unit under a real systemd: ready when it says so, walled in, started again when killed or hung."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509

from tests.support.running import RunningTroth
from tests.support.systemd import Systemd

pytestmark = pytest.mark.client

UNIT = "troth-agent.service"
#: A test does not wait for two minutes until a hung agent is ended.
QUICK = "[Service]\nWatchdogSec=3\nTimeoutAbortSec=1\nRestartSec=0\n"
HOOK = """#!/bin/sh
cd /srv/host/tls || exit 9
for place in /etc /usr /srv/host /root /var/lib; do
    if touch "$place/troth-escape" 2>/dev/null; then echo "open $place"; else echo "closed $place"; fi
done > hook.txt
grep -E '^(NoNewPrivs|Seccomp|CapBnd):' /proc/self/status >> hook.txt
ls /tmp | wc -l >> hook.txt
"""


def configure(host: Systemd, troth: RunningTroth) -> None:
    (host.home / "tls").mkdir()
    shutil.copy(troth.root, host.home / "root.pem")
    hook = host.home / "hook.sh"
    hook.write_text(HOOK)
    hook.chmod(0o755)
    (host.home / "agent.toml").write_text(f"""
[issuer.troth]
directory = "{troth.directory}"
trust = "/srv/host/root.pem"
[certificate.web]
names = ["unit.test"]
challenge = {{ kind = "http-01", address = "127.0.0.1", port = {troth.web_root.port} }}
output = [
  {{ form = "fullchain", path = "/srv/host/tls/web.pem" }},
  {{ form = "key", path = "/srv/host/tls/web.key" }},
]
reload = {{ command = ["/srv/host/hook.sh"] }}
""")


def seeing(troth: RunningTroth) -> str:
    """What lets the unit see the program where this checkout lies in a place that the unit hides; else nothing."""
    checkout = Path(troth.program[0]).absolute().parents[2]
    if any(checkout.is_relative_to(place) for place in ("/run", "/var/lib", "/srv")):
        pytest.skip(f"this systemd has places of its own where the program is: {checkout}")
    return f"[Service]\nBindReadOnlyPaths={checkout}\n" if checkout.is_relative_to("/tmp") else ""


def installed(host: Systemd) -> x509.Certificate:
    """The leaf that a service would read: behind a link into the agent's state, which only this systemd sees."""
    return x509.load_pem_x509_certificates(host.run("cat", "/srv/host/tls/web.pem").stdout.encode())[0]


def until(seen: Callable[[], bool], what: str) -> None:
    """Wait for something that another process does and tells nobody."""
    deadline = time.monotonic() + 120
    while not seen():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


def test_the_unit_runs_under_a_real_systemd(troth: RunningTroth, systemd: Systemd) -> None:
    host = systemd
    troth.web_root.stop()  # the agent answers on that port itself
    try:
        configure(host, troth)
        told = host.run(*troth.program, "agent", "install-unit", "--config", "/srv/host/agent.toml").stdout
        (host.units / UNIT).write_text(told)
        drop_in = host.units / f"{UNIT}.d"
        drop_in.mkdir()
        (drop_in / "quick.conf").write_text(QUICK + seeing(troth))
        host.run("systemctl", "daemon-reload")

        # Ready when the agent says so.
        host.run("systemctl", "start", UNIT)
        seen = host.show(UNIT, "ActiveState", "SubState", "MainPID", "Type", "NRestarts")
        assert (seen["ActiveState"], seen["SubState"], seen["NRestarts"]) == ("active", "running", "0"), seen
        until((host.home / "tls" / "hook.txt").exists, "the hook has not run")
        leaf = installed(host)
        assert "unit.test" in str(leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
        assert host.run("stat", "--dereference", "--format=%a %U", "/srv/host/tls/web.key").stdout == "600 root\n"
        until(lambda: "1 of 1" in host.show(UNIT, "StatusText")["StatusText"], "no status was told")

        # The walls, as a hook finds them.
        lines = (host.home / "tls" / "hook.txt").read_text().splitlines()
        assert lines[:5] == [f"closed {place}" for place in ("/etc", "/usr", "/srv/host", "/root", "/var/lib")]
        status = dict(line.split(":\t") for line in lines[5:8])
        assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
        assert int(status["CapBnd"], 16).bit_count() <= 8
        # A /tmp of its own: nothing is in it, but for the program where that is run from there.
        assert lines[8] == ("1" if seeing(troth) else "0")

        # Killed, it is started again and does not fetch anew what it has.
        first, serial = seen["MainPID"], leaf.serial_number
        host.run("kill", "-KILL", first)
        until(lambda: host.show(UNIT, "NRestarts")["NRestarts"] == "1", "it was not started again")
        until(lambda: host.show(UNIT, "ActiveState")["ActiveState"] == "active", "it is not ready again")
        second = host.show(UNIT, "MainPID")["MainPID"]
        assert second not in ("0", first)

        # Hung, it gives no sign of life, and systemd ends it.
        host.run("kill", "-STOP", second)
        until(lambda: host.show(UNIT, "NRestarts")["NRestarts"] == "2", "the watchdog did not bite")
        until(lambda: host.show(UNIT, "ActiveState")["ActiveState"] == "active", "it is not ready again")
        assert installed(host).serial_number == serial

        # Told to stop, it ends by itself.
        host.run("systemctl", "stop", UNIT)
        ended = host.show(UNIT, "ActiveState", "Result", "ExecMainStatus")
        assert (ended["ActiveState"], ended["Result"], ended["ExecMainStatus"]) == ("inactive", "success", "0")
    finally:
        troth.web_root.start()
