"""What is done for each request, once it is known who asks.

Two lanes. :meth:`Desk.quick` answers on the event loop: reads, and the signatures that issuance waits for.
:meth:`Desk.slow` runs on one thread of its own, in order: everything that flushes a file or makes a key. The state
that the slow lane changes (key store, CRL numbers, notary) belongs to that thread; the quick lane reads what it has
published. What a key elsewhere must sign (a token, a key service) is checked here and then handed back as
:class:`Away`: it takes milliseconds or seconds, on a thread of that custodian's own, and holds up nobody else.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

from troth.access.approvals.model import Act
from troth.kit.canonical import Json
from troth.kit.clock import Clock
from troth.pki import jwt_svid
from troth.pki.algorithms import load_public
from troth.pki.crl_der import CrlFrame
from troth.pki.keys.algorithm import KeyAlgorithm
from troth.pki.keys.errors import CUSTODIAN_UNKNOWN, KeyRefused
from troth.pki.keys.keyring import Keyring
from troth.pki.keys.model import RELEASED, IssuingLimits, KeyMetadata, KeyPurpose
from troth.pki.signer import acts, protocol
from troth.pki.signer import approvers_protocol as judging
from troth.pki.signer import custody_protocol as custody
from troth.pki.signer.approvers import Judge
from troth.pki.signer.approvers_desk import JudgeRequest, answer
from troth.pki.signer.attachment import limits_from, wider
from troth.pki.signer.certificate_rules import MAX_RESPONDER_VALIDITY, CertificateRules
from troth.pki.signer.class_rules import NO_POLICY, Policy
from troth.pki.signer.crl_rules import CrlNumbers, check_crl, check_frame
from troth.pki.signer.crl_stream import CrlStream
from troth.pki.signer.errors import BUSY, KEY_UNATTACHED, LIMIT_JWT, LIMIT_RESPONDER, MALFORMED, ROLE, SignerRefused
from troth.pki.signer.memory import Memory
from troth.pki.signer.notary import Notary, Standing
from troth.pki.signer.roles import Role
from troth.pki.signer.sealing import seal

#: An OCSP key is certified in its first week, and its certificate lives a week.
_RESPONDER_KEY_LIFE = 2 * MAX_RESPONDER_VALIDITY
#: Live keys of one purpose. A worker that was taken over fills no disk.
_MAX_KEYS = {
    KeyPurpose.OCSP: 256, KeyPurpose.ISSUING: 64, KeyPurpose.RA: 64, KeyPurpose.RADIUS: 64, KeyPurpose.JWT: 16,
}  # fmt: skip
#: Keys that are forgotten after a while.
_LIVES = {KeyPurpose.OCSP: _RESPONDER_KEY_LIFE, KeyPurpose.JWT: jwt_svid.FORGOTTEN}

#: Issuing keys that are made unasked, a first start's and a rollover's; more take approvals once approvers are pinned.
_UNASKED_KEYS = 16

SlowRequest: TypeAlias = (
    protocol.SignCrl
    | protocol.GenerateKey
    | protocol.AttachAuthority
    | protocol.ReleaseKey
    | protocol.Checkpoint
    | custody.TakeKey
    | custody.AdoptKey
    | JudgeRequest
)
QuickRequest: TypeAlias = (
    protocol.Certify
    | protocol.SignJwt
    | protocol.ListKeys
    | protocol.PublicKey
    | protocol.Health
    | protocol.NotaryStateRequest
    | custody.Custody
    | custody.Unseal
)


def permission_of(request: protocol.Request) -> str:
    """The permission that ``request`` needs."""
    operation = str(request.__struct_config__.tag)
    # The steps of one operation need one permission: sign_crl.begin, sign_crl.end.
    return f"{operation}:{request.purpose}" if isinstance(request, protocol.GenerateKey) else operation.split(".")[0]


def authorize(role: Role, request: protocol.Request) -> None:
    """Raise SignerRefused unless ``role`` may ask for this."""
    if permission_of(request) not in role.permissions | role.approved:
        raise SignerRefused(ROLE)


@dataclass(frozen=True, slots=True)
class Away:
    """The rest of an operation, for a thread of the custodian's own; all checks are done.

    Attributes:
        custodian: whose.
        finish: gives the answer. Raises as the lanes do.
        settle: to be called on the slow lane afterwards.
    """

    custodian: str
    finish: Callable[[], protocol.Answer]
    settle: Callable[[], None] | None = None


class Desk:
    """The signer's operations, without sockets."""

    def __init__(
        self,
        custodian: Keyring,
        notary: Notary,
        numbers: CrlNumbers,
        clock: Clock,
        memory: Memory | None = None,
        *,
        judge: Judge | None = None,
        policy: Policy = NO_POLICY,
    ) -> None:
        self._custodian = custodian
        self._notary = notary
        self._numbers = numbers
        self._clock = clock
        self._memory = memory or Memory()
        self._judge = judge
        self._policy = policy
        self._rules: dict[str, CertificateRules] = {}
        self._started_at = clock.now()
        self._by_spki: dict[bytes, KeyMetadata] = {}
        self._index()

    def quick(self, request: QuickRequest) -> protocol.Answer | Away:
        """Answer on the event loop. Raises TrothError subclasses; then nothing was signed."""
        match request:
            case protocol.Certify():
                return self._certify(request)
            case protocol.SignJwt():
                return self._sign_jwt(request)
            case protocol.ListKeys(n=n, purpose=purpose):
                keys = [key for key in self._custodian.list_keys() if purpose in (None, key.purpose)]
                return protocol.Keys(n, keys)
            case protocol.PublicKey(n=n, key_id=key_id):
                return protocol.Key(n, self._custodian.metadata(key_id))
            case protocol.Health():
                return self._health(request)
            case protocol.NotaryStateRequest(n=n):
                at = self._notary.standing()
                return protocol.NotaryState(n, at.size, at.root, at.note, str(self._notary.verifier_key))
            case custody.Custody(n=n):
                return custody.CustodyReport(n, self._custodian.states(), self._custodian.troubles())
            case custody.Unseal(n=n, custodian=name, secret=secret):
                if name not in self._custodian.held:
                    raise KeyRefused(CUSTODIAN_UNKNOWN, f"no custodian {name[:80]!r} to unseal")
                return Away(name, lambda: self._unseal(n, name, secret))

    def slow(self, request: SlowRequest, secret: bytes, role: Role | None = None) -> protocol.Answer | Away:
        """Answer on the slow lane's thread; ``secret`` is the role's. Raises as :meth:`quick`."""
        approved = role is not None and permission_of(request) in role.approved
        match request:
            case protocol.SignCrl():
                return self._sign_crl(request)
            case protocol.GenerateKey():
                return self._generate(request, always=approved)
            case protocol.AttachAuthority():
                return self._attach(request, always=approved)
            case custody.TakeKey(n=n, pkcs8=pkcs8):
                self._room_for_issuing()
                taken = self._custodian.take(pkcs8)
                self._index()
                return protocol.Key(n, taken)
            case custody.AdoptKey(n=n, custodian=name, label=label):
                self._room_for_issuing()
                if name not in self._custodian.held:
                    raise KeyRefused(CUSTODIAN_UNKNOWN, f"no custodian {name[:80]!r} to take a key from")
                return Away(name, lambda: protocol.Key(n, self._custodian.adopt(name, label)), settle=self._index)
            case protocol.ReleaseKey():
                return self._release(request, secret, None if role is None else role.releases)
            case protocol.Checkpoint(n=n, old_size=old_size, leaves=leaves, at=at):
                standing: Standing = self._notary.checkpoint(old_size, leaves, at)
                return protocol.SignedCheckpoint(n, standing.extended, standing.size, standing.root, standing.note)
            case _:
                if self._judge is None:
                    raise SignerRefused(ROLE, "this signer has no judge")
                return answer(self._judge, request, self._state_of)

    def _certify(self, request: protocol.Certify) -> protocol.Answer | Away:
        key_id = request.key_id
        rules = self._rules.get(key_id) or self._compile(key_id)
        serial = rules.check(request.tbs, self._clock.now())
        self._memory.check(request.reservation_id, key_id, serial)
        # Remembered before the signature is made: what fails after this is never tried again.
        self._memory.remember(request.reservation_id, key_id, serial)
        return self._signature(request.n, key_id, request.tbs)

    def _signature(self, n: int, key_id: str, message: bytes) -> protocol.Answer | Away:
        key = self._custodian.signing_key(key_id)
        lane = self._custodian.lane_of(key_id)
        if lane is None:
            return protocol.Signature(n, key.sign(message))
        return Away(lane, lambda: protocol.Signature(n, key.sign(message)))

    def _sign_jwt(self, request: protocol.SignJwt) -> protocol.Answer | Away:
        metadata, now = self._custodian.metadata(request.key_id), self._clock.now()
        if metadata.purpose is not KeyPurpose.JWT or metadata.algorithm is not KeyAlgorithm.P256:
            raise SignerRefused(LIMIT_JWT, f"{request.key_id} signs no JWT-SVIDs")
        if metadata.use_until is None or metadata.use_until <= now:
            raise SignerRefused(LIMIT_JWT, f"the time of {request.key_id} is over")
        try:
            jwt_svid.read_claims(request.claims, now)
        except ValueError as error:
            raise SignerRefused(LIMIT_JWT, str(error)) from error
        return self._signature(request.n, request.key_id, jwt_svid.signing_input(request.key_id, request.claims))

    def _unseal(self, n: int, custodian: str, secret: bytes) -> protocol.Answer:
        self._custodian.unseal(custodian, secret)
        return protocol.Done(n)

    def _compile(self, key_id: str) -> CertificateRules:
        metadata, limits = self._issuing(key_id)
        # Limits never change once a key is attached, so what was compiled stays true.
        rules = self._rules[key_id] = CertificateRules(
            metadata.algorithm, limits, lambda spki: self._by_spki.get(spki), self._policy
        )
        return rules

    def _issuing(self, key_id: str) -> tuple[KeyMetadata, IssuingLimits]:
        metadata = self._custodian.metadata(key_id)
        if metadata.purpose is not KeyPurpose.ISSUING or metadata.limits is None:
            raise SignerRefused(KEY_UNATTACHED)
        return metadata, metadata.limits

    def _health(self, request: protocol.Health) -> protocol.Answer | Away:
        if not 16 <= len(request.nonce) <= 64:
            raise SignerRefused(MALFORMED, "a health nonce has 16 to 64 octets")
        key = None if request.key_id is None else self._custodian.signing_key(request.key_id)
        lane = None if request.key_id is None else self._custodian.lane_of(request.key_id)

        def report() -> protocol.Answer:
            signature = None if key is None else key.sign(protocol.health_message(request.nonce))
            return protocol.HealthReport(request.n, self._started_at, self._clock.now(), len(self._by_spki), signature)

        return report() if lane is None else Away(lane, report)

    def _sign_crl(self, request: protocol.SignCrl) -> protocol.Answer | Away:
        metadata, limits = self._issuing(request.key_id)
        header = check_crl(request.tbs, metadata.algorithm, limits, self._clock.now())
        self._numbers.advance(request.key_id, header)
        return self._signature(request.n, request.key_id, request.tbs)

    def begin_crl(self, request: protocol.BeginCrl) -> CrlStream:
        """Check the header of a CRL whose entries are to follow; on the event loop. Raises TrothError subclasses."""
        metadata, limits = self._issuing(request.key_id)
        frame = CrlFrame(request.head, request.size, request.tail)
        header = check_frame(frame, metadata.algorithm, limits, self._clock.now())
        key = self._custodian.signing_key(request.key_id)
        return CrlStream(request.key_id, header, frame, key, load_public(metadata.public_key))

    def end_crl(self, request: protocol.EndCrl, stream: CrlStream) -> protocol.Answer | Away:
        """Sign what has passed through ``stream``; on the slow lane's thread. Raises as :meth:`quick`."""
        self._numbers.advance(stream.key_id, stream.header)
        key = self._custodian.signing_key(stream.key_id)
        lane = self._custodian.lane_of(stream.key_id)
        if lane is None:
            return protocol.Signature(request.n, stream.sign(key))
        return Away(lane, lambda: protocol.Signature(request.n, stream.sign(key)))

    def _generate(self, request: protocol.GenerateKey, *, always: bool) -> protocol.Answer | Away:
        purpose, now = request.purpose, self._clock.now()
        self._forget_old(now)
        if sum(key.purpose is purpose for key in self._custodian.list_keys()) >= _MAX_KEYS.get(purpose, 0):
            raise SignerRefused(BUSY, f"the signer holds as many {purpose} keys as it may")
        if purpose is KeyPurpose.ISSUING and (always or self._issuing_keys() >= _UNASKED_KEYS):
            act = acts.generate(purpose.value, request.algorithm.value, request.custodian)
            self._require(act, request.proofs, always=always)
        if purpose is KeyPurpose.JWT and request.algorithm is not KeyAlgorithm.P256:
            raise SignerRefused(LIMIT_JWT, "JWT-SVIDs are signed with ES256")
        until = now + _LIVES[purpose] if purpose in _LIVES else None

        def make() -> protocol.Answer:
            made = self._custodian.generate(purpose, request.algorithm, use_until=until, custodian=request.custodian)
            return protocol.Key(request.n, made)

        if request.custodian in self._custodian.held:
            return Away(request.custodian, make, settle=self._index)
        answer = make()
        self._index()
        return answer

    def _room_for_issuing(self) -> None:
        # What approvals would be asked for if it were made is not taken in from outside unasked either.
        if self._issuing_keys() >= _UNASKED_KEYS:
            raise SignerRefused(BUSY, f"the signer takes no more than {_UNASKED_KEYS} issuing keys unasked")

    def _attach(self, request: protocol.AttachAuthority, *, always: bool) -> protocol.Key:
        spki = self._custodian.metadata(request.key_id).public_key
        limits = limits_from(request.certificate, spki, request.bounds, self._clock.now())
        if always or wider(request.bounds):
            act = acts.attach(request.key_id, request.certificate, request.bounds)
            self._require(act, request.proofs, always=always)
        attached = self._custodian.attach(request.key_id, request.certificate, limits)
        self._index()
        return protocol.Key(request.n, attached)

    def _require(self, act: Act, proofs: Sequence[judging.Proof], *, always: bool) -> None:
        if self._judge is not None:
            self._judge.require(act, self._state_of(act), proofs, always=always)
        elif always:
            raise SignerRefused(ROLE, "this signer has no judge")

    def _state_of(self, act: Act) -> Json:
        """What an approval of ``act`` stands on: another key in the meantime, and it is approved anew."""
        return {"issuing_keys": self._issuing_keys()} if act.kind == acts.GENERATE else {}

    def _issuing_keys(self) -> int:
        return sum(key.purpose is KeyPurpose.ISSUING for key in self._custodian.list_keys())

    def _release(self, request: protocol.ReleaseKey, secret: bytes, releases: KeyPurpose | None) -> protocol.SealedKey:
        metadata = self._custodian.metadata(request.key_id)
        if metadata.purpose not in RELEASED:
            raise SignerRefused(LIMIT_RESPONDER, "this key never leaves the signer")
        if metadata.purpose is not releases:
            raise SignerRefused(ROLE, f"a key of purpose {metadata.purpose} is not for this role")
        plain = self._custodian.export(request.key_id)
        sealed = seal(plain, request.recipient, secret=secret, context=request.key_id)
        return protocol.SealedKey(request.n, sealed.ephemeral, sealed.ciphertext)

    def _forget_old(self, now: datetime) -> None:
        for key in self._custodian.list_keys():
            if key.use_until is not None and key.use_until < now:
                self._custodian.forget(key.key_id)
        self._index()

    def _index(self) -> None:
        # One assignment publishes the new index to the quick lane.
        self._by_spki = {key.public_key: key for key in self._custodian.list_keys()}
