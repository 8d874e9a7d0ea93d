"""The custodian of keys that live elsewhere: a :class:`~troth.pki.keys.backend.Backend` and the records of its keys.

Whatever the backend, the promises are the same:

1. A record is written before a key is told of, and a key without a record is nobody's.
2. Before a key signs for the first time, and again after every interruption, its public half is fetched and compared
   with the record: a key that was swapped signs nothing.
3. Every signature is verified before it leaves: a defect or an attack in the token or on the way shows here.
4. When the backend is down, its keys answer at once with what is wrong, it is tried again after a pause that doubles
   to 30 s, and nothing needs a restart. When one key is in trouble, the others go on.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import TypeVar

import msgspec

from troth.kit.clock import Clock
from troth.kit.ids import new_id
from troth.kit.log import get_logger
from troth.pki.algorithms import load_public, verifies
from troth.pki.keys.algorithm import KeyAlgorithm, public_algorithm
from troth.pki.keys.backend import Adopting, Backend, Made
from troth.pki.keys.errors import (
    CUSTODIAN_ANSWER,
    CUSTODIAN_TIMEOUT,
    KEY_ALGORITHM,
    KEY_ATTACHED,
    KEY_CHANGED,
    KEY_PURPOSE,
    KEY_UNKNOWN,
    SEALED,
    CustodianDown,
    KeyRefused,
    KeyUnavailable,
)
from troth.pki.keys.model import IssuingLimits, KeyMetadata, KeyPurpose
from troth.pki.keys.pause import Pause
from troth.pki.keys.records import Record, Records
from troth.pki.prehash import digest_verifies, new_digest

log = get_logger("pki")

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class HeldKey:
    """A key held elsewhere; signing goes there and back."""

    algorithm: KeyAlgorithm
    sign: Callable[[bytes], bytes] = field(repr=False)


@dataclass(frozen=True, slots=True)
class DigestHeldKey(HeldKey):
    """One that also signs what was hashed before, so that a CRL need not be held in memory."""

    sign_digest: Callable[[bytes], bytes] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Trouble:
    """What is wrong with a key or a custodian, and since when."""

    code: str
    detail: str
    since: datetime


class HeldKeys:
    """The custodian over one backend.

    Args:
        name: as it stands in metadata, ``pkcs11:<name>``.
        records: of all held keys; this custodian has those that bear its name.
        found: what was read of them at the start.
    """

    def __init__(self, name: str, backend: Backend, records: Records, found: Sequence[Record], clock: Clock) -> None:
        self.name = name
        self._backend = backend
        self._records = records
        self._clock = clock
        self._pause = Pause(clock)
        self._opened = clock.now()
        self._lock = threading.Lock()
        self._held: dict[str, Record] = {
            record.metadata.key_id: record for record in found if record.metadata.custodian == name
        }
        self._proved: set[str] = set()
        self._troubles: dict[str, Trouble] = {}
        self._making: set[str] = set()
        self._orphans = tuple(records.unfinished(name))

    @property
    def algorithms(self) -> Sequence[KeyAlgorithm]:
        """The kinds of key that it makes, in the order of :class:`KeyAlgorithm`."""
        return [algorithm for algorithm in KeyAlgorithm if algorithm in self._backend.algorithms]

    @property
    def trouble(self) -> Trouble | None:
        """What is wrong with the custodian itself."""
        if self._backend.sealed:
            return Trouble(SEALED.code, f"{self.name} waits to be unsealed", self._opened)
        found = self._pause.trouble
        return None if found is None else Trouble(found[0].code, found[0].detail, found[1])

    @property
    def sealed(self) -> bool:
        """Whether it waits to be unsealed."""
        return self._backend.sealed

    def trouble_of(self, key_id: str) -> Trouble | None:
        """What is wrong with one key; the custodian's own trouble is every key's."""
        return self.trouble or self._troubles.get(key_id)

    def generate(
        self, purpose: KeyPurpose, algorithm: KeyAlgorithm = KeyAlgorithm.P256, *, use_until: datetime | None = None
    ) -> KeyMetadata:
        """Make an issuing key; it is durable when this returns.

        Raises KeyRefused for other purposes (they are released or sign on this process's own loop) and for kinds that
        the backend does not make, KeyUnavailable when it fails.
        """
        if purpose is not KeyPurpose.ISSUING or use_until is not None:
            raise KeyRefused(KEY_PURPOSE, f"{purpose} keys are software keys; {self.name} holds issuing keys")
        if algorithm not in self._backend.algorithms:
            known = ", ".join(self.algorithms)
            raise KeyRefused(KEY_ALGORITHM, f"{self.name} makes {known}; not {algorithm}")
        key_id = f"{purpose}-{new_id()}"
        made = self._make(key_id, algorithm)
        if _kind(made.public_key) is not algorithm:
            raise KeyUnavailable(CUSTODIAN_ANSWER, f"{self.name} was asked for {algorithm} and made something else")
        metadata = KeyMetadata(
            key_id=key_id,
            purpose=purpose,
            algorithm=algorithm,
            public_key=made.public_key,
            created=self._clock.now(),
            custodian=self.name,
            evidence=made.evidence,
        )
        return self._keep(Record(metadata, made.handle))

    def adopt(self, label: str) -> KeyMetadata:
        """Take an issuing key that is there already; the same key again is the one that is here. Durable on return.

        Raises KeyRefused for backends that hold only what they made, KeyUnavailable when there is no such key.
        """
        backend = self._backend
        if not isinstance(backend, Adopting):
            raise KeyRefused(KEY_PURPOSE, f"{self.name} holds only keys that it made")
        key_id = f"{KeyPurpose.ISSUING}-{new_id()}"
        found = self._guarded(key_id, lambda: backend.find(label))
        for record in self._held.values():
            if record.metadata.public_key == found.public_key:
                return record.metadata
        algorithm = _kind(found.public_key)
        if algorithm is None or algorithm not in self._backend.algorithms:
            raise KeyRefused(KEY_ALGORITHM, f"the key {label[:80]!r} is none of {', '.join(self.algorithms)}")
        metadata = KeyMetadata(
            key_id=key_id,
            purpose=KeyPurpose.ISSUING,
            algorithm=algorithm,
            public_key=found.public_key,
            created=self._clock.now(),
            custodian=self.name,
            evidence=(("ORIGIN", "made before Troth"), *found.evidence),
        )
        return self._keep(Record(metadata, found.handle))

    def _make(self, key_id: str, algorithm: KeyAlgorithm) -> Made:
        with self._lock:
            self._making.add(key_id)
        try:
            self._records.begin(key_id, self.name)
            return self._guarded(key_id, lambda: self._backend.generate(key_id, algorithm))
        except KeyUnavailable as trouble:
            # Out of time, it may have been made all the same; any other answer says that it was not.
            if trouble.reason is not CUSTODIAN_TIMEOUT:
                self._records.end(key_id)
            raise
        finally:
            with self._lock:
                self._making.discard(key_id)

    @property
    def orphans(self) -> tuple[str, ...]:
        """Keys that may be there and have no record here, as of the last look."""
        return self._orphans

    def list_keys(self) -> Sequence[KeyMetadata]:
        """Every key, oldest first, whether or not it can be used now."""
        return sorted((record.metadata for record in self._held.values()), key=lambda metadata: metadata.created)

    def has(self, key_id: str) -> bool:
        """Whether the key is one of this custodian's."""
        return key_id in self._held

    def metadata(self, key_id: str) -> KeyMetadata:
        """About one key. Raises KeyRefused when there is none."""
        return self._find(key_id).metadata

    def signing_key(self, key_id: str) -> HeldKey:
        """The key itself. Raises as :meth:`metadata`; its ``sign`` raises KeyUnavailable."""
        record = self._find(key_id)
        algorithm = record.metadata.algorithm
        if algorithm is KeyAlgorithm.ED25519:
            return HeldKey(algorithm, partial(self._sign_message, record))
        by_digest = partial(self._sign, record, digested=True)
        return DigestHeldKey(algorithm, partial(self._sign_message, record), by_digest)

    def attach(self, key_id: str, certificate: bytes, limits: IssuingLimits) -> KeyMetadata:
        """Bind an issuing key to its authority and its limits, once and durably. Raises KeyRefused."""
        record = self._find(key_id)
        if record.metadata.limits is not None:
            raise KeyRefused(KEY_ATTACHED)
        attached = msgspec.structs.replace(record.metadata, limits=limits, certificate=certificate)
        return self._keep(Record(attached, record.handle))

    def export(self, key_id: str) -> bytes:
        """Raises KeyRefused, always: what is held elsewhere cannot leave."""
        raise KeyRefused(KEY_PURPOSE, f"{self._find(key_id).metadata.key_id} never leaves {self.name}")

    def forget(self, key_id: str) -> None:
        """Raises KeyRefused, always: issuing keys are not forgotten."""
        raise KeyRefused(KEY_PURPOSE, f"{self._find(key_id).metadata.key_id} is not forgotten")

    def unseal(self, secret: bytes) -> None:
        """Take the secret that opens the custodian, and look whether its keys are there. Raises KeyUnavailable."""
        self._backend.unseal(secret)
        if self._pause.over():
            log.info("custodian.unsealed", custodian=self.name)
        self._proved.clear()
        self.check()

    def check(self) -> None:
        """Look whether the custodian and each of its keys is as it should be; what is not is reported, not raised."""
        self._orphans = tuple(one for one in self._records.unfinished(self.name) if one not in self._making)
        for record in list(self._held.values()):
            try:
                self._guarded(record.metadata.key_id, lambda record=record: self._prove(record))  # type: ignore[misc]
            except CustodianDown:
                return
            except KeyUnavailable:
                continue  # noted by _guarded; the others are looked at all the same

    def close(self) -> None:
        """Let go of sessions and connections."""
        self._backend.close()

    def _find(self, key_id: str) -> Record:
        record = self._held.get(key_id)
        if record is None:
            raise KeyRefused(KEY_UNKNOWN)
        return record

    def _keep(self, record: Record) -> KeyMetadata:
        self._records.write(record)
        with self._lock:
            # One assignment publishes it: other threads walk over the old dict undisturbed.
            self._held = {**self._held, record.metadata.key_id: record}
        return record.metadata

    def _sign_message(self, record: Record, message: bytes) -> bytes:
        digest = None
        if len(message) > self._backend.longest:
            digest = new_digest(load_public(record.metadata.public_key))
        if digest is None:
            return self._sign(record, message, digested=False)
        digest.update(message)
        return self._sign(record, digest.digest(), digested=True)

    def _sign(self, record: Record, content: bytes, *, digested: bool) -> bytes:
        metadata = record.metadata

        def attempt() -> bytes:
            if metadata.key_id not in self._proved:
                self._prove(record)
            signature = self._backend.sign(record.handle, metadata.algorithm, content, digested=digested)
            public = load_public(metadata.public_key)
            if not (digest_verifies if digested else verifies)(public, signature, content):
                # Whatever the reason, it is looked at again before the next signature.
                self._proved.discard(metadata.key_id)
                raise KeyUnavailable(CUSTODIAN_ANSWER, f"{self.name} made a signature that does not verify")
            return signature

        return self._guarded(metadata.key_id, attempt)

    def _prove(self, record: Record) -> None:
        """Raise KeyUnavailable unless the custodian holds the key that the record names."""
        metadata = record.metadata
        if self._backend.public_key(record.handle) != metadata.public_key:
            raise KeyUnavailable(KEY_CHANGED, f"{self.name} holds another key where {metadata.key_id} should be")
        self._proved.add(metadata.key_id)

    def _guarded(self, key_id: str, act: Callable[[], _T]) -> _T:
        """``act`` with its trouble noted: the custodian's as a pause, the key's under its id."""
        if self._backend.sealed:
            raise CustodianDown(SEALED, f"{self.name} is sealed")
        self._pause.enter()
        try:
            done = act()
        except CustodianDown as trouble:
            self._proved.clear()
            if self._pause.failed(trouble):
                log.error("custodian.down", custodian=self.name, code=trouble.code, why=trouble.detail)
            raise
        except KeyUnavailable as trouble:
            self._note(key_id, trouble)
            raise
        if self._pause.over():
            log.info("custodian.back", custodian=self.name)
        if self._troubles.pop(key_id, None) is not None:
            log.info("key.back", custodian=self.name, key_id=key_id)
        return done

    def _note(self, key_id: str, trouble: KeyUnavailable) -> None:
        with self._lock:
            known = self._troubles.get(key_id)
            if known is None or known.code != trouble.code:
                log.error("key.trouble", custodian=self.name, key_id=key_id, code=trouble.code, why=trouble.detail)
            since = known.since if known is not None else self._clock.now()
            self._troubles[key_id] = Trouble(trouble.code, trouble.detail, since)


def _kind(public_key: bytes) -> KeyAlgorithm | None:
    try:
        return public_algorithm(load_public(public_key))
    except ValueError:
        return None
