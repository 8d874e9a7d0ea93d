"""The applications that may ask: registered, given a token that is shown once, taken off again."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, Literal
from uuid import UUID

import msgspec

from troth.access.secrets import new_secret, secret_hash
from troth.audit.event import Event
from troth.connect.authz import store
from troth.connect.authz.errors import APPLICATION_INVALID, APPLICATION_TAKEN, APPLICATION_UNKNOWN, AuthzError
from troth.connect.authz.store import Application, Counted
from troth.kit.canonical import Json
from troth.kit.clock import Clock
from troth.kit.ids import new_id
from troth.store.pool import Database
from troth.store.unit import Unit

PREFIX: Final = "trothapp_"
#: How long the former token stays good when it is changed.
OVERLAP: Final = timedelta(hours=24)
#: Seconds for which a process believes a token without looking again.
BELIEVED: Final = 2.0

_NAME = re.compile(r"[a-z][a-z0-9-]{0,62}\Z")
_PROFILE = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}\Z")


@dataclass(frozen=True, slots=True)
class Wanted:
    """An application as somebody wants it. See :class:`~troth.connect.authz.store.Application`."""

    name: str
    profile: str | None = None
    profiles: tuple[str, ...] = ()
    least: Literal["allow", "restrict"] = "restrict"
    per_second: int = 0
    certificate_sha256: bytes | None = None


class Applications:
    """See the module."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._believed: dict[bytes, tuple[float, Application]] = {}

    async def list(self) -> list[tuple[Application, dict[str, Counted]]]:
        """All, by name, with how they were answered."""
        counts = await store.counts(self._database)
        return [
            (one, {result: counted for (owner, result), counted in counts.items() if owner == one.id})
            for one in await store.all_applications(self._database)
        ]

    async def named(self, name: str) -> Application:
        """The one of that name. Raises AuthzError."""
        found = await store.named(self._database, name)
        if found is None:
            raise AuthzError(APPLICATION_UNKNOWN, f"there is no application {name[:80]!r}")
        return found

    async def add(self, wanted: Wanted, *, actor: str) -> tuple[str, Application]:
        """Register one: its token, which nobody can show again, and its record. Raises AuthzError."""
        _check(wanted)
        token, at, identifier = new_secret(PREFIX), self._clock.now(), new_id()
        unit = Unit().claim(
            store.ADD, identifier, wanted.name, secret_hash(token), wanted.certificate_sha256, wanted.profile,
            msgspec.json.encode(list(wanted.profiles)).decode(), wanted.least, wanted.per_second, at, actor,
            refuse=AuthzError(APPLICATION_TAKEN, f"{wanted.name!r} is registered"), key=("application", wanted.name),
        )  # fmt: skip
        told: dict[str, Json] = {
            "name": wanted.name, "profile": wanted.profile, "profiles": list(wanted.profiles), "least": wanted.least,
            "per_second": wanted.per_second,
            "certificate_sha256": wanted.certificate_sha256.hex() if wanted.certificate_sha256 else None,
        }  # fmt: skip
        unit.record(Event("application.added", actor, (f"application:{identifier}",), told))
        await self._database.commit(unit)
        return token, await self.named(wanted.name)

    async def change_token(self, name: str, *, leaked: bool, actor: str) -> str:
        """A new token; the present one stays good for a day, unless it leaked. Raises AuthzError."""
        found, token = await self.named(name), new_secret(PREFIX)
        until = None if leaked else self._clock.now() + OVERLAP
        unit = self._present(found).write(store.SET_TOKEN, found.id, secret_hash(token), until)
        data: dict[str, Json] = {"name": name, "former_until": until.isoformat() if until else None}
        await self._database.commit(unit.record(Event("application.token_changed", actor, (found.ref,), data)))
        self._believed.clear()
        return token

    async def remove(self, name: str, *, actor: str) -> None:
        """Answer it no more. Raises AuthzError."""
        found = await self.named(name)
        unit = self._present(found).write(store.REVOKE, found.id, self._clock.now())
        await self._database.commit(unit.record(Event("application.removed", actor, (found.ref,), {"name": name})))
        self._believed.clear()

    def _present(self, found: Application) -> Unit:
        gone = AuthzError(APPLICATION_UNKNOWN, f"there is no application {found.name!r} any more")
        return Unit().guard(store.PRESENT, found.id, refuse=gone, key=("application", found.name))

    async def believe(self, token: str) -> Application | None:
        """Whose ``token`` it is; one that was taken back is believed for two seconds more at most."""
        if not token.startswith(PREFIX) or len(token) > 100:
            return None
        digest, now = secret_hash(token), self._clock.monotonic()
        known = self._believed.get(digest)
        if known is not None and now - known[0] < BELIEVED:
            return known[1]
        found = await store.by_token(self._database, digest, self._clock.now())
        if found is None:
            self._believed.pop(digest, None)
            return None
        if len(self._believed) > 1000:
            self._believed.clear()
        self._believed[digest] = (now, found)
        return found

    async def count(self, counted: dict[tuple[UUID, str], int]) -> None:
        """Add to the counters of answers."""
        await store.add_counts(self._database, counted, self._clock.now())


def _check(wanted: Wanted) -> None:
    def refuse(what: str) -> AuthzError:
        return AuthzError(APPLICATION_INVALID, f"{wanted.name[:80]!r}: {what}")

    profiles: Sequence[str] = [*wanted.profiles, *([wanted.profile] if wanted.profile is not None else [])]
    if not _NAME.match(wanted.name):
        raise refuse("a name is lower-case letters, digits and hyphens, at most 63, and begins with a letter")
    if len(wanted.profiles) > 50 or any(not _PROFILE.match(one) for one in profiles):
        raise refuse("a profile's name was expected")
    if not 0 <= wanted.per_second <= 1_000_000:
        raise refuse("the limit is 0 (none) to 1000000 a second")
    if wanted.certificate_sha256 is not None and len(wanted.certificate_sha256) != 32:
        raise refuse("a SHA-256 has 32 octets")
