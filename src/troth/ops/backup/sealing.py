"""Sealing with age: for whom, and by whom it is opened again.

With recipients a sealed stream is a plain age file, which ``age --decrypt`` opens too. age has no streaming with a
passphrase here, so a passphrase seals a fresh identity (once, by scrypt) and that identity's recipient the stream:

    troth-sealed/1 <base64 of the sealed identity>\\n
    <age file>
"""

from __future__ import annotations

import binascii
import os
import threading
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol, TypeAlias

import pyrage

from troth.ops.backup.errors import DAMAGED, IDENTITY, RECIPIENTS, UNWRITABLE, BackupRefused

_PREFIX = b"troth-sealed/1 "
_LONGEST_HEADER = 4096

Recipient: TypeAlias = pyrage.x25519.Recipient
Identity: TypeAlias = pyrage.x25519.Identity


class Writable(Protocol):
    """Where sealed bytes go."""

    def write(self, data: bytes, /) -> int: ...


@dataclass(frozen=True)
class Seal:
    """For whom to seal. Make one with :meth:`of`."""

    recipients: tuple[Recipient, ...]
    passphrase: str | None = None

    def witnessed(self) -> tuple[Seal, Opener]:
        """The same seal with one more recipient, and who opens that: to read back what one may not open oneself.

        The witness's key lives in this process alone and is forgotten with it.
        """
        witness = pyrage.x25519.Identity.generate()
        return Seal((*self.recipients, witness.to_public()), self.passphrase), Opener((witness,))

    @classmethod
    def of(cls, recipients: Sequence[str], passphrase_file: Path | None = None) -> Seal:
        """Raises BackupRefused when nobody is named, or a recipient is none."""
        passphrase = None if passphrase_file is None else read_passphrase(passphrase_file)
        if not recipients and passphrase is None:
            raise BackupRefused(RECIPIENTS)
        if recipients and passphrase is not None:
            raise BackupRefused(RECIPIENTS, "recipients or a passphrase, not both: age mixes them with nothing")
        try:
            return cls(tuple(pyrage.x25519.Recipient.from_str(one) for one in recipients), passphrase)
        except pyrage.RecipientError as error:
            raise BackupRefused(RECIPIENTS, f"not an age recipient (age1…): {error}") from error

    def bytes(self, plain: bytes) -> bytes:
        """``plain``, sealed; only with recipients."""
        if not self.recipients:
            raise BackupRefused(RECIPIENTS, "tiles are sealed for recipients; a passphrase would cost a second each")
        return bytes(pyrage.encrypt(plain, list(self.recipients)))


@dataclass(frozen=True)
class Opener:
    """Who opens. Make one with :meth:`of`."""

    identities: tuple[Identity, ...]
    passphrase: str | None = None

    @classmethod
    def of(cls, identity_file: Path | None, passphrase_file: Path | None = None) -> Opener:
        """From a file as ``age-keygen`` writes it, or one with a passphrase. Raises BackupRefused."""
        if identity_file is None and passphrase_file is None:
            raise BackupRefused(IDENTITY, "give --identity or --passphrase-file")
        found: list[Identity] = []
        if identity_file is not None:
            try:
                lines = identity_file.read_text().splitlines()
                found = [pyrage.x25519.Identity.from_str(line.strip()) for line in lines if line.startswith("AGE-")]
            except (OSError, UnicodeDecodeError, pyrage.IdentityError) as error:
                raise BackupRefused(IDENTITY, f"{identity_file}: {error}") from error
            if not found:
                raise BackupRefused(IDENTITY, f"{identity_file} holds no AGE-SECRET-KEY")
        return cls(tuple(found), None if passphrase_file is None else read_passphrase(passphrase_file))

    def bytes(self, sealed: bytes) -> bytes:
        """What :meth:`Seal.bytes` sealed. Raises BackupRefused."""
        try:
            return bytes(pyrage.decrypt(sealed, list(self.identities)))
        except (pyrage.DecryptError, OSError) as error:
            raise _refusal(error) from error


def read_passphrase(path: Path) -> str:
    """The first line of ``path``; at least twelve characters. Raises BackupRefused."""
    try:
        line = path.read_text().partition("\n")[0].rstrip("\r")
    except (OSError, UnicodeDecodeError) as error:
        raise BackupRefused(IDENTITY, f"{path}: {error}") from error
    if len(line) < 12:
        raise BackupRefused(RECIPIENTS, f"the passphrase in {path} has fewer than 12 characters")
    return line


@contextmanager
def sealed(out: Writable, seal: Seal) -> Iterator[IO[bytes]]:
    """A stream; what is written to it goes sealed to ``out``, with one chunk in memory. Raises BackupRefused."""
    recipients = list(seal.recipients)
    if seal.passphrase is not None:
        identity = pyrage.x25519.Identity.generate()
        header = pyrage.passphrase.encrypt(str(identity).encode(), seal.passphrase)
        out.write(_PREFIX + b64encode(header) + b"\n")
        recipients.append(identity.to_public())
    source, sink = os.pipe()
    failure: list[Exception] = []

    def work(reader: IO[bytes]) -> None:
        pyrage.encrypt_io(reader, out, recipients)

    thread = _started(source, work, failure)
    try:
        with os.fdopen(sink, "wb", buffering=1 << 16) as stream:
            yield stream
    except BrokenPipeError:
        thread.join()
        if not failure:
            raise
    finally:
        thread.join()
    if failure:
        raise BackupRefused(UNWRITABLE, str(failure[0])) from failure[0]


@contextmanager
def opened(source: IO[bytes], opener: Opener) -> Iterator[IO[bytes]]:
    """A stream with what was sealed in ``source``. Whoever reads to the end knows that it is whole.

    Raises BackupRefused: IDENTITY at once when it cannot be opened, DAMAGED when it is not what was sealed.
    """
    identities = list(opener.identities)
    start = source.tell()
    if source.read(len(_PREFIX)) == _PREFIX:
        header = source.readline(_LONGEST_HEADER)
        if opener.passphrase is None and not identities:
            raise BackupRefused(IDENTITY, "the archive was sealed with a passphrase")
    else:
        header = b""
        source.seek(start)
        if not identities:
            raise BackupRefused(IDENTITY, "the archive was sealed for recipients, not with a passphrase")
    if header and opener.passphrase is not None:
        try:
            opened_ = pyrage.passphrase.decrypt(b64decode(header, validate=False), opener.passphrase)
            identities = [pyrage.x25519.Identity.from_str(opened_.decode())]
        except (pyrage.DecryptError, pyrage.IdentityError, binascii.Error, UnicodeDecodeError) as error:
            raise BackupRefused(IDENTITY, "the passphrase does not open it") from error
    reading, writing = os.pipe()
    failure: list[Exception] = []

    def work(writer: IO[bytes]) -> None:
        pyrage.decrypt_io(source, writer, identities)

    thread = _started(writing, work, failure, mode="wb")
    stream = os.fdopen(reading, "rb", buffering=1 << 16)
    try:
        yield stream
        while stream.read(1 << 16):  # to the end, where age proves that nothing was cut off
            pass
    except Exception as error:
        # What the reader stumbled over may be the consequence of why the stream ended; then that is the cause. A pipe
        # that broke is only our own end of it, closed because the reader had enough.
        stream.close()
        thread.join()
        if failure and "pipe" not in str(failure[0]).lower():
            raise _refusal(failure[0]) from error
        raise
    finally:
        stream.close()
        thread.join()
    if failure:
        raise _refusal(failure[0]) from failure[0]


def _started(
    descriptor: int, work: Callable[[IO[bytes]], None], failure: list[Exception], *, mode: str = "rb"
) -> threading.Thread:
    def run() -> None:
        try:
            with os.fdopen(descriptor, mode) as stream:
                work(stream)
        except Exception as error:  # noqa: BLE001 - told by whoever joins the thread
            failure.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread


def _refusal(error: Exception) -> BackupRefused:
    if isinstance(error, pyrage.DecryptError) and "No matching keys" in str(error):
        return BackupRefused(IDENTITY, "it was not sealed for this key")
    return BackupRefused(DAMAGED, str(error))
