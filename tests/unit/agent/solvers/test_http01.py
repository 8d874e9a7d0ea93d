"""http-01 by the agent itself, and through a web server's root."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.running import free_port
from troth.agent import disk
from troth.agent.errors import CHALLENGE, AgentError
from troth.agent.settings import ListenHttp, WebRoot
from troth.agent.solvers.build import Solvers
from troth.agent.solvers.http01 import HttpListeners, _Listener
from troth.agent.solvers.model import Proof
from troth.kit.clock import FakeClock

PATH = "/.well-known/acme-challenge/"


def proof(token: str, value: str = "www.example.org") -> Proof:
    return Proof("dns", value, token, f"{token}.thumb", "txt")


async def get(port: int, request: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    writer.write_eof()
    said = await reader.read()
    writer.close()
    return said


async def test_tokens_are_answered_while_they_are_shown_and_the_port_is_given_back() -> None:
    listeners, port = HttpListeners(), free_port()
    async with listeners.shown("127.0.0.1", port, proof("one")):
        async with listeners.shown("127.0.0.1", port, proof("two")):
            for token in ("one", "two"):
                said = await get(port, f"GET {PATH}{token} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
                assert said.startswith(b"HTTP/1.1 200 OK\r\n")
                assert said.endswith(f"\r\n\r\n{token}.thumb".encode())
        assert b"404" in await get(port, f"GET {PATH}two HTTP/1.1\r\n\r\n".encode())
        assert await get(port, b"x" * 20_000) == b"", "what is no request gets no answer"
    with pytest.raises(ConnectionRefusedError):
        await get(port, b"")


async def test_a_port_that_others_have_is_told(clock: FakeClock) -> None:
    server = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    for settings in (ListenHttp(address="127.0.0.1", port=port),):
        solver = Solvers(clock).make(settings)
        with pytest.raises(AgentError, match=f"port {port} of 127.0.0.1 cannot be had") as refused:
            async with solver.shown(proof("one")):
                raise AssertionError("not reached")
        assert refused.value.reason is CHALLENGE
    server.close()


async def test_a_web_servers_root_holds_the_answer_for_a_while(tmp_path: Path, clock: FakeClock) -> None:
    solver = Solvers(clock).make(WebRoot(path=str(tmp_path)))
    place = tmp_path / PATH.strip("/") / "one"
    async with solver.shown(proof("one")) as answer:
        assert answer == {}
        assert place.read_text() == "one.thumb"
        assert place.stat().st_mode & 0o777 == 0o644
    assert not place.exists()
    with pytest.raises(ZeroDivisionError):
        async with solver.shown(proof("one")):
            raise ZeroDivisionError
    assert not place.exists()


async def test_a_link_out_of_the_web_servers_root_is_not_followed(tmp_path: Path, clock: FakeClock) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "www" / ".well-known").mkdir(parents=True)
    (tmp_path / "www" / ".well-known" / "acme-challenge").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(AgentError, match="acme-challenge"):
        async with Solvers(clock).make(WebRoot(path=str(tmp_path / "www"))).shown(proof("one")):
            raise AssertionError("not reached")
    assert list((tmp_path / "elsewhere").iterdir()) == []


@pytest.mark.parametrize("swapped", [".well-known", ".well-known/acme-challenge"])
async def test_a_link_that_is_put_there_meanwhile_changes_nothing(
    tmp_path: Path, clock: FakeClock, swapped: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between looking and writing, and between writing and taking away: the directory that was opened is the one."""
    elsewhere, place = tmp_path / "elsewhere", tmp_path / "www" / PATH.strip("/")
    (elsewhere / "acme-challenge").mkdir(parents=True)
    for one in (elsewhere / "one", elsewhere / "acme-challenge" / "one"):
        one.write_text("somebody else's")
    place.mkdir(parents=True)
    target, aside = tmp_path / "www" / swapped, tmp_path / "aside"
    write = disk.Held.write

    def swapping(held: disk.Held, name: str, data: bytes, *, mode: int) -> None:
        target.rename(aside)
        target.symlink_to(elsewhere)
        write(held, name, data, mode=mode)

    monkeypatch.setattr(disk.Held, "write", swapping)
    async with Solvers(clock).make(WebRoot(path=str(tmp_path / "www"))).shown(proof("one")):
        assert [one.read_text() for one in aside.rglob("one")] == ["one.thumb"]
    assert [one.read_text() for one in elsewhere.rglob("one")] == ["somebody else's"] * 2
    assert list(aside.rglob("one")) == []


@pytest.mark.parametrize("token", ["", "../../etc/passwd", "a/b", "a.b", "a" * 300, "a\n", "ä"])
def test_a_token_that_could_lead_elsewhere_is_refused(token: str) -> None:
    with pytest.raises(AgentError, match="base64url"):
        proof(token)


@given(st.binary(max_size=200))
def test_whatever_is_asked_only_a_shown_token_is_told(head: bytes) -> None:
    listener = _Listener()
    listener.tokens["shown"] = "shown.thumb"
    asked = head.startswith(f"GET {PATH}shown".encode())
    assert (b"shown.thumb" in listener.answer(head)) <= asked
    for other in (b"POST ", b"GET /x"):
        assert b" 404 " in listener.answer(other + head)
