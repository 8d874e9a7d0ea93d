"""Who calls: the kernel's word, a process that is looked at, and processes that would like to be another."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from troth.agent.errors import AgentError
from troth.agent.spiffe import caller
from troth.agent.spiffe.caller import Caller, identify
from troth.agent.spiffe.cgroups import Placement


def pair() -> tuple[socket.socket, socket.socket]:
    return socket.socketpair(socket.AF_UNIX)


def test_this_process_is_known_by_uid_gid_and_program() -> None:
    ours, theirs = pair()
    with ours, theirs:
        found = identify(ours)
    assert (found.pid, found.uid, found.gid) == (os.getpid(), os.getuid(), os.getgid())
    assert found.program == os.readlink("/proc/self/exe")
    assert {f"unix:uid:{os.getuid()}", f"unix:gid:{os.getgid()}", f"unix:path:{found.program}"} <= found.selectors()


def test_selectors_name_unit_container_and_pod() -> None:
    found = Caller(1, 4_000_000_000, 4_000_000_000, "", Placement("a.service", "c" * 64, "p")).selectors()
    assert found == {
        "unix:uid:4000000000", "unix:gid:4000000000", "systemd:unit:a.service", f"container:id:{'c' * 64}",
        "k8s:pod-uid:p",
    }  # fmt: skip
    root = Caller(1, 0, 0).selectors()
    assert {"unix:user:root", "unix:group:root"} <= root


def test_a_process_that_has_ended_is_nobody(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen()
        # It connects, hands its socket to a child that lives on, and ends.
        script = (
            "import os, socket, sys, time\n"
            "s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1])\n"
            "if os.fork() == 0: sys.stdin.read()\n"
        )
        process = subprocess.Popen([sys.executable, "-c", script, str(path)], stdin=subprocess.PIPE)
        accepted, _ = listening.accept()
        process.wait(20)
        with accepted, pytest.raises(AgentError, match=r"agent\.spiffe\.caller"):
            identify(accepted)
        assert process.stdin is not None
        process.stdin.close()


def proc(root: Path, start: str = "100", cgroup: str = "0::/system.slice/shop.service\n") -> Path:
    own, one = root / "self", root / str(os.getpid())
    for directory in (own, one):
        (directory / "ns").mkdir(parents=True)
        (directory / "ns" / "mnt").symlink_to("mnt:[1]")
        (directory / "root").symlink_to("/")
        (directory / "exe").symlink_to("/usr/bin/shop")
    (one / "stat").write_text(f"1 (a) b (c)) S {' '.join(['0'] * 18)} {start} 0 0\n")
    (one / "cgroup").write_text(cgroup)
    return root


def looked_at(root: Path) -> Caller:
    ours, theirs = pair()
    with ours, theirs:
        return identify(ours, proc=root)


def test_proc_places_it(tmp_path: Path) -> None:
    found = looked_at(proc(tmp_path))
    assert (found.program, found.placement) == ("/usr/bin/shop", Placement(unit="shop.service"))


@pytest.mark.parametrize(
    ("link", "target"),
    [("ns/mnt", "mnt:[2]"), ("root", "/var/jail"), ("exe", "/usr/bin/shop (deleted)"), ("exe", None)],
)
def test_a_program_counts_only_in_the_agents_own_file_system(tmp_path: Path, link: str, target: str | None) -> None:
    root = proc(tmp_path)
    path = root / str(os.getpid()) / link
    path.unlink()
    if target is not None:
        path.symlink_to(target)
    assert looked_at(root).program == ""


def test_the_hosts_file_system_counts_where_the_agents_unit_has_one_of_its_own(tmp_path: Path) -> None:
    root = proc(tmp_path)
    for name, namespace in (("1", "mnt:[2]"), (str(os.getpid()), "mnt:[2]")):
        link = root / name / "ns" / "mnt"
        link.parent.mkdir(parents=True, exist_ok=True)
        link.unlink(missing_ok=True)
        link.symlink_to(namespace)
    assert looked_at(root).program == "/usr/bin/shop"


def test_a_pid_that_changed_hands_meanwhile_is_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = proc(tmp_path)
    times = iter(["100", "200"])
    monkeypatch.setattr(caller, "_start_time", lambda *_: next(times))
    with pytest.raises(AgentError, match="ended while"):
        looked_at(root)


@pytest.mark.parametrize("name", ["stat", "cgroup"])
def test_what_cannot_be_read_says_nothing_and_so_it_is_nobody(tmp_path: Path, name: str) -> None:
    root = proc(tmp_path)
    path = root / str(os.getpid()) / name
    path.unlink()
    with pytest.raises(AgentError, match=r"agent\.spiffe\.caller"):
        looked_at(root)
    if name == "stat":
        path.write_text("1 (x) S 0")
        with pytest.raises(AgentError, match="nothing of its start"):
            looked_at(root)


def test_a_process_in_another_namespace_is_nobody() -> None:
    class Peer:
        def getsockopt(self, level: int, option: int, size: int = 0) -> bytes:
            return caller._UCRED.pack(0, 0, 0)

    with pytest.raises(AgentError, match="namespace"):
        identify(Peer())  # type: ignore[arg-type]


def test_an_older_kernel_is_asked_by_pid(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(caller, "_SO_PEERPIDFD", 9999)
    ours, theirs = pair()
    with ours, theirs:
        assert identify(ours).pid == os.getpid()
