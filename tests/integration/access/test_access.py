"""Accounts, log-ins, sessions and tokens on a real PostgreSQL."""

from __future__ import annotations

import asyncio
import json
import os
import stat
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from argon2 import PasswordHasher

from tests.support.authenticator import Authenticator
from troth.access.errors import AccessError, InvitationInvalid, LoginRefused, TooManyAttempts
from troth.access.model import NewSession, Principal, Visitor
from troth.access.passkeys import RelyingParty
from troth.access.passwords import Passwords
from troth.access.roles import Permission, Role
from troth.access.service import Access
from troth.access.sessions import ABSOLUTE, IDLE
from troth.kit.clock import FakeClock
from troth.store.pool import Database

PARTY = RelyingParty("localhost", ("https://localhost:8444",))
PASSWORD = "correct horse battery staple"
HOME = Visitor("192.0.2.1", "test")


class CountingPasswords(Passwords):
    """Counts the expensive checks."""

    def __init__(self) -> None:
        super().__init__(PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
        self.checks = 0

    async def matches(self, stored: str | None, password: str) -> bool:
        self.checks += 1
        return await super().matches(stored, password)


@pytest.fixture
def passwords() -> CountingPasswords:
    return CountingPasswords()


@pytest.fixture
def access(database: Database, clock: FakeClock, passwords: CountingPasswords) -> Access:
    return Access.build(database, clock, PARTY, passwords)


@pytest.fixture
def local(access: Access) -> Principal:
    found = access.local(os.getuid(), os.getuid())
    assert found is not None
    return found


@pytest.fixture
def make(access: Access, local: Principal) -> Callable[..., Awaitable[NewSession]]:
    async def made(name: str = "dora", role: Role = Role.ADMINISTRATOR) -> NewSession:
        secret, _ = await access.invitations.invite(local, role=role, name=name)
        return await access.invitations.redeem_password(secret, name, PASSWORD, HOME)

    return made


async def ledger(database: Database) -> list[tuple[str, str, dict[str, Any]]]:
    rows = await database.fetch("SELECT payload FROM ledger_inbox ORDER BY id")
    payloads = [json.loads(row["payload"]) for row in rows]
    return [(one["kind"], one["actor"], one["data"]) for one in payloads]


# --- the first administrator -------------------------------------------------------------------------------------


async def test_the_bootstrap_token_is_private_hashed_and_makes_one_administrator(
    access: Access, database: Database, tmp_path: Path
) -> None:
    path = tmp_path / "admin.token"
    assert await access.invitations.ensure_bootstrap(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    token = path.read_text().strip()
    stored = await database.fetchval("SELECT string_agg(encode(token_hash, 'escape'), '') FROM invitation")
    assert token not in stored
    session = await access.invitations.redeem_password(token, "dora", PASSWORD, HOME)
    assert session.principal.role is Role.ADMINISTRATOR
    with pytest.raises(InvitationInvalid):
        await access.invitations.redeem_password(token, "eve", PASSWORD, HOME)
    assert not await access.invitations.ensure_bootstrap(path)
    assert not path.exists()
    kinds = [kind for kind, _, _ in await ledger(database)]
    assert kinds == ["access.bootstrap_token_made", "access.principal_created", "access.login"]
    assert token not in json.dumps([data for _, _, data in await ledger(database)])


async def test_a_restart_keeps_a_good_bootstrap_token_and_replaces_a_lost_or_expired_one(
    access: Access, clock: FakeClock, tmp_path: Path
) -> None:
    path = tmp_path / "admin.token"
    await access.invitations.ensure_bootstrap(path)
    first = path.read_text()
    await access.invitations.ensure_bootstrap(path)
    assert path.read_text() == first
    path.unlink()
    await access.invitations.ensure_bootstrap(path)
    second = path.read_text()
    assert second != first
    with pytest.raises(InvitationInvalid):
        await access.invitations.look(first, HOME)
    clock.advance(timedelta(hours=24))
    with pytest.raises(InvitationInvalid):
        await access.invitations.look(second, HOME)
    await access.invitations.ensure_bootstrap(path)
    await access.invitations.look(path.read_text(), HOME)


async def test_two_people_with_the_bootstrap_token_make_one_account(access: Access, tmp_path: Path) -> None:
    path = tmp_path / "admin.token"
    await access.invitations.ensure_bootstrap(path)
    token = path.read_text().strip()
    outcomes = await asyncio.gather(
        *(access.invitations.redeem_password(token, f"dora-{n}", PASSWORD, HOME) for n in range(4)),
        return_exceptions=True,
    )
    assert sum(isinstance(one, NewSession) for one in outcomes) == 1
    assert len(await access.accounts.list()) == 1


async def test_any_first_account_ends_the_bootstrap_token(
    access: Access, make: Callable[..., Awaitable[NewSession]], tmp_path: Path
) -> None:
    path = tmp_path / "admin.token"
    await access.invitations.ensure_bootstrap(path)
    await make("auditor", Role.AUDITOR)
    with pytest.raises(InvitationInvalid):
        await access.invitations.look(path.read_text(), HOME)


async def test_an_invitation_fixes_name_and_role_and_hands_on_no_more_than_its_maker_has(
    access: Access, local: Principal, make: Callable[..., Awaitable[NewSession]]
) -> None:
    secret, _ = await access.invitations.invite(local, role=Role.AUDITOR, name="iris")
    session = await access.invitations.redeem_password(secret, "root", PASSWORD, HOME)
    assert (session.principal.name, session.principal.role) == ("iris", Role.AUDITOR)
    with pytest.raises(AccessError) as refused:
        await access.invitations.invite(session.principal, role=Role.OPERATOR)
    assert refused.value.code == "access.forbidden"
    with pytest.raises(AccessError) as taken:
        await access.invitations.invite(local, role=Role.AUDITOR, name="IRIS")
    assert taken.value.code == "access.name_taken"


# --- log-in ------------------------------------------------------------------------------------------------------


async def test_unknown_name_wrong_password_and_disabled_account_are_told_alike_and_cost_alike(
    access: Access, local: Principal, passwords: CountingPasswords, make: Callable[..., Awaitable[NewSession]]
) -> None:
    await make("dora")
    await make("left", Role.OPERATOR)
    left = next(one for one in await access.accounts.list() if one.name == "left")
    await access.accounts.set_state(local, left.id, "disabled")
    told = []
    for name, password in (("nobody", PASSWORD), ("dora", "wrong password!"), ("left", PASSWORD)):
        before = passwords.checks
        with pytest.raises(LoginRefused) as refused:
            await access.log_ins.by_password(name, password, HOME)
        told.append((refused.value.code, refused.value.detail, passwords.checks - before))
    assert len(set(told)) == 1


async def test_failures_are_in_the_ledger_without_what_a_stranger_typed(
    access: Access, database: Database, make: Callable[..., Awaitable[NewSession]]
) -> None:
    await make("dora")
    for name in ("dora", "my-password-in-the-wrong-field"):
        with pytest.raises(LoginRefused):
            await access.log_ins.by_password(name, "not the password", HOME)
    failed = [data for kind, _, data in await ledger(database) if kind == "access.login_failed"]
    assert [one["account"] for one in failed] == ["dora", "unknown"]
    assert "wrong-field" not in json.dumps(failed)


async def test_guessing_is_slowed_for_the_pair_and_forgiven_after_success(
    access: Access, clock: FakeClock, make: Callable[..., Awaitable[NewSession]], passwords: CountingPasswords
) -> None:
    await make("dora")
    thief = Visitor("198.51.100.9")
    waits = 0
    for _ in range(30):
        try:
            await access.log_ins.by_password("dora", "guess number one", thief)
        except TooManyAttempts:
            waits += 1
            clock.advance(timedelta(seconds=1))
        except LoginRefused:
            pass
    assert passwords.checks <= 12
    assert waits >= 18
    # The owner elsewhere is not shut out, and a wait is never longer than a quarter of an hour.
    assert (await access.log_ins.by_password("dora", PASSWORD, HOME)).principal.name == "dora"
    clock.advance(timedelta(minutes=15))
    with pytest.raises(LoginRefused):
        await access.log_ins.by_password("dora", "guess number two", thief)


async def test_guesses_made_at_once_are_not_all_free(
    access: Access, make: Callable[..., Awaitable[NewSession]], passwords: CountingPasswords
) -> None:
    await make("dora")
    thief = Visitor("198.51.100.9")
    outcomes = await asyncio.gather(
        *(access.log_ins.by_password("dora", f"guess number {n}", thief) for n in range(40)), return_exceptions=True
    )
    assert {type(one) for one in outcomes} == {LoginRefused, TooManyAttempts}
    assert passwords.checks <= 8


async def test_one_address_that_tries_many_names_is_slowed(access: Access, passwords: CountingPasswords) -> None:
    thief = Visitor("198.51.100.9")
    for n in range(60):
        with pytest.raises((LoginRefused, TooManyAttempts)):
            await access.log_ins.by_password(f"name-{n}", "some password", thief)
    assert passwords.checks <= 22


# --- sessions ----------------------------------------------------------------------------------------------------


async def test_a_session_ends_when_idle_when_old_and_with_its_account(
    access: Access, clock: FakeClock, local: Principal, make: Callable[..., Awaitable[NewSession]], database: Database
) -> None:
    session = await make("dora")
    assert session.secret not in str(await database.fetch("SELECT * FROM admin_session"))
    began = clock.now()
    while clock.now() - began < ABSOLUTE - timedelta(minutes=20):
        clock.advance(timedelta(minutes=20))
        assert await access.sessions.believe(session.secret) is not None
    clock.advance(timedelta(minutes=20))
    assert await access.sessions.believe(session.secret) is None

    idle = await access.log_ins.by_password("dora", PASSWORD, HOME)
    clock.advance(IDLE - timedelta(seconds=1))
    assert await access.sessions.believe(idle.secret, touch=False) is not None
    clock.advance(timedelta(seconds=1))
    assert await access.sessions.believe(idle.secret) is None

    cut = await access.log_ins.by_password("dora", PASSWORD, HOME)
    assert cut.principal.id is not None
    await access.accounts.set_state(local, cut.principal.id, "disabled")
    assert await access.sessions.believe(cut.secret) is None


async def test_a_log_in_ends_the_session_the_browser_had(
    access: Access, make: Callable[..., Awaitable[NewSession]]
) -> None:
    first = await make("dora")
    second = await access.log_ins.by_password("dora", PASSWORD, HOME, first.secret)
    assert second.secret != first.secret
    assert await access.sessions.believe(first.secret) is None
    assert await access.sessions.believe(second.secret) is not None


async def test_sessions_are_listed_and_ended_by_their_owner_alone(
    access: Access, make: Callable[..., Awaitable[NewSession]]
) -> None:
    dora, iris = await make("dora"), await make("iris", Role.AUDITOR)
    hers = await access.sessions.of(dora.principal)
    assert len(hers) == 1
    with pytest.raises(AccessError):
        await access.sessions.revoke(iris.principal, hers[0].id_hash)
    await access.sessions.revoke(dora.principal, hers[0].id_hash)
    assert await access.sessions.believe(dora.secret) is None
    await access.sessions.end(iris.principal)
    assert await access.sessions.believe(iris.secret) is None


# --- passkeys ----------------------------------------------------------------------------------------------------


async def test_an_account_is_made_and_entered_with_a_passkey_alone(access: Access, local: Principal) -> None:
    device = Authenticator()
    token, _ = await access.invitations.invite(local, role=Role.OPERATOR)
    options = await access.invitations.passkey_options(token, "dora", HOME)
    await access.invitations.redeem_passkey(token, "dora", device.create(options, PARTY.origins[0]), HOME)
    asked = await access.log_ins.passkey_options(HOME)
    answer = device.get(asked, PARTY.origins[0])
    session = await access.log_ins.by_passkey(answer, HOME)
    assert (session.principal.name, session.principal.role) == ("dora", Role.OPERATOR)
    with pytest.raises(LoginRefused):
        await access.log_ins.by_passkey(answer, HOME)  # the same answer again
    with pytest.raises(LoginRefused):
        await access.log_ins.by_password("dora", "", HOME)


async def test_a_passkey_answer_is_refused_late_and_to_a_question_never_asked(
    access: Access, local: Principal, clock: FakeClock
) -> None:
    device = Authenticator()
    token, _ = await access.invitations.invite(local, role=Role.OPERATOR)
    options = await access.invitations.passkey_options(token, "dora", HOME)
    made = device.create(options, PARTY.origins[0])
    with pytest.raises(AccessError):
        await access.invitations.redeem_passkey(token, "another-name", made, HOME)
    await access.invitations.redeem_passkey(token, "dora", made, HOME)
    asked = await access.log_ins.passkey_options(HOME)
    clock.advance(timedelta(minutes=5))
    with pytest.raises(LoginRefused):
        await access.log_ins.by_passkey(device.get(asked, PARTY.origins[0]), HOME)
    invented = {**asked, "challenge": device.b64(bytes(32))}
    with pytest.raises(LoginRefused):
        await access.log_ins.by_passkey(device.get(invented, PARTY.origins[0]), HOME)


# --- API tokens --------------------------------------------------------------------------------------------------


async def test_a_token_acts_with_its_role_until_it_expires_or_is_taken_back(
    access: Access, clock: FakeClock, database: Database, make: Callable[..., Awaitable[NewSession]]
) -> None:
    dora = await make("dora")
    secret, token = await access.tokens.create(
        dora.principal, name="nightly", role=Role.AUDITOR, lifetime=timedelta(days=1)
    )
    assert secret not in str(await database.fetch("SELECT * FROM api_token"))
    who = await access.tokens.believe(secret)
    assert who is not None
    assert (who.role, who.actor, who.may(Permission.CERTIFICATE_REVOKE)) == (Role.AUDITOR, f"token:{token.id}", False)
    assert await access.tokens.believe(secret + "x") is None
    await access.tokens.revoke(dora.principal, token.id)
    assert await access.tokens.believe(secret) is None
    late, _ = await access.tokens.create(dora.principal, name="late", role=Role.AUDITOR, lifetime=timedelta(hours=1))
    clock.advance(timedelta(hours=1))
    assert await access.tokens.believe(late) is None


async def test_a_token_has_no_more_rights_than_its_maker_and_dies_with_him(
    access: Access, local: Principal, make: Callable[..., Awaitable[NewSession]]
) -> None:
    iris = await make("iris", Role.AUDITOR)
    with pytest.raises(AccessError) as refused:
        await access.tokens.create(iris.principal, name="x", role=Role.OPERATOR, lifetime=timedelta(days=1))
    assert refused.value.code == "access.forbidden"
    secret, token = await access.tokens.create(iris.principal, name="x", role=Role.AUDITOR, lifetime=timedelta(days=1))
    oscar = await make("oscar", Role.OPERATOR)
    with pytest.raises(AccessError):
        await access.tokens.revoke(oscar.principal, token.id)
    assert iris.principal.id is not None
    await access.accounts.set_state(local, iris.principal.id, "disabled")
    assert await access.tokens.believe(secret) is None


async def test_only_root_and_the_owner_of_the_data_are_known_on_the_socket(access: Access) -> None:
    root = access.local(0, 1234)
    owner = access.local(1234, 1234)
    assert root is not None
    assert owner is not None
    assert (root.actor, owner.actor) == ("local:0", "local:1234")
    assert access.local(4321, 1234) is None
