"""What a TPM that is busy, locked, broken or hostile answers, told by a door that says what the test wants."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from troth.agent.errors import KeyTrouble
from troth.agent.keys.tpm import commands, keyfile
from troth.agent.keys.tpm.commands import Commands
from troth.agent.keys.tpm.doors import SocketDoor, open_door
from troth.agent.keys.tpm.errors import (
    HandleUnknown,
    LockedOut,
    NotAuthorized,
    NotOurs,
    TpmError,
    Unreachable,
    refused,
    tell,
)
from troth.tpm.errors import TpmMalformed
from troth.tpm.wire import tpm2b


class Scripted:
    """A door with answers written beforehand."""

    def __init__(self, *answers: bytes) -> None:
        self.answers = list(answers)
        self.asked: list[bytes] = []

    def exchange(self, command: bytes) -> bytes:
        self.asked.append(command)
        return self.answers.pop(0)

    def authorization(self, hierarchy: int) -> bytes:
        return b""

    def close(self) -> None: ...


def answer(code: int, parameters: bytes = b"") -> bytes:
    return b"\x80\x01" + (10 + len(parameters)).to_bytes(4) + code.to_bytes(4) + parameters


@pytest.mark.parametrize("code", [0x908, 0x90A, 0x920, 0x922])
def test_a_busy_tpm_is_asked_again(code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    monkeypatch.setattr(commands.time, "sleep", waits.append)
    door = Scripted(answer(code), answer(code), answer(0, tpm2b(b"public")))
    assert Commands(door).read_public(0x81000001) == b"public"
    assert len(set(door.asked)) == 1
    assert waits == [0.02, 0.04]
    for_ever = Scripted(*[answer(code)] * 50)
    with pytest.raises(TpmError):
        Commands(for_ever).read_public(0x81000001)
    assert len(for_ever.asked) == 11


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (0x98E, NotAuthorized), (0x9A2, NotAuthorized), (0x12F, NotAuthorized), (0x80280400, NotAuthorized),
        (0x921, LockedOut), (0xB0921, LockedOut), (0x18B, HandleUnknown), (0x910, HandleUnknown), (0x1DF, NotOurs),
        (0x101, TpmError), (0x143, TpmError),
    ],
)  # fmt: skip
def test_a_response_code_is_an_error_of_its_kind(code: int, kind: type[TpmError]) -> None:
    error = refused("Load", code)
    assert type(error) is kind
    assert f"{code:#x}" in str(error)
    assert "TPM2_Load" in str(error)


def test_a_code_that_nobody_knows_is_told_as_a_number() -> None:
    assert tell(0xFFF) == "response code 0xfff"


@pytest.mark.parametrize(
    "given_back",
    [b"", b"\x80\x01", answer(0)[:-1], answer(0, b"x") + b"y", answer(0, b"\x00\x09short"), answer(0, b"\xff\xff")],
)
def test_what_is_no_answer_is_refused(given_back: bytes) -> None:
    with pytest.raises((Unreachable, TpmMalformed)):
        Commands(Scripted(given_back)).read_public(1)


@given(st.binary(max_size=80))
def test_no_answer_of_whatever_bytes_breaks_a_reader(parameters: bytes) -> None:
    def nv(tpm: Commands) -> object:
        return tpm.read_nv(0x01C00002, 64)

    def create(tpm: Commands) -> object:
        return tpm.create(1, b"")

    asks: tuple[Callable[[Commands], object], ...] = (Commands.nv_buffer, nv, create)
    for ask in asks:
        try:
            ask(Commands(Scripted(*[answer(0, parameters)] * 3)))
        except (Unreachable, TpmMalformed, TpmError, IndexError):
            continue


def test_an_nv_index_without_end_is_not_read() -> None:
    def public(size: int) -> bytes:
        return answer(0, tpm2b(bytes(6) + (1 << 18).to_bytes(4) + bytes(2) + size.to_bytes(2)) + tpm2b(b""))

    with pytest.raises(Unreachable, match="8192 are the most"):
        Commands(Scripted(public(9000))).read_nv(1, 512)
    with pytest.raises(Unreachable, match="ends after 0"):
        Commands(Scripted(public(100), answer(0, (2).to_bytes(4) + tpm2b(b"")))).read_nv(1, 512)


def test_a_way_that_does_not_exist_is_told() -> None:
    for tcti, says in (
        ("carrier-pigeon:", "there are device, swtpm and tbs"),
        ("device:/dev/there-is-none", "No such file"),
        ("device:/etc/passwd", "is no device"),
        ("swtpm:port=tpm", "no port"),
        ("swtpm:port=1", "port 1"),
        ("swtpm:port=99999", "port 99999"),
    ):
        with pytest.raises(Unreachable, match=says):
            open_door(tcti)


@pytest.mark.parametrize(
    ("said", "says"),
    [(b"", "in the middle"), (b"\x80\x01\x00\x00\x00\x0c\x00\x00\x00\x00", "in the middle"),
     (b"\x80\x01\xff\xff\xff\xff\x00\x00\x00\x00", "4294967295 octets")],
)  # fmt: skip
def test_a_software_tpm_that_breaks_off_is_told(said: bytes, says: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            with server.accept()[0] as client:
                client.recv(10)
                client.sendall(said)

        thread = threading.Thread(target=serve)
        thread.start()
        door = SocketDoor(f"port={server.getsockname()[1]}")
        try:
            with pytest.raises(Unreachable, match=says):
                door.exchange(b"0123456789")
        finally:
            door.close()
            thread.join()


@given(st.binary(max_size=200))
def test_a_key_file_is_read_or_refused(data: bytes) -> None:
    pem = b"-----BEGIN TSS2 PRIVATE KEY-----\n" + data + b"\n-----END TSS2 PRIVATE KEY-----\n"
    for text in (data, pem):
        with pytest.raises(KeyTrouble):
            keyfile.read(text)


@given(st.binary(min_size=1, max_size=300), st.binary(min_size=1, max_size=300), st.integers(0, 0xFFFFFFFF))
def test_a_key_file_gives_back_what_was_written(public: bytes, private: bytes, parent: int) -> None:
    held = keyfile.KeyFile(public, private, parent)
    assert keyfile.read(held.pem()) == held
    assert keyfile.read(b"text before\n" + held.pem() + b"text after") == held
