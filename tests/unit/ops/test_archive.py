"""Archives: only who they are sealed for opens them, and nothing that was changed, cut or exchanged is believed."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pyrage
import pytest

from troth.ops.backup.archive import ARCHIVE_FORMAT, Header, TableSummary, Writer
from troth.ops.backup.errors import BackupRefused
from troth.ops.backup.keep import drop_old, kept_in
from troth.ops.backup.read import readable_here, verify
from troth.ops.backup.sealing import Opener, Seal, sealed
from troth.store.migrate import migrations


def header(**changes: object) -> Header:
    values: dict[str, object] = {
        "format": ARCHIVE_FORMAT,
        "troth": "9.9.9",
        "created_at": datetime(2026, 1, 31, tzinfo=UTC),
        "origin": "pki.test/ledger",
        "notary_key": "key",
        "ledger_size": 0,
        "ledger_root": "",
        "checkpoint": None,
        "postgres": "18",
        "migrations": {one.number: one.sha256 for one in migrations()},
        "certificates": 0,
        "authorities": (),
        "files": (),
    }
    return Header(**(values | changes))  # type: ignore[arg-type]


def write(path: Path, seal: Seal, said: Header | None = None, *, pieces: int = 2) -> Path:
    with path.open("wb") as file, sealed(file, seal) as stream:
        writer = Writer(stream)
        writer.add("header.json", msgspec.json.encode(said or header()))
        for number in range(pieces):
            writer.add(f"db/certificate/{number:06}", bytes(range(256)) * 600)
        writer.add("files/keys/one.json", b"wrapped")
        writer.finish({"certificate": TableSummary(("id",), 3, 2)})
    return path


def refused(path: Path, opener: Opener) -> str:
    with pytest.raises(BackupRefused) as caught:
        verify(path, opener)
    return caught.value.code


@pytest.fixture
def key() -> pyrage.x25519.Identity:
    return pyrage.x25519.Identity.generate()


def test_what_was_sealed_for_a_recipient_is_read_back_whole(tmp_path: Path, key: pyrage.x25519.Identity) -> None:
    path = write(tmp_path / "a", Seal.of([str(key.to_public())]))
    found = verify(path, Opener((key,)))
    assert found.header.origin == "pki.test/ledger"
    assert set(found.manifest.members) >= {"header.json", "db/certificate/000001", "files/keys/one.json"}
    assert path.read_bytes().startswith(b"age-encryption.org/v1")


def test_a_passphrase_opens_what_it_sealed_and_no_other_does(tmp_path: Path) -> None:
    right, wrong = tmp_path / "right", tmp_path / "wrong"
    right.write_text("correct horse battery\n")
    wrong.write_text("correct horse batteries\n")
    path = write(tmp_path / "a", Seal.of([], right))
    assert verify(path, Opener.of(None, right)).header.troth == "9.9.9"
    assert refused(path, Opener.of(None, wrong)) == "ops.backup.identity"


def test_a_key_that_it_was_not_sealed_for_is_told_so(tmp_path: Path, key: pyrage.x25519.Identity) -> None:
    path = write(tmp_path / "a", Seal.of([str(key.to_public())]))
    assert refused(path, Opener((pyrage.x25519.Identity.generate(),))) == "ops.backup.identity"


def test_the_witness_reads_back_what_its_maker_cannot_open_later(tmp_path: Path, key: pyrage.x25519.Identity) -> None:
    seal, witness = Seal.of([str(key.to_public())]).witnessed()
    path = write(tmp_path / "a", seal)
    assert verify(path, witness).size == verify(path, Opener((key,))).size


@pytest.mark.parametrize("where", [0.02, 0.3, 0.9, 1.0])
def test_an_archive_that_was_cut_short_is_damaged(tmp_path: Path, key: pyrage.x25519.Identity, where: float) -> None:
    path = write(tmp_path / "a", Seal.of([str(key.to_public())]))
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * where) - 1])
    assert refused(path, Opener((key,))) in {"ops.backup.damaged", "ops.backup.identity"}


@pytest.mark.parametrize("where", [0.4, 0.7, 0.99])
def test_an_archive_with_one_changed_octet_is_damaged(
    tmp_path: Path, key: pyrage.x25519.Identity, where: float
) -> None:
    path = write(tmp_path / "a", Seal.of([str(key.to_public())]))
    content = bytearray(path.read_bytes())
    content[int(len(content) * where)] ^= 1
    path.write_bytes(content)
    assert refused(path, Opener((key,))) == "ops.backup.damaged"


def test_something_else_that_is_sealed_for_us_is_no_archive(tmp_path: Path, key: pyrage.x25519.Identity) -> None:
    path = tmp_path / "a"
    path.write_bytes(pyrage.encrypt(b"a love letter", [key.to_public()]))
    assert refused(path, Opener((key,))) == "ops.backup.damaged"


def test_missing_rows_are_noticed_although_every_octet_is_authentic(
    tmp_path: Path, key: pyrage.x25519.Identity
) -> None:
    path = write(tmp_path / "a", Seal.of([str(key.to_public())]), pieces=1)
    assert refused(path, Opener((key,))) == "ops.backup.damaged"


def test_an_archive_of_another_format_names_its_version(tmp_path: Path, key: pyrage.x25519.Identity) -> None:
    path = write(tmp_path / "a", Seal.of([str(key.to_public())]), header(format="troth-backup/7"))
    with pytest.raises(BackupRefused, match=r"troth-backup/7, made by Troth 9\.9\.9") as caught:
        verify(path, Opener((key,)))
    assert caught.value.code == "ops.backup.format"


def test_a_schema_that_this_version_does_not_know_is_refused() -> None:
    known = header().migrations
    assert readable_here(header()) == max(known)
    with pytest.raises(BackupRefused, match="9999") as caught:
        readable_here(header(migrations={**known, 9999: "x"}))
    assert caught.value.code == "ops.backup.format"


def test_nobody_seals_for_nobody(tmp_path: Path) -> None:
    for recipients in ([], ["age1nonsense"]):
        with pytest.raises(BackupRefused) as caught:
            Seal.of(recipients)
        assert caught.value.code == "ops.backup.recipients"
    short = tmp_path / "short"
    short.write_text("hunter2\n")
    with pytest.raises(BackupRefused):
        Seal.of([], short)


class Full:
    """A disk that takes so many octets."""

    def __init__(self, room: int) -> None:
        self.room = room

    def write(self, data: bytes, /) -> int:
        self.room -= len(data)
        if self.room < 0:
            raise OSError(28, "No space left on device")
        return len(data)

    def flush(self) -> None:
        return


def fill(room: int, seal: Seal) -> None:
    with sealed(Full(room), seal) as out:
        for _ in range(64):
            out.write(bytes(65_536))


@pytest.mark.parametrize("room", [0, 200, 100_000])
def test_a_full_disk_ends_the_archive_with_its_own_words(key: pyrage.x25519.Identity, room: int) -> None:
    with pytest.raises(BackupRefused, match="No space left") as caught:
        fill(room, Seal((key.to_public(),)))
    assert caught.value.code == "ops.backup.unwritable"


def test_the_newest_archives_are_kept_and_never_none(tmp_path: Path) -> None:
    for day in (1, 3, 2):
        (tmp_path / f"troth-2026010{day}T000000Z.troth").write_bytes(b"x")
    (tmp_path / "letter.txt").write_bytes(b"not ours")
    assert [path.name for path in drop_old(tmp_path, 2)] == ["troth-20260101T000000Z.troth"]
    assert [one.made_at.day for one in kept_in(tmp_path)] == [3, 2]
    drop_old(tmp_path, 0)
    assert [one.made_at.day for one in kept_in(tmp_path)] == [3]
    assert (tmp_path / "letter.txt").exists()
