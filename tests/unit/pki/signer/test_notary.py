"""The notary never goes back: not on request, not by its clock, not by a crash, not by an edited file."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from troth.audit.merkle import EMPTY_ROOT, leaf_hash, root_of
from troth.audit.note import CheckpointText, open_checkpoint
from troth.kit.clock import FakeClock
from troth.pki.keys.files import write_private
from troth.pki.keys.model import KeyPurpose
from troth.pki.keys.software import KeyStore
from troth.pki.signer.errors import NotaryUnsafe, SignerRefused
from troth.pki.signer.notary import Notary

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
ORIGIN = "pki.example/ledger"
LEAVES = [leaf_hash(bytes([n])) for n in range(50)]


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(NOW)


@pytest.fixture
def store(tmp_path: Path, clock: FakeClock) -> Iterator[KeyStore]:
    opened = KeyStore.open(tmp_path, clock)
    yield opened
    opened.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "notary.json"


def open_notary(
    path: Path, store: KeyStore, clock: FakeClock, write: Callable[[Path, bytes], None] = write_private
) -> Notary:
    return Notary.open(path, store, ORIGIN, clock, write=write)


def stated(notary: Notary, note: str | None) -> tuple[int, bytes]:
    checkpoint = open_checkpoint(note or "", notary.verifier_key)
    return checkpoint.size, checkpoint.root


def test_a_checkpoint_states_the_root_over_all_leaves_so_far(path: Path, store: KeyStore, clock: FakeClock) -> None:
    notary = open_notary(path, store, clock)
    assert notary.standing().root == EMPTY_ROOT
    first = notary.checkpoint(0, LEAVES[:7], NOW)
    second = notary.checkpoint(7, LEAVES[7:30], NOW)
    assert first.extended
    assert stated(notary, first.note) == (7, root_of(LEAVES[:7]))
    assert stated(notary, second.note) == (30, root_of(LEAVES[:30]))


def test_without_leaves_the_present_root_is_signed_anew(path: Path, store: KeyStore, clock: FakeClock) -> None:
    notary = open_notary(path, store, clock)
    notary.checkpoint(0, LEAVES[:7], NOW)
    again = notary.checkpoint(7, [], NOW + timedelta(seconds=1))
    assert again.extended
    assert stated(notary, again.note) == (7, root_of(LEAVES[:7]))


@pytest.mark.parametrize("old_size", [0, 6, 8, -1, 2**70])
def test_from_another_size_nothing_is_signed_and_the_own_size_is_told(
    path: Path, store: KeyStore, clock: FakeClock, old_size: int
) -> None:
    notary = open_notary(path, store, clock)
    kept = notary.checkpoint(0, LEAVES[:7], NOW)
    told = notary.checkpoint(old_size, LEAVES[10:20], NOW)
    assert not told.extended
    assert (told.size, told.root, told.note) == (7, kept.root, kept.note)


def test_times_before_the_last_or_ahead_of_the_clock_are_refused(path: Path, store: KeyStore, clock: FakeClock) -> None:
    notary = open_notary(path, store, clock)
    notary.checkpoint(0, LEAVES[:1], NOW)
    notary.checkpoint(1, LEAVES[1:2], NOW - timedelta(seconds=30))
    for at in (NOW - timedelta(seconds=31), NOW + timedelta(seconds=31)):
        with pytest.raises(SignerRefused) as caught:
            notary.checkpoint(2, [], at)
        assert caught.value.code == "signer.notary.clock"
    clock.set_wall(NOW - timedelta(seconds=31))
    with pytest.raises(SignerRefused):
        notary.checkpoint(2, [], NOW)


def test_a_hostile_time_does_not_stop_the_notary_for_good(path: Path, store: KeyStore, clock: FakeClock) -> None:
    notary = open_notary(path, store, clock)
    with pytest.raises(SignerRefused):
        notary.checkpoint(0, [], datetime.max.replace(tzinfo=UTC))
    assert notary.checkpoint(0, [], NOW).extended


def test_what_is_no_leaf_hash_or_too_many_of_them_is_refused(path: Path, store: KeyStore, clock: FakeClock) -> None:
    notary = open_notary(path, store, clock)
    for leaves in ([b"short"], [LEAVES[0]] * 20_001):
        with pytest.raises(SignerRefused):
            notary.checkpoint(0, leaves, NOW)
    with pytest.raises(SignerRefused):
        notary.checkpoint(0, [], NOW.replace(tzinfo=None))


def test_it_goes_on_where_it_stood_after_a_restart(path: Path, store: KeyStore, clock: FakeClock) -> None:
    before = open_notary(path, store, clock)
    kept = before.checkpoint(0, LEAVES[:7], NOW)
    after = open_notary(path, store, clock)
    assert after.standing().note == kept.note
    assert after.verifier_key == before.verifier_key
    assert stated(after, after.checkpoint(7, LEAVES[7:9], NOW).note) == (9, root_of(LEAVES[:9]))


class Power(BaseException):
    """The machine went dark."""


def test_a_crash_between_file_and_signature_loses_no_promise(path: Path, store: KeyStore, clock: FakeClock) -> None:
    def write_then_die(path: Path, content: bytes) -> None:
        write_private(path, content)
        if b'"size":0' not in content:
            raise Power

    with pytest.raises(Power):
        open_notary(path, store, clock, write_then_die).checkpoint(0, LEAVES[:7], NOW)
    after = open_notary(path, store, clock)
    told = after.checkpoint(0, LEAVES[:7], NOW)  # the caller knows nothing of it
    assert (told.extended, told.size) == (False, 7)
    assert stated(after, after.checkpoint(7, [], NOW).note) == (7, root_of(LEAVES[:7]))


def test_a_crash_before_the_file_leaves_the_old_state_and_no_signature(
    path: Path, store: KeyStore, clock: FakeClock
) -> None:
    def die(path: Path, content: bytes) -> None:
        raise Power

    kept = open_notary(path, store, clock).checkpoint(0, LEAVES[:7], NOW)
    with pytest.raises(Power):
        open_notary(path, store, clock, die).checkpoint(7, LEAVES[7:9], NOW)
    assert open_notary(path, store, clock).standing().note == kept.note


@pytest.mark.parametrize("written", [True, False])
def test_after_a_failed_write_the_file_is_asked_before_anything_is_signed(
    path: Path, store: KeyStore, clock: FakeClock, written: bool
) -> None:
    broken = False

    def write(path: Path, content: bytes) -> None:
        if written or not broken:
            write_private(path, content)
        if broken:
            raise OSError("directory not flushed")

    notary = open_notary(path, store, clock, write)
    notary.checkpoint(0, LEAVES[:7], NOW)
    broken = True
    with pytest.raises(SignerRefused) as caught:
        notary.checkpoint(7, LEAVES[7:9], NOW)
    assert caught.value.code == "signer.notary.state"
    broken = False
    assert notary.checkpoint(7, LEAVES[20:21], NOW).extended is not written
    assert notary.standing().size == (9 if written else 8)


def test_a_key_without_a_state_file_does_not_begin_anew(path: Path, store: KeyStore, clock: FakeClock) -> None:
    open_notary(path, store, clock).checkpoint(0, LEAVES[:7], NOW)
    path.unlink()
    with pytest.raises(NotaryUnsafe):
        open_notary(path, store, clock)


@pytest.mark.parametrize("last", [1, 2])
def test_a_first_start_that_was_cut_short_is_taken_up_again(
    path: Path, store: KeyStore, clock: FakeClock, last: int
) -> None:
    writes = 0

    def write(path: Path, content: bytes) -> None:
        # The first write leaves a file without a key; at the second the key is made and not named yet.
        nonlocal writes
        writes += 1
        if writes == 1:
            write_private(path, content)
        if writes == last:
            raise Power

    with pytest.raises(Power):
        open_notary(path, store, clock, write)
    notary = open_notary(path, store, clock)
    assert notary.checkpoint(0, LEAVES[:1], NOW).extended
    assert len([key for key in store.list_keys() if key.purpose is KeyPurpose.NOTARY]) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"size": 6},
        {"root": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="},
        {"frontier": []},
        {"origin": "other.example/ledger"},
        {"note": None},
        {"note": None, "at": None},
        {"note": None, "at": None, "size": 0, "frontier": []},
        {"key_id": "issuing-1"},
        {"format": "troth-notary-2"},
        {"more": 1},
    ],
)
def test_an_edited_state_file_stops_the_start(
    path: Path, store: KeyStore, clock: FakeClock, change: dict[str, object]
) -> None:
    open_notary(path, store, clock).checkpoint(0, LEAVES[:7], NOW)
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(NotaryUnsafe):
        open_notary(path, store, clock)


def test_a_ledger_keeps_its_name(path: Path, store: KeyStore, clock: FakeClock) -> None:
    open_notary(path, store, clock)
    with pytest.raises(NotaryUnsafe):
        Notary.open(path, store, "renamed.example/ledger", clock)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 10)), max_size=12))
def test_whatever_is_asked_signed_sizes_only_grow_and_roots_stay_on_one_line(
    tmp_path_factory: pytest.TempPathFactory, asked: list[tuple[int, int]]
) -> None:
    data = tmp_path_factory.mktemp("notary")
    clock = FakeClock(NOW)
    store = KeyStore.open(data, clock)
    notary = open_notary(data / "notary.json", store, clock)
    history: list[bytes] = []
    size = 0
    for old_size, count in asked:
        leaves = LEAVES[old_size : old_size + count]
        answer = notary.checkpoint(old_size, leaves, NOW)
        assert answer.size >= size
        assert answer.extended is (old_size == size)
        if answer.extended:
            history += leaves
            text = open_checkpoint(answer.note or "", notary.verifier_key)
            assert text == CheckpointText(ORIGIN, len(history), root_of(history))
        size = answer.size
    store.close()
