"""One's own password and passkeys, changed by whoever is logged in and shows once more that he is who he is.

A session alone is not enough: a stolen cookie must not become a passkey. So each change needs the present password,
or an answer of a passkey that the account has already.
"""

from __future__ import annotations

import os
from typing import Any
from uuid import UUID

from troth.access import passkeys
from troth.access.attempts import Attempts
from troth.access.errors import (
    LAST_CREDENTIAL,
    NOT_FOUND,
    PASSKEY_INVALID,
    REAUTHENTICATION,
    AccessError,
    NotLoggedIn,
)
from troth.access.invitations import CHALLENGE_LIFETIME, name_key
from troth.access.model import Account, Passkey, Principal, Visitor
from troth.access.passwords import Passwords, require_strength
from troth.access.secrets import secret_hash
from troth.access.store import (
    ACCOUNT_LOCK,
    CHALLENGE_ADD,
    CHALLENGE_SWEEP,
    CHALLENGE_TAKE,
    PASSKEY_CLAIM,
    PASSKEY_GONE,
    PASSKEY_UNCHANGED,
    PASSKEY_USED,
    PASSWORD_SET,
    SESSIONS_END_OTHERS,
    AccessStore,
)
from troth.audit.event import Event
from troth.kit.clock import Clock
from troth.store.pool import Database
from troth.store.unit import Reader, Unit

_ADD, _PROVE = "passkey:add", "passkey:prove"
MOST_PASSKEYS = 20


class Credentials:
    """See the module. ``proof`` is ``{"password": …}`` or ``{"credential": <a passkey's answer>}``."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        passwords: Passwords,
        party: passkeys.RelyingParty,
        attempts: Attempts,
    ) -> None:
        self._database = database
        self._clock = clock
        self._passwords = passwords
        self._party = party
        self._attempts = attempts
        self._store = AccessStore(database)

    async def passkeys(self, by: Principal) -> list[Passkey]:
        """The asker's own passkeys, oldest first."""
        return [] if by.id is None else await self._store.passkeys_of(by.id)

    async def proof_options(self, by: Principal) -> dict[str, Any]:
        """A question for one of the account's passkeys, to prove oneself once more."""
        account = await self._own(by)
        challenge = await self._challenge(_PROVE, account.id)
        options = passkeys.authentication_options(self._party, challenge=challenge)
        known = await self._store.passkeys_of(account.id)
        options["allowCredentials"] = [passkeys.descriptor(key.credential_id) for key in known]
        return options

    async def passkey_options(self, by: Principal) -> dict[str, Any]:
        """Options to make one more passkey."""
        account = await self._own(by)
        known = await self._store.passkeys_of(account.id)
        if len(known) >= MOST_PASSKEYS:
            raise AccessError(PASSKEY_INVALID, f"an account has at most {MOST_PASSKEYS} passkeys; remove one first")
        challenge = await self._challenge(_ADD, account.id)
        return passkeys.registration_options(
            self._party, account=account.id.bytes, name=account.name, challenge=challenge,
            known=[key.credential_id for key in known],
        )  # fmt: skip

    async def add_passkey(
        self, by: Principal, answer: object, *, label: str, proof: dict[str, Any], visitor: Visitor
    ) -> None:
        """Add the passkey that the browser made. Raises AccessError."""
        account = await self._own(by)
        unit = await self._proved(account, proof, visitor)
        parsed = passkeys.parse(answer)
        fresh = passkeys.verify_registration(self._party, parsed)
        now = self._clock.now()
        refused = AccessError(PASSKEY_INVALID, "the question is more than five minutes old, or was answered before")
        unit.claim(CHALLENGE_TAKE, secret_hash(parsed.challenge.hex()), _ADD, account.id, now, refuse=refused)
        unit.claim(
            PASSKEY_CLAIM, fresh.credential_id, account.id, fresh.public_key, fresh.sign_count,
            label.strip()[:64] or "passkey", now, refuse=AccessError(PASSKEY_INVALID, "this passkey is known already"),
        )  # fmt: skip
        data = {"credential": fresh.credential_id.hex(), "label": label.strip()[:64]}
        unit.record(Event("access.passkey_added", by.actor, (f"account:{account.id}",), data))
        await self._database.commit(unit)

    async def remove_passkey(
        self, by: Principal, credential_id: bytes, *, proof: dict[str, Any], visitor: Visitor
    ) -> None:
        """Remove one of one's own passkeys; other log-ins end. Raises AccessError: one way to log in must stay."""
        account = await self._own(by)
        if credential_id not in {key.credential_id for key in await self._store.passkeys_of(account.id)}:
            raise AccessError(NOT_FOUND, "there is no such passkey")
        unit = await self._proved(account, proof, visitor)
        unit.guard(ACCOUNT_LOCK, account.id, refuse=AccessError(NOT_FOUND), key=("account", account.id))

        async def keeps_one(reader: Reader, _: Unit) -> None:
            store = AccessStore(reader)
            left = [one for one in await store.passkeys_of(account.id) if one.credential_id != credential_id]
            now = await store.account(account.id)
            if not left and (now is None or now.password_hash is None):
                raise AccessError(LAST_CREDENTIAL)

        unit.then(keeps_one).write(PASSKEY_GONE, credential_id, account.id)
        unit.write(SESSIONS_END_OTHERS, account.id, by.session)
        data = {"credential": credential_id.hex()}
        unit.record(Event("access.passkey_removed", by.actor, (f"account:{account.id}",), data))
        await self._database.commit(unit)

    async def set_password(self, by: Principal, password: str, *, proof: dict[str, Any], visitor: Visitor) -> None:
        """Set or change the password; other log-ins end. Raises AccessError."""
        account = await self._own(by)
        require_strength(password, name=account.name)
        unit = await self._proved(account, proof, visitor)
        unit.write(PASSWORD_SET, account.id, await self._passwords.hash(password))
        unit.write(SESSIONS_END_OTHERS, account.id, by.session)
        unit.record(Event("access.password_changed", by.actor, (f"account:{account.id}",), {"name": account.name}))
        await self._database.commit(unit)

    async def _own(self, by: Principal) -> Account:
        # A token is not a person: whoever found one must not turn it into a log-in.
        if by.id is None or by.via != "session":
            raise NotLoggedIn
        account = await self._store.account(by.id)
        if account is None:
            raise NotLoggedIn
        return account

    async def _challenge(self, purpose: str, account_id: UUID) -> bytes:
        challenge, now = os.urandom(32), self._clock.now()
        unit = Unit().write(CHALLENGE_SWEEP, now)
        unit.write(CHALLENGE_ADD, secret_hash(challenge.hex()), purpose, account_id, now + CHALLENGE_LIFETIME)
        await self._database.commit(unit)
        return challenge

    async def _proved(self, account: Account, proof: dict[str, Any], visitor: Visitor) -> Unit:
        """A unit that uses the proof up. Raises AccessError(REAUTHENTICATION) for one that proves nothing."""
        unit, now = Unit(), self._clock.now()
        password, credential = proof.get("password"), proof.get("credential")
        if isinstance(password, str) and password:
            key = name_key(account.name)
            await self._attempts.take(visitor.address, key)
            if account.password_hash is None or not await self._passwords.matches(account.password_hash, password):
                raise AccessError(REAUTHENTICATION, "the present password is another one")
            self._attempts.forgive(unit, visitor.address, key)
            return unit
        if credential is None:
            raise AccessError(REAUTHENTICATION)
        parsed = passkeys.parse(credential)
        found = await self._store.passkey(parsed.credential_id)
        if found is None or found.account_id != account.id:
            raise AccessError(REAUTHENTICATION, "this passkey is not the account's")
        try:
            count = passkeys.verify_authentication(
                self._party, parsed, public_key=found.public_key, sign_count=found.sign_count
            )
        except AccessError as error:
            raise AccessError(REAUTHENTICATION, "the passkey's answer could not be verified") from error
        refused = AccessError(REAUTHENTICATION, "the question is more than five minutes old, or was answered before")
        unit.claim(CHALLENGE_TAKE, secret_hash(parsed.challenge.hex()), _PROVE, account.id, now, refuse=refused)
        unit.guard(PASSKEY_UNCHANGED, found.credential_id, found.sign_count, refuse=refused, key=found.credential_id)
        return unit.write(PASSKEY_USED, found.credential_id, count, now)
