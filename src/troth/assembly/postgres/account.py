"""Whom the embedded database runs as.

PostgreSQL refuses to run as root, for a hole in it would then be a hole in everything. When Troth is root, the
database gets an unprivileged user; otherwise it runs as Troth does.
"""

from __future__ import annotations

import os
import pwd
import shutil
import stat
import subprocess
from dataclasses import dataclass
from pathlib import Path

from troth.assembly.errors import NO_ACCOUNT, PostgresError

_OWN_USER = "troth-db"


@dataclass(frozen=True, slots=True)
class Account:
    """An operating-system user.

    Attributes:
        drop: whether a child has to change to this user (we are root).
        note: what a person should know about the choice, or empty.
    """

    name: str
    uid: int
    gid: int
    drop: bool
    note: str = ""

    def may_reach(self, path: Path) -> bool:
        """Whether this user can walk to ``path`` and execute it; judged by permission bits and nothing else."""
        if not self.drop:
            return os.access(path, os.X_OK)
        real = path.resolve()
        return all(self._may_execute(step) for step in (*reversed(real.parents), real))

    def _may_execute(self, path: Path) -> bool:
        try:
            found = path.stat()
        except OSError:
            return False
        if found.st_uid == self.uid:
            return bool(found.st_mode & stat.S_IXUSR)
        if found.st_gid == self.gid:
            return bool(found.st_mode & stat.S_IXGRP)
        return bool(found.st_mode & stat.S_IXOTH)


def for_database(cluster: Path) -> Account:
    """The user for the database in ``cluster``, which need not exist yet.

    Ourselves, when we are not root. Otherwise the owner of an existing cluster; the ``postgres`` user that a system
    package made; a ``troth-db`` user, created where that is possible; and as the last resort ``nobody``.
    Raises PostgresError when there is no user at all.
    """
    if os.geteuid() != 0:
        return Account(_name(os.geteuid()), os.geteuid(), os.getegid(), drop=False)
    if cluster.is_dir() and (owner := cluster.stat()).st_uid != 0:
        return Account(_name(owner.st_uid), owner.st_uid, owner.st_gid, drop=True)
    for name in ("postgres", _OWN_USER):
        if (entry := _entry(name)) is not None:
            return Account(name, entry.pw_uid, entry.pw_gid, drop=True)
    if (entry := _create()) is not None:
        return Account(entry.pw_name, entry.pw_uid, entry.pw_gid, drop=True, note=f"created system user {_OWN_USER}")
    if (entry := _entry("nobody")) is not None:
        note = f"runs as nobody, which other services may share; `useradd --system {_OWN_USER}` before the first start"
        return Account("nobody", entry.pw_uid, entry.pw_gid, drop=True, note=note)
    raise PostgresError(NO_ACCOUNT)


def _create() -> pwd.struct_passwd | None:
    """A system user of our own without a home, a shell or a password; None where the system does not let us."""
    program = shutil.which("useradd", path="/usr/sbin:/sbin:/usr/bin:/bin")
    if program is None:
        return None
    command = [program, "--system", "--no-create-home", "--home-dir", "/nonexistent", "--user-group"]
    command += ["--shell", "/usr/sbin/nologin", "--comment", "Troth's embedded PostgreSQL", _OWN_USER]
    try:
        subprocess.run(command, capture_output=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return _entry(_OWN_USER)


def _entry(name: str) -> pwd.struct_passwd | None:
    try:
        return pwd.getpwnam(name)
    except KeyError:
        return None


def _name(uid: int) -> str:
    """The user's name; a container may run us under a number that has none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
