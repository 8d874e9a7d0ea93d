"""The store of encrypted keys: what is on disk, and what a changed file does."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.support.signing import authority_certificate
from troth.kit.clock import FakeClock
from troth.pki import algorithms
from troth.pki.keys.algorithm import KeyAlgorithm, from_pkcs8, public_key_info
from troth.pki.keys.errors import KeyRefused, KeyUnavailable, SecretUnsafe
from troth.pki.keys.files import ensure_secret, read_secret, write_private
from troth.pki.keys.model import IssuingLimits, KeyPurpose
from troth.pki.keys.software import KeyStore
from troth.pki.signer.attachment import limits_from
from troth.pki.signer.protocol import Bounds

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
CLOCK = FakeClock(NOW)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[KeyStore]:
    opened = KeyStore.open(tmp_path, CLOCK)
    yield opened
    opened.close()


def reopen(store: KeyStore, data: Path) -> KeyStore:
    store.close()
    return KeyStore.open(data, CLOCK)


def limits(spki: bytes) -> tuple[bytes, IssuingLimits]:
    certificate = authority_certificate(spki, NOW)
    return certificate, limits_from(certificate, spki, Bounds(), NOW)


@pytest.mark.parametrize("algorithm", list(KeyAlgorithm))
def test_a_key_of_each_kind_signs_after_a_restart_as_before(
    store: KeyStore, tmp_path: Path, algorithm: KeyAlgorithm
) -> None:
    made = store.generate(KeyPurpose.ISSUING, algorithm)
    again = reopen(store, tmp_path)
    assert again.list_keys() == [made]
    public = algorithms.load_public(made.public_key)
    algorithms.verify(public, again.signing_key(made.key_id).sign(b"message"), b"message")
    assert algorithms.algorithm_identifier(public) == algorithm.signature_algorithm
    again.close()


def test_files_are_private_and_show_no_key(store: KeyStore, tmp_path: Path) -> None:
    made = store.generate(KeyPurpose.OCSP)
    for path in (tmp_path / "keys" / f"{made.key_id}.json", tmp_path / "secrets" / "keystore.secret"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "keys").stat().st_mode) == 0o700
    content = (tmp_path / "keys" / f"{made.key_id}.json").read_bytes()
    assert store.export(made.key_id)[-32:] not in content
    assert sorted(path.name for path in (tmp_path / "keys").iterdir()) == [".lock", f"{made.key_id}.json"]


def test_limits_edited_on_disk_make_the_key_unusable_and_leave_the_others(store: KeyStore, tmp_path: Path) -> None:
    made, other = store.generate(KeyPurpose.ISSUING), store.generate(KeyPurpose.ISSUING)
    store.attach(made.key_id, *limits(made.public_key))
    path = tmp_path / "keys" / f"{made.key_id}.json"
    path.write_text(path.read_text().replace('"allow_ca":false', '"allow_ca":true'))
    again = reopen(store, tmp_path)
    with pytest.raises(KeyUnavailable):
        again.signing_key(made.key_id)
    assert again.list_keys() == [other]
    again.close()


def test_one_keys_metadata_cannot_be_put_on_another(store: KeyStore, tmp_path: Path) -> None:
    issuing, ocsp = store.generate(KeyPurpose.ISSUING), store.generate(KeyPurpose.OCSP)
    path = tmp_path / "keys" / f"{issuing.key_id}.json"
    file = json.loads(path.read_text())
    file["metadata"]["purpose"] = "ocsp"
    path.write_text(json.dumps(file, separators=(",", ":")))
    (tmp_path / "keys" / "ocsp-copy.json").write_bytes((tmp_path / "keys" / f"{ocsp.key_id}.json").read_bytes())
    again = reopen(store, tmp_path)
    for key_id in (issuing.key_id, "ocsp-copy"):
        with pytest.raises(KeyUnavailable):
            again.export(key_id)
    again.close()


def test_a_key_is_attached_once_and_stays_attached(store: KeyStore, tmp_path: Path) -> None:
    made = store.generate(KeyPurpose.ISSUING)
    attached = store.attach(made.key_id, *limits(made.public_key))
    again = reopen(store, tmp_path)
    assert again.metadata(made.key_id) == attached
    with pytest.raises(KeyRefused) as caught:
        again.attach(made.key_id, *limits(made.public_key))
    assert caught.value.code == "keys.attached"
    ocsp = again.generate(KeyPurpose.OCSP)
    with pytest.raises(KeyRefused):
        again.attach(ocsp.key_id, *limits(ocsp.public_key))
    again.close()


def test_only_an_ocsp_key_is_exported_or_forgotten(store: KeyStore) -> None:
    ocsp = store.generate(KeyPurpose.OCSP, use_until=NOW + timedelta(days=14))
    assert public_key_info(from_pkcs8(store.export(ocsp.key_id))) == ocsp.public_key
    for purpose in (KeyPurpose.ISSUING, KeyPurpose.NOTARY):
        made = store.generate(purpose)
        for act in (store.export, store.forget):
            with pytest.raises(KeyRefused) as caught:
                act(made.key_id)
            assert caught.value.code == "keys.purpose"
    store.forget(ocsp.key_id)
    with pytest.raises(KeyRefused) as caught:
        store.export(ocsp.key_id)
    assert caught.value.code == "keys.unknown"


def test_two_signers_never_have_one_store(store: KeyStore, tmp_path: Path) -> None:
    with pytest.raises(KeyUnavailable) as caught:
        KeyStore.open(tmp_path, CLOCK)
    assert caught.value.code == "keys.store_in_use"
    reopen(store, tmp_path).close()


def test_a_store_with_keys_does_not_make_itself_a_new_secret(store: KeyStore, tmp_path: Path) -> None:
    store.generate(KeyPurpose.ISSUING)
    (tmp_path / "secrets" / "keystore.secret").unlink()
    with pytest.raises(SecretUnsafe):
        reopen(store, tmp_path)
    assert not (tmp_path / "secrets" / "keystore.secret").exists()


def test_a_half_written_file_of_a_killed_signer_is_taken_away(store: KeyStore, tmp_path: Path) -> None:
    left = tmp_path / "keys" / ".issuing-1.json.0a0b0c0d.partial"
    left.write_text("half")
    reopen(store, tmp_path).close()
    assert not left.exists()


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_failed_write_leaves_the_old_content_and_no_litter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    path = tmp_path / "file"
    write_private(path, b"old")

    def fail(*_args: object) -> None:
        raise OSError("no")

    monkeypatch.setattr(f"troth.pki.keys.files.os.{step}", fail)
    with pytest.raises(OSError, match="no"):
        write_private(path, b"new")
    monkeypatch.undo()
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file"]


def test_a_secret_that_others_may_read_or_of_the_wrong_size_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "secrets" / "web.secret"
    assert ensure_secret(path) == read_secret(path)
    path.chmod(0o644)
    with pytest.raises(SecretUnsafe):
        read_secret(path)
    path.chmod(0o600)
    path.write_bytes(b"x" * 33)
    with pytest.raises(SecretUnsafe):
        read_secret(path)
    path.unlink()
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(SecretUnsafe):
        read_secret(path)
