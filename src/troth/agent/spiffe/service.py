"""The Workload API as a service of the agent: its socket, its certificates, its calls."""

from __future__ import annotations

import asyncio
import os
import socket
import stat
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from troth.agent import disk
from troth.agent.door.client import AgentDoor, Identity
from troth.agent.errors import DISK, AgentError
from troth.agent.spiffe.api import WorkloadApi
from troth.agent.spiffe.http2 import GrpcServer
from troth.agent.spiffe.jwts import Jwts
from troth.agent.spiffe.pods import pods_of
from troth.agent.spiffe.settings import SpiffeSettings
from troth.agent.spiffe.svids import Svids
from troth.agent.spiffe.tokens import TokenCalls

if TYPE_CHECKING:
    from troth.agent.services import Host


class SpiffeService:
    """See the module."""

    name = "spiffe"

    def __init__(self, host: Host, settings: SpiffeSettings) -> None:
        self._settings = settings
        self._host = host
        issuer = settings.issuer or next(iter(host.config.issuer))
        door = AgentDoor(settings.server, host.transport(issuer), self._identity)
        poll = timedelta(seconds=settings.poll_seconds)
        jwts = Jwts(door, host.clock, settings.workload)
        self._svids = Svids(door, host.clock, settings.workload, poll=poll, heard=jwts.heard, ended=jwts.forget)
        api = WorkloadApi(self._svids, TokenCalls(jwts), settings.workload, pods_of(settings.kubernetes, host.clock))
        self._server = GrpcServer(api.answer)

    async def run(self, stop: asyncio.Event) -> None:
        listening = listen(Path(self._settings.socket), int(self._settings.mode, 8))
        keeping = asyncio.create_task(self._svids.run(stop))
        serving = asyncio.create_task(self._server.serve(listening, stop))
        try:
            done, _ = await asyncio.wait((keeping, serving), return_when=asyncio.FIRST_COMPLETED)
            for one in done:
                one.result()  # a failure of either is the service's
            await asyncio.gather(keeping, serving)
        finally:
            for task in (keeping, serving):
                task.cancel()
            await asyncio.gather(keeping, serving, return_exceptions=True)
            disk.remove(Path(self._settings.socket))

    def status(self) -> Mapping[str, object]:
        return {"connections": self._server.connections, "workloads": self._svids.status()}

    def _identity(self) -> Identity:
        return self._host.identity(self._settings.certificate)


def listen(path: Path, mode: int) -> socket.socket:
    """A socket at ``path``, in place of one that a killed agent left. Raises AgentError."""
    disk.make_directory(path.parent, 0o755)
    try:
        if stat.S_ISSOCK(path.lstat().st_mode):
            path.unlink()
    except FileNotFoundError:
        pass
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    try:
        made.bind(os.fspath(path))
        path.chmod(mode)
        made.listen(128)
        made.setblocking(False)
    except OSError as error:
        made.close()
        raise AgentError(DISK, f"{path}: {error.strerror or error}") from error
    finally:
        os.umask(before)
    return made
