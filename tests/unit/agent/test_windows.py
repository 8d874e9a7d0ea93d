"""The agent on a Python that has of POSIX no more than Windows' has: it is imported, and its files are kept.

A process is made to look so after the libraries are loaded: what Windows lacks is taken away, what it has is doubled.
The real thing, Windows' Python under Wine, is in ``tests/clients/test_agent_windows.py``.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

_LOOKS_LIKE_WINDOWS = """
import json, os, sys, types
from pathlib import Path
import troth.cli.main, troth.cli.agent

for name in [one for one in sys.modules if one == "troth" or one.startswith("troth.")]:
    del sys.modules[name]
LACKS = ("fcntl", "pwd", "grp", "resource", "termios", "uvloop")
for name in LACKS:
    sys.modules[name] = None
for name in ("O_DIRECTORY", "O_NOFOLLOW", "O_CLOEXEC", "O_NONBLOCK", "O_PATH", "O_NOCTTY", "MFD_CLOEXEC",
             "memfd_create", "fchown", "fchmod", "pread", "killpg", "umask", "geteuid", "getuid"):
    if hasattr(os, name):
        delattr(os, name)
os.O_BINARY = os.O_NOINHERIT = os.O_TEMPORARY = 0
held = set()
def locking(descriptor, mode, count):
    at = os.fstat(descriptor).st_ino
    if at in held:
        raise OSError("locked")
    held.add(at)
sys.modules["msvcrt"] = types.SimpleNamespace(locking=locking, LK_NBLCK=2)
sys.platform = "win32"
"""


def told(script: str, *arguments: str) -> object:
    done = subprocess.run(
        [sys.executable, "-c", _LOOKS_LIKE_WINDOWS + script, *arguments], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_files_links_and_the_lock_are_kept_without_posix(tmp_path: Path) -> None:
    assert told(
        """
from troth.agent import disk, system
from troth.agent.errors import AgentError
from troth.agent.state import StateDirectory
root = Path(sys.argv[1]) / "state"
state = StateDirectory(root)
try:
    StateDirectory(root)
    second = "held twice"
except AgentError as error:
    second = error.code
disk.write(root / "one", b"first", mode=0o644)
disk.write(root / "one", b"second")
disk.point(root / "current", "000001")
disk.point(root / "current", "000002")
refusals = []
for act in (lambda: disk.write(root / "no" / "where", b""), lambda: system.owner("root", "")):
    try:
        act()
    except (AgentError, KeyError) as error:
        refusals.append(type(error).__name__)
try:
    with disk.below(root, "a", mode=0o755):
        pass
except AgentError as error:
    refusals.append(error.detail.rpartition(": ")[2])
print(json.dumps([second, disk.read(root / "one").decode(), disk.read_link(root / "current"),
                  disk.read_link(root / "nothing"), system.STATE, refusals,
                  sorted(one.name for one in root.iterdir())]))
""",
        str(tmp_path),
    ) == [
        "agent.state_busy", "second", "000002", None, "C:\\ProgramData\\Troth\\agent",
        ["AgentError", "KeyError", "directories of others are written on POSIX systems alone"],
        ["current", "lock", "one"],
    ]  # fmt: skip


def test_a_file_that_a_scanner_holds_is_replaced_a_moment_later(tmp_path: Path) -> None:
    assert told(
        """
import time
from troth.agent import disk
from troth.agent.errors import AgentError
place, waits, left, replace = Path(sys.argv[1]) / "one", [], [3], Path.replace
def scanned(beside, path):
    if left[0]:
        left[0] -= 1
        raise PermissionError(13, "Access is denied")
    return replace(beside, path)
disk.write(place, b"old")
Path.replace, time.sleep = scanned, waits.append
disk.write(place, b"new")
left[0] = 99
try:
    disk.write(place, b"never")
except AgentError as error:
    refused = error.detail
print(json.dumps([place.read_text(), len(waits), refused.rpartition(": ")[2],
                  [one.name for one in place.parent.iterdir()]]))
""",
        str(tmp_path),
    ) == ["new", 7, "Access is denied", ["one"]]


def test_a_python_that_makes_readable_directories_is_named() -> None:
    assert told(
        """
from troth.agent.config import parse, troubles
found = []
for version in ((3, 11, 9), (3, 11, 10), (3, 12, 3), (3, 12, 4), (3, 13, 0)):
    sys.version_info = version
    found.append(any("lets others read" in one for one in troubles(parse('agent.state = "/state"'))))
print(json.dumps(found))
"""
    ) == [True, False, True, False, False]


def test_installed_forms_are_copies_there(tmp_path: Path) -> None:
    """No link is made for a consumer; each output is replaced whole when the generation turns."""
    assert told(
        """
from datetime import UTC, datetime
from troth.agent.generations import Generations, Meta
from troth.agent.keys.model import KeyAccess
from troth.agent.settings import OutputSettings
from troth.agent.state import Wanted
from troth.agent import disk
root = Path(sys.argv[1])
disk.make_directory(root / "web")
made = Generations(root / "web", "web", (OutputSettings(form="key", path=str(root / "key.pem")),))
seen = []
for number in (1, 2):
    meta = Meta(number, Wanted("i", ("n",), "", "tpm p256"), f"k{number}", made.digest, datetime.now(UTC))
    pem = "-----BEGIN CERTIFICATE-----\\nAA==\\n-----END CERTIFICATE-----\\n"
    made.stage(meta, pem, KeyAccess(f"key {number}".encode()))
    made.switch(number)
    seen.append([(root / "key.pem").read_text(), (root / "key.pem").is_symlink(), made.current.number])
(root / "key.pem").unlink()
made.mend()
print(json.dumps([*seen, (root / "key.pem").read_text()]))
""",
        str(tmp_path),
    ) == [["key 1", False, 1], ["key 2", False, 2], "key 2"]


@pytest.mark.parametrize("command", ["run", "install-unit"])
def test_what_needs_linux_says_so_and_what_to_do(tmp_path: Path, command: str) -> None:
    config = tmp_path / "agent.toml"
    config.write_text("")
    said = told(
        """
import contextlib, io
from troth.cli.main import main
error = io.StringIO()
with contextlib.redirect_stderr(error):
    code = main(["agent", sys.argv[1], "--config", sys.argv[2]])
print(json.dumps([code, error.getvalue()]))
""",
        command,
        str(config),
    )
    assert isinstance(said, list)
    assert said[0] == 1
    assert "Task Scheduler" in said[1]
    assert "agent.platform" in said[1]
