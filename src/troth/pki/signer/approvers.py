"""The signer as the last judge: approvers' passkeys are pinned here, and their signatures are verified here.

The web process relays between browsers and this room and is believed nothing. A passkey's answer counts if the passkey
is pinned, the answer is over this act, this state and a nonce of ours, under the pinned origin, with the user verified,
and its counter has moved on. The first two persons are pinned by the setup role, when nothing is at stake yet; from
then on the present approvers approve every change of who they are.

Trusted: the pins' file, which a MAC with a secret of its own protects against whoever can write the directory but not
read the secret. A signer that has the secret and no file has forgotten, and does not start.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from hashlib import sha256
from pathlib import Path

import msgspec

from troth.access import passkeys
from troth.access.approvals.model import Act, approval_challenge, state_digest
from troth.access.errors import AccessError
from troth.kit.canonical import Json
from troth.kit.clock import Clock
from troth.pki.keys.files import ensure_secret, write_private
from troth.pki.signer import acts
from troth.pki.signer.approvers_protocol import Approver, Approvers, AskedApproval, Proof
from troth.pki.signer.errors import (
    APPROVAL_INVALID,
    APPROVAL_MISSING,
    APPROVER_REFUSED,
    APPROVERS_STATE,
    MALFORMED,
    ApproversUnsafe,
    SignerRefused,
)

#: Persons that the setup role pins by itself; from this number on approvals are asked for.
FOUNDERS = 2
MOST = 64
#: How long what a passkey has signed is good, to be made or to approve: others must get to see it first.
_LIFE = timedelta(hours=72)
_AHEAD = timedelta(seconds=30)
_FORMAT = "troth-approvers-1"


class _Pins(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the file holds. ``version`` counts every change, so that no proof is good twice."""

    format: str = _FORMAT
    version: int = 0
    needed: int = FOUNDERS
    rp_id: str = ""
    origins: tuple[str, ...] = ()
    approvers: tuple[Approver, ...] = ()

    @property
    def persons(self) -> frozenset[str]:
        return frozenset(one.person for one in self.approvers)


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    pins: msgspec.Raw
    mac: bytes


class Judge:
    """Pins approvers and judges their approvals. Called from the signer's slow lane alone."""

    def __init__(
        self, path: Path, secret: bytes, pins: _Pins, clock: Clock, write: Callable[[Path, bytes], None]
    ) -> None:
        self._path = path
        self._secret = secret
        self._pins = pins
        self._clock = clock
        self._write = write

    @classmethod
    def open(
        cls, path: Path, secret_path: Path, clock: Clock, *, write: Callable[[Path, bytes], None] = write_private
    ) -> Judge:
        """The judge whose pins lie in ``path``. Raises ApproversUnsafe when they were changed or are gone."""
        known = secret_path.exists()
        secret = ensure_secret(secret_path)
        if not path.exists():
            if known:
                raise ApproversUnsafe(APPROVERS_STATE, f"there is {secret_path.name}, but no {path.name}")
            judge = cls(path, secret, _Pins(), clock, write)
            judge._put(_Pins())
            return judge
        try:
            file = msgspec.json.decode(path.read_bytes(), type=_File)
            if not hmac.compare_digest(_mac(secret, bytes(file.pins)), file.mac):
                raise ApproversUnsafe(APPROVERS_STATE, f"{path.name} was changed by somebody else")
            pins = msgspec.json.decode(bytes(file.pins), type=_Pins)
        except (OSError, msgspec.MsgspecError) as error:
            raise ApproversUnsafe(APPROVERS_STATE, f"{path.name} cannot be read") from error
        return cls(path, secret, pins, clock, write)

    @property
    def active(self) -> bool:
        """Whether approvals are asked for: two persons are pinned."""
        return len(self._pins.persons) >= FOUNDERS

    def listed(self, n: int) -> Approvers:
        """Who is pinned."""
        pins = self._pins
        return Approvers(n, pins.needed, pins.rp_id, pins.origins, pins.approvers)

    # --- approvers ---------------------------------------------------------------------------------------------------

    def registration_challenge(self, person: str) -> bytes:
        """What a new passkey of ``person`` signs: 32 octets that say themselves that they are ours and how old."""
        return self._token(b"register", person.encode())

    def pin(self, person: str, label: str, response: bytes, rp_id: str, origins: tuple[str, ...]) -> None:
        """Pin one of the first two persons' passkeys. Raises SignerRefused once two persons are pinned."""
        pins = self._pins
        if self.active:
            raise SignerRefused(APPROVER_REFUSED, "two persons are pinned: further passkeys take their approval")
        if not rp_id or not origins:
            raise SignerRefused(MALFORMED, "a relying party has an id and at least one origin")
        if pins.approvers and (pins.rp_id, pins.origins) != (rp_id, origins):
            raise SignerRefused(APPROVER_REFUSED, f"passkeys are pinned for {pins.rp_id}, not for {rp_id}")
        pins = msgspec.structs.replace(pins, rp_id=rp_id, origins=origins)
        self._add(pins, self._registered(pins, person, label, response))

    def register(self, person: str, label: str, response: bytes, proofs: Sequence[Proof]) -> None:
        """Pin a further passkey, approved by the present ones. Raises SignerRefused."""
        if not self.active:
            raise SignerRefused(APPROVER_REFUSED, "the first two persons are pinned by the setup role")
        fresh = self._registered(self._pins, person, label, response)
        act = acts.add(person, label, response, fresh.credential_id, fresh.public_key)
        approved = self.judged(act, {}, proofs)
        self._add(approved, fresh)

    def remove(self, credential_id: bytes, proofs: Sequence[Proof]) -> None:
        """Unpin a passkey, approved by the present ones. Raises SignerRefused if too few persons would stay."""
        approved = self.judged(acts.remove(credential_id), {}, proofs)
        left = tuple(one for one in approved.approvers if one.credential_id != credential_id)
        if len(left) == len(approved.approvers):
            raise SignerRefused(APPROVER_REFUSED, "there is no such passkey")
        after = msgspec.structs.replace(approved, approvers=left)
        if len(after.persons) < max(after.needed, FOUNDERS):
            raise SignerRefused(APPROVER_REFUSED, "fewer persons would stay than must approve")
        self._put(after)

    def set_needed(self, needed: int, proofs: Sequence[Proof]) -> None:
        """Change how many persons must approve, approved by the present ones. Raises SignerRefused."""
        if not 1 <= needed <= len(self._pins.persons):
            raise SignerRefused(APPROVER_REFUSED, "between one person and all who are pinned must approve")
        self._put(msgspec.structs.replace(self.judged(acts.number(needed), {}, proofs), needed=needed))

    # --- approvals ---------------------------------------------------------------------------------------------------

    def ask(self, n: int, act: Act, state: Json) -> AskedApproval:
        """A nonce for one approval of ``act`` on ``state``, and what both come to."""
        digest = self._digest(state)
        return AskedApproval(n, act.hash, digest, self._token(b"approve", act.hash + digest), self._pins.needed)

    def require(self, act: Act, state: Json, proofs: Sequence[Proof], *, always: bool = False) -> None:
        """Raise SignerRefused unless enough pinned persons have approved ``act`` on ``state``; each proof is used up.

        Nothing is asked for before two persons are pinned, but with ``always``: then nobody can approve, and it is
        refused.
        """
        if always or self.active:
            self._put(self.judged(act, state, proofs))

    def judged(self, act: Act, state: Json, proofs: Sequence[Proof]) -> _Pins:
        """The pins with the counters that the proofs have moved. Raises SignerRefused; changes nothing."""
        if not self.active:
            raise SignerRefused(APPROVER_REFUSED, "no two persons are pinned, so nobody can approve this")
        pins, digest = self._pins, self._digest(state)
        party = passkeys.RelyingParty(pins.rp_id, pins.origins)
        known = {one.credential_id: one for one in pins.approvers}
        persons: set[str] = set()
        if len(proofs) > MOST:
            raise SignerRefused(MALFORMED, f"at most {MOST} proofs")
        for proof in proofs:
            self._require_token(b"approve", act.hash + digest, proof.nonce)
            answer = _answer(proof.assertion)
            if answer.challenge != approval_challenge(act.hash, digest, proof.nonce):
                raise SignerRefused(APPROVAL_INVALID, "a passkey has signed another act, or another state of things")
            approver = known.get(answer.credential_id)
            if approver is None:
                raise SignerRefused(APPROVAL_INVALID, "a passkey that is not pinned here")
            try:
                count = passkeys.verify_authentication(
                    party, answer, public_key=approver.public_key, sign_count=approver.sign_count
                )
            except AccessError as error:
                raise SignerRefused(APPROVAL_INVALID, f"the passkey {approver.label} of {approver.person}") from error
            known[approver.credential_id] = msgspec.structs.replace(approver, sign_count=count)
            persons.add(approver.person)
        if len(persons) < pins.needed:
            raise SignerRefused(APPROVAL_MISSING, f"{len(persons)} of {pins.needed} persons have approved")
        return msgspec.structs.replace(pins, approvers=tuple(known.values()))

    # --- inside ------------------------------------------------------------------------------------------------------

    def _registered(self, pins: _Pins, person: str, label: str, response: bytes) -> Approver:
        if not 1 <= len(person) <= 64 or not person.isprintable() or len(label) > 64 or not label.isprintable():
            raise SignerRefused(MALFORMED, "a person and a label have at most 64 printable characters")
        if len(pins.approvers) >= MOST:
            raise SignerRefused(APPROVER_REFUSED, f"at most {MOST} passkeys are pinned")
        answer = _answer(response)
        self._require_token(b"register", person.encode(), answer.challenge)
        try:
            fresh = passkeys.verify_registration(passkeys.RelyingParty(pins.rp_id, pins.origins), answer)
        except AccessError as error:
            raise SignerRefused(APPROVAL_INVALID, "the new passkey's answer does not verify") from error
        if fresh.credential_id in {one.credential_id for one in pins.approvers}:
            raise SignerRefused(APPROVER_REFUSED, "this passkey is pinned already")
        now = self._clock.now()
        return Approver(person, fresh.credential_id, fresh.public_key, fresh.sign_count, label, now)

    def _add(self, pins: _Pins, fresh: Approver) -> None:
        self._put(msgspec.structs.replace(pins, approvers=(*pins.approvers, fresh)))

    def _put(self, pins: _Pins) -> None:
        pins = msgspec.structs.replace(pins, version=self._pins.version + 1)
        body = msgspec.json.encode(pins)
        try:
            self._write(self._path, msgspec.json.encode(_File(msgspec.Raw(body), _mac(self._secret, body))))
        except OSError as error:
            raise SignerRefused(APPROVERS_STATE, "the approvers' file cannot be written") from error
        self._pins = pins

    def _digest(self, state: Json) -> bytes:
        return state_digest({"pins": self._pins.version, "state": state})

    def _token(self, label: bytes, bound: bytes) -> bytes:
        at = int(self._clock.now().timestamp()).to_bytes(8, "big")
        noise = secrets.token_bytes(8)
        return at + noise + self._tag(label, at + noise, bound)

    def _require_token(self, label: bytes, bound: bytes, token: bytes) -> None:
        if len(token) != 32 or not hmac.compare_digest(token[16:], self._tag(label, token[:16], bound)):
            raise SignerRefused(APPROVAL_INVALID, "the question was not asked by this signer, or not about this")
        now, made = self._clock.now(), int.from_bytes(token[:8], "big")
        at = datetime.fromtimestamp(made, now.tzinfo)
        if not at - _AHEAD <= now <= at + _LIFE:
            raise SignerRefused(APPROVAL_INVALID, "the question is too old")

    def _tag(self, label: bytes, head: bytes, bound: bytes) -> bytes:
        return hmac.new(self._secret, b"troth approvers " + label + b"\x00" + head + bound, sha256).digest()[:16]


def _mac(secret: bytes, body: bytes) -> bytes:
    return hmac.new(secret, b"troth approvers file\x00" + body, sha256).digest()


def _answer(data: bytes) -> passkeys.Answer:
    try:
        return passkeys.parse(msgspec.json.decode(data))
    except (msgspec.MsgspecError, AccessError, RecursionError) as error:
        raise SignerRefused(APPROVAL_INVALID, "the browser's answer is malformed") from error
