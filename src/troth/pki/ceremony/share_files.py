"""Shares on their way to and from custodians: one age file each, and whatever a custodian brings back.

A share leaves the process encrypted to its custodian (age, X25519 or a plugin's recipient). It comes back as the age
file with the custodian's identity, as a file with the words, or from a terminal. It is never an argument, a setting
or a variable of the environment, and never logged.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from types import ModuleType

from troth.pki.ceremony.errors import EXTRA, IDENTITY, INPUT, SHARE_PLAN, SHARE_WRONG, CeremonyFailed, SharesRefused
from troth.pki.ceremony.plan import Custodians, read_custodians
from troth.pki.ceremony.shares import MAX_SECRET, Share, ShareSet, check_share, missing, tidy, whose
from troth.pki.keys.pins import read_private

_AGE, _ARMOR = b"age-encryption.org/v1\n", b"-----BEGIN AGE ENCRYPTED FILE-----"
_MOST = 65_536
#: Asks a person; the first argument says what for. The answer is not shown while it is typed.
Ask = Callable[[str], str]


def age() -> ModuleType:
    """pyrage, imported when shares are first needed. Raises CeremonyFailed."""
    try:
        return import_module("pyrage")
    except ImportError as error:
        raise CeremonyFailed(EXTRA, "pyrage") from error


def file_name(share: Share) -> str:
    """``security-anna-berg.age``."""
    return re.sub(r"[^a-z0-9]+", "-", f"{share.group} {share.custodian}".lower()).strip("-") + ".age"


def encrypted(shares: Sequence[Share], purpose: str) -> Mapping[str, bytes]:
    """Each share as an age file that its custodian alone opens, by file name. Raises SharesRefused."""
    pyrage = age()
    files: dict[str, bytes] = {}
    for share in shares:
        name = file_name(share)
        if name in files:
            raise SharesRefused(SHARE_PLAN, f"two custodians would have the file {name}")
        text = f"# {purpose}\n# {share.custodian}, of {share.group}\n{share.words}\n"
        try:
            recipient = pyrage.x25519.Recipient.from_str(share.recipient)
            files[name] = pyrage.encrypt(text.encode(), [recipient])
        except (pyrage.RecipientError, pyrage.EncryptError) as error:
            raise SharesRefused(SHARE_PLAN, f"recipient of {share.custodian}: {error}") from error
    return files


def check_recipients(recipients: Mapping[str, str]) -> None:
    """Raise SharesRefused unless each custodian's recipient is an age public key."""
    pyrage = age()
    for custodian, recipient in recipients.items():
        try:
            pyrage.x25519.Recipient.from_str(recipient)
        except pyrage.RecipientError as error:
            raise SharesRefused(SHARE_PLAN, f"recipient of {custodian}: {error}") from error


def words_in(content: bytes, identities: Sequence[Path], name: str) -> str:
    """The words of a share file: age, opened by one of ``identities``, or plain text. Raises SharesRefused."""
    if content.startswith((_AGE, _ARMOR)):
        content = _opened(content, identities, name)
    try:
        lines = content.decode().splitlines()
    except UnicodeDecodeError as error:
        raise SharesRefused(SHARE_WRONG, f"{name} is no text") from error
    return tidy(" ".join(line for line in lines if not line.lstrip().startswith("#")))


def read_shares(listed: ShareSet, files: Sequence[Path], identities: Sequence[Path]) -> dict[str, str]:
    """Words by custodian, from files. Raises SharesRefused, naming the file whose words are wrong."""
    found: dict[str, str] = {}
    for path in files:
        words = words_in(_content(path), identities, path.name)
        custodian = whose(listed, words)
        if custodian is None:
            guess = _named(listed, path)
            if guess is not None:
                check_share(listed, guess, words)
            raise SharesRefused(SHARE_WRONG, f"{path.name} holds no share of this secret")
        found[_owner(listed, path, custodian, words)] = words
    return found


def ask_shares(listed: ShareSet, given: Mapping[str, str], ask: Ask, tell: Callable[[str], None]) -> dict[str, str]:
    """``given`` and what the custodians type, one after the other, until there is enough. Raises SharesRefused.

    Wrong words are asked for again three times.
    """
    found = dict(given)
    for group in listed.groups:
        for holder in group.holders:
            if holder.name in found or group.name not in missing(listed, found):
                continue
            for left in (2, 1, 0):
                words = tidy(ask(f"{holder.name} ({group.name}), your words, or nothing if absent: "))
                if not words:
                    break
                try:
                    check_share(listed, holder.name, words)
                except SharesRefused as refusal:
                    tell(refusal.detail)
                    if not left:
                        raise
                    continue
                found[holder.name] = words
                break
    return found


def _owner(listed: ShareSet, path: Path, custodian: str, words: str) -> str:
    """Of custodians with equal words (a group of which one is needed) the one whom the file's name tells."""
    guess = _named(listed, path)
    if guess is None or guess == custodian:
        return custodian
    check_share(listed, guess, words)
    return guess


def _named(listed: ShareSet, path: Path) -> str | None:
    for group in listed.groups:
        for holder in group.holders:
            if file_name(Share(group.name, holder.name, "", "")).removesuffix(".age") == path.stem:
                return holder.name
    return None


def _opened(content: bytes, identities: Sequence[Path], name: str) -> bytes:
    pyrage = age()
    for path in identities:
        for line in _content(path).decode(errors="replace").splitlines():
            if not line.startswith("AGE-SECRET-KEY-"):
                continue
            try:
                found = pyrage.decrypt(content, [pyrage.x25519.Identity.from_str(line.strip())])
            except pyrage.IdentityError as error:
                raise SharesRefused(IDENTITY, f"{path.name}: malformed") from error
            except pyrage.DecryptError:
                continue
            return bytes(found)
    raise SharesRefused(IDENTITY, f"none of the {len(identities)} identities opens {name}")


def _content(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(_MOST + 1)
    except OSError as error:
        raise SharesRefused(INPUT, f"{path}: {error.strerror or error}") from error
    if len(content) > _MOST:
        raise SharesRefused(SHARE_WRONG, f"{path.name} is too long")
    return content


def words_of(path: Path, identities: Sequence[Path]) -> str:
    """The words in one share file. Raises SharesRefused."""
    return words_in(_content(path), identities, path.name)


def read_set(path: Path) -> ShareSet:
    """The list of shares in a file. Raises SharesRefused."""
    return ShareSet.parse(_content(path))


def read_secret(path: Path) -> bytearray:
    """A secret from a file that its owner alone reads; one newline at its end is not part of it."""
    return bytearray(read_private(path, longest=MAX_SECRET))


def parse_custodians(path: Path) -> Custodians:
    """The custodians of a YAML file, as strict as a plan. Raises PlanRefused."""
    return read_custodians(_content(path))
