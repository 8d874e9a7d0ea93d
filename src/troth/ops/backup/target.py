"""Where tiles go: a directory on another machine's disk today, an object store behind the same four verbs later."""

from __future__ import annotations

import os
import re
import secrets
from pathlib import Path
from typing import Protocol

from troth.ops.backup.errors import SHIPPING, ShippingFailed
from troth.pki.keys.files import sync_directory

_NAME = re.compile(r"[a-z0-9][a-z0-9.\-]*(/[a-z0-9][a-z0-9.\-]*){0,8}\Z")


class Target(Protocol):
    """Keeps named files. ``put`` returns when the file would survive a power cut there; names are never listed deep."""

    def put(self, name: str, content: bytes) -> None:
        """Keep ``content`` under ``name``, whole or not at all. Raises ShippingFailed."""
        ...

    def get(self, name: str) -> bytes | None:
        """What is kept there, or None. Raises ShippingFailed."""
        ...

    def drop(self, name: str) -> None:
        """Forget ``name``, if it is there. Raises ShippingFailed."""
        ...

    def names(self, folder: str) -> list[str]:
        """The names directly in ``folder``, sorted; none if there is no such folder. Raises ShippingFailed."""
        ...


class DirectoryTarget:
    """A directory, best a mount from elsewhere. It must exist: an unmounted mount point must not be filled."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def put(self, name: str, content: bytes) -> None:
        path = self._path(name)
        partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}.partial")
        try:
            if not self._root.is_dir():
                raise ShippingFailed(SHIPPING, f"{self._root} is not there")
            fresh = not path.parent.is_dir()
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                with partial.open("xb") as file:
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
                partial.replace(path)
            except BaseException:
                partial.unlink(missing_ok=True)
                raise
            sync_directory(path.parent)
            if fresh:
                for parent in path.parents:
                    sync_directory(parent)
                    if parent == self._root:
                        break
        except OSError as error:
            raise ShippingFailed(SHIPPING, f"{path}: {error.strerror or error}") from error

    def get(self, name: str) -> bytes | None:
        try:
            return self._path(name).read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise ShippingFailed(SHIPPING, f"{name}: {error.strerror}") from error

    def drop(self, name: str) -> None:
        try:
            self._path(name).unlink(missing_ok=True)
        except OSError as error:
            raise ShippingFailed(SHIPPING, f"{name}: {error.strerror}") from error

    def names(self, folder: str) -> list[str]:
        try:
            return sorted(path.name for path in self._path(folder).iterdir() if not path.name.startswith("."))
        except FileNotFoundError:
            return []
        except OSError as error:
            raise ShippingFailed(SHIPPING, f"{folder}: {error.strerror}") from error

    def _path(self, name: str) -> Path:
        if not _NAME.match(name):
            raise ShippingFailed(SHIPPING, f"{name!r} is no name of a tile")
        return self._root / name
