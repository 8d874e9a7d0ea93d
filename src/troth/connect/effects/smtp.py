"""One message handed to a mail server: as much of SMTP as a submission needs (RFC 5321, 3207, 4954, 4616).

The address was judged by the caller; the certificate is checked against the name. Where TLS is wanted, nothing goes on
without it, and nothing that was said before it counts after it.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

#: RFC 5321, 4.5.3.1.5 bounds a reply line at 512 octets; extensions may be longer.
_LINE: Final = 2_048
_LINES: Final = 100


class SmtpFailed(Exception):
    """The server's word, or that there was none. ``final``: it will be the same the next time."""

    def __init__(self, detail: str, *, final: bool = False) -> None:
        super().__init__(detail)
        self.final = final


@dataclass(frozen=True, slots=True)
class Server:
    """Where, and how. ``address`` is what ``host`` was judged to be; ``password`` goes with ``user``."""

    host: str
    address: str
    port: int
    tls: Literal["starttls", "always", "off"]
    user: str = ""
    password: str = ""


async def submit(server: Server, sender: str, to: Sequence[str], message: bytes, *, context: ssl.SSLContext) -> str:
    """Hand ``message`` over (CRLF lines); returns the server's word. Raises SmtpFailed.

    The caller bounds the time. Once this returns, the server has taken the responsibility (RFC 5321, 4.2.5).
    """
    always = server.tls == "always"
    try:
        reader, writer = await asyncio.open_connection(
            server.address, server.port, ssl=context if always else None, limit=_LINE,
            server_hostname=server.host if always else None,
        )  # fmt: skip
    except (OSError, ssl.SSLError) as error:
        raise SmtpFailed(f"{server.host}: {error}") from error
    session = _Session(reader, writer)
    try:
        return await session.converse(server, sender, to, message, context)
    except (OSError, ssl.SSLError, EOFError, ValueError, asyncio.LimitOverrunError) as error:
        raise SmtpFailed(f"{server.host}: {str(error) or type(error).__name__}") from error
    finally:
        await session.close()


class _Session:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        #: Under TLS: the writer in the clear, which must not be dropped, since that would close what TLS stands on.
        self._plain: asyncio.StreamWriter | None = None

    async def close(self) -> None:
        self._writer.close()
        with contextlib.suppress(OSError, TimeoutError, ssl.SSLError):
            async with asyncio.timeout(1):
                await self._writer.wait_closed()
        if self._plain is not None:
            self._plain.close()

    async def converse(
        self, server: Server, sender: str, to: Sequence[str], message: bytes, context: ssl.SSLContext
    ) -> str:
        await self._expect(220)
        offered = await self._hello()
        if server.tls == "starttls":
            if "STARTTLS" not in offered:
                raise SmtpFailed(f"{server.host} offers no STARTTLS, and the target asks for it", final=True)
            await self._say("STARTTLS", 220)
            await self._secure(server.host, context)
            offered = await self._hello()
        if server.user:
            if "PLAIN" not in offered.get("AUTH", "").upper().split():
                raise SmtpFailed(f"{server.host} does not take a name and password (AUTH PLAIN)", final=True)
            proof = base64.b64encode(f"\0{server.user}\0{server.password}".encode()).decode()
            await self._say(f"AUTH PLAIN {proof}", 235, told="AUTH PLAIN")
        await self._say(f"MAIL FROM:<{sender}>", 250)
        for one in to:
            await self._say(f"RCPT TO:<{one}>", 250, 251)
        await self._say("DATA", 354)
        self._writer.write(stuffed(message))
        word = await self._expect(250, told="the message")
        try:
            await self._say("QUIT", 221)
        except (SmtpFailed, OSError, EOFError, ValueError):
            pass  # the message was taken; how the server says goodbye changes nothing
        return word

    async def _hello(self) -> dict[str, str]:
        text = await self._say("EHLO localhost", 250)
        words = [line.partition(" ") for line in text.splitlines()[1:]]
        return {name.upper(): rest for name, _, rest in words}

    async def _secure(self, host: str, context: ssl.SSLContext) -> None:
        """Go on under TLS with a fresh reader: what was sent in the clear behind the 220 is thrown away."""
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(limit=_LINE)
        protocol = asyncio.StreamReaderProtocol(reader)
        transport = await loop.start_tls(self._writer.transport, protocol, context, server_hostname=host)
        if transport is None:
            raise SmtpFailed(f"{host}: the connection broke in the handshake")
        protocol.connection_made(transport)
        self._plain = self._writer
        self._reader, self._writer = reader, asyncio.StreamWriter(transport, protocol, reader, loop)

    async def _say(self, line: str, *good: int, told: str = "") -> str:
        self._writer.write(line.encode("ascii") + b"\r\n")
        return await self._expect(*good, told=told or line)

    async def _expect(self, *good: int, told: str = "its greeting") -> str:
        await self._writer.drain()
        code, text = await read_reply(self._reader)
        if code not in good:
            word = text.splitlines()[0][:200] if text else ""
            raise SmtpFailed(f"answered {code} to {told}: {word}", final=500 <= code < 600)
        return text


async def read_reply(reader: asyncio.StreamReader) -> tuple[int, str]:
    """Code and text of one reply, several lines joined (RFC 5321, 4.2). Raises ValueError, EOFError."""
    found: list[str] = []
    first = ""
    for _ in range(_LINES):
        line = (await reader.readuntil(b"\n")).rstrip(b"\r\n").decode("utf-8", "replace")
        code, sign = line[:3], line[3:4]
        if not (code.isascii() and code.isdigit()) or sign not in (" ", "-", "") or (first and code != first):
            raise ValueError("what it says is no SMTP reply")
        first = code
        found.append("".join(one if one.isprintable() else "?" for one in line[4:]))
        if sign != "-":
            return int(code), "\n".join(found)
    raise ValueError("its reply does not end")


def stuffed(message: bytes) -> bytes:
    """``message`` as it goes over the wire: leading dots doubled, and the line that ends it (RFC 5321, 4.5.2)."""
    lines = message.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
    if lines and not lines[-1]:
        lines.pop()
    return b"".join((b"." if line.startswith(b".") else b"") + line + b"\r\n" for line in lines) + b".\r\n"
