"""The directory of a ceremony's results: there whole, or not at all.

Everything is written into ``.<name>.partial`` beside the place where it shall be, flushed, and moved there in one
step when all of it is done. A ceremony that was cut short leaves the partial directory; the same plan takes it up
again, any other plan is refused while it lies there.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from troth.pki.ceremony.errors import OUTPUT_EXISTS, OUTPUT_UNWRITABLE, UNFINISHED, CeremonyFailed, PlanRefused
from troth.pki.ceremony.plan import Plan
from troth.pki.keys.files import remove_partials, sync_directory, write_private

PLAN_FILE, TRANSCRIPT_FILE, DRY_MARK = "plan.sha256", "transcript.jsonl", "DRY-RUN"
_PUBLIC = 0o644


class Desk:
    """Results on their way. One process at a time works at a desk; made with :meth:`open`."""

    def __init__(self, final: Path, partial: Path, lock: int, *, resumed: bool) -> None:
        self.final = final
        self.partial = partial
        self.resumed = resumed
        self._lock = lock

    @classmethod
    def open(cls, plan: Plan, *, dry_run: bool) -> Desk:
        """Raises PlanRefused when the results are there already, or another ceremony's are half there."""
        final = plan.output
        if final.exists():
            raise PlanRefused(OUTPUT_EXISTS, str(final))
        if dry_run:
            final = final.with_name(f"{final.name}.{DRY_MARK}")
        partial = final.with_name(f".{final.name}.partial")
        try:
            if dry_run:
                _clear(final)
                shutil.rmtree(partial, ignore_errors=True)
            final.parent.mkdir(parents=True, exist_ok=True)
            fresh = not partial.exists()
            partial.mkdir(mode=0o700, exist_ok=True)
            lock = _locked(partial)
            try:
                return cls._at(final, partial, lock, plan.digest, fresh=fresh)
            except BaseException:
                os.close(lock)
                raise
        except OSError as error:
            raise CeremonyFailed(OUTPUT_UNWRITABLE, f"{partial}: {error.strerror or error}") from error

    @classmethod
    def _at(cls, final: Path, partial: Path, lock: int, digest: bytes, *, fresh: bool) -> Desk:
        mark = partial / PLAN_FILE
        remove_partials(partial)
        if not mark.exists():
            if not fresh and any(partial.iterdir()):
                raise PlanRefused(UNFINISHED, f"{partial} holds something else")
            write_private(mark, digest.hex().encode() + b"\n", mode=_PUBLIC)
            sync_directory(partial.parent)
            return cls(final, partial, lock, resumed=False)
        if mark.read_bytes().strip() != digest.hex().encode():
            raise PlanRefused(UNFINISHED, f"{partial} is of the plan {mark.read_text(errors='replace')[:16]}…")
        return cls(final, partial, lock, resumed=True)

    def has(self, name: str) -> bool:
        """Whether that result is there."""
        return (self.partial / name).exists()

    def read(self, name: str) -> bytes:
        """A result of before the interruption."""
        return (self.partial / name).read_bytes()

    def write(self, name: str, content: bytes, *, private: bool = False) -> None:
        """A result, durably. Raises OSError."""
        path = self.partial / name
        if not path.parent.exists():
            path.parent.mkdir(mode=0o755)
            sync_directory(path.parent.parent)
        write_private(path, content, mode=0o600 if private else _PUBLIC)

    def write_all(self, files: Mapping[str, bytes]) -> None:
        """Several, public ones."""
        for name, content in files.items():
            self.write(name, content)

    def drop(self, *names: str) -> None:
        """Take back what nothing was signed with."""
        for name in names:
            path = self.partial / name
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        sync_directory(self.partial)

    def files(self) -> dict[str, bytes]:
        """Every result so far by its path, but the transcript."""
        found = sorted(path for path in self.partial.rglob("*") if path.is_file())
        names = {path.relative_to(self.partial).as_posix(): path for path in found}
        return {name: path.read_bytes() for name, path in names.items() if name not in (TRANSCRIPT_FILE, "SHA256SUMS")}

    def finish(self) -> Path:
        """Move the results to their place."""
        if self.final.exists():
            raise PlanRefused(OUTPUT_EXISTS, str(self.final))
        self.partial.chmod(0o755)
        os.rename(self.partial, self.final)
        sync_directory(self.final.parent)
        return self.final

    def close(self) -> None:
        """Let others work here."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1


def _locked(directory: Path) -> int:
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(handle)
        raise PlanRefused(UNFINISHED, f"another process works in {directory}") from error
    return handle


def _clear(final: Path) -> None:
    """Take the results of an earlier dry run away, and nothing else."""
    if not final.exists():
        return
    if not (final / DRY_MARK).is_file():
        raise PlanRefused(OUTPUT_EXISTS, f"{final} is not of a dry run")
    shutil.rmtree(final)
