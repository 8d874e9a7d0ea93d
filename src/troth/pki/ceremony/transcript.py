"""The sealed record of a ceremony: canonical JSON lines, each bound to the one before it.

A line is ``{"at", "data", "kind", "prev", "seq"}``; ``prev`` is the SHA-256 of the line before, for the first one of
the plan's digest. The last line, ``sealed``, carries the SHA-256 of all that came before, and an Ed25519 signature
over it and the time by a key of this session. That key lives in the memory of one process. It is read aloud, and
written down on the paper script, and there is the trust: whoever has the paper can prove the file. The authority's key
does not sign transcripts: it signs certificates and CRLs, and a key that signs one more kind of thing is one more thing
to be tricked into.

A ceremony that was cut short goes on in the same file with a new session.
"""

from __future__ import annotations

import hashlib
import json
import os
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from troth.kit.canonical import Json, canonical_json
from troth.kit.clock import Clock
from troth.pki.ceremony.errors import TRANSCRIPT, TranscriptRefused
from troth.pki.keys.files import sync_directory

MAX_SIZE = 16_777_216
_CONTEXT = b"troth ceremony transcript 1\n"
_FIELDS = {"at", "data", "kind", "prev", "seq"}


class Transcript:
    """A transcript that is being written; every line is on the disk before the act that it tells of.

    Made with :meth:`begin`. Trusted: nothing but the session key in memory. May be lost: a torn last line.
    """

    def __init__(self, path: Path, clock: Clock, seq: int, prev: bytes) -> None:
        self._path = path
        self._clock = clock
        self._seq = seq
        self._prev = prev
        self._key = Ed25519PrivateKey.generate()

    @classmethod
    def begin(cls, path: Path, plan_digest: bytes, clock: Clock, about: dict[str, Json]) -> Transcript:
        """A session on ``path``, the first or one after a crash. Raises TranscriptRefused, OSError."""
        seq, prev = 0, plan_digest
        if path.exists():
            whole = path.read_bytes()
            kept = whole[: whole.rfind(b"\n") + 1]
            if kept != whole:
                with path.open("r+b") as file:  # the line that a crash tore
                    file.truncate(len(kept))
            lines = _lines(kept)
            _chain(lines, plan_digest)
            if lines and json.loads(lines[-1])["kind"] == "sealed":
                raise TranscriptRefused(TRANSCRIPT, "the transcript is sealed; nothing is added to it")
            seq, prev = len(lines), hashlib.sha256(lines[-1]).digest() if lines else plan_digest
        made = cls(path, clock, seq, prev)
        made.note("session.begun", {**about, "session_key": made.session_key, "plan_sha256": plan_digest.hex()})
        sync_directory(path.parent)
        return made

    @property
    def session_key(self) -> str:
        """The public half of the session's key: 32 octets in hex."""
        return self._key.public_key().public_bytes_raw().hex()

    def note(self, kind: str, data: dict[str, Json]) -> None:
        """Add a line, durably."""
        self._write(self._now(), kind, data)

    def _now(self) -> str:
        return self._clock.now().astimezone(UTC).isoformat(timespec="milliseconds")

    def _write(self, at: str, kind: str, data: dict[str, Json]) -> None:
        line = canonical_json({"at": at, "data": data, "kind": kind, "prev": self._prev.hex(), "seq": self._seq})
        handle = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            os.write(handle, line + b"\n")
            os.fsync(handle)
        finally:
            os.close(handle)
        self._seq, self._prev = self._seq + 1, hashlib.sha256(line).digest()

    def seal(self) -> bytes:
        """Sign what was written; answers the digest that was signed."""
        digest, at = self._prev, self._now()
        told: dict[str, Json] = {"digest": digest.hex(), "session_key": self.session_key}
        signature = b64encode(self._key.sign(_CONTEXT + canonical_json({**told, "at": at}))).decode()
        self._write(at, "sealed", {**told, "signature": signature})
        return digest


@dataclass(frozen=True, slots=True)
class Proved:
    """A transcript whose chain and seal were checked.

    Attributes:
        plan: SHA-256 of the plan.
        digest: what the seal signs.
        session_key: hex; compare it with the paper.
        outputs: SHA-256 (hex) of each output by its path.
    """

    plan: bytes
    digest: bytes
    session_key: str
    sealed_at: datetime
    ceremony: str
    title: str
    dry_run: bool
    outputs: dict[str, str]
    lines: tuple[dict[str, Any], ...] = field(repr=False)


def prove(content: bytes) -> Proved:
    """A transcript's statement. Raises TranscriptRefused unless every octet of it is as it was sealed."""
    if len(content) > MAX_SIZE or not content.endswith(b"\n"):
        raise TranscriptRefused(TRANSCRIPT, "it is too long, or its last line is torn")
    lines = _lines(content)
    if len(lines) < 2:
        raise TranscriptRefused(TRANSCRIPT, "it has no lines")
    try:
        plan = bytes.fromhex(json.loads(lines[0])["prev"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise TranscriptRefused(TRANSCRIPT, "its first line cannot be read") from error
    parsed = _chain(lines, plan)
    last = parsed[-1]
    begun = [line for line in parsed if line["kind"] == "session.begun"]
    done = next((line for line in reversed(parsed) if line["kind"] == "outputs"), None)
    try:
        if last["kind"] != "sealed" or not begun or done is None:
            raise TranscriptRefused(TRANSCRIPT, "it was not sealed: the ceremony did not end")
        if any(line["kind"] == "sealed" for line in parsed[:-1]) or len(plan) != 32:
            raise TranscriptRefused(TRANSCRIPT, "something was added after the seal")
        digest, key = bytes.fromhex(last["data"]["digest"]), str(begun[-1]["data"]["session_key"])
        if digest != hashlib.sha256(lines[-2]).digest() or key != last["data"]["session_key"]:
            raise TranscriptRefused(TRANSCRIPT, "the seal is of another transcript")
        if any(line["data"]["plan_sha256"] != plan.hex() for line in begun):
            raise TranscriptRefused(TRANSCRIPT, "it tells of two plans")
        signature = b64decode(last["data"]["signature"], validate=True)
        if b64encode(signature).decode() != last["data"]["signature"]:
            raise TranscriptRefused(TRANSCRIPT, "the signature is not in its one encoding")
        told = {"digest": last["data"]["digest"], "session_key": key, "at": last["at"]}
        Ed25519PublicKey.from_public_bytes(bytes.fromhex(key)).verify(signature, _CONTEXT + canonical_json(told))
        outputs = done["data"]["files"]
        if not all(isinstance(name, str) and isinstance(value, str) for name, value in outputs.items()):
            raise TranscriptRefused(TRANSCRIPT, "its list of outputs cannot be read")
        about = begun[0]["data"]
        return Proved(
            plan=plan,
            digest=digest,
            session_key=key,
            sealed_at=datetime.fromisoformat(last["at"]),
            ceremony=str(about["ceremony"]),
            title=str(about["title"]),
            dry_run=bool(about["dry_run"]),
            outputs=dict(outputs),
            lines=tuple(parsed),
        )
    except InvalidSignature:
        raise TranscriptRefused(TRANSCRIPT, "the seal's signature does not verify") from None
    except (KeyError, TypeError, ValueError, AttributeError, Base64Error) as error:
        raise TranscriptRefused(TRANSCRIPT, "a line cannot be read") from error


def _lines(content: bytes) -> list[bytes]:
    return content.split(b"\n")[:-1]


def _chain(lines: list[bytes], first: bytes) -> list[dict[str, Any]]:
    """Each line canonical, numbered and bound to the one before. Raises TranscriptRefused."""
    prev, parsed = first, []
    for seq, line in enumerate(lines):
        try:
            value = json.loads(line)
            whole = isinstance(value, dict) and set(value) == _FIELDS and canonical_json(value) == line
        except (ValueError, TypeError, RecursionError) as error:
            raise TranscriptRefused(TRANSCRIPT, f"line {seq + 1} cannot be read") from error
        if not whole or not isinstance(value["data"], dict):
            raise TranscriptRefused(TRANSCRIPT, f"line {seq + 1} is not canonical")
        if value["seq"] != seq or value["prev"] != prev.hex():
            raise TranscriptRefused(TRANSCRIPT, f"line {seq + 1} was changed, moved, or one before it is missing")
        prev = hashlib.sha256(line).digest()
        parsed.append(value)
    return parsed
