"""The commands that keys in a TPM need (TPM 2.0 Library, Part 3), each as one call.

A command is its header, handles, the authorizations of those handles that want one, and parameters (Part 1, 18).
Authorizations are passwords, mostly empty ones, or a policy session. Nothing of a password leaves the machine, so
sessions neither encrypt nor salt: what listens between the processor and the TPM learns no key, since none is sent.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from troth.agent.keys.tpm.doors import HEADER, Door
from troth.agent.keys.tpm.errors import AGAIN, TpmError, Unreachable, base_of, refused
from troth.tpm.numbers import Algorithm
from troth.tpm.wire import Unmarshal, tpm2b

OWNER, NULL, ENDORSEMENT = 0x40000001, 0x40000007, 0x4000000B
_PASSWORD = 0x40000009
_NO_SESSIONS, _SESSIONS = 0x8001, 0x8002
_CONTINUE = 1
_CODES = {
    "CreatePrimary": 0x131, "ActivateCredential": 0x147, "Certify": 0x148, "CertifyCreation": 0x14A, "NV_Read": 0x14E,
    "PolicySecret": 0x151, "Create": 0x153, "Load": 0x157, "Sign": 0x15D, "FlushContext": 0x165,
    "NV_ReadPublic": 0x169, "ReadPublic": 0x173, "StartAuthSession": 0x176, "GetCapability": 0x17A,
}  # fmt: skip
#: TPM_CAP_TPM_PROPERTIES, TPM_PT_NV_BUFFER_MAX (Part 2, 6.12, 6.13).
_PROPERTIES, _NV_BUFFER = 6, 0x12C
#: What every TPM gives in one TPM2_NV_Read.
_NV_LEAST = 512
#: TPMA_NV_OWNERREAD, TPMA_NV_AUTHREAD (Part 2, 13.4).
_OWNER_READ, _AUTH_READ = 1 << 17, 1 << 18
#: No certificate of an endorsement key and no template is longer.
_NV_MOST = 8192
_BUFFER, _DIGEST, _NAME = 2048, 64, 66
#: TPM2B_SENSITIVE_CREATE with no password and no data, an empty TPM2B, an empty TPML_PCR_SELECTION.
_NO_SECRET, _EMPTY, _NO_PCRS = tpm2b(bytes(4)), bytes(2), bytes(4)
#: After how many seconds a TPM that is busy is asked again: doubling, up to the second number.
_PAUSE, _LONGEST = 0.02, 12.0


@dataclass(frozen=True, slots=True)
class Created:
    """What TPM2_Create gives: TPM2B_PRIVATE, TPM2B_PUBLIC and TPMS_CREATION_DATA without their sizes, and the proof."""

    private: bytes
    public: bytes
    creation_data: bytes
    creation_hash: bytes
    ticket: bytes


@dataclass(frozen=True, slots=True)
class Authorization:
    """Leave to use one handle: a password, or a policy session whose policy holds."""

    session: int = _PASSWORD
    secret: bytes = b""

    def encoded(self) -> bytes:
        """TPMS_AUTH_COMMAND."""
        attributes = 0 if self.session == _PASSWORD else _CONTINUE
        return self.session.to_bytes(4) + _EMPTY + bytes((attributes,)) + tpm2b(self.secret)


FREE = Authorization()


class Commands:
    """Commands through one open door. All raise TpmError for what the TPM refuses, and Unreachable."""

    def __init__(self, door: Door) -> None:
        self._door = door

    def has_password(self, hierarchy: int) -> bool:
        """Whether this machine knows a password of the hierarchy, so that it has one."""
        return bool(self._door.authorization(hierarchy))

    def nv_buffer(self) -> int:
        """How much one TPM2_NV_Read gives."""
        parameters = _PROPERTIES.to_bytes(4) + _NV_BUFFER.to_bytes(4) + (1).to_bytes(4)
        r = self._send("GetCapability", (), (), parameters)
        r.take(5)
        count = r.integer(4)
        if count and r.integer(4) == _NV_BUFFER:
            return max(r.integer(4), 64)
        return _NV_LEAST

    def read_nv(self, index: int, chunk: int) -> bytes:
        """All of an NV index. Raises HandleUnknown where there is none."""
        public = Unmarshal(self._send("NV_ReadPublic", (index,), (), b"").sized(_BUFFER), "TPMS_NV_PUBLIC")
        public.take(6)
        attributes = public.integer(4)
        public.sized(_DIGEST)
        size = public.integer(2)
        if size > _NV_MOST:
            raise Unreachable(f"NV index {index:#x} has {size} octets, {_NV_MOST} are the most")
        owner = not attributes & _AUTH_READ and bool(attributes & _OWNER_READ)
        by, leave = (OWNER, self._hierarchy(OWNER)) if owner else (index, FREE)
        found = b""
        while len(found) < size:
            part = min(chunk, size - len(found)).to_bytes(2) + len(found).to_bytes(2)
            more = self._send("NV_Read", (by, index), (leave,), part).sized(_BUFFER)
            if not more:
                raise Unreachable(f"NV index {index:#x} ends after {len(found)} octets of {size}")
            found += more
        return found

    def read_public(self, handle: int) -> bytes:
        """TPMT_PUBLIC of a loaded or persistent object. Raises HandleUnknown."""
        return self._send("ReadPublic", (handle,), (), b"").sized(_BUFFER)

    @contextmanager
    def primary(self, hierarchy: int, template: bytes) -> Iterator[tuple[int, bytes]]:
        """A primary object for as long as the block lasts: its handle and TPMT_PUBLIC."""
        parameters = _NO_SECRET + tpm2b(template) + _EMPTY + _NO_PCRS
        r = self._send("CreatePrimary", (hierarchy,), (self._hierarchy(hierarchy),), parameters, handle=True)
        handle = r.handle
        with self._held(handle):
            yield handle, r.sized(_BUFFER)

    def create(self, parent: int, template: bytes) -> Created:
        """A key below ``parent``."""
        r = self._send("Create", (parent,), (FREE,), _NO_SECRET + tpm2b(template) + _EMPTY + _NO_PCRS)
        private, public, data, digest = r.sized(_BUFFER), r.sized(_BUFFER), r.sized(_BUFFER), r.sized(_DIGEST)
        ticket = r.take(6) + tpm2b(r.sized(_DIGEST))
        return Created(private, public, data, digest, ticket)

    @contextmanager
    def loaded(self, parent: int, private: bytes, public: bytes) -> Iterator[int]:
        """A key for as long as the block lasts. Raises NotOurs for one that this TPM has not wrapped."""
        r = self._send("Load", (parent,), (FREE,), tpm2b(private) + tpm2b(public), handle=True)
        with self._held(r.handle):
            yield r.handle

    def certify_creation(self, key: int, created: Created) -> tuple[bytes, bytes]:
        """What ``key`` says of its own creation: TPMS_ATTEST and TPMT_SIGNATURE."""
        parameters = _EMPTY + tpm2b(created.creation_hash) + _scheme() + created.ticket
        r = self._send("CertifyCreation", (key, key), (FREE,), parameters)
        return r.sized(_BUFFER), r.rest()

    def certify(self, key: int, signer: int, qualifying: bytes) -> tuple[bytes, bytes]:
        """What ``signer`` says of ``key``: TPMS_ATTEST and TPMT_SIGNATURE."""
        r = self._send("Certify", (key, signer), (FREE, FREE), tpm2b(qualifying) + _scheme())
        return r.sized(_BUFFER), r.rest()

    def sign(self, key: int, digest: bytes, scheme: Algorithm, hashed: Algorithm) -> bytes:
        """TPMT_SIGNATURE over a digest that may have come from anywhere (its TPMT_TK_HASHCHECK is the empty one)."""
        ticket = (0x8024).to_bytes(2) + NULL.to_bytes(4) + _EMPTY
        return self._send("Sign", (key,), (FREE,), tpm2b(digest) + _scheme(scheme, hashed) + ticket).rest()

    @contextmanager
    def endorsement_policy(self) -> Iterator[Authorization]:
        """Leave to use an endorsement key of the low range: TPM2_PolicySecret(endorsement) (EK Profile, B.2)."""
        parameters = (
            tpm2b(os.urandom(16)) + _EMPTY + b"\x01" + Algorithm.NULL.to_bytes(2) + Algorithm.SHA256.to_bytes(2)
        )
        session = self._send("StartAuthSession", (NULL, NULL), (), parameters, handle=True).handle
        with self._held(session):
            leave = self._hierarchy(ENDORSEMENT)
            self._send("PolicySecret", (ENDORSEMENT, session), (leave,), _EMPTY * 3 + bytes(4))
            yield Authorization(session)

    def activate_credential(
        self, key: int, endorsement: int, leave: Authorization, identity: bytes, secret: bytes
    ) -> bytes:
        """What was encrypted for this endorsement key and this key.

        Args:
            identity: TPM2B_ID_OBJECT. secret: TPM2B_ENCRYPTED_SECRET, both with their size.
        """
        return self._send("ActivateCredential", (key, endorsement), (FREE, leave), identity + secret).sized(_DIGEST)

    def _hierarchy(self, hierarchy: int) -> Authorization:
        return Authorization(secret=self._door.authorization(hierarchy))

    @contextmanager
    def _held(self, handle: int) -> Iterator[None]:
        try:
            yield
        finally:
            with suppress(TpmError, Unreachable):  # a TPM that was reset meanwhile has let go by itself
                self._send("FlushContext", (), (), handle.to_bytes(4))

    def _send(
        self,
        name: str,
        handles: tuple[int, ...],
        leaves: tuple[Authorization, ...],
        parameters: bytes,
        *,
        handle: bool = False,
    ) -> Answer:
        """The answer's parameters. ``handle``: it begins with a handle."""
        body = b"".join(one.to_bytes(4) for one in handles)
        if leaves:
            given = b"".join(one.encoded() for one in leaves)
            body += len(given).to_bytes(4) + given
        body += parameters
        tag = _SESSIONS if leaves else _NO_SESSIONS
        command = tag.to_bytes(2) + (HEADER + len(body)).to_bytes(4) + _CODES[name].to_bytes(4) + body
        pause = _PAUSE
        while base_of(code := _code(answer := self._door.exchange(command))) in AGAIN and pause < _LONGEST:
            time.sleep(pause)
            pause *= 2
        if code:
            raise refused(name, code)
        return _answer(name, answer, handle=handle, sessions=bool(leaves))


class Answer(Unmarshal):
    """The parameters of an answer, and its handle where it has one."""

    def __init__(self, data: bytes, name: str, handle: int) -> None:
        super().__init__(data, name)
        self.handle = handle


def _code(answer: bytes) -> int:
    if len(answer) < HEADER or int.from_bytes(answer[2:6]) != len(answer):
        raise Unreachable(f"the TPM answered with {len(answer)} octets that are no answer")
    return int.from_bytes(answer[6:HEADER])


def _answer(name: str, answer: bytes, *, handle: bool, sessions: bool) -> Answer:
    r = Unmarshal(answer[HEADER:], f"the answer to TPM2_{name}")
    found = r.integer(4) if handle else 0
    parameters = r.take(r.integer(4)) if sessions else r.rest()
    return Answer(parameters, f"the answer to TPM2_{name}", found)


def _scheme(algorithm: Algorithm = Algorithm.NULL, hashed: Algorithm = Algorithm.SHA256) -> bytes:
    """TPMT_SIG_SCHEME; NULL takes what the key has fixed."""
    return algorithm.to_bytes(2) + (b"" if algorithm is Algorithm.NULL else hashed.to_bytes(2))
