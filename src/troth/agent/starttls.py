"""How plain protocols turn to TLS: SMTP (RFC 3207), IMAP (RFC 3501), LDAP (RFC 4511, 4.14), PostgreSQL (55.2.10).

Each raises ValueError or EOFError when the service will not, and reads no more than it must: what comes after the
last answer is TLS.
"""

from __future__ import annotations

from asyncio import StreamReader, StreamWriter
from collections.abc import Awaitable, Callable, Mapping

_MOST_LINES = 64
#: ExtendedRequest, message 1, of 1.3.6.1.4.1.1466.20037 (RFC 4511, 4.14.1).
_LDAP = b"\x30\x1d\x02\x01\x01\x77\x18\x80\x16" + b"1.3.6.1.4.1.1466.20037"
_LDAP_MOST = 4096


async def smtp(reader: StreamReader, writer: StreamWriter) -> None:
    """EHLO, then STARTTLS."""
    await _smtp_answer(reader, "220")
    writer.write(b"EHLO localhost\r\n")
    await _smtp_answer(reader, "250")
    writer.write(b"STARTTLS\r\n")
    await _smtp_answer(reader, "220")


async def imap(reader: StreamReader, writer: StreamWriter) -> None:
    """A greeting, then STARTTLS."""
    greeting = await _line(reader)
    if not greeting.startswith("* OK"):
        raise ValueError(f"IMAP greets with {greeting[:80]!r}")
    writer.write(b"a1 STARTTLS\r\n")
    for _ in range(_MOST_LINES):
        line = await _line(reader)
        if line.startswith("a1 "):
            if line.upper().startswith("A1 OK"):
                return
            raise ValueError(f"IMAP answers {line[:80]!r}")
    raise ValueError("IMAP gives no answer")


async def ldap(reader: StreamReader, writer: StreamWriter) -> None:
    """The StartTLS operation; its answer's resultCode must be 0."""
    writer.write(_LDAP)
    head = await reader.readexactly(2)
    if head[0] != 0x30:
        raise ValueError("this is no LDAP")
    size = head[1]
    if size & 0x80:
        octets = size & 0x7F
        if not 1 <= octets <= 4:
            raise ValueError("LDAP's answer has no sane length")
        size = int.from_bytes(await reader.readexactly(octets), "big")
    if size > _LDAP_MOST:
        raise ValueError("LDAP's answer is too long")
    body = await reader.readexactly(size)
    # messageID INTEGER 1, then [APPLICATION 24] with resultCode ENUMERATED first.
    if body[:3] != b"\x02\x01\x01" or body[3:4] != b"\x78":
        raise ValueError("LDAP answers something else")
    place = body.find(b"\x0a\x01", 4, 12)
    if place < 0 or body[place + 2 : place + 3] != b"\x00":
        raise ValueError("LDAP will not start TLS")


async def postgres(reader: StreamReader, writer: StreamWriter) -> None:
    """SSLRequest; S says yes."""
    writer.write((8).to_bytes(4, "big") + (80877103).to_bytes(4, "big"))
    said = await reader.readexactly(1)
    if said != b"S":
        raise ValueError("PostgreSQL will not start TLS")


START: Mapping[str, Callable[[StreamReader, StreamWriter], Awaitable[None]]] = {
    "smtp": smtp,
    "imap": imap,
    "ldap": ldap,
    "postgres": postgres,
}


async def _smtp_answer(reader: StreamReader, code: str) -> None:
    for _ in range(_MOST_LINES):
        line = await _line(reader)
        if line[:3] != code:
            raise ValueError(f"SMTP answers {line[:80]!r}")
        if line[3:4] != "-":
            return
    raise ValueError("SMTP does not come to an end")


async def _line(reader: StreamReader) -> str:
    line = await reader.readline()
    if not line.endswith(b"\n"):
        raise EOFError("the service closed the connection")
    return line.decode("ascii", "replace").rstrip()
