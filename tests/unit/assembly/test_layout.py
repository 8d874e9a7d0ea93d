from __future__ import annotations

import os
from pathlib import Path

import pytest

from troth.assembly import state
from troth.assembly.errors import AssemblyError
from troth.assembly.layout import SUN_PATH, Layout
from troth.assembly.state import Address, State


def test_everything_that_is_made_is_readable_by_its_owner_alone(tmp_path: Path) -> None:
    layout = Layout.at(tmp_path / "data")
    layout.prepare()
    layout.prepare()
    for directory in (layout.root, layout.secrets, layout.keys, layout.run):
        assert directory.stat().st_mode & 0o777 == 0o700


def test_every_socket_fits_into_sun_path_however_long_the_data_directory(tmp_path: Path) -> None:
    long = Layout.at(tmp_path / ("x" * 120))
    long.prepare()
    try:
        assert long.run.parent != long.root
        assert len(os.fsencode(long.postgres_socket_dir / ".s.PGSQL.5432")) <= SUN_PATH
        assert Layout.at(long.root).run == long.run
    finally:
        long.run.rmdir()


def test_a_run_directory_that_others_may_enter_is_refused(tmp_path: Path) -> None:
    layout = Layout.at(tmp_path / "data")
    layout.prepare()
    layout.run.chmod(0o755)
    with pytest.raises(AssemblyError) as error:
        layout.prepare()
    assert error.value.code == "assembly.run_dir.unsafe"


def test_a_run_directory_that_is_a_link_is_refused(tmp_path: Path) -> None:
    layout = Layout.at(tmp_path / "data")
    layout.root.mkdir(mode=0o700)
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    layout.run.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(AssemblyError) as error:
        layout.prepare()
    assert error.value.code == "assembly.run_dir.unsafe"


def test_a_data_directory_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(AssemblyError) as error:
        Layout.at(tmp_path / "file" / "data").prepare()
    assert error.value.code == "assembly.data_dir.permission"


def test_the_state_comes_back_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    assert state.read(path) is None
    written = State(
        listeners={"https": Address("::1", 8443)}, public_url="https://a", public_http_url="http://a", admin_url=""
    )
    state.write(path, written)
    assert state.read(path) == written
    assert [entry.name for entry in tmp_path.iterdir()] == ["state.json"]


def test_a_damaged_state_is_refused_and_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    path.write_text('{"listeners": 3')
    with pytest.raises(AssemblyError) as error:
        state.read(path)
    assert error.value.code == "assembly.state.damaged"
    assert path.read_text() == '{"listeners": 3'
