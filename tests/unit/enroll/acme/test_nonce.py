from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from troth.client.jose import b64url_decode, b64url_encode
from troth.enroll.acme import nonce as module
from troth.enroll.acme.nonce import NonceMap
from troth.kit.clock import FakeClock
from troth.kit.errors import TrothError


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(datetime(2026, 1, 1, tzinfo=UTC))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "nonces.map"


@pytest.fixture
def nonces(path: Path, clock: FakeClock) -> Iterator[NonceMap]:
    opened = NonceMap(path, clock=clock, ring_bits=13)
    yield opened
    opened.close()


def test_a_nonce_is_consumed_once(nonces: NonceMap) -> None:
    nonce = nonces.issue()
    assert nonces.consume(nonce)
    assert not nonces.consume(nonce)


def test_nonces_differ_and_are_of_the_base64url_alphabet(nonces: NonceMap) -> None:
    made = [nonces.issue() for _ in range(9000)]
    assert len(set(made)) == len(made)
    assert all(len(b64url_decode(nonce)) == 30 for nonce in made)


def test_neighbours_in_one_octet_do_not_disturb_each_other(nonces: NonceMap) -> None:
    made = [nonces.issue() for _ in range(64)]
    assert all(nonces.consume(nonce) for nonce in made[::2])
    assert all(nonces.consume(nonce) for nonce in made[1::2])
    assert not any(nonces.consume(nonce) for nonce in made)


def test_a_nonce_ages(nonces: NonceMap, clock: FakeClock) -> None:
    young, old = nonces.issue(), nonces.issue()
    clock.advance(timedelta(hours=2))
    assert nonces.consume(young)
    clock.advance(timedelta(seconds=1))
    assert not nonces.consume(old)


def test_a_clock_that_is_set_back_does_not_make_used_nonces_new(nonces: NonceMap, clock: FakeClock) -> None:
    used, unused = nonces.issue(), nonces.issue()
    assert nonces.consume(used)
    clock.set_wall(datetime(2025, 12, 31, 23, tzinfo=UTC))
    assert not nonces.consume(used)
    assert nonces.consume(unused)


def test_after_a_turn_of_the_ring_old_nonces_are_refused_and_new_ones_not(nonces: NonceMap) -> None:
    old = [nonces.issue() for _ in range(100)]
    assert all(nonces.consume(nonce) for nonce in old[:50])
    for _ in range(8192):
        last = nonces.issue()
        assert nonces.consume(last)
    assert not any(nonces.consume(nonce) for nonce in old)
    assert all(nonces.consume(nonces.issue()) for _ in range(8192))


@given(st.text() | st.binary(max_size=60).map(b64url_encode))
def test_nothing_made_up_is_consumed(text: str) -> None:
    assert not _shared().consume(text)


def _shared() -> NonceMap:
    global _made_up
    if _made_up is None:
        directory = Path(os.environ.get("TMPDIR", "/tmp")) / f"troth-nonces-{os.getpid()}"
        directory.mkdir(exist_ok=True)
        _made_up = NonceMap(directory / "map", clock=FakeClock(datetime(2026, 1, 1, tzinfo=UTC)), ring_bits=13)
        shutil.rmtree(directory)  # a map lives on in its open file
    return _made_up


_made_up: NonceMap | None = None


def test_every_changed_octet_makes_a_nonce_void(nonces: NonceMap) -> None:
    raw = b64url_decode(nonces.issue())
    for at in range(len(raw)):
        assert not nonces.consume(b64url_encode(raw[:at] + bytes((raw[at] ^ 1,)) + raw[at + 1 :]))
    assert nonces.consume(b64url_encode(raw))


def test_two_maps_on_one_file_share_what_is_used(nonces: NonceMap, path: Path, clock: FakeClock) -> None:
    other = NonceMap(path, clock=clock, ring_bits=13)
    mine, theirs = nonces.issue(), other.issue()
    assert other.consume(mine)
    assert not nonces.consume(mine)
    assert nonces.consume(theirs)
    assert not other.consume(theirs)
    other.close()


def test_a_restart_keeps_what_is_used_and_what_is_not(path: Path, clock: FakeClock) -> None:
    first = NonceMap(path, clock=clock)
    used, unused = first.issue(), first.issue()
    assert first.consume(used)
    first.close()
    second = NonceMap(path, clock=clock)
    assert not second.consume(used)
    assert second.consume(unused)
    second.close()


def test_a_closed_map_gives_nothing_out(path: Path, clock: FakeClock) -> None:
    closed = NonceMap(path, clock=clock, ring_bits=13)
    closed.close()
    with pytest.raises(ValueError, match="closed"):
        closed.issue()


def reboot(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    boot_id = path.parent / "boot_id"
    boot_id.write_text("00000000-0000-4000-8000-000000000000\n")
    monkeypatch.setattr(module, "_BOOT_ID", boot_id)


def flip(path: Path, at: int) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        octet = file.read(1)[0]
        file.seek(at)
        file.write(bytes((octet ^ 0xFF,)))


@pytest.mark.parametrize(
    "loss",
    [
        pytest.param(lambda path, patch: reboot(path, patch), id="reboot"),
        pytest.param(lambda path, _: path.unlink(), id="lost"),
        pytest.param(lambda path, _: path.write_bytes(b""), id="emptied"),
        pytest.param(lambda path, _: os.truncate(path, 2000), id="shortened"),
        pytest.param(lambda path, _: flip(path, 0), id="magic"),
        pytest.param(lambda path, _: flip(path, 30), id="key"),
        pytest.param(lambda path, _: flip(path, 140), id="checksum"),
        pytest.param(lambda path, _: flip(path, 263), id="head"),
        pytest.param(
            lambda path, _: (shutil.copy(path, path.with_suffix(".bak")), os.replace(path.with_suffix(".bak"), path)),
            id="restored from a copy",
        ),
    ],
)
def test_when_the_map_may_have_gone_back_nothing_old_is_accepted(
    loss: object, path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = NonceMap(path, clock=clock, ring_bits=13)
    used, unused = first.issue(), first.issue()
    assert first.consume(used)
    first.close()
    assert callable(loss)
    loss(path, monkeypatch)
    second = NonceMap(path, clock=clock, ring_bits=13)
    assert not second.consume(used)
    assert not second.consume(unused)
    fresh = second.issue()
    assert second.consume(fresh)
    assert not second.consume(fresh)
    second.close()


def test_a_map_of_another_size_is_begun_anew(path: Path, clock: FakeClock) -> None:
    first = NonceMap(path, clock=clock, ring_bits=13)
    old = first.issue()
    first.close()
    second = NonceMap(path, clock=clock, ring_bits=14)
    assert not second.consume(old)
    assert second.consume(second.issue())
    second.close()


def test_a_running_map_follows_a_file_that_was_replaced(nonces: NonceMap, path: Path, clock: FakeClock) -> None:
    old = nonces.issue()
    path.unlink()
    other = NonceMap(path, clock=clock, ring_bits=13)
    theirs = other.issue()
    assert nonces.consume(theirs)
    assert not other.consume(theirs)
    assert not nonces.consume(old)
    assert other.consume(nonces.issue())
    other.close()


def test_a_running_map_follows_a_new_key_in_the_same_file(nonces: NonceMap, path: Path, clock: FakeClock) -> None:
    old = nonces.issue()
    flip(path, 30)
    other = NonceMap(path, clock=clock, ring_bits=13)
    assert not nonces.consume(old)
    assert not other.consume(old)
    assert other.consume(nonces.issue())
    assert nonces.consume(other.issue())
    other.close()


def test_the_file_is_private(nonces: NonceMap, path: Path) -> None:
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_loose_mode_is_tightened(path: Path, clock: FakeClock) -> None:
    path.touch(0o666)
    path.chmod(0o666)
    NonceMap(path, clock=clock, ring_bits=13).close()
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_link_is_not_followed(path: Path, clock: FakeClock) -> None:
    target = path.with_name("elsewhere")
    target.touch()
    path.symlink_to(target)
    with pytest.raises(TrothError) as refused:
        NonceMap(path, clock=clock)
    assert refused.value.code == "acme.nonce.map_unusable"


def test_a_missing_directory_is_told_plainly(tmp_path: Path, clock: FakeClock) -> None:
    with pytest.raises(TrothError, match="No such file"):
        NonceMap(tmp_path / "none" / "nonces.map", clock=clock)


def test_a_ring_smaller_than_two_blocks_is_a_mistake(path: Path, clock: FakeClock) -> None:
    with pytest.raises(ValueError, match="ring"):
        NonceMap(path, clock=clock, ring_bits=12)
