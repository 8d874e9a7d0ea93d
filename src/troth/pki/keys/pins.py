"""Where the PIN of a token comes from: a private file, a systemd credential, or people who unseal it.

A PIN is never a setting, an argument or a variable: those end in process lists, dumps and repositories. It is read
when a session is opened and kept no longer, but for an unsealed one, which is in this process's memory alone.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path

from troth.pki.keys.errors import CUSTODIAN_SETTINGS, SEALED, SECRET_UNSAFE, CustodianDown

_MAX_SIZE = 256
FILE, CREDENTIAL, UNSEAL = "file:", "credential:", "unseal"


class PinSource:
    """A PIN's source as the settings name it: ``file:/path``, ``credential:NAME`` or ``unseal``.

    Args:
        environ: where ``CREDENTIALS_DIRECTORY`` stands (systemd sets it for ``LoadCredential=``).

    Raises CustodianDown for any other text.
    """

    def __init__(self, source: str, environ: Mapping[str, str] = os.environ) -> None:
        if source != UNSEAL and not source.startswith((FILE, CREDENTIAL)):
            raise CustodianDown(CUSTODIAN_SETTINGS, "pin is file:/PATH, credential:NAME or unseal")
        self._source = source
        self._directory = environ.get("CREDENTIALS_DIRECTORY", "")
        self._unsealed: bytes | None = None

    @property
    def sealed(self) -> bool:
        """Whether somebody must unseal it first."""
        return self._source == UNSEAL and self._unsealed is None

    def unseal(self, secret: bytes) -> None:
        """Take the PIN from those who have its shares. Raises CustodianDown when it comes from elsewhere."""
        if self._source != UNSEAL:
            raise CustodianDown(CUSTODIAN_SETTINGS, "this custodian's PIN comes from a file, not from an unseal")
        self._unsealed = secret

    def seal(self) -> None:
        """Forget an unsealed PIN."""
        self._unsealed = None

    def read(self) -> bytes:
        """The PIN. Raises CustodianDown when there is none to be had, or when others could have read it."""
        if self._source == UNSEAL:
            if self._unsealed is None:
                raise CustodianDown(SEALED)
            return self._unsealed
        if self._source.startswith(FILE):
            return _read(Path(self._source.removeprefix(FILE)), private=True)
        name = self._source.removeprefix(CREDENTIAL)
        if not self._directory or "/" in name:
            raise CustodianDown(CUSTODIAN_SETTINGS, f"there is no systemd credential {name!r}: see LoadCredential=")
        return _read(Path(self._directory) / name, private=False)


def read_private(path: Path, *, longest: int = 65_536) -> bytes:
    """A file that its owner alone reads, and that is ours or root's. Raises CustodianDown."""
    return _read(path, private=True, longest=longest)


def _read(path: Path, *, private: bool, longest: int = _MAX_SIZE) -> bytes:
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        raise CustodianDown(SECRET_UNSAFE, f"{path.name} cannot be opened: {error.strerror}") from error
    with open(handle, "rb") as file:
        state = os.fstat(file.fileno())
        # systemd gives a credential to the service alone, by owner or by an access list that shows as group bits.
        others = 0o077 if private else 0o007
        if stat.S_IMODE(state.st_mode) & others:
            raise CustodianDown(SECRET_UNSAFE, f"{path.name} is open to others than its owner (mode 0600 is right)")
        if state.st_uid not in (os.geteuid(), 0):
            raise CustodianDown(SECRET_UNSAFE, f"{path.name} belongs to another user")
        content = file.read(longest + 1).removesuffix(b"\n")
    if not 0 < len(content) <= longest:
        raise CustodianDown(SECRET_UNSAFE, f"{path.name} does not hold a secret of 1 to {longest} octets")
    return content
