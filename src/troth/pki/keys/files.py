"""Files that are there whole or not at all, and that only their owner reads.

Every write goes to a new file beside the old one, is flushed to the disk, takes the old one's name in one step, and
the directory is flushed after it: when :func:`write_private` has returned, the content survives a power cut; when it
has not, either the old content or the new is there.
"""

from __future__ import annotations

import os
import secrets
import stat
from pathlib import Path

from troth.pki.keys.errors import SECRET_UNSAFE, SecretUnsafe

SECRET_SIZE = 32
_PARTIAL = ".partial"


def private_directory(path: Path) -> Path:
    """``path`` as a directory that only its owner enters, made if it is not there."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.chmod(0o700)
    return path


def write_private(path: Path, content: bytes, *, mode: int = 0o600) -> None:
    """Replace ``path`` with ``content``, durably and in one step. Raises OSError."""
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}{_PARTIAL}")
    handle = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
    try:
        with open(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    """Flush the directory's entries: a rename is durable only then."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def remove_partials(directory: Path) -> None:
    """Take away what a killed writer left half-written."""
    for left in directory.glob(f".*{_PARTIAL}"):
        left.unlink(missing_ok=True)


def read_secret(path: Path) -> bytes:
    """The 32 octets of a secret file. Raises SecretUnsafe when it is missing, of another size, or open to others."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except OSError as error:
        raise SecretUnsafe(SECRET_UNSAFE, f"{path.name} cannot be opened: {error.strerror}") from error
    with open(handle, "rb") as file:
        # Group access is for an installation that runs the signer under a uid of its own; the world never reads it.
        if stat.S_IMODE(os.fstat(file.fileno()).st_mode) & 0o027:
            raise SecretUnsafe(SECRET_UNSAFE, f"{path.name} is open to others than its owner")
        content = file.read(SECRET_SIZE + 1)
    if len(content) != SECRET_SIZE:
        raise SecretUnsafe(SECRET_UNSAFE, f"{path.name} does not hold {SECRET_SIZE} octets")
    return content


def ensure_secret(path: Path) -> bytes:
    """The secret in ``path``, made from 32 random octets if there is no such file."""
    if not path.exists():
        private_directory(path.parent)
        write_private(path, secrets.token_bytes(SECRET_SIZE))
    return read_secret(path)
