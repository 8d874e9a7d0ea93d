"""``troth up`` with trivial roles: what the supervisor itself promises."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

import troth
from troth.assembly.layout import Layout
from troth.assembly.postgres import survivors

PROGRAM = Path(__file__).parents[2] / "support" / "trivial_troth.py"
ENVIRON = {
    **os.environ,
    "PYTHONPATH": str(Path(troth.__file__).parents[1]),
    "TROTH__LISTEN__HTTPS": "localhost:0",
    "TROTH__LISTEN__HTTP": "localhost:0",
    "TROTH__LISTEN__ADMIN": "localhost:0",
    "TROTH__PROCESSES__WEB": "2",
}


@dataclass
class Up:
    """A supervisor that is ready."""

    process: subprocess.Popen[str]
    summary: dict[str, Any]
    log: Path

    def answer(self, key: str = "https_url") -> list[str]:
        """What a role answers at an address: its name, index and pid."""
        parts = urlsplit(self.summary[key])
        with socket.create_connection((parts.hostname, parts.port), timeout=10) as connection:
            return connection.makefile().readline().split()

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(60)


@pytest.fixture
def data() -> Iterator[Path]:
    made = Path(tempfile.mkdtemp(prefix="troth-up-"))
    try:
        yield made
    finally:
        pid = survivors.postmaster(made / "pg") if (made / "pg").exists() else None
        if pid is not None:
            os.kill(pid, signal.SIGQUIT)
            eventually(lambda: survivors.postmaster(made / "pg") is None)
        shutil.rmtree(made)


def launch(data: Path, log: Path, behaviour: str = "", more: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
    with log.open("w") as file:
        return subprocess.Popen(
            [sys.executable, PROGRAM, data],
            stdout=subprocess.PIPE,
            stderr=file,
            text=True,
            env={**ENVIRON, "BEHAVIOUR": behaviour, **(more or {})},
        )


@contextlib.contextmanager
def up(data: Path, behaviour: str = "", more: Mapping[str, str] | None = None) -> Iterator[Up]:
    log = data.with_suffix(".log")
    process = launch(data, log, behaviour, more)
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        assert line, log.read_text()
        yield Up(process, json.loads(line), log)
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(40)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        process.stdout.close()
        log.unlink()


def eventually(holds: Callable[[], bool], seconds: float = 300.0) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.05)


def processes(data: Path) -> list[str]:
    """Command lines of everything that runs on this data directory."""
    return list(by_pid(data).values())


def by_pid(data: Path) -> dict[int, str]:
    """The same, with whose each is."""
    found = {}
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            words = (entry / "cmdline").read_bytes().split(b"\0") if entry.name.isdecimal() else []
            if os.fsencode(data) in words and b"--role" in words:
                found[int(entry.name)] = b" ".join(words).decode()
    return found


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_it_says_where_everything_is_in_one_json_object_and_stops_cleanly(data: Path) -> None:
    with up(data) as troth_up:
        told = {"https_url", "http_url", "admin_url", "acme_directories", "root_certificate", "admin_token_file"}
        assert set(troth_up.summary) >= told | {"data_dir"}
        assert troth_up.answer("https_url")[0] == "web"
        assert troth_up.answer("admin_url")[0] == "web"
        assert troth_up.answer("http_url")[:2] == ["status", "0"]
        with socket.socket(socket.AF_UNIX) as local:
            local.connect(str(Layout.at(data).admin_socket))
            assert local.makefile().readline().startswith("web ")
        assert len(processes(data)) == 5
        assert troth_up.stop() == 0
        assert troth_up.process.stdout is not None
        assert troth_up.process.stdout.read() == ""
        assert processes(data) == []
        assert survivors.postmaster(data / "pg") is None


def test_radius_over_tls_alone_needs_no_udp(data: Path) -> None:
    more = {"TROTH__RADSEC__LISTEN": "localhost:2083", "TROTH__PROCESSES__GATHER": "false"}
    with up(data, more=more) as troth_up:
        assert {key: troth_up.summary["radius"][key] for key in ("auth_port", "acct_port", "radsec")} == {
            "auth_port": None, "acct_port": None, "radsec": "localhost:2083",
        }  # fmt: skip
        (radius,) = [pid for pid, words in by_pid(data).items() if "--role radius" in words]
        assert os.sched_getscheduler(radius) == os.SCHED_OTHER  # as the setting has it
        assert "Traceback" not in troth_up.log.read_text()


def test_several_web_processes_share_one_listener(data: Path) -> None:
    with up(data) as troth_up:
        eventually(lambda: {troth_up.answer()[1] for _ in range(20)} == {"0", "1"})


def test_ctrl_c_in_the_terminal_ends_children_in_order_with_exit_code_0(data: Path) -> None:
    with up(data) as troth_up:
        assert troth_up.stop(signal.SIGINT) == 0
        lines = [json.loads(line) for line in troth_up.log.read_text().splitlines() if line.startswith("{")]
        stopped = [line["role"] for line in lines if line["event"] == "role.stopped"]
        assert stopped == ["web", "web", "status", "worker", "signer"]


def test_ports_and_public_url_are_the_same_after_a_restart(data: Path) -> None:
    with up(data) as first:
        first.stop()
    with up(data) as second:
        assert second.summary == first.summary


def test_a_persisted_port_that_is_taken_is_told(data: Path) -> None:
    with up(data) as first:
        first.stop()
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", urlsplit(first.summary["http_url"]).port or 0))
        other.listen()
        log = data.with_suffix(".log")
        process = launch(data, log)
        assert process.communicate()[0] == ""
        assert process.returncode == 1
        assert "assembly.listen.port_taken" in log.read_text()
        log.unlink()


def test_a_dead_child_is_restarted_and_no_connection_is_refused_meanwhile(data: Path) -> None:
    with up(data) as troth_up:
        _, index, pid = troth_up.answer("http_url")
        os.kill(int(pid), signal.SIGKILL)
        again = troth_up.answer("http_url")
        assert again[:2] == ["status", index]
        assert again[2] != pid
        eventually(lambda: "child.restarted" in troth_up.log.read_text())
        assert "was killed by SIGKILL" in troth_up.log.read_text()


def test_a_dead_database_is_restarted(data: Path) -> None:
    with up(data) as troth_up:
        pid = survivors.postmaster(data / "pg")
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        eventually(lambda: survivors.postmaster(data / "pg") not in (None, pid))
        eventually(lambda: "postgres.restarted" in troth_up.log.read_text())
        assert troth_up.stop() == 0


def test_a_second_supervisor_is_refused(data: Path) -> None:
    with up(data) as troth_up:
        log = data.with_suffix(".second")
        second = launch(data, log)
        assert second.communicate()[0] == ""
        assert second.returncode == 1
        assert f"assembly.already_running: {data} is in use by process {troth_up.process.pid}" in log.read_text()
        log.unlink()
        assert troth_up.answer()[0] == "web"


def test_children_die_with_a_killed_supervisor_and_the_next_one_adopts_the_database(data: Path) -> None:
    with up(data) as first:
        database = survivors.postmaster(data / "pg")
        assert database is not None
        first.process.kill()
        first.process.wait()
        eventually(lambda: processes(data) == [])
        assert alive(database)
    with up(data) as second:
        assert survivors.postmaster(data / "pg") == database
        assert second.summary == first.summary
        assert second.stop() == 0
    assert not alive(database)


def test_the_next_supervisor_waits_for_what_is_left_of_a_killed_one(data: Path) -> None:
    with up(data) as first:
        pid = int(first.answer("http_url")[2])
        # A process of ours in its group: the kernel would wake a stopped group that nobody is left to look after.
        minder = subprocess.Popen(["sleep", "300"], process_group=pid)
        os.kill(pid, signal.SIGSTOP)
        first.process.kill()
        first.process.wait()
        second = launch(data, data.with_suffix(".second"))
        try:
            time.sleep(1.0)
            assert second.poll() is None
            os.kill(pid, signal.SIGCONT)
            assert second.stdout is not None
            assert json.loads(second.stdout.readline()) == first.summary
        finally:
            minder.kill()
            minder.wait()
            second.terminate()
            second.communicate()
            data.with_suffix(".second").unlink()
        assert second.returncode == 0


def test_a_child_that_fails_before_it_is_ready_fails_the_start_and_leaves_nothing_running(data: Path) -> None:
    log = data.with_suffix(".log")
    process = launch(data, log, "worker-fails")
    assert process.communicate()[0] == ""
    assert process.returncode == 1
    assert "assembly.child_failed: worker-0 ended with exit code 1" in log.read_text()
    log.unlink()
    assert processes(data) == []
    assert survivors.postmaster(data / "pg") is None


def test_a_stop_during_the_start_is_a_clean_stop(data: Path) -> None:
    log = data.with_suffix(".log")
    process = launch(data, log)
    eventually(lambda: "starting PostgreSQL" in log.read_text())
    process.terminate()
    assert process.communicate()[0] == ""
    assert process.returncode == 0, log.read_text()
    log.unlink()
    assert processes(data) == []
    assert survivors.postmaster(data / "pg") is None


def test_a_second_ctrl_c_ends_hanging_children_at_once(data: Path) -> None:
    with up(data, "web-hangs") as troth_up:
        troth_up.process.send_signal(signal.SIGINT)
        time.sleep(0.5)
        assert troth_up.process.poll() is None
        assert troth_up.stop(signal.SIGINT) == 0
        assert "child.killed" not in troth_up.log.read_text(), "nobody waited until its time was over"
        assert processes(data) == []
