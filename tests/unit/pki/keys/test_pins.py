"""Where PINs come from, and what is not taken from there."""

from __future__ import annotations

from pathlib import Path

import pytest

from troth.pki.keys.errors import CustodianDown
from troth.pki.keys.pins import PinSource


def code_of(source: PinSource) -> str:
    with pytest.raises(CustodianDown) as caught:
        source.read()
    return caught.value.code


def test_a_private_file_gives_its_pin_without_the_line_end(tmp_path: Path) -> None:
    path = tmp_path / "pin"
    path.write_bytes(b"1234\n")
    path.chmod(0o600)
    assert PinSource(f"file:{path}").read() == b"1234"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o777])
def test_a_file_that_others_could_read_or_write_gives_none(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "pin"
    path.write_bytes(b"1234")
    path.chmod(mode)
    assert code_of(PinSource(f"file:{path}")) == "keys.secret_unsafe"


@pytest.mark.parametrize("content", [b"", b"\n", b"x" * 300])
def test_a_file_without_a_pin_or_with_too_much_gives_none(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "pin"
    path.write_bytes(content)
    path.chmod(0o600)
    assert code_of(PinSource(f"file:{path}")) == "keys.secret_unsafe"


def test_a_link_or_a_missing_file_gives_none(tmp_path: Path) -> None:
    (tmp_path / "real").write_bytes(b"1234")
    (tmp_path / "real").chmod(0o600)
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert code_of(PinSource(f"file:{tmp_path / 'link'}")) == "keys.secret_unsafe"
    assert code_of(PinSource(f"file:{tmp_path / 'missing'}")) == "keys.secret_unsafe"


def test_a_file_of_another_user_gives_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "pin"
    path.write_bytes(b"1234")
    path.chmod(0o600)
    monkeypatch.setattr("troth.pki.keys.pins.os.geteuid", lambda: path.stat().st_uid + 1)
    if path.stat().st_uid != 0:  # root's files are as good as our own
        assert code_of(PinSource(f"file:{path}")) == "keys.secret_unsafe"


def test_a_systemd_credential_gives_its_pin(tmp_path: Path) -> None:
    (tmp_path / "hsm").write_bytes(b"1234")
    (tmp_path / "hsm").chmod(0o440)  # how systemd shows its access list
    environ = {"CREDENTIALS_DIRECTORY": str(tmp_path)}
    assert PinSource("credential:hsm", environ).read() == b"1234"
    assert code_of(PinSource("credential:hsm", {})) == "keys.custodian_settings"
    assert code_of(PinSource("credential:other", environ)) == "keys.secret_unsafe"


def test_an_unsealed_pin_is_there_until_it_is_sealed_again() -> None:
    source = PinSource("unseal")
    assert source.sealed
    assert code_of(source) == "signer.sealed"
    source.unseal(b"1234")
    assert not source.sealed
    assert source.read() == b"1234"
    source.seal()
    assert code_of(source) == "signer.sealed"


@pytest.mark.parametrize("text", ["1234", "env:PIN", "", "File:/x"])
def test_a_pin_itself_is_no_source(text: str) -> None:
    with pytest.raises(CustodianDown) as caught:
        PinSource(text)
    assert "1234" not in str(caught.value)
