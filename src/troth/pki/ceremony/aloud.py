"""Digests as people read them to each other: groups of four, and words."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path

import troth
from troth.pki.ceremony.shares import library


def groups(digest: bytes) -> str:
    """Hex in groups of four."""
    text = digest.hex()
    return " ".join(text[at : at + 4] for at in range(0, len(text), 4))


def words(digest: bytes) -> str:
    """Ten bits a word, from the list of SLIP-39: 1,024 words that no two of begin with the same four letters."""
    listed = library().wordlist.WORDLIST
    bits = len(digest) * 8
    count = -(-bits // 10)
    value = int.from_bytes(digest, "big") << (count * 10 - bits)
    return " ".join(listed[value >> (10 * place) & 1023] for place in range(count - 1, -1, -1))


@lru_cache(maxsize=1)
def program_digest() -> bytes:
    """SHA-256 over every file of the installed package: equal on two machines when their programs are.

    Of each file, in the order of their paths: SHA-256 in hex, two spaces, its path with slashes, a newline; of these
    lines the SHA-256. ``sha256sum`` and ``sort`` can do it, too (docs/ceremonies.md).
    """
    root = Path(troth.__file__).parent
    files = {
        path.relative_to(root).as_posix(): path
        for path in root.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and path.suffix != ".pyc"
    }
    lines = (f"{hashlib.sha256(files[name].read_bytes()).hexdigest()}  {name}\n" for name in sorted(files))
    return hashlib.sha256("".join(lines).encode()).digest()


def program() -> str:
    """Name and version."""
    return f"troth {troth.__version__}"
