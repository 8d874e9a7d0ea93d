"""What a person asks of the running agent: a Unix socket that only its own user can open, one line each way.

The path of the socket may be longer than a socket's address can be, so both ends go through the open directory.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

import msgspec

from troth.agent import system
from troth.agent.errors import CONTROL, DISK, AgentError
from troth.kit.errors import TrothError, registered_reasons

_MOST = 1024 * 1024
_PATIENCE = 10.0


class Asked(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One request."""

    do: Literal["status", "renew", "roll-back"]
    name: str = ""


class Told(msgspec.Struct, frozen=True):
    """One answer: what was asked for, or why not."""

    ok: Any = None
    code: str = ""
    detail: str = ""


class Control:
    """The listening end. Another's left-over socket is taken away: the directory's lock says that we are alone."""

    def __init__(self, path: Path, answer: Callable[[str, str], Awaitable[object]]) -> None:
        self._path = path
        self._answer = answer
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Control:
        with _reachable(self._path) as address:
            try:
                self._path.unlink(missing_ok=True)
                old = os.umask(0o177)
                try:
                    self._server = await asyncio.start_unix_server(self._serve, address, limit=_MOST)
                finally:
                    os.umask(old)
            except OSError as error:
                raise AgentError(DISK, f"{self._path}: {error.strerror}") from error
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._server is not None:
            self._server.close()
        self._path.unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(_PATIENCE):
                line = await reader.readline()
            writer.write(msgspec.json.encode(await self._reply(line)) + b"\n")
            await writer.drain()
        except (TimeoutError, OSError, ValueError):
            pass  # whoever asked has gone, or asked endlessly
        finally:
            writer.close()

    async def _reply(self, line: bytes) -> Told:
        try:
            asked = msgspec.json.decode(line, type=Asked)
            return Told(await self._answer(asked.do, asked.name))
        except msgspec.MsgspecError as error:
            return Told(code=CONTROL.code, detail=str(error))
        except TrothError as error:
            return Told(code=error.code, detail=error.detail)


async def ask(path: Path, do: str, name: str = "") -> Any | None:
    """What the running agent answers; None if none runs. Raises TrothError with the agent's own refusal."""
    if not system.SERVES or not path.parent.is_dir():
        return None
    with _reachable(path) as address:
        try:
            reader, writer = await asyncio.open_unix_connection(address, limit=_MOST)
        except (FileNotFoundError, ConnectionRefusedError):
            return None
        except OSError as error:
            raise AgentError(CONTROL, f"{path}: {error.strerror}") from error
    try:
        writer.write(msgspec.json.encode({"do": do, "name": name}) + b"\n")
        told = msgspec.json.decode(await reader.readline(), type=Told)
    except (OSError, ValueError, msgspec.MsgspecError) as error:
        raise AgentError(CONTROL, str(error)) from error
    finally:
        writer.close()
    if told.code:
        raise TrothError(registered_reasons().get(told.code, CONTROL), told.detail)
    return told.ok


@contextmanager
def _reachable(path: Path) -> Iterator[str]:
    """An address of at most 108 octets for the socket at ``path``."""
    try:
        directory = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise AgentError(DISK, f"{path.parent}: {error.strerror}") from error
    try:
        yield f"/proc/self/fd/{directory}/{path.name}"
    finally:
        os.close(directory)
