"""The notary: signs the ledger's checkpoints, and remembers so that the ledger cannot forget.

It keeps the size and the frontier of the tree it last signed, and a caller hands it leaf hashes from that size on: it
appends them itself, so whatever it signs extends what it signed before. A database that was rolled back, an event
that was rewritten or taken out: none of it can be given a checkpoint any more, because the caller has no leaves that
lead from the notary's tree to its own.

The state is durable in ``<data>/notary.json`` before the signature leaves. If the process dies in between, the new
checkpoint lies in the file and was seen by nobody: the caller asks from its old size, learns the notary's size, and
asks again from there, without leaves, for the same checkpoint.

Trusted: the state file, which must never roll back (a verifier key pinned elsewhere, and witnesses, catch it if it
does). Not trusted: the caller, but for which events it calls the ledger.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import msgspec

from troth.audit.errors import NoteInvalid
from troth.audit.merkle import EMPTY_ROOT, HASH_SIZE, Frontier
from troth.audit.note import CheckpointText, NoteKey, open_checkpoint, sign_note
from troth.kit.clock import Clock
from troth.kit.errors import TrothError
from troth.kit.log import get_logger
from troth.pki.algorithms import key_bits
from troth.pki.keys.algorithm import KeyAlgorithm
from troth.pki.keys.files import write_private
from troth.pki.keys.model import Custodian, KeyPurpose, SigningKey
from troth.pki.signer.errors import MALFORMED, NOTARY_CLOCK, NOTARY_STATE, NotaryUnsafe, SignerRefused
from troth.pki.signer.protocol import MAX_LEAVES

log = get_logger("pki")

#: How far the times of ledger and signer may disagree (DESIGN, rule 1's interlock uses the same).
MAX_SKEW = timedelta(seconds=30)
_FORMAT = "troth-notary-1"


class _State(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The state file.

    Attributes:
        key_id: the notary's key; empty while it is being made, when nothing can have been signed.
        at: the latest time that a checkpoint was asked for; None before the first.
        note: the last checkpoint.
    """

    format: str
    origin: str
    key_id: str
    size: int = 0
    frontier: tuple[bytes, ...] = ()
    root: bytes = EMPTY_ROOT
    at: datetime | None = None
    note: str | None = None


@dataclass(frozen=True, slots=True)
class Standing:
    """Where the notary stands.

    Attributes:
        extended: whether the caller's leaves were appended and ``note`` is over them; if not, it asked from another
            size than the notary's, and nothing was signed.
    """

    extended: bool
    size: int
    root: bytes
    note: str | None


class Notary:
    """Made with :meth:`open`. One per ledger, called from one thread."""

    def __init__(
        self,
        path: Path,
        state: _State,
        key: SigningKey,
        note_key: NoteKey,
        clock: Clock,
        write: Callable[[Path, bytes], None],
    ) -> None:
        self._path = path
        self._state = state
        self._key = key
        self._note_key = note_key
        self._clock = clock
        self._write = write
        self._reload = False

    @classmethod
    def open(
        cls,
        path: Path,
        custodian: Custodian,
        origin: str,
        clock: Clock,
        *,
        write: Callable[[Path, bytes], None] = write_private,
    ) -> Notary:
        """The notary of ``path``, with a key of its own from ``custodian``; made if neither is there.

        Raises NotaryUnsafe when there is a notary key but no state, or a state that does not fit the key, the
        ``origin`` or itself: a notary that has forgotten must not sign.
        """
        keys = [key for key in custodian.list_keys() if key.purpose is KeyPurpose.NOTARY]
        if path.exists():
            state = _load(path)
        elif keys:
            raise NotaryUnsafe(NOTARY_STATE, f"there is a notary key, but no {path.name}")
        else:
            state = _State(_FORMAT, origin, "")
            write(path, msgspec.json.encode(state))
        if not state.key_id:
            # First start, perhaps a second try at it: the file is first, so a key without a file is never new.
            made = keys[0] if keys else custodian.generate(KeyPurpose.NOTARY, KeyAlgorithm.ED25519)
            state = msgspec.structs.replace(state, key_id=made.key_id)
            write(path, msgspec.json.encode(state))
        if state.origin != origin:
            raise NotaryUnsafe(NOTARY_STATE, f"{path.name} is of {state.origin!r}, not of {origin!r}")
        try:
            metadata, key = custodian.metadata(state.key_id), custodian.signing_key(state.key_id)
            note_key = NoteKey(origin, key_bits(metadata.public_key))
        except TrothError as error:
            raise NotaryUnsafe(NOTARY_STATE, f"the notary's key: {error.detail}") from error
        if metadata.purpose is not KeyPurpose.NOTARY:
            raise NotaryUnsafe(NOTARY_STATE, "the key is not a notary's")
        _verify(state, note_key)
        return cls(path, state, key, note_key, clock, write)

    @property
    def verifier_key(self) -> NoteKey:
        """What checkpoints verify with."""
        return self._note_key

    def standing(self) -> Standing:
        """Where the notary stands."""
        state = self._state
        return Standing(False, state.size, state.root, state.note)

    def checkpoint(self, old_size: int, leaves: Sequence[bytes], at: datetime) -> Standing:
        """Extend the tree from ``old_size`` by ``leaves`` and sign its root; no leaves sign the present root anew.

        Returns the notary's own standing, with nothing signed, when ``old_size`` is not its size. Raises SignerRefused
        when ``at`` or the signer's clock lies more than 30 s before the last checkpoint, when ``at`` lies that much
        ahead of the signer's clock, or when the state cannot be made durable.
        """
        if self._reload:
            state = _load(self._path)
            _verify(state, self._note_key)
            self._state, self._reload = state, False
        state, now = self._state, self._clock.now()
        if len(leaves) > MAX_LEAVES or any(len(leaf) != HASH_SIZE for leaf in leaves) or at.tzinfo is None:
            raise SignerRefused(MALFORMED, f"at most {MAX_LEAVES} leaf hashes of {HASH_SIZE} octets, and an aware time")
        if at > now + MAX_SKEW or (state.at is not None and min(at, now) < state.at - MAX_SKEW):
            raise SignerRefused(NOTARY_CLOCK)
        if old_size != state.size:
            return self.standing()
        frontier = Frontier(state.size, state.frontier)
        frontier.extend(leaves)
        root = frontier.root()
        text = CheckpointText(state.origin, frontier.size, root).encode()
        note = sign_note(text, self._note_key, self._key.sign)
        latest = at if state.at is None else max(state.at, at)
        state = msgspec.structs.replace(
            state, size=frontier.size, frontier=tuple(frontier.nodes), root=root, at=latest, note=note
        )
        try:
            self._write(self._path, msgspec.json.encode(state))
        except OSError as error:
            # Whether the file has the new state is not known: it is asked again before anything else is signed.
            self._reload = True
            log.error("notary.state_not_written", error=str(error))
            raise SignerRefused(NOTARY_STATE, "the notary's state cannot be written") from error
        self._state = state
        return Standing(True, state.size, root, note)


def _load(path: Path) -> _State:
    try:
        state = msgspec.json.decode(path.read_bytes(), type=_State)
    except (OSError, msgspec.MsgspecError) as error:
        raise NotaryUnsafe(NOTARY_STATE, f"{path.name} cannot be read") from error
    if state.format != _FORMAT:
        raise NotaryUnsafe(NOTARY_STATE, f"{path.name} is of another format")
    return state


def _verify(state: _State, key: NoteKey) -> None:
    """Raise NotaryUnsafe unless the state is one that this notary wrote."""
    try:
        frontier = Frontier(state.size, state.frontier)
        if frontier.root() != state.root or (state.note is None) != (state.at is None):
            raise ValueError("root, time and frontier do not fit")
        if state.note is None:
            if state.size:
                raise ValueError("a size without a checkpoint")
        elif open_checkpoint(state.note, key) != CheckpointText(state.origin, state.size, state.root):
            raise ValueError("the checkpoint is of another tree")
    except (ValueError, NoteInvalid) as error:
        raise NotaryUnsafe(NOTARY_STATE, "the notary's state was changed or damaged") from error
