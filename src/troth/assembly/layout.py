"""Every path in the data directory, in one place.

What may be lost and what must never be: ``run/`` is made anew at each start; ``state.json`` can be written again by
hand (the ports and public addresses); ``pg/``, ``secrets/`` and ``keys/`` are the installation and belong in a
backup; ``nonces.map`` may be lost (clients ask for a new nonce); ``journal/`` holds decisions of the last seconds, and
its loss shows as a gap in their numbers.
"""

from __future__ import annotations

import hashlib
import os
import stat
import sys
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from troth.assembly.errors import DATA_DIR_PERMISSION, RUN_DIR_UNSAFE, AssemblyError

#: sockaddr_un.sun_path without its closing zero: 108 bytes on Linux, 104 on the BSDs and macOS.
SUN_PATH = 107 if sys.platform == "linux" else 103
_LONGEST_SOCKET = "postgres/.s.PGSQL.5432"


@dataclass(frozen=True)
class Layout:
    """Paths below one data directory. ``root`` is absolute; use :meth:`at` to make one."""

    root: Path

    @classmethod
    def at(cls, root: Path | str) -> Layout:
        """The layout of ``root``, made absolute."""
        return cls(Path(root).expanduser().resolve())

    @property
    def config_file(self) -> Path:
        return self.root / "troth.toml"

    @property
    def state_file(self) -> Path:
        return self.root / "state.json"

    @property
    def lock_file(self) -> Path:
        return self.root / "lock"

    @property
    def database(self) -> Path:
        """The embedded PostgreSQL's cluster; belongs to the user that PostgreSQL runs as."""
        return self.root / "pg"

    @property
    def secrets(self) -> Path:
        return self.root / "secrets"

    def role_secret(self, role: str) -> Path:
        """The secret by which processes of ``role`` prove themselves to the signer: 32 bytes."""
        return self.secrets / f"{role}.secret"

    @property
    def keys(self) -> Path:
        """Authority keys, encrypted PKCS#8; read by the signer alone."""
        return self.root / "keys"

    @property
    def root_certificate(self) -> Path:
        return self.root / "root.pem"

    @property
    def offline_root(self) -> Path:
        """The root's sealed key on its way off this machine."""
        return self.root / "offline-root"

    @property
    def admin_token(self) -> Path:
        """The first administrator's bootstrap token."""
        return self.root / "admin.token"

    @property
    def server_identity(self) -> Path:
        """The listeners' own certificate chain and private key (PEM), replaced whole when it is renewed."""
        return self.secrets / "server.pem"

    @property
    def vantage_identity(self) -> Path:
        """The key by which this installation asks vantage points elsewhere, or by which a vantage is known (PEM)."""
        return self.secrets / "vantage.pem"

    @property
    def nonces(self) -> Path:
        return self.root / "nonces.map"

    @property
    def journal(self) -> Path:
        """Decisions of connections on their way into the database; empty once the processes have ended in order."""
        return self.root / "journal"

    @property
    def notary(self) -> Path:
        """The notary's last checkpoint: what the signer will only ever extend."""
        return self.root / "notary.json"

    @cached_property
    def run(self) -> Path:
        """Where the sockets lie: ``run/``, or a short private directory where that path is too long for a socket.

        The same for every process of this installation, whoever runs it: it follows from the data directory's path
        and owner alone.
        """
        wanted = self.root / "run"
        if len(os.fsencode(wanted / _LONGEST_SOCKET)) <= SUN_PATH:
            return wanted
        name = hashlib.sha256(os.fsencode(self.root)).hexdigest()[:12]
        owner = self._owner()
        base = Path("/run") if owner == 0 and Path("/run").is_dir() else Path("/tmp")  # noqa: S108 - checked in prepare
        return base / f"troth-{owner}-{name}"

    @property
    def postgres_socket_dir(self) -> Path:
        return self.run / "postgres"

    @property
    def signer_socket(self) -> Path:
        return self.run / "signer.sock"

    @property
    def validation_socket(self) -> Path:
        """Where a worker validates for this machine's web processes."""
        return self.run / "validate.sock"

    @property
    def pulse(self) -> Path:
        """What the processes of this machine tell one another of the end of the log (``audit/pulse_memory.py``)."""
        return self.run / "pulse"

    @property
    def radius_mailboxes(self) -> Path:
        """Where RADIUS workers reach one another: a datagram socket each, under its number."""
        return self.run / "radius"

    @property
    def radius_steering(self) -> Path:
        """How packets find their RADIUS worker on this machine, for ``troth status``."""
        return self.run / "radius-steering.json"

    @property
    def radius_secret(self) -> Path:
        """What the first start's own access server and Troth have in common: for a trial on this machine."""
        return self.secrets / "radius-local.secret"

    @property
    def admin_socket(self) -> Path:
        """The admin API for this machine's own people, who are known by their user id."""
        return self.run / "admin.sock"

    def prepare(self) -> None:
        """Make the directories that are missing, readable by their owner alone.

        Raises AssemblyError when they cannot be made, or when the short run directory is not ours: anyone may
        make names in /tmp, and a directory that another user owns could hand our clients a false database.
        """
        try:
            self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
            for directory in (self.secrets, self.keys, self.run):
                directory.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise AssemblyError(DATA_DIR_PERMISSION, f"{error.filename}: {error.strerror}") from error
        found = self.run.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != self._owner() or found.st_mode & 0o077:
            raise AssemblyError(RUN_DIR_UNSAFE, f"{self.run} is not a private directory of this installation's owner")

    def _owner(self) -> int:
        try:
            return self.root.stat().st_uid
        except OSError:
            return os.geteuid()


def default_data_dir() -> Path:
    """``$TROTH_DATA``, else /var/lib/troth for root, else the XDG data directory's ``troth``."""
    if named := os.environ.get("TROTH_DATA"):
        return Path(named)
    if os.geteuid() == 0:
        return Path("/var/lib/troth")
    base = os.environ.get("XDG_DATA_HOME") or "~/.local/share"
    return Path(base).expanduser() / "troth"
