"""Facts of a host, from trees that hosts of each kind would show; what is not certain is not told."""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from troth.agent.survey.collect import run as really
from troth.agent.survey.posture import _firewall, posture

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
EFI = "sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"


def tree(root: Path, files: Mapping[str, str | bytes]) -> Path:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return root


def seen(root: Path, programs: Mapping[str, str] | None = None) -> dict[str, object]:
    def run(command: Sequence[str]) -> str | None:
        return (programs or {}).get(command[0])

    return {one.path.removeprefix("posture."): one.value for one in posture(run, NOW, root)}


def mounted(source: str) -> str:
    return f"22 1 254:0 / / rw,relatime shared:1 - ext4 {source} rw\n30 22 0:5 / /proc rw - proc proc rw\n"


def luks(root: Path, *, second: bool = True) -> Path:
    """LVM over two partitions, of which the first, and perhaps the second, lies on LUKS."""
    tree(root, {
        "proc/self/mountinfo": mounted("/dev/mapper/vg-root"),
        "sys/class/block/dm-2/dm/name": "vg-root\n", "sys/class/block/dm-2/dm/uuid": "LVM-abc",
        "sys/class/block/dm-0/dm/uuid": "CRYPT-LUKS2-abc", "sys/class/block/dm-0/dm/name": "one",
        "sys/class/block/dm-1/dm/uuid": "CRYPT-LUKS2-def" if second else "LVM-def",
        "sys/class/block/dm-1/dm/name": "two",
    })  # fmt: skip
    slaves = root / "sys/class/block/dm-2/slaves"
    slaves.mkdir()
    for name in ("dm-0", "dm-1"):
        (slaves / name).symlink_to(f"../../{name}")
    return root


def test_nothing_is_told_of_an_empty_tree(tmp_path: Path) -> None:
    assert seen(tmp_path) == {}


def test_a_disk_is_encrypted_if_all_of_it_is(tmp_path: Path) -> None:
    assert seen(luks(tmp_path / "a"))["disk_encrypted"] is True
    assert seen(luks(tmp_path / "b", second=False))["disk_encrypted"] is False


@pytest.mark.parametrize("source", ["overlay", "nas:/export", "/dev/mapper/unknown", "/dev/../etc", "/dev/a/b"])
def test_a_root_that_is_no_known_disk_says_nothing(tmp_path: Path, source: str) -> None:
    assert "disk_encrypted" not in seen(tree(tmp_path, {"proc/self/mountinfo": mounted(source)}))


def test_a_plain_partition_is_not_encrypted(tmp_path: Path) -> None:
    root = tree(tmp_path, {"proc/self/mountinfo": mounted("/dev/sda1"), "sys/class/block/sda1/size": "1"})
    assert seen(root)["disk_encrypted"] is False


@pytest.mark.parametrize(("octet", "value"), [(b"\x01", True), (b"\x00", False)])
def test_secure_boot_is_the_firmwares_word(tmp_path: Path, octet: bytes, value: bool) -> None:
    assert seen(tree(tmp_path, {EFI: b"\x06\0\0\0" + octet}))["secure_boot"] is value
    assert "secure_boot" not in seen(tree(tmp_path, {EFI: b"\x06"}))


def test_the_system_its_updates_and_a_restart_are_told(tmp_path: Path) -> None:
    root = tree(tmp_path, {
        "etc/os-release": 'NAME="X"\nPRETTY_NAME="X 12"\nSUPPORT_END=2026-03-01\nbroken\n', "var/lib/dpkg/status": "",
        "run/reboot-required": "",
    })  # fmt: skip
    apt = "Reading…\nInst libc6 [1] (2)\nConf libc6\nInst bash [1] (2)\n"
    assert seen(root, {"apt-get": apt}) == {
        "os_version": "X 12", "os_supported": False, "reboot_required": True, "updates_pending": 2,
    }  # fmt: skip
    (root / "run/reboot-required").unlink()
    (root / "etc/os-release").write_text("PRETTY_NAME='Y'\nSUPPORT_END=soon\n")
    assert seen(root) == {"os_version": "Y", "reboot_required": False}


_WORDS = st.sampled_from(["nftables", "chain", "rule", "expr", "hook"])
_JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.integers() | st.text(max_size=5),
    lambda one: st.lists(one, max_size=3) | st.dictionaries(_WORDS, one, max_size=3),
    max_leaves=12,
)

CHAIN = {"chain": {"family": "inet", "table": "filter", "name": "input", "hook": "input", "policy": "accept"}}
DROP = {"rule": {"family": "inet", "table": "filter", "chain": "other", "expr": [{"match": {}}, {"drop": None}]}}
ACCEPT = {"rule": {"family": "inet", "table": "filter", "chain": "input", "expr": [{"accept": None}]}}


@pytest.mark.parametrize(
    ("items", "value"),
    [
        ([], False),
        ([CHAIN], False),
        ([CHAIN, ACCEPT], False),
        ([CHAIN, DROP], True),
        ([{"chain": {**CHAIN["chain"], "policy": "drop"}}], True),
        ([DROP], False),  # nothing on the way in leads there
        ([{"chain": {**CHAIN["chain"], "hook": "output", "policy": "drop"}}], False),
        ([CHAIN, {"rule": {**DROP["rule"], "table": "another"}}], False),
    ],
)
def test_a_firewall_is_what_stops_something_on_its_way_in(tmp_path: Path, items: list[object], value: bool) -> None:
    said = json.dumps({"nftables": [{"metainfo": {}}, *items]})
    assert seen(tmp_path, {"nft": said}) == {"firewall": value}


@given(st.text(max_size=60) | _JSON.map(json.dumps))
def test_whatever_nft_says_is_read_or_says_nothing(said: str) -> None:
    assert all(isinstance(one.value, bool) for one in _firewall(lambda _: said))


def test_osquery_is_asked_where_its_socket_is(tmp_path: Path) -> None:
    (tmp_path / "var/osquery").mkdir(parents=True)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "var/osquery/osquery.em"))
        assert seen(tmp_path, {"osqueryi": '[{"encrypted":"1"}]'}) == {"disk_encrypted": True}
        assert seen(tmp_path, {"osqueryi": '[{"encrypted":"1"},{"encrypted":"0"}]'}) == {"disk_encrypted": False}
        for nothing in ("[]", "{}", "junk", "[1]"):
            assert seen(tmp_path, {"osqueryi": nothing}) == {}


def test_programs_run_without_input_and_fail_quietly() -> None:
    assert really(["echo", "a"]) == "a\n"
    assert really(["false"]) is None
    assert really(["no-such-program-here"]) is None
