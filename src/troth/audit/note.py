"""Signed notes and checkpoints: the ledger's promise in a form that other people's tools read.

A *signed note* (C2SP signed-note) is a text, an empty line, and lines ``— <key name> <base64>``, whose base64 holds
four octets that name the key and an Ed25519 signature over the text with its last newline. A *checkpoint* (C2SP
tlog-checkpoint) is a note whose text is three lines: the log's origin, its size, and its root in base64.

No key lives here. Whoever signs passes a function; the only one who does is the notary in the signer process.
"""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from troth.audit.errors import NOTE_INVALID, NoteInvalid

_ED25519 = b"\x01"
_SIGNATURE = "— "  # U+2014, a space
_MAX_NOTE = 65_536
_DECIMAL = re.compile(r"(0|[1-9][0-9]{0,18})\Z")
_NAME = re.compile(r"[^\s+]{1,256}\Z")


@dataclass(frozen=True, slots=True)
class NoteKey:
    """The public half of a note-signing key.

    Attributes:
        name: for a log its origin, schema-less URL manner: ``troth.example/ledger``; no spaces, no ``+``.
        public_key: 32 octets, Ed25519.
    """

    name: str
    public_key: bytes

    def __post_init__(self) -> None:
        if not _NAME.match(self.name) or len(self.public_key) != 32:
            raise NoteInvalid(NOTE_INVALID, "malformed key name or key")

    @property
    def hash(self) -> bytes:
        """The four octets that name this key in a signature line."""
        return sha256(self.name.encode() + b"\n" + _ED25519 + self.public_key).digest()[:4]

    def __str__(self) -> str:
        """The verifier key in its text form, ``<name>+<hash>+<key>``: what is pinned and printed."""
        return f"{self.name}+{self.hash.hex()}+{b64encode(_ED25519 + self.public_key).decode()}"

    @classmethod
    def parse(cls, text: str) -> NoteKey:
        """The key from its text form. Raises NoteInvalid."""
        name, _, rest = text.partition("+")
        hash_, _, encoded = rest.partition("+")
        material = _base64(encoded)
        if material[:1] != _ED25519:
            raise NoteInvalid(NOTE_INVALID, "the key is of a kind other than Ed25519")
        key = cls(name, material[1:])
        if key.hash.hex() != hash_:
            raise NoteInvalid(NOTE_INVALID, "the key does not belong to its name and hash")
        return key


@dataclass(frozen=True, slots=True)
class CheckpointText:
    """What a checkpoint states: the log ``origin`` has ``size`` entries under ``root``."""

    origin: str
    size: int
    root: bytes

    def encode(self) -> str:
        """The note's text."""
        return f"{self.origin}\n{self.size}\n{b64encode(self.root).decode()}\n"

    @classmethod
    def parse(cls, text: str) -> CheckpointText:
        """The statement in a note's text; extension lines after the third are passed over. Raises NoteInvalid."""
        lines = text.split("\n")
        if len(lines) < 4 or lines[-1] or not lines[0] or not _DECIMAL.match(lines[1]):
            raise NoteInvalid(NOTE_INVALID, "the note is no checkpoint")
        root = _base64(lines[2])
        if len(root) != 32:
            raise NoteInvalid(NOTE_INVALID, "the checkpoint's root is not 32 octets")
        return cls(lines[0], int(lines[1]), root)


def sign_note(text: str, key: NoteKey, sign: Callable[[bytes], bytes]) -> str:
    """``text`` as a note with one signature, made by ``sign`` over the text's UTF-8."""
    _check_text(text)
    return f"{text}\n{_SIGNATURE}{key.name} {b64encode(key.hash + sign(text.encode())).decode()}\n"


def open_note(note: str, key: NoteKey) -> str:
    """The text of ``note``, proved to be signed by ``key``. Raises NoteInvalid.

    Signatures by other keys are passed over, as the specification wants it: a witness may have added one.
    """
    if len(note) > _MAX_NOTE:
        raise NoteInvalid(NOTE_INVALID, "the note is too long")
    head, empty_line, tail = note.rpartition("\n\n")
    text = head + "\n"
    if not empty_line or not tail.endswith("\n"):
        raise NoteInvalid(NOTE_INVALID, "the note carries no signature")
    _check_text(text)
    proved = False
    for line in tail[:-1].split("\n"):
        name, space, encoded = line.removeprefix(_SIGNATURE).partition(" ")
        blob = _base64(encoded)
        if not line.startswith(_SIGNATURE) or not space or not name or len(blob) < 5:
            raise NoteInvalid(NOTE_INVALID, "malformed signature line")
        if name == key.name and blob[:4] == key.hash:
            try:
                Ed25519PublicKey.from_public_bytes(key.public_key).verify(blob[4:], text.encode())
            except InvalidSignature:
                raise NoteInvalid(NOTE_INVALID, f"the signature of {key.name} does not verify") from None
            proved = True
    if not proved:
        raise NoteInvalid(NOTE_INVALID, f"the note is not signed by {key.name} with the key we know")
    return text


def open_checkpoint(note: str, key: NoteKey) -> CheckpointText:
    """The statement of a checkpoint that ``key`` signed for the log of its own name. Raises NoteInvalid."""
    found = CheckpointText.parse(open_note(note, key))
    if found.origin != key.name:
        raise NoteInvalid(NOTE_INVALID, f"the checkpoint is of {found.origin!r}, not of {key.name!r}")
    return found


def _check_text(text: str) -> None:
    if not text.endswith("\n") or any(ord(char) < 0x20 and char != "\n" for char in text):
        raise NoteInvalid(NOTE_INVALID, "a note's text ends with a newline and holds no control characters")


def _base64(text: str) -> bytes:
    try:
        decoded = b64decode(text, validate=True)
    except (Base64Error, ValueError):
        raise NoteInvalid(NOTE_INVALID, "malformed base64") from None
    if b64encode(decoded).decode() != text:
        # b64decode lets the unused bits of the last character be anything: two texts for one value.
        raise NoteInvalid(NOTE_INVALID, "base64 not in its canonical form")
    return decoded
