"""All custodians of one signer, as one.

Software keys are always there: the notary's, the responders' (which are released), and issuing keys unless the
settings name another custodian. A key is found by its id, whoever holds it, and stays with the custodian that made
it. A custodian that cannot be used takes no other with it, and one that is not in the settings any more leaves its
keys listed and unusable.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path

import msgspec
from cryptography.exceptions import UnsupportedAlgorithm

from troth.kit.clock import Clock
from troth.kit.settings import CustodianSettings
from troth.pki.keys.algorithm import KeyAlgorithm, from_pkcs8
from troth.pki.keys.backend import Backend
from troth.pki.keys.custodians import Absent, backend_of, kind_of
from troth.pki.keys.errors import CUSTODIAN_UNKNOWN, KEY_ALGORITHM, KEY_DAMAGED, KeyRefused, KeyUnavailable
from troth.pki.keys.held import HeldKeys
from troth.pki.keys.model import SOFTWARE, Custodian, IssuingLimits, KeyMetadata, KeyPurpose, SigningKey
from troth.pki.keys.records import Records
from troth.pki.keys.software import KeyStore


class CustodianState(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a custodian is.

    Attributes:
        name: ``software``, or ``<kind>:<name>``.
        algorithms: of the keys that it makes.
        keys: how many it holds.
        state: ``ready``; ``sealed`` until it is unsealed; ``down`` with ``code``, ``detail`` and ``since``.
        orphans: keys that this signer made there and has no record of, since it died in between.
    """

    name: str
    algorithms: tuple[KeyAlgorithm, ...]
    keys: int
    state: str
    code: str = ""
    detail: str = ""
    since: datetime | None = None
    orphans: tuple[str, ...] = ()


class KeyTrouble(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A key that cannot be used now, and why."""

    key_id: str
    code: str
    detail: str
    since: datetime | None = None


class Keyring:
    """The custodian over all custodians. Made with :meth:`open`.

    Methods that make or change keys are for one thread (the signer's slow lane); those that read, and signing, may be
    called from any.
    """

    def __init__(self, software: KeyStore, held: Mapping[str, HeldKeys], damaged: frozenset[str] = frozenset()) -> None:
        self._software = software
        self._held = dict(held)
        self._damaged = damaged

    @classmethod
    def open(
        cls,
        data: Path,
        clock: Clock,
        settings: Mapping[str, CustodianSettings] | None = None,
        *,
        backends: Mapping[str, Backend] | None = None,
    ) -> Keyring:
        """The keys of the data directory ``data``, made if there are none; raises as :meth:`KeyStore.open`.

        Nothing is asked of tokens and key services here: :meth:`check` does that, and no start waits for them.

        Args:
            settings: custodians by name.
            backends: more of them, ready made, by their full name.
        """
        software = KeyStore.open(data, clock)
        try:
            records = Records(data, software.secret)
            read = dict(records.read())
            found = [record for record in read.values() if record is not None]
            made = {f"{kind_of(one)}:{name}": backend_of(one) for name, one in (settings or {}).items()}
            held = {
                name: HeldKeys(name, backend, records, found, clock)
                for name, backend in {**made, **(backends or {})}.items()
            }
            for name in sorted({record.metadata.custodian for record in found} - held.keys()):
                held[name] = HeldKeys(name, Absent(name), records, found, clock)
        except BaseException:
            software.close()
            raise
        return cls(software, held, frozenset(key_id for key_id, record in read.items() if record is None))

    def close(self) -> None:
        """Let another process open the keys, and end all sessions."""
        for custodian in self._held.values():
            custodian.close()
        self._software.close()

    def generate(
        self,
        purpose: KeyPurpose,
        algorithm: KeyAlgorithm = KeyAlgorithm.P256,
        *,
        use_until: datetime | None = None,
        custodian: str = SOFTWARE,
    ) -> KeyMetadata:
        """Make a key with ``custodian``. Raises KeyRefused, KeyUnavailable."""
        return self._named(custodian).generate(purpose, algorithm, use_until=use_until)

    def take(self, pkcs8: bytes) -> KeyMetadata:
        """Keep an issuing key that was made elsewhere as a software key. Raises KeyRefused."""
        try:
            private = from_pkcs8(pkcs8)
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            known = ", ".join(KeyAlgorithm)
            raise KeyRefused(KEY_ALGORITHM, f"the file holds no key that an authority may have: {known}") from error
        return self._software.take(private)

    def adopt(self, custodian: str, label: str) -> KeyMetadata:
        """Take an issuing key that a token holds already, by its label. Raises KeyRefused, KeyUnavailable."""
        found = self._named(custodian)
        if not isinstance(found, HeldKeys):
            raise KeyRefused(CUSTODIAN_UNKNOWN, "software keys are taken from a file, not by a label")
        return found.adopt(label)

    def list_keys(self) -> Sequence[KeyMetadata]:
        """Every key of every custodian, oldest first."""
        held = [metadata for custodian in self._held.values() for metadata in custodian.list_keys()]
        return sorted([*self._software.list_keys(), *held], key=lambda metadata: metadata.created)

    def metadata(self, key_id: str) -> KeyMetadata:
        """About one key. Raises KeyRefused when there is none, KeyUnavailable when it does not open."""
        return self._of(key_id).metadata(key_id)

    def signing_key(self, key_id: str) -> SigningKey:
        """The key itself. Raises as :meth:`metadata`; a held key's ``sign`` raises KeyUnavailable."""
        return self._of(key_id).signing_key(key_id)

    def attach(self, key_id: str, certificate: bytes, limits: IssuingLimits) -> KeyMetadata:
        """Bind an issuing key to its authority and its limits, once and durably. Raises KeyRefused."""
        return self._of(key_id).attach(key_id, certificate, limits)

    def export(self, key_id: str) -> bytes:
        """PKCS#8 of an ``ocsp`` key. Raises KeyRefused for every other."""
        return self._of(key_id).export(key_id)

    def forget(self, key_id: str) -> None:
        """Destroy an ``ocsp`` or ``jwt`` key. Raises KeyRefused for every other."""
        self._of(key_id).forget(key_id)

    def lane_of(self, key_id: str) -> str | None:
        """The custodian whose key this is when signing with it takes a way; None when it is done here and now."""
        return next((name for name, custodian in self._held.items() if custodian.has(key_id)), None)

    @property
    def held(self) -> Mapping[str, HeldKeys]:
        """The custodians other than software, by name."""
        return self._held

    def unseal(self, custodian: str, secret: bytes) -> None:
        """Open a sealed custodian. Raises KeyRefused when there is none of the name, KeyUnavailable."""
        found = self._named(custodian)
        if not isinstance(found, HeldKeys):
            raise KeyRefused(CUSTODIAN_UNKNOWN, "software keys are not sealed")
        found.unseal(secret)

    def states(self) -> list[CustodianState]:
        """How each custodian is."""
        first = CustodianState(SOFTWARE, tuple(KeyAlgorithm), len(self._software.list_keys()), "ready")
        return [first, *(_state(custodian) for custodian in self._held.values())]

    def troubles(self) -> list[KeyTrouble]:
        """The keys that cannot be used now."""
        found = [KeyTrouble(key_id, KEY_DAMAGED.code, KEY_DAMAGED.summary) for key_id in sorted(self._damaged)]
        for custodian in self._held.values():
            for key in custodian.list_keys():
                trouble = custodian.trouble_of(key.key_id)
                if trouble is not None:
                    found.append(KeyTrouble(key.key_id, trouble.code, trouble.detail, trouble.since))
        return found

    def _named(self, custodian: str) -> KeyStore | HeldKeys:
        if custodian == SOFTWARE:
            return self._software
        found = self._held.get(custodian)
        if found is None:
            known = ", ".join([SOFTWARE, *self._held])
            raise KeyRefused(CUSTODIAN_UNKNOWN, f"no custodian {custodian[:80]!r}; there are {known}")
        return found

    def _of(self, key_id: str) -> Custodian:
        for custodian in self._held.values():
            if custodian.has(key_id):
                return custodian
        if key_id in self._damaged:
            raise KeyUnavailable(KEY_DAMAGED)
        return self._software


def _state(custodian: HeldKeys) -> CustodianState:
    trouble = custodian.trouble
    told = CustodianState(
        custodian.name, tuple(custodian.algorithms), len(custodian.list_keys()), "ready", orphans=custodian.orphans
    )
    if trouble is None:
        return told
    state = "sealed" if custodian.sealed else "down"
    return msgspec.structs.replace(told, state=state, code=trouble.code, detail=trouble.detail, since=trouble.since)
