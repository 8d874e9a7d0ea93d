"""The keys of the signer, for the API: what they are, who holds them, and whether they can be used."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Protocol

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key

from troth.access.model import Principal
from troth.audit.event import Event
from troth.kit.canonical import Json
from troth.kit.clock import Clock
from troth.pki.keys.keyring import CustodianState, KeyTrouble
from troth.pki.keys.model import KeyMetadata, KeyPurpose
from troth.pki.signer.custody_protocol import CustodyReport
from troth.pki.signer.errors import UNAVAILABLE, SignerUnavailable
from troth.pki.signer.protocol import HealthReport
from troth.store.pool import Database
from troth.store.unit import Unit
from troth.web.errors import STILL_SEALED, WebError
from troth.web.key_views import CustodianView, KeysView, KeyTest, KeyView, TroubleView


class KeySigner(Protocol):
    """What is asked of the signer."""

    async def list_keys(self, purpose: KeyPurpose | None = None) -> list[KeyMetadata]:
        """All keys, oldest first."""
        ...

    async def public_key(self, key_id: str) -> KeyMetadata:
        """About one key."""
        ...

    async def custody(self) -> CustodyReport:
        """How every custodian is, and which keys cannot be used now."""
        ...

    async def health(self, key_id: str | None = None) -> HealthReport:
        """Have a key sign a nonce, and verify."""
        ...


class Keys:
    """See :class:`troth.web.services.KeyBook`."""

    def __init__(self, signer: KeySigner | None, clock: Clock, database: Database) -> None:
        self._given = signer
        self._clock = clock
        self._database = database

    async def list(self) -> KeysView:
        keys, report = await self._signer.list_keys(), await self._signer.custody()
        troubles = {trouble.key_id: trouble for trouble in report.troubles}
        return KeysView(
            tuple(_custodian(one) for one in report.custodians), tuple(_key(key, troubles) for key in keys)
        )  # fmt: skip

    async def get(self, key_id: str) -> KeyView:
        key, report = await self._signer.public_key(key_id), await self._signer.custody()
        return _key(key, {trouble.key_id: trouble for trouble in report.troubles})

    async def ordered(self, algorithm: str, custodian: str, by: Principal) -> None:
        data: dict[str, Json] = {"algorithm": algorithm, "custodian": custodian}
        await self._database.commit(Unit().record(Event("key.ordered", by.actor, (), data)))

    async def recorded(self, key_id: str, by: Principal) -> KeyView:
        found = await self.get(key_id)
        data: dict[str, Json] = {
            "key_id": found.key_id, "algorithm": found.algorithm, "custodian": found.custodian, "sha256": found.sha256,
        }  # fmt: skip
        await self._database.commit(Unit().record(Event("key.generated", by.actor, (), data)))
        return found

    async def unsealed(self, custodian: str, by: Principal) -> CustodianView:
        found = next((one for one in (await self._signer.custody()).custodians if one.name == custodian), None)
        if found is None or found.state == "sealed":
            raise WebError(STILL_SEALED, f"{custodian[:80]!r} is {'sealed' if found else 'no custodian'}")
        data: dict[str, Json] = {"custodian": custodian, "state": found.state}
        await self._database.commit(Unit().record(Event("custodian.unsealed", by.actor, (), data)))
        return _custodian(found)

    async def test(self, key_id: str) -> KeyTest:
        began = self._clock.monotonic()
        await self._signer.health(key_id)
        return KeyTest(key_id, round((self._clock.monotonic() - began) * 1000, 1))

    @property
    def _signer(self) -> KeySigner:
        if self._given is None:
            raise SignerUnavailable(UNAVAILABLE, "this process has no signer to ask")
        return self._given


def _custodian(state: CustodianState) -> CustodianView:
    trouble = TroubleView(state.code, state.detail, state.since) if state.code else None
    return CustodianView(state.name, state.state, tuple(map(str, state.algorithms)), state.keys, trouble, state.orphans)


def _key(key: KeyMetadata, troubles: Mapping[str, KeyTrouble]) -> KeyView:
    trouble = troubles.get(key.key_id)
    authority = None
    if key.certificate is not None:
        authority = x509.load_der_x509_certificate(key.certificate).subject.rfc4514_string()
    pem = load_der_public_key(key.public_key).public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return KeyView(
        key_id=key.key_id,
        purpose=key.purpose.value,
        algorithm=key.algorithm.value,
        sha256=hashlib.sha256(key.public_key).hexdigest(),
        created=key.created,
        authority=authority,
        custodian=key.custodian,
        evidence=dict(key.evidence),
        trouble=None if trouble is None else TroubleView(trouble.code, trouble.detail, trouble.since),
        public_key_pem=pem.decode(),
    )
