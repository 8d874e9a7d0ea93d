"""src/troth/pki/data/debian_rsa2048.bin: fingerprints of the RSA keys of CVE-2008-0166.

OpenSSL on Debian and Ubuntu, September 2006 to May 2008, knew no other entropy than its process id. Which key comes
out depends on that id (1 to 32,767), the width and byte order of a C ``long``, and whether ``~/.rnd`` was there
(``rnd``), was not (``nornd``), or could not be read (``noreadrnd``). ``debian_weak.c`` computes them anew; a machine of
2026 takes ten to thirty minutes for 32,767 keys.

    python -m scripts.keys.debian_weak check                    the nine variants of one process id against a known sum
    python -m scripts.keys.debian_weak make DIRECTORY           all ranges of COVERED, one file each (resumes)
    python -m scripts.keys.debian_weak pack DIRECTORY           those files that are there, added to the list we ship
"""

from __future__ import annotations

import hashlib
import itertools
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
LIST = HERE.parents[1] / "src/troth/pki/data/debian_rsa2048.bin"
#: Word width, byte order, seed file, first and last process id: what the list covers. There are 32,767 ids and nine
#: variants.
COVERED = (("32", "le", "rnd", 1, 32_767), ("64", "le", "rnd", 1, 32_767))
WIDTH = 6
#: SHA-1 over the sorted SHA-1 sums of ``Modulus=…`` lines for process id 32,767, all nine variants: published with
#: the key generator of the CVE-2008-0166 project, which runs the OpenSSL of that time.
KNOWN = "2a910e906624766546114d300ca6b671c7acc08c"


def program(directory: Path) -> Path:
    """The compiled generator."""
    made = directory / "debian_weak"
    subprocess.run(
        ["cc", "-O2", "-w", "-o", str(made), str(HERE / "debian_weak.c"), "-lcrypto"], check=True
    )  # fmt: skip
    return made


def check() -> bool:
    """Whether the generator makes the keys that the OpenSSL of that time made."""
    sums = []
    with tempfile.TemporaryDirectory() as directory:
        made = program(Path(directory))
        for (word, order), seed in itertools.product(
            (("64", "le"), ("32", "le"), ("32", "be")), ("rnd", "nornd", "noreadrnd")
        ):
            told = subprocess.run(
                [str(made), "2048", word, order, seed, "32767", "32767"], check=True, capture_output=True, text=True
            ).stdout.split()[1]
            sums.append(hashlib.sha1(f"Modulus={told}\n".encode()).hexdigest())  # noqa: S324 -- as it was published
    return hashlib.sha1("".join(f"{one}\n" for one in sorted(sums)).encode()).hexdigest() == KNOWN  # noqa: S324


def make(directory: Path) -> None:
    """One file of moduli for each variant."""
    made = program(directory)
    for word, order, seed, first, last in COVERED:
        target = _file(directory, word, order, seed, first)
        if target.exists():
            continue
        part = target.with_suffix(".part")
        with part.open("wb") as file:
            subprocess.run([str(made), "2048", word, order, seed, str(first), str(last)], check=True, stdout=file)
        part.rename(target)


def _file(directory: Path, word: str, order: str, seed: str, first: int) -> Path:
    return directory / f"2048_{word}_{order}_{seed}_{first}.txt"


def pack(directory: Path) -> int:
    """Add the keys in the files of :func:`make` to the list; returns how many it holds then."""
    before = LIST.read_bytes() if LIST.exists() else b""
    entries = {before[at : at + WIDTH] for at in range(0, len(before), WIDTH)}
    for word, order, seed, first, last in COVERED:
        path, wanted = _file(directory, word, order, seed, first), last - first + 1
        lines = path.read_text().splitlines() if path.exists() else []
        if 0 < len(lines) < wanted:
            raise SystemExit(f"{word} {order} {seed} {first}: {len(lines)} keys of {wanted}")
        for line in lines:
            modulus = int(line.split()[1], 16).to_bytes(256, "big")
            entries.add(hashlib.sha256(modulus).digest()[:WIDTH])
    LIST.write_bytes(b"".join(sorted(entries)))
    return len(entries)


def main(arguments: list[str]) -> int:
    """The exit code."""
    match arguments:
        case ["check"]:
            print("as published" if check() else "not as published")
        case ["make", directory]:
            make(Path(directory))
        case ["pack", directory]:
            print(f"{pack(Path(directory))} keys in {LIST.name}")
        case _:
            print(__doc__)
            return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
