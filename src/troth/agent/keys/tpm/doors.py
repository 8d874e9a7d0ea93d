"""Ways to a TPM: each takes a command's octets and gives the answer's.

=================================== ======================================================================
``device:/dev/tpmrm0``              Linux: the kernel's resource manager
``swtpm:host=127.0.0.1,port=2321``  a software TPM over TCP
``tbs``                             Windows: TPM Base Services (:mod:`troth.agent.keys.tpm.tbs`)
=================================== ======================================================================

The text is what ``tcti`` of the configuration holds, as tpm2-tss writes the first two.
"""

from __future__ import annotations

import os
import socket
import stat
import sys
from contextlib import suppress
from typing import Protocol

from troth.agent.keys.tpm.errors import Unreachable

#: Of an answer: tag, size, response code (TPM 2.0 Library, Part 1, 18.4).
HEADER = 10
#: No TPM answers with more (TPM_PT_MAX_RESPONSE_SIZE is 4096 in all that there are).
MAX_ANSWER = 4096
#: A hardware TPM may look for the primes of a large RSA key for minutes.
_PATIENCE = 300.0
_CONNECT = 10.0


class Door(Protocol):
    """An open way to a TPM, for one caller at a time."""

    def exchange(self, command: bytes) -> bytes:
        """The answer to ``command``. Raises Unreachable where there is none."""
        ...

    def authorization(self, hierarchy: int) -> bytes:
        """The password of a hierarchy, as far as this machine knows it; empty where it has none."""
        ...

    def close(self) -> None:
        """Let others have the TPM."""
        ...


def open_door(tcti: str) -> Door:
    """The TPM that ``tcti`` names. Raises Unreachable."""
    kind, _, rest = tcti.partition(":")
    if kind == "device":
        return DeviceDoor(rest or "/dev/tpmrm0")
    if kind == "swtpm":
        return SocketDoor(rest)
    if kind == "tbs":
        from troth.agent.keys.tpm.tbs import TbsDoor, library

        return TbsDoor(library())
    raise Unreachable(f"there is no way to a TPM called {kind!r}; there are device, swtpm and tbs")


class DeviceDoor:
    """A character device of Linux: one ``write`` is a command, one ``read`` its whole answer (tpm-dev-common.c)."""

    def __init__(self, path: str) -> None:
        self._path = path
        try:
            self._descriptor = os.open(path, os.O_RDWR)
        except OSError as error:
            raise Unreachable(f"{path}: {error.strerror}") from error
        if not stat.S_ISCHR(os.fstat(self._descriptor).st_mode):
            os.close(self._descriptor)
            raise Unreachable(f"{path} is no device")

    def exchange(self, command: bytes) -> bytes:
        try:
            os.write(self._descriptor, command)
            return os.read(self._descriptor, MAX_ANSWER)
        except OSError as error:
            raise Unreachable(f"{self._path}: {error.strerror}") from error

    def authorization(self, hierarchy: int) -> bytes:
        return b""

    def close(self) -> None:
        os.close(self._descriptor)


class SocketDoor:
    """swtpm's data port: commands and answers as they are, one after the other."""

    def __init__(self, where: str) -> None:
        given = dict(part.split("=", 1) for part in where.split(",") if "=" in part)
        self._told = host, port = given.get("host", "127.0.0.1"), given.get("port", "2321")
        if not port.isdecimal():
            raise Unreachable(f"{port} is no port of a software TPM")
        try:
            self._socket = socket.create_connection((host, int(port)), _CONNECT)
        except (OSError, OverflowError) as error:
            raise Unreachable(f"{host} port {port}: {error}") from error
        self._socket.settimeout(_PATIENCE)

    def exchange(self, command: bytes) -> bytes:
        try:
            self._socket.sendall(command)
            header = self._take(HEADER)
            size = int.from_bytes(header[2:6])
            if not HEADER <= size <= MAX_ANSWER:
                raise Unreachable(f"{':'.join(self._told)} begins an answer of {size} octets")
            return header + self._take(size - HEADER)
        except OSError as error:
            raise Unreachable(f"{':'.join(self._told)}: {error}") from error

    def authorization(self, hierarchy: int) -> bytes:
        return b""

    def close(self) -> None:
        with suppress(OSError):
            self._socket.close()

    def _take(self, count: int) -> bytes:
        found = b""
        while len(found) < count:
            more = self._socket.recv(count - len(found))
            if not more:
                raise Unreachable(f"{':'.join(self._told)} ends in the middle of an answer")
            found += more
        return found


#: Where a TPM is unless the configuration says otherwise.
DEFAULT = "tbs" if sys.platform == "win32" else "device:/dev/tpmrm0"
