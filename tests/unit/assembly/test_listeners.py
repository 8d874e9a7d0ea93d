from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from troth.assembly import listeners
from troth.assembly.errors import AssemblyError
from troth.assembly.listeners import open_listeners, open_unix, parse_address
from troth.assembly.state import Address, State
from troth.kit.settings import ListenSettings

FREE = ListenSettings(https="localhost:0", http="localhost:0", admin="localhost:0")


@contextmanager
def opened(settings: ListenSettings, state: State | None = None) -> Iterator[tuple[listeners.Sockets, State]]:
    sockets, known = open_listeners(settings, state)
    try:
        yield sockets, known
    finally:
        listeners.close(sockets)


@contextmanager
def taken() -> Iterator[int]:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        yield other.getsockname()[1]


def test_port_zero_takes_free_ports_and_the_state_says_which() -> None:
    with opened(FREE) as (sockets, known):
        for name in listeners.NAMES:
            assert {one.getsockname()[1] for one in sockets[name]} == {known.listeners[name].port}
        assert known.public_url == f"https://localhost:{known.listeners['https'].port}"
        assert known.public_http_url == f"http://localhost:{known.listeners['http'].port}"


@pytest.mark.parametrize("settings", [FREE, ListenSettings()])
def test_a_remembered_port_is_taken_again(settings: ListenSettings) -> None:
    with opened(FREE) as (_, first):
        pass
    with opened(settings, first) as (_, second):
        assert second == first


def test_a_remembered_port_that_is_taken_is_refused_and_nothing_stays_bound() -> None:
    with opened(FREE) as (_, first):
        pass
    with taken() as port:
        moved = State(
            listeners={**first.listeners, "admin": Address("localhost", port)},
            public_url=first.public_url,
            public_http_url=first.public_http_url,
            admin_url=first.admin_url,
        )
        with pytest.raises(AssemblyError) as error:
            open_listeners(ListenSettings(), moved)
    assert error.value.code == "assembly.listen.port_taken"
    with opened(FREE, first):
        pass


def test_without_a_word_about_ports_a_taken_usual_port_gives_way_to_a_free_one(monkeypatch: pytest.MonkeyPatch) -> None:
    with taken() as port:
        monkeypatch.setattr(listeners, "USUAL_PORTS", dict.fromkeys(listeners.NAMES, port))
        with opened(ListenSettings()) as (_, known):
            assert port not in {address.port for address in known.listeners.values()}


def test_the_public_url_is_kept_while_the_listener_stays_and_made_anew_when_it_moves() -> None:
    named = ListenSettings(
        https="localhost:0", http="localhost:0", admin="localhost:0", public_url="https://pki.example"
    )
    with opened(named) as (_, first):
        assert first.public_url == "https://pki.example"
    with opened(FREE, first) as (_, second):
        assert second.public_url == "https://pki.example"
    with taken() as port:
        pass
    with opened(ListenSettings(https=f"localhost:{port}"), second) as (_, third):
        assert third.public_url == f"https://localhost:{port}"
        assert third.public_http_url == second.public_http_url


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("localhost:8443", ("localhost", 8443)),
        ("localhost", ("localhost", None)),
        ("[::1]:0", ("::1", 0)),
        ("[::]", ("::", None)),
        ("*:443", ("*", 443)),
    ],
)
def test_addresses_are_read(text: str, parts: tuple[str, int | None]) -> None:
    assert parse_address(text) == parts


@pytest.mark.parametrize("text", ["", ":443", "1812", "::1", "host:", "host:x", "host:65536", "host:-1", "host:٣"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(AssemblyError) as error:
        parse_address(text)
    assert error.value.code == "assembly.listen.address"


@given(st.text())
def test_any_text_is_an_address_or_refused(text: str) -> None:
    try:
        host, port = parse_address(text)
    except AssemblyError:
        return
    assert host
    assert port is None or 0 <= port <= 65535


def test_an_address_of_another_machine_is_refused() -> None:
    with pytest.raises(AssemblyError) as error:
        open_listeners(ListenSettings(https="192.0.2.1:0"), None)
    assert error.value.code == "assembly.listen.refused"


def test_the_admin_socket_is_private_and_replaces_a_dead_one(tmp_path: Path) -> None:
    path = tmp_path / "a.sock"
    open_unix(path).close()
    with open_unix(path) as listener:
        assert path.stat().st_mode & 0o777 == 0o600
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))
        assert listener.family == socket.AF_UNIX
    assert os.path.lexists(path)


def test_a_file_that_is_no_socket_is_not_removed(tmp_path: Path) -> None:
    path = tmp_path / "a.sock"
    path.write_text("mine")
    with pytest.raises(AssemblyError):
        open_unix(path)
    assert path.read_text() == "mine"
