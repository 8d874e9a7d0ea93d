"""ACME and blocked keys: no account, no certificate, and what whoever holds the key takes down with it."""

from __future__ import annotations

import hashlib
from datetime import timedelta

import pytest

from tests.support.acme_door import Door
from troth.client.acme_session import AcmeError
from troth.client.jose import SigningKey
from troth.enroll.acme.blocked import BlockedAccounts
from troth.enroll.acme.store import AcmeStore
from troth.pki.blocked import HOLDERS_JOB, block
from troth.pki.blocked_store import BlockedKey
from troth.store.jobs import JobQueue
from troth.store.unit import Unit


async def blocked(door: Door, key: SigningKey, *, hash_only: bool = False) -> None:
    spki = key.public.spki()
    digest = hashlib.sha256(spki).digest()
    now = door.mint.clock.now()
    known = BlockedKey(digest, None if hash_only else spki, "compromised", "operator", "", now, "test:acme")
    await door.mint.database.commit(block(Unit(), known))


async def run_holders(door: Door) -> None:
    for job in await JobQueue(door.mint.database, door.mint.clock).claim([HOLDERS_JOB], lease=timedelta(seconds=30)):
        await BlockedAccounts(door.mint.database).run(job)


async def test_a_blocked_key_opens_no_account(door: Door) -> None:
    key = SigningKey.generate()
    await blocked(door, key)
    with pytest.raises(AcmeError) as refused:
        await door.client(key=key)
    assert refused.value.problem.short_type == "badPublicKey"


@pytest.mark.parametrize("hash_only", [False, True])
async def test_the_accounts_of_a_blocked_key_are_revoked(door: Door, hash_only: bool) -> None:
    key = SigningKey.generate()
    await door.client(key=key)
    other = SigningKey.generate()
    await door.client(key=other)
    await blocked(door, key, hash_only=hash_only)
    await run_holders(door)
    store = AcmeStore(door.mint.database)
    mine = await store.by_key("tls-server", key.public.thumbprint)
    theirs = await store.by_key("tls-server", other.public.thumbprint)
    assert mine is not None
    assert theirs is not None
    assert (mine.status, theirs.status) == ("revoked", "valid")
