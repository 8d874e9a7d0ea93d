"""Enrolments in the database."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from uuid import UUID

import pytest

from troth.client.jose import b64url_decode
from troth.enroll.credentials.errors import (
    ENROLMENT_CLOSED,
    ENROLMENT_UNKNOWN,
    ENROLMENT_USED_UP,
    EnrolmentRefused,
)
from troth.enroll.credentials.model import NameRules, Wanted
from troth.enroll.credentials.service import Enrolments
from troth.kit.clock import FakeClock
from troth.kit.ids import new_id
from troth.kit.sealing import SecretBox
from troth.store.pool import Database
from troth.store.unit import Unit


@pytest.fixture
def enrolments(database: Database, clock: FakeClock) -> Enrolments:
    return Enrolments(database, clock, SecretBox(b"k" * 32, purpose="enrolment"))


def wanted(kind: str = "external-account", **more: object) -> Wanted:
    return Wanted(kind=kind, name="web", seconds=3600, **more)  # type: ignore[arg-type]


async def everything(database: Database) -> str:
    rows = await database.fetch("SELECT e::text AS e FROM enrolment e")
    said = await database.fetch("SELECT convert_from(payload, 'UTF8') AS e FROM ledger_inbox")
    return "\n".join(row["e"] for row in (*rows, *said))


async def test_an_hmac_key_is_kept_sealed_and_opens_for_its_key_id(enrolments: Enrolments, database: Database) -> None:
    made = await enrolments.create(wanted(), by="admin:alice")
    key = b64url_decode(made.secret)
    assert len(key) == 32
    found = await enrolments.hmac_key(made.enrolment.id)
    assert found is not None
    assert found == (made.enrolment, key)
    assert await enrolments.hmac_key(new_id()) is None
    kept = await everything(database)
    assert made.secret not in kept
    assert key.hex() not in kept
    assert made.secret not in repr(made)
    assert "sealed" not in repr(made)


async def test_a_secret_and_a_one_time_identifier_are_kept_as_hashes_of_their_kind(
    enrolments: Enrolments, database: Database
) -> None:
    door = await enrolments.create(wanted("directory"), by="admin:alice")
    once = await enrolments.create(wanted("client-identifier", rules=NameRules(devices=("SN1",))), by="admin:alice")
    assert await enrolments.of_secret(door.secret) == door.enrolment
    assert await enrolments.of_client_identifier(once.secret) == once.enrolment
    assert await enrolments.of_secret(once.secret) is None
    assert await enrolments.of_client_identifier(door.secret) is None
    assert await enrolments.of_secret("\ud800") is None
    assert await enrolments.hmac_key(door.enrolment.id) is None
    kept = await everything(database)
    assert door.secret not in kept
    assert once.secret not in kept
    assert "/" not in once.secret, "a permanent identifier holds none (draft-ietf-acme-device-attest)"


async def test_it_opens_no_more_accounts_than_it_may_however_many_ask_at_once(
    enrolments: Enrolments, database: Database
) -> None:
    made = (await enrolments.create(wanted(most_accounts=3), by="admin:alice")).enrolment
    asked = [database.commit(enrolments.opening(Unit(), made)) for _ in range(8)]
    ended = await asyncio.gather(*asked, return_exceptions=True)
    refused = [one for one in ended if isinstance(one, EnrolmentRefused)]
    assert [one.reason for one in refused] == [ENROLMENT_USED_UP] * 5
    now = await enrolments.get(made.id)
    assert now.accounts == 3
    assert now.state(now.created_at) == "used"


async def test_a_one_time_identifier_is_taken_once(enrolments: Enrolments, database: Database) -> None:
    made = await enrolments.create(wanted("client-identifier", rules=NameRules(devices=("SN1",))), by="admin:alice")
    asked = [database.commit(enrolments.taking(Unit(), made.enrolment, RuntimeError("taken"))) for _ in range(4)]
    ended = await asyncio.gather(*asked, return_exceptions=True)
    assert sum(one is None for one in ended) == 1
    found = await enrolments.of_client_identifier(made.secret)
    assert found is not None
    assert found.state(found.created_at) == "used"


async def test_a_credential_without_a_most_is_never_written(enrolments: Enrolments, database: Database) -> None:
    made = (await enrolments.create(wanted(), by="admin:alice")).enrolment
    grant = await enrolments.grant(made.id)
    await database.commit(enrolments.ordering(enrolments.opening(Unit(), made), grant))
    assert await enrolments.get(made.id) == made


async def test_after_its_time_it_opens_nothing(enrolments: Enrolments, database: Database, clock: FakeClock) -> None:
    made = (await enrolments.create(wanted(), by="admin:alice")).enrolment
    clock.advance(timedelta(seconds=3600))
    with pytest.raises(EnrolmentRefused, match="expired") as refused:
        await database.commit(enrolments.opening(Unit(), made))
    assert refused.value.reason is ENROLMENT_CLOSED
    assert made.state(clock.now()) == "expired"
    assert await enrolments.counts() == [("external-account", "expired", 1)]


async def test_revoking_forgets_the_key_and_closes_what_was_opened_in_one_unit(
    enrolments: Enrolments, database: Database
) -> None:
    made = await enrolments.create(wanted("directory"), by="admin:alice")
    key = await enrolments.create(wanted(), by="admin:alice")
    closed: list[tuple[UUID, str]] = []

    def close(unit: Unit, enrolment: UUID, by: str) -> Unit:
        closed.append((enrolment, by))
        return unit

    assert await enrolments.of_secret(made.secret) is not None
    for one in (made, key):
        await enrolments.revoke(one.enrolment.id, by="admin:bob", closing=[close])
        with pytest.raises(EnrolmentRefused) as again:
            await enrolments.revoke(one.enrolment.id, by="admin:bob", closing=[])
        assert again.value.reason is ENROLMENT_CLOSED
        with pytest.raises(EnrolmentRefused):
            await database.commit(enrolments.opening(Unit(), one.enrolment))
    assert closed == [(made.enrolment.id, "admin:bob"), (key.enrolment.id, "admin:bob")]
    assert await enrolments.of_secret(made.secret) is None
    assert await enrolments.hmac_key(key.enrolment.id) is None
    now = await enrolments.get(key.enrolment.id)
    assert (now.status, now.revoked_by, now.sealed) == ("revoked", "admin:bob", None)
    with pytest.raises(EnrolmentRefused) as unknown:
        await enrolments.revoke(new_id(), by="admin:bob", closing=[])
    assert unknown.value.reason is ENROLMENT_UNKNOWN


async def test_pages_go_from_the_newest_down(enrolments: Enrolments) -> None:
    made = [(await enrolments.create(wanted(), by="admin:alice")).enrolment.id for _ in range(3)]
    made.append((await enrolments.create(wanted("directory"), by="admin:alice")).enrolment.id)
    first = await enrolments.page(limit=2)
    rest = await enrolments.page(before=first[-1].id, limit=9)
    assert [one.id for one in (*first, *rest)] == made[::-1]
    assert [one.id for one in await enrolments.page(kind="directory", status="valid", limit=9)] == made[3:]
    assert await enrolments.page(status="revoked", limit=9) == []
