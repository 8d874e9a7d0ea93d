"""A certificate as its consumers see it: numbered generations, and one link that says which is current.

``000007/`` holds everything that belongs together: leaf, chain, key and each configured form. ``current`` leads to
one generation; turning it is one rename, so a consumer never sees a key with another generation's certificate. The
paths of the configuration are links through ``current`` (or copies, which are written after the turn, one by one).
A generation is never changed once it is whole: ``meta.json`` is written last, and a directory without it is debris.
"""

from __future__ import annotations

import hashlib
import re
import shutil
from datetime import datetime
from pathlib import Path

import msgspec

from troth.agent import disk, forms, system
from troth.agent.config import owner_of
from troth.agent.errors import DISK, IN_THE_WAY, AgentError
from troth.agent.keys.model import KeyAccess
from troth.agent.settings import OutputSettings
from troth.agent.state import Wanted, restore, save

_NUMBER = re.compile(r"\d{6}\Z")


class Meta(msgspec.Struct, frozen=True):
    """What a generation is. ``outputs`` is a digest of the settings that its forms were made by."""

    number: int
    wanted: Wanted
    label: str
    outputs: str
    obtained: datetime


class Generations:
    """The generations of one certificate, in its directory."""

    def __init__(self, directory: Path, name: str, outputs: tuple[OutputSettings, ...]) -> None:
        self.directory = directory
        self._name = name
        self._outputs = outputs
        self.digest = hashlib.sha256(msgspec.json.encode(outputs)).hexdigest()

    @property
    def current(self) -> Meta | None:
        """The generation that consumers see."""
        target = disk.read_link(self.directory / "current")
        return self._meta(int(target)) if target and _NUMBER.match(target) else None

    def meta(self, number: int) -> Meta | None:
        """The whole generation of this number, if it is there."""
        return self._meta(number) if number else None

    def path(self, number: int) -> Path:
        """Its directory."""
        return self.directory / f"{number:06}"

    def chain(self, number: int) -> str:
        """Leaf and chain, PEM. Raises AgentError."""
        leaf, rest = disk.read(self.path(number) / "leaf.pem"), disk.read(self.path(number) / "chain.pem")
        if leaf is None or rest is None:
            raise AgentError(DISK, f"{self.path(number)} has lost its certificate")
        return (leaf + rest).decode()

    def numbers(self) -> list[int]:
        """Every whole generation, the oldest first."""
        found = (int(one.name) for one in self.directory.iterdir() if _NUMBER.match(one.name))
        return sorted(number for number in found if self._meta(number) is not None)

    def next_number(self) -> int:
        """A number above every one that was ever there, debris included."""
        return max((int(one.name) for one in self.directory.iterdir() if _NUMBER.match(one.name)), default=0) + 1

    def stage(self, meta: Meta, chain: str, access: KeyAccess) -> None:
        """Write a generation; nobody sees it yet. Raises AgentError, and then there is at most debris."""
        directory = self.path(meta.number)
        self._clear(directory)
        disk.make_directory(directory, 0o755)
        disk.write(directory / "leaf.pem", forms.leaf_of(chain).encode(), mode=0o644)
        disk.write(directory / "chain.pem", forms.render("chain", chain, access), mode=0o644)
        if access.exportable:
            disk.write(directory / "key.pem", access.pem)
        for output in self._outputs:
            self._write(directory / _file_name(output), output, chain, access)
        save(directory / "meta.json", meta)

    def switch(self, number: int) -> None:
        """Have consumers see generation ``number``. Raises AgentError, and then they see the one before."""
        for output in self._outputs:
            if _linked(output):
                self._link(output)
        disk.point(self.directory / "current", f"{number:06}")
        for output in self._outputs:
            if not _linked(output):
                self._copy(output, self.path(number) / _file_name(output))

    def mend(self) -> None:
        """Put back links and copies that somebody took away. Raises AgentError."""
        current = self.current
        if current is None or current.outputs != self.digest:
            return
        for output in self._outputs:
            if _linked(output):
                self._link(output)
            elif not Path(output.path).exists():
                self._copy(output, self.path(current.number) / _file_name(output))

    def prune(self, keep: set[int]) -> list[Meta]:
        """Remove every generation but those to ``keep``, and debris; the metas of what is gone."""
        gone = []
        for one in sorted(self.directory.iterdir()):
            if _NUMBER.match(one.name) and int(one.name) not in keep:
                meta = self._meta(int(one.name))
                self._clear(one)
                if meta is not None:
                    gone.append(meta)
        return gone

    def _meta(self, number: int) -> Meta | None:
        return restore(self.path(number) / "meta.json", Meta)

    def _clear(self, directory: Path) -> None:
        disk.remove(directory / "meta.json")  # first: half a generation is none
        try:
            shutil.rmtree(directory)
        except FileNotFoundError:
            return
        except OSError as error:
            raise AgentError(DISK, f"{directory}: {error.strerror}") from error

    def _write(self, path: Path, output: OutputSettings, chain: str, access: KeyAccess) -> None:
        password = disk.read(Path(output.password_file)) if output.password_file else b""
        if password is None:
            raise AgentError(DISK, f"there is no file {output.password_file}")
        data = forms.render(output.form, chain, access, name=self._name, password=password.rstrip(b"\r\n"))
        uid, gid = owner_of(output.owner, output.group)
        disk.write(path, data, mode=mode_of(output), uid=uid, gid=gid)

    def _link(self, output: OutputSettings) -> None:
        path, target = Path(output.path), str(self.directory / "current" / _file_name(output))
        if disk.read_link(path) == target:
            return
        if path.exists() and not path.is_symlink():
            raise AgentError(IN_THE_WAY, f"{path} is a file that the agent did not put there")
        disk.point(path, target)

    def _copy(self, output: OutputSettings, source: Path) -> None:
        data = disk.read(source)
        if data is None:
            raise AgentError(DISK, f"there is no file {source}")
        uid, gid = owner_of(output.owner, output.group)
        disk.write(Path(output.path), data, mode=mode_of(output), uid=uid, gid=gid)


def _linked(output: OutputSettings) -> bool:
    return system.SERVES and not output.copy


def mode_of(output: OutputSettings) -> int:
    """The mode of an output: as configured, else 0600 for what holds the key and 0644 for the rest."""
    return int(output.mode, 8) if output.mode else 0o600 if output.form in forms.SECRET else 0o644


def _file_name(output: OutputSettings) -> str:
    """Told by the path alone: when forms or their order change, no link must be turned but ``current``."""
    path = Path(output.path)
    return f"{hashlib.sha256(output.path.encode()).hexdigest()[:8]}-{path.name}"
