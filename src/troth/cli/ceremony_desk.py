"""The terminal of a ceremony: what is shown, what is asked, and files that are written once."""

from __future__ import annotations

import getpass
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from troth.cli.errors import FILE_EXISTS, UNWRITABLE
from troth.cli.show import plain
from troth.kit.errors import TrothError

if TYPE_CHECKING:
    from troth.pki.ceremony.shares import ShareSet

_CLEAR = "\033[3J\033[H\033[2J"


class People:
    """Those at the terminal, for :func:`troth.pki.ceremony.run.hold`.

    Args:
        shares: files that custodians brought; who is missing then is asked at the terminal.
        identities: age identities that open them.
        yes: nobody is asked before a signature.
    """

    def __init__(self, shares: Sequence[Path], identities: Sequence[Path], *, yes: bool) -> None:
        self._shares = shares
        self._identities = identities
        self._yes = yes

    def tell(self, text: str) -> None:
        """Print it."""
        print("\n".join(plain(line) if line.strip() else "" for line in text.splitlines()))

    def secret(self, listed: ShareSet) -> bytearray:
        """The secret, from files and from words that are typed unseen. Raises SharesRefused."""
        from troth.pki.ceremony.share_files import ask_shares, read_shares
        from troth.pki.ceremony.shares import combine, missing

        words = read_shares(listed, self._shares, self._identities)
        if missing(listed, words) and sys.stdin.isatty():
            print(plain(f"{listed.purpose}: the custodians, one after the other, alone at the screen."))
            words = ask_shares(listed, words, ask_unseen, self.tell)
        return combine(listed, words)

    def consent(self, digest: bytes) -> None:
        """Have the operator type the first group of the digest. Raises CeremonyFailed."""
        from troth.pki.ceremony.errors import NO_CONSENT, CeremonyFailed

        if self._yes:
            return
        first = digest.hex()[:4]
        try:
            answer = input("Type the first group of the digest to sign, anything else to stop: ")
        except EOFError:
            answer = ""
        if answer.strip().lower() != first:
            raise CeremonyFailed(NO_CONSENT)


def ask_unseen(question: str) -> str:
    """An answer that is not shown, and a screen that is cleared after it."""
    try:
        answer = getpass.getpass(question)
    except EOFError:
        answer = ""
    if sys.stdout.isatty():
        sys.stdout.write(_CLEAR)
        sys.stdout.flush()
    return answer


def spoken(name: str, digest: bytes) -> None:
    """A digest to be read aloud."""
    from troth.pki.ceremony import aloud

    print(f"{plain(name)}\n    {aloud.groups(digest)}\n    {aloud.words(digest)}")


def put(path: Path, content: bytes, *, mode: int = 0o644) -> None:
    """Write a new file. Raises TrothError when it is there already."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with open(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        why = FILE_EXISTS if isinstance(error, FileExistsError) else UNWRITABLE
        raise TrothError(why, f"{path}: {error.strerror}") from error


def title_of(text: str) -> str:
    """The title in a plan that was just written."""
    return next((line.removeprefix("title: ") for line in text.splitlines() if line.startswith("title: ")), "")
