"""What must be the same after a restart although nobody configured it: the ports and the public addresses.

They stand in certificates (AIA, CDP) and in clients' configuration, so a port that was free yesterday is ours
today. ``state.json`` is read at each start and written only when it changes.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import msgspec

from troth.assembly.errors import DATA_DIR_PERMISSION, STATE_DAMAGED, AssemblyError


class Address(msgspec.Struct, frozen=True):
    """Where a listener listens. ``host`` is as the operator wrote it; ``port`` is a real one, never 0."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class State(msgspec.Struct, frozen=True, kw_only=True):
    """The contents of ``state.json``.

    Attributes:
        listeners: ``https``, ``http`` and ``admin``; ``radius_auth`` and ``radius_acct`` once they have been open.
        public_url: base of everything reached over TLS; no slash at the end.
        public_http_url: base of OCSP, CRL and CA certificate URLs; no slash at the end.
        admin_url: base of the dashboard and API.
        ledger_origin: the ledger's name in its checkpoints; for ever that of the first start, whatever the host is
            called later (the notary signs for no other).
    """

    listeners: dict[str, Address]
    public_url: str
    public_http_url: str
    admin_url: str
    ledger_origin: str = ""


def read(path: Path) -> State | None:
    """The state in ``path``, or None before the first start. Raises AssemblyError when it cannot be understood.

    A damaged file is never replaced by a new one: that would silently move the addresses that issued certificates
    point to.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=State)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.MsgspecError) as error:
        raise AssemblyError(STATE_DAMAGED, f"{path}: {error}") from error


def write(path: Path, state: State) -> None:
    """Put ``state`` into ``path`` whole or not at all, and on the disk."""
    text = msgspec.json.format(msgspec.json.encode(state), indent=2) + b"\n"
    try:
        descriptor, fresh = tempfile.mkstemp(prefix=".state-", dir=path.parent)
        with os.fdopen(descriptor, "wb") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(fresh).replace(path)
        directory = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
    except OSError as error:
        raise AssemblyError(DATA_DIR_PERMISSION, f"{path}: {error.strerror}") from error
