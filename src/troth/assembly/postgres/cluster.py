"""The embedded database's files: made once and whole, owned by the database's user, settings written by us.

PostgreSQL's user may be unable to walk to the data directory (``/root`` is 0700, and stays so). We, who can, open
the directories and hand them down; PostgreSQL then names them ``/proc/self/fd/N``, which needs no walk. This holds
for ``initdb`` and the server alike, since both take absolute paths as they are and chdir into the data directory.
"""

from __future__ import annotations

import contextlib
import errno
import os
import pwd
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from troth.assembly.errors import (
    DISK_FULL,
    IN_USE,
    INIT_FAILED,
    NO_ACCOUNT,
    PG_PERMISSION,
    WRONG_VERSION,
    PostgresError,
)
from troth.assembly.postgres import store
from troth.assembly.postgres.account import Account
from troth.assembly.postgres.binaries import Binaries
from troth.kit.errors import Reason
from troth.kit.settings import DatabaseSettings

_LEAST_FREE = 200 * 1024 * 1024
_SELF_FD = Path("/proc/self/fd")

_CONF = """\
# Written by Troth at every start. Put your own settings into postgresql.local.conf, which is read last.
listen_addresses = ''
unix_socket_permissions = 0700
max_connections = {max_connections}
shared_buffers = {shared_buffers}MB
synchronous_commit = on
wal_compression = on
max_wal_size = 2GB
min_wal_size = 160MB
checkpoint_timeout = 15min
random_page_cost = 1.1
jit = off
update_process_title = off
max_parallel_workers_per_gather = 0
timezone = 'UTC'
log_timezone = 'UTC'
lc_messages = 'C'
logging_collector = on
log_directory = 'log'
log_filename = 'postgresql-%a.log'
log_rotation_age = 1d
log_rotation_size = 0
log_truncate_on_rotation = on
log_file_mode = 0600
log_line_prefix = '%m [%p] %a '
log_checkpoints = off
log_lock_waits = on
include_if_exists = 'postgresql.local.conf'
"""

_HBA = """\
# Written by Troth at every start. Only this machine's users that pg_ident.conf names come in, known to the kernel by
# their user id; there is no password to steal and nothing listens on a network.
local  troth  troth  peer  map=troth
"""


def version_of(cluster: Path) -> int | None:
    """The major version whose files lie in ``cluster``, or None where there is no cluster."""
    try:
        return int((cluster / "PG_VERSION").read_text().strip())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise PostgresError(PG_PERMISSION, f"{cluster}: {error}") from error


def create(cluster: Path, binaries: Binaries, account: Account) -> None:
    """Make a new cluster at ``cluster``, with Troth's role and database in it. Raises PostgresError.

    It is made beside its place and renamed when it is complete: a crash half-way leaves nothing that could be
    taken for a database.
    """
    staging = cluster.with_name(f"{cluster.name}.new")
    try:
        if shutil.disk_usage(cluster.parent).free < _LEAST_FREE:
            raise PostgresError(DISK_FULL, f"less than {_LEAST_FREE >> 20} MB free in {cluster.parent}")
        if staging.exists():
            shutil.rmtree(staging)
        staging.mkdir(mode=0o700)
        _give(staging, account)
        with handed_down(staging) as (address, fds):
            settings = as_account(account, fds)
            initdb = [str(binaries.directory / "initdb"), "-D", address, "-U", "postgres", "--encoding=UTF8"]
            initdb += ["--locale=C", "--auth-local=peer", "--auth-host=reject", "--data-checksums", "--no-instructions"]
            _run(initdb, settings)
            single = [str(binaries.directory / "postgres"), "--single", "-j", "-D", address, "postgres"]
            _run(single, settings, send=store.FIRST_STATEMENTS)
        staging.rename(cluster)
    except OSError as error:
        raise PostgresError(PG_PERMISSION if error.errno != errno.ENOSPC else DISK_FULL, str(error)) from error


def configure(cluster: Path, account: Account, settings: DatabaseSettings) -> None:
    """Write the cluster's settings and who may connect: ourselves, root, and the database's own user."""
    names = dict.fromkeys((_user_name(), "root"))
    ident = "".join(f'troth  "{name}"  {store.ROLE}\n' for name in names)
    conf = _CONF.format(max_connections=settings.max_connections, shared_buffers=settings.shared_buffers_mib)
    try:
        for name, text in (("postgresql.conf", conf), ("pg_hba.conf", _HBA), ("pg_ident.conf", ident)):
            fresh = cluster / f"{name}.new"
            fresh.unlink(missing_ok=True)
            with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
                file.write(text)
            _give(fresh, account)
            fresh.replace(cluster / name)
    except OSError as error:
        raise PostgresError(PG_PERMISSION if error.errno != errno.ENOSPC else DISK_FULL, str(error)) from error


@contextlib.contextmanager
def handed_down(*directories: Path) -> Iterator[tuple[Any, tuple[int, ...]]]:
    """Open ``directories`` for a child: yields the address (or a tuple of them) to tell it, and the descriptors.

    Without ``/proc`` the addresses are the plain paths and the descriptors do nothing.
    """
    fds = tuple(os.open(directory, os.O_RDONLY | os.O_DIRECTORY) for directory in directories)
    try:
        addresses = tuple(
            str(_SELF_FD / str(fd)) if _SELF_FD.is_dir() else str(directory)
            for fd, directory in zip(fds, directories, strict=True)
        )
        yield (addresses[0] if len(addresses) == 1 else addresses), fds
    finally:
        for fd in fds:
            os.close(fd)


def as_account(account: Account, fds: tuple[int, ...]) -> dict[str, Any]:
    """Popen's arguments for a child that runs as ``account`` with a clean environment."""
    settings: dict[str, Any] = {
        "pass_fds": fds,
        "cwd": "/",
        "umask": 0o077,
        "env": {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"},
    }
    if account.drop:
        settings |= {"user": account.uid, "group": account.gid, "extra_groups": []}
    return settings


def why(output: str, otherwise: Reason) -> Reason:
    """The reason behind what PostgreSQL wrote."""
    for words, found in (
        ("No space left on device", DISK_FULL),
        ("Disk quota exceeded", DISK_FULL),
        ("not compatible with this version", WRONG_VERSION),
        ("incompatible with server", WRONG_VERSION),
        ("still in use", IN_USE),
        ("Is another postmaster", IN_USE),
        ("could not look up effective user ID", NO_ACCOUNT),
        ("Permission denied", PG_PERMISSION),
        ("has wrong ownership", PG_PERMISSION),
        ("has invalid permissions", PG_PERMISSION),
    ):
        if words in output:
            return found
    return otherwise


def last_lines(output: str, count: int = 6) -> str:
    """The end of ``output``, for an error message."""
    return "\n".join(output.strip().splitlines()[-count:])


def _run(command: list[str], settings: dict[str, Any], send: str = "") -> None:
    try:
        done = subprocess.run(
            command, input=send, capture_output=True, text=True, errors="replace", timeout=120, check=False, **settings
        )
    except subprocess.TimeoutExpired as error:
        raise PostgresError(INIT_FAILED, f"{Path(command[0]).name} took longer than {error.timeout:.0f} s") from error
    # Single-user mode answers 0 although a statement failed.
    if done.returncode != 0 or "ERROR:" in done.stderr:
        output = f"{done.stdout}\n{done.stderr}"
        raise PostgresError(why(output, INIT_FAILED), f"{Path(command[0]).name}: {last_lines(output)}")


def _give(path: Path, account: Account) -> None:
    if account.drop:
        os.chown(path, account.uid, account.gid, follow_symlinks=False)


def _user_name() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError as error:
        # Peer authentication looks the number up; in a container without a passwd entry it has no name to find.
        raise PostgresError(NO_ACCOUNT, f"user id {os.geteuid()} has no name in /etc/passwd") from error
