"""A transcript and the results beside it, proved by anybody, offline."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path, PurePosixPath

from troth.pki.ceremony.errors import TRANSCRIPT, TranscriptRefused
from troth.pki.ceremony.transcript import MAX_SIZE, Proved, prove


def prove_results(path: Path, session_key: str = "") -> tuple[Proved, list[str]]:
    """The transcript in ``path``, and which of its outputs lie beside it unchanged.

    Args:
        session_key: as written on paper, in hex, spaces allowed; empty to leave that to the reader.

    Raises TranscriptRefused when the transcript or one of the files is not as it was sealed.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MAX_SIZE + 1)
    except OSError as error:
        raise TranscriptRefused(TRANSCRIPT, f"{path}: {error.strerror}") from error
    proved = prove(content)
    told = re.sub(r"\s", "", session_key).lower()
    if told and told != proved.session_key:
        raise TranscriptRefused(TRANSCRIPT, f"it was sealed by the session key {proved.session_key}")
    beside = []
    for name, digest in proved.outputs.items():
        inside = PurePosixPath(name)
        if inside.is_absolute() or ".." in inside.parts:
            raise TranscriptRefused(TRANSCRIPT, f"an output lies elsewhere: {name[:80]!r}")
        file_path = path.parent / inside
        if not file_path.is_file():
            continue
        if hashlib.sha256(file_path.read_bytes()).hexdigest() != digest:
            raise TranscriptRefused(TRANSCRIPT, f"{name} is not what the ceremony wrote")
        beside.append(name)
    return proved, beside
