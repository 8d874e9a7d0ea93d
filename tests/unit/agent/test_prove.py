"""Whether a service serves the new certificate: TLS at once, and after the turn of plain protocols."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Literal

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st

from tests.support.agents import root
from tests.support.clocks import START
from troth.agent.errors import NOT_SERVED, AgentError
from troth.agent.keys.files import generate, to_pem
from troth.agent.prove import prove, served_at
from troth.agent.settings import ProveTls
from troth.agent.starttls import START as STARTTLS

KEY = generate("p256")
PEM = root().issue(KEY.public_key(), ["www.example.org"], START)
LEAF = x509.load_pem_x509_certificate(PEM).public_bytes(Encoding.DER)
Kind = Literal["", "smtp", "imap", "ldap", "postgres"]

#: What each service says, and what it must have heard before it turns to TLS.
DIALOGUES: dict[str, list[tuple[bytes, bytes]]] = {
    "": [],
    "smtp": [
        (b"220-mail\r\n220 ready\r\n", b"EHLO localhost\r\n"),
        (b"250-mail\r\n250-SIZE\r\n250 STARTTLS\r\n", b"STARTTLS\r\n"),
        (b"220 go\r\n", b""),
    ],
    "imap": [(b"* OK hello\r\n", b"a1 STARTTLS\r\n"), (b"* CAPABILITY IMAP4rev1\r\na1 OK begin\r\n", b"")],
    "ldap": [
        (b"", b"\x30\x1d\x02\x01\x01\x77\x18\x80\x161.3.6.1.4.1.1466.20037"),
        (b"\x30\x81\x0c\x02\x01\x01\x78\x07\x0a\x01\x00\x04\x00\x04\x00", b""),
    ],
    "postgres": [(b"", b"\x00\x00\x00\x08\x04\xd2\x16\x2f"), (b"S", b"")],
}


@asynccontextmanager
async def service(tmp_path: Path, dialogue: list[tuple[bytes, bytes]]) -> AsyncIterator[int]:
    """A service that holds ``dialogue`` and then TLS; its port."""
    (tmp_path / "served.pem").write_bytes(PEM + to_pem(KEY))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(tmp_path / "served.pem")
    talks = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        talks.add(asyncio.current_task())
        try:
            for said, heard in dialogue:
                writer.write(said)
                assert await reader.readexactly(len(heard)) == heard
            await writer.drain()
            await writer.start_tls(context)
            await reader.read()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await asyncio.gather(*(talk for talk in talks if talk), return_exceptions=True)


@pytest.mark.parametrize("kind", ["", "smtp", "imap", "ldap", "postgres"])
async def test_the_new_certificate_is_seen(tmp_path: Path, kind: Kind) -> None:
    async with service(tmp_path, DIALOGUES[kind]) as port:
        await prove(ProveTls(host="127.0.0.1", port=port, starttls=kind, timeout=20), LEAF, ("www.example.org",))


async def test_another_certificate_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with service(tmp_path, []) as port:
        settings = ProveTls(host="127.0.0.1", port=port, timeout=1)
        assert await served_at(settings, "www.example.org") == LEAF

    async def served(_settings: ProveTls, server_name: str) -> bytes:
        assert server_name == "www.example.org"
        return LEAF

    monkeypatch.setattr("troth.agent.prove.served_at", served)
    with pytest.raises(AgentError, match=r"www\.example\.org.*still serves another certificate") as refused:
        await prove(settings, b"new", ("*.a", "www.example.org"))
    assert refused.value.reason is NOT_SERVED


async def test_a_service_that_is_away_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as one:
        settings = ProveTls(host="127.0.0.1", port=one.getsockname()[1], timeout=1)
    with pytest.raises(ConnectionRefusedError):
        await served_at(settings, "")

    async def served(*_: object) -> bytes:
        raise ConnectionRefusedError("refused")

    monkeypatch.setattr("troth.agent.prove.served_at", served)
    with pytest.raises(AgentError, match=r"no name.*ConnectionRefusedError: refused"):
        await prove(settings, LEAF, ())


async def test_one_right_answer_among_wrong_ones_is_not_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("troth.agent.prove._BETWEEN", 0.0)
    answers = [LEAF, b"old", LEAF, LEAF]

    async def served(*_: object) -> bytes:
        return answers.pop(0)

    monkeypatch.setattr("troth.agent.prove.served_at", served)
    await prove(ProveTls(timeout=60), LEAF, ())
    assert answers == []


class Pipe:
    """A reader that holds what a service said, and a writer that nobody reads."""

    def __init__(self, said: bytes) -> None:
        self.reader = asyncio.StreamReader()
        self.reader.feed_data(said)
        self.reader.feed_eof()
        self.written = b""

    def write(self, data: bytes) -> None:
        self.written += data


REFUSALS: list[tuple[str, bytes]] = [
    ("smtp", b"554 go away\r\n"),
    ("smtp", b"220 a\r\n250 b\r\n454 not now\r\n"),
    ("smtp", b"220-a\r\n" * 80),
    ("imap", b"* BYE\r\n"),
    ("imap", b"* OK\r\na1 NO\r\n"),
    ("imap", b"* OK\r\n" + b"* x\r\n" * 80),
    ("ldap", b"\x31\x00"),
    ("ldap", b"\x30\x89\x00"),
    ("ldap", b"\x30\x83\xff\xff\xff"),
    ("ldap", b"\x30\x05\x02\x01\x02\x78\x00"),
    ("ldap", b"\x30\x0c\x02\x01\x01\x78\x07\x0a\x01\x02\x04\x00\x04\x00"),
    ("postgres", b"N"),
    ("postgres", b""),
]


@pytest.mark.parametrize(("kind", "said"), REFUSALS)
async def test_a_service_that_will_not_is_refused(kind: str, said: bytes) -> None:
    pipe = Pipe(said)
    turn: Callable[..., object] = STARTTLS[kind]
    with pytest.raises((ValueError, EOFError)):
        await turn(pipe.reader, pipe)  # type: ignore[misc]


@given(st.sampled_from(sorted(STARTTLS)), st.binary(max_size=80), st.booleans())
def test_whatever_a_service_says_is_understood_or_refused(kind: str, said: bytes, well_begun: bool) -> None:
    begun = {"smtp": b"220 a\r\n250 b\r\n", "imap": b"* OK\r\n", "ldap": b"\x30\x0c\x02\x01\x01\x78", "postgres": b""}

    async def talk() -> None:
        pipe = Pipe((begun[kind] if well_begun else b"") + said)
        try:
            await STARTTLS[kind](pipe.reader, pipe)  # type: ignore[arg-type]
        except (ValueError, EOFError):
            return

    asyncio.run(talk())
