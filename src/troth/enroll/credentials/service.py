"""Making, finding, using and revoking enrolments.

What an enrolment allows never changes after its making, so a door may keep a :class:`Grant` for as long as it likes;
that it is still valid is looked at in the unit that uses it (:meth:`Enrolments.opening`), and revoking it closes the
accounts that it has opened in the unit that revokes. So no door can be late.
"""

from __future__ import annotations

import hashlib
import secrets
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TypeAlias
from uuid import UUID

from troth.audit.event import Event
from troth.client.jose import b64url_encode
from troth.enroll.credentials import store
from troth.enroll.credentials.errors import (
    ENROLMENT_CLOSED,
    ENROLMENT_UNKNOWN,
    ENROLMENT_USED_UP,
    EnrolmentRefused,
)
from troth.enroll.credentials.model import Covering, Enrolment, Kind, Wanted, checked
from troth.enroll.credentials.store import EnrolmentStore
from troth.kit.canonical import Json
from troth.kit.clock import Clock, to_seconds
from troth.kit.ids import new_id
from troth.kit.log import get_logger
from troth.kit.sealing import SecretBox
from troth.store.pool import Database
from troth.store.unit import Unit

log = get_logger("enroll")

_KEPT = 4096
#: Seconds for which a directory's secret is believed without a look: rows are guarded anyway, this is for pages.
_BELIEVED = 1.0

#: Adds to a unit whatever ends with an enrolment: a door's accounts. Given the unit, the enrolment and the actor.
Closing: TypeAlias = Callable[[Unit, UUID, str], Unit]


@dataclass(frozen=True, slots=True)
class Made:
    """A new enrolment. ``secret`` is shown this once."""

    enrolment: Enrolment
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Grant:
    """What an enrolment allows: the part of it that never changes."""

    id: UUID
    kind: Kind
    vouches: bool
    covers: Covering
    profiles: tuple[str, ...]
    device_id: UUID | None
    user_id: UUID | None
    counts_orders: bool

    def may_order(self, profile: str) -> bool:
        """Whether certificates of ``profile`` are among what it allows."""
        return not self.profiles or profile in self.profiles


class Enrolments:
    """See the module."""

    def __init__(self, database: Database, clock: Clock, box: SecretBox) -> None:
        self._database = database
        self._clock = clock
        self._box = box
        self._store = EnrolmentStore(database.lookups)
        self._grants: OrderedDict[UUID, Grant] = OrderedDict()
        self._secrets: OrderedDict[bytes, tuple[float, Enrolment]] = OrderedDict()

    # --- operators ---------------------------------------------------------------------------------------------

    async def create(self, wanted: Wanted, *, by: str, joining: Callable[[Enrolment], Unit] = lambda _: Unit()) -> Made:
        """A new one with its secret. Raises EnrolmentRefused for what cannot be.

        ``joining`` gives what is committed with it, and may so refuse it.
        """
        wanted, now, identifier = checked(wanted), self._clock.now(), new_id()
        sealed, digest = None, None
        if wanted.kind == "external-account":
            key = secrets.token_bytes(32)
            secret, sealed = b64url_encode(key), self._box.seal(str(identifier), key)
        else:
            # 24 octets keep a one-time identifier short enough for every field that it must pass through.
            secret = secrets.token_urlsafe(32 if wanted.kind == "directory" else 24)
            digest = _digest(wanted.kind, secret)
        once = 1 if wanted.kind == "client-identifier" else None
        made = Enrolment(
            id=identifier,
            kind=wanted.kind,
            name=wanted.name,
            directories=wanted.directories,
            profiles=wanted.profiles,
            rules=wanted.rules,
            vouches=wanted.vouches,
            device_id=wanted.device_id,
            user_id=wanted.user_id,
            sealed=sealed,
            status="valid",
            expires_at=to_seconds(now + timedelta(seconds=wanted.seconds)),
            most_accounts=wanted.most_accounts,
            most_orders=once or wanted.most_orders,
            accounts=0,
            orders=0,
            created_at=now,
            created_by=by,
        )
        unit = Unit().claim(
            store.ADD_ENROLMENT, *store.row_of(made, digest), refuse=EnrolmentRefused(ENROLMENT_UNKNOWN, "not made")
        )
        data: dict[str, Json] = {
            "kind": made.kind,
            "name": made.name,
            "directories": list(made.directories),
            "profiles": list(made.profiles),
            "names": [*made.rules.names, *made.rules.suffixes, *made.rules.networks],
            "devices": list(made.rules.devices),
            "vouches": made.vouches,
            "expires_at": made.expires_at.isoformat(),
        }
        unit.record(Event("enrolment.created", by, _refs(made), data)).absorb(joining(made))
        await self._database.commit(unit)
        return Made(made, secret)

    async def get(self, enrolment: UUID) -> Enrolment:
        """One. Raises EnrolmentRefused if there is none."""
        found = await self._store.by_id(enrolment)
        if found is None:
            raise EnrolmentRefused(ENROLMENT_UNKNOWN)
        return found

    async def page(
        self, *, before: UUID | None = None, kind: str = "", status: str = "", limit: int
    ) -> list[Enrolment]:
        """The newest first."""
        return await self._store.page(before=before, kind=kind, status=status, limit=limit)

    async def counts(self) -> list[tuple[str, str, int]]:
        """(kind, state, number), for metrics."""
        return await self._store.counts(self._clock.now())

    async def revoke(self, enrolment: UUID, *, by: str, closing: Sequence[Closing], joined: Unit | None = None) -> None:
        """End it, and all that it has opened, in one unit. Raises EnrolmentRefused if it is revoked already."""
        found = await self.get(enrolment)
        unit = joined or Unit()
        closed = EnrolmentRefused(ENROLMENT_CLOSED, "it is revoked already")
        unit.guard(store.LOCK_VALID, enrolment, refuse=closed, key=("enrolment", enrolment))
        unit.write(store.REVOKE_ENROLMENT, enrolment, self._clock.now(), by)
        for close in closing:
            close(unit, enrolment, by)
        unit.record(Event("enrolment.revoked", by, _refs(found), {"kind": found.kind, "name": found.name}))
        await self._database.commit(unit)
        self._secrets.clear()

    # --- doors -------------------------------------------------------------------------------------------------

    async def hmac_key(self, kid: UUID) -> tuple[Enrolment, bytes] | None:
        """The external account with this key id, and its HMAC key; None if there is none, or it was revoked."""
        found = await self._store.by_id(kid)
        if found is None or found.kind != "external-account" or found.sealed is None:
            return None
        return found, self._box.open(str(found.id), found.sealed)

    async def of_secret(self, secret: str) -> Enrolment | None:
        """The enrolment whose directory has ``secret`` in its path, unless it is revoked."""
        digest, now = _digest("directory", secret), self._clock.monotonic()
        known = self._secrets.get(digest)
        if known is not None and now - known[0] < _BELIEVED:
            return known[1]
        found = await self._store.by_digest(digest)
        if found is None or found.kind != "directory" or found.status != "valid":
            self._secrets.pop(digest, None)
            return None
        self._secrets[digest] = (now, found)
        if len(self._secrets) > _KEPT:
            self._secrets.popitem(last=False)
        return found

    async def of_client_identifier(self, value: str) -> Enrolment | None:
        """The enrolment that a one-time device identifier belongs to, in whatever state it is."""
        found = await self._store.by_digest(_digest("client-identifier", value))
        return found if found is not None and found.kind == "client-identifier" else None

    async def grant(self, enrolment: UUID) -> Grant:
        """What an enrolment allows. Raises EnrolmentRefused if there is none."""
        known = self._grants.get(enrolment)
        if known is not None:
            self._grants.move_to_end(enrolment)
            return known
        made = granted(await self.get(enrolment))
        self._grants[enrolment] = made
        if len(self._grants) > _KEPT:
            self._grants.popitem(last=False)
        return made

    def opening(self, unit: Unit, enrolment: Enrolment) -> Unit:
        """Let ``unit`` open one account under ``enrolment``, if it is valid and has one left when it is committed."""
        closed = EnrolmentRefused(ENROLMENT_CLOSED, f"the enrolment is {self._said(enrolment)}")
        unit.guard(store.ENROLMENT_VALID, enrolment.id, self._clock.now(), refuse=closed)
        if enrolment.most_accounts is not None:
            used = EnrolmentRefused(ENROLMENT_USED_UP, "it has opened all its accounts")
            unit.guard(store.ACCOUNT_LEFT, enrolment.id, refuse=used, key=("enrolment", enrolment.id))
            unit.write(store.COUNT, enrolment.id, 1, 0)
        return unit

    @staticmethod
    def ordering(unit: Unit, grant: Grant, refuse: Exception | None = None) -> Unit:
        """Let ``unit`` place one order under ``grant``, if it has one left when it is committed."""
        if grant.counts_orders:
            used = refuse or EnrolmentRefused(ENROLMENT_USED_UP, "it has placed all its orders")
            unit.guard(store.ORDER_LEFT, grant.id, refuse=used, key=("enrolment", grant.id))
            unit.write(store.COUNT, grant.id, 0, 1)
            unit.record(Event("enrolment.used", "system:enrolment", (f"enrolment:{grant.id}",)))
        return unit

    def renewing(self, unit: Unit, enrolment: Enrolment) -> Unit:
        """Let ``unit`` renew what came by ``enrolment``, unless it is revoked; that it has expired ends nothing."""
        closed = EnrolmentRefused(ENROLMENT_CLOSED, "the enrolment is revoked")
        unit.guard(store.ENROLMENT_VALID, enrolment.id, enrolment.created_at, refuse=closed)
        return self.ordering(unit, granted(enrolment))

    def taking(self, unit: Unit, enrolment: Enrolment, refuse: Exception) -> Unit:
        """Let ``unit`` use a one-time identifier up; the commit raises ``refuse`` if it cannot be used any more."""
        unit.guard(store.ENROLMENT_VALID, enrolment.id, self._clock.now(), refuse=refuse)
        return self.ordering(unit, granted(enrolment), refuse)

    def _said(self, enrolment: Enrolment) -> str:
        state = enrolment.state(self._clock.now())
        return "revoked or has expired" if state in ("valid", "used") else state


def granted(enrolment: Enrolment) -> Grant:
    """What ``enrolment`` allows."""
    return Grant(
        id=enrolment.id,
        kind=enrolment.kind,
        vouches=enrolment.vouches,
        covers=Covering(enrolment.rules),
        profiles=enrolment.profiles,
        device_id=enrolment.device_id,
        user_id=enrolment.user_id,
        counts_orders=enrolment.most_orders is not None,
    )


def _digest(kind: str, secret: str) -> bytes:
    # A plain hash is enough: there is nothing to guess. The kind keeps one sort of secret from serving as another.
    return hashlib.sha256(f"{kind}\0{secret}".encode("utf-8", "surrogatepass")).digest()


def _refs(enrolment: Enrolment) -> tuple[str, ...]:
    subjects = [one for one in (enrolment.device_id, enrolment.user_id) if one is not None]
    return (enrolment.ref, *(f"subject:{one}" for one in subjects))
