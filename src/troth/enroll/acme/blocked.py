"""Accounts whose key is blocked: whoever holds the key could order in their name, so they are revoked.

Handler of the job ``key.holders``, which every block of a key enqueues. Orders and proofs that the account has under
way end with it, as when a client closes its account (RFC 8555, 7.3.6).
"""

from __future__ import annotations

import hashlib
from uuid import UUID

import msgspec
from cryptography.hazmat.primitives.serialization import load_der_public_key

from troth.audit.event import Event
from troth.client.errors import JoseError
from troth.client.jose import VerifyingKey
from troth.enroll.acme import account_store, store
from troth.enroll.acme.account_store import AccountStore
from troth.enroll.acme.model import Account
from troth.pki.blocked import ACTOR
from troth.pki.blocked_store import BlockedKey, BlockedStore
from troth.store.jobs import LeasedJob, finish
from troth.store.pool import Database
from troth.store.unit import Unit

_PAGE = 500


class BlockedAccounts:
    """See the module."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._blocked = BlockedStore(database)
        self._accounts = AccountStore(database)

    async def run(self, job: LeasedJob) -> None:
        """Revoke the accounts of the key that ``job`` names. Doing it twice changes nothing."""
        unit, key = Unit(), await self._blocked.get(bytes.fromhex(job.key))
        for account in [] if key is None else await self._of(key):
            unit.write(account_store.REVOKE_ACCOUNT, account.id)
            unit.write(store.CANCEL_AUTHZS, account.id).write(store.CANCEL_ORDERS, account.id)
            references = (f"account:{account.id}", f"key:{job.key}")
            unit.record(Event("acme.account.revoked", ACTOR, references, {"why": "its key is blocked"}))
        await self._database.commit(finish(unit, job))

    async def _of(self, key: BlockedKey) -> list[Account]:
        if key.spki is None:
            return await self._by_hash(key.spki_sha256)
        try:
            thumbprint = VerifyingKey.from_public_key(load_der_public_key(key.spki)).thumbprint
        except (JoseError, TypeError, ValueError):
            return []  # of a kind that holds no accounts: ML-DSA
        return await self._accounts.all_by_key(thumbprint)

    async def _by_hash(self, spki_sha256: bytes) -> list[Account]:
        """Where only the hash is known, every account's key is looked at."""
        found: list[Account] = []
        after: UUID | None = None
        while page := await self._accounts.valid(after, _PAGE):
            after = page[-1].id
            for account in page:
                key = VerifyingKey.from_jwk(msgspec.json.decode(account.jwk))
                if hashlib.sha256(key.spki()).digest() == spki_sha256:
                    found.append(account)
        return found
