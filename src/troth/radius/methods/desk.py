"""Keeping devices without certificates: addresses and accounts, each by a person's word, in the ledger."""

from __future__ import annotations

import re
import secrets
from datetime import datetime
from typing import Final
from uuid import UUID

from troth.access.passwords import Passwords
from troth.audit.event import Event
from troth.kit.clock import Clock
from troth.radius.methods import store
from troth.radius.methods.errors import (
    ACCOUNT_INVALID,
    ACCOUNT_UNKNOWN,
    ADDRESS_INVALID,
    ADDRESS_UNKNOWN,
    LISTS_FULL,
    MethodError,
)
from troth.radius.methods.lists import Account, Address, Lists
from troth.radius.wire.addresses import mac
from troth.store.pool import Database
from troth.store.unit import Reader, Unit

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}\Z")
#: Every process holds them all.
MOST_ADDRESSES: Final = 20_000
MOST_ACCOUNTS: Final = 1_000
_PAGE: Final = 5_000
_LATE_MS: Final = 600_000


class ListDesk:
    """The lists of this installation."""

    def __init__(self, database: Database, clock: Clock, passwords: Passwords | None = None) -> None:
        self._database = database
        self._clock = clock
        self._passwords = passwords or Passwords()

    async def lists(self) -> Lists:
        """Both, as they are now."""
        return Lists.of(await store.addresses(self._database), await store.accounts(self._database))

    async def add_address(self, address: str, *, note: str, until: datetime | None, actor: str) -> Address:
        """Let a device join by its address alone, where a network takes that. Raises MethodError."""
        found = mac(address)
        if found is None or len(address) > 17 or int(found[:2], 16) & 1:
            raise MethodError(ADDRESS_INVALID, f"{address[:40]!r}")
        if len(await store.addresses(self._database)) >= MOST_ADDRESSES:
            raise MethodError(LISTS_FULL, f"{MOST_ADDRESSES} addresses")
        made = Address(found, note, until, self._clock.now(), actor)
        unit = Unit()
        store.put_address(unit, made)
        unit.record(_event("mab.added", f"address:{found}", actor, address=found, note=note, until=_iso(until)))
        await self._database.commit(unit)
        return made

    async def remove_address(self, address: str, *, actor: str) -> None:
        """Raises MethodError (``radius.mab.address_unknown``)."""
        found = mac(address) or address[:40]
        unknown = MethodError(ADDRESS_UNKNOWN, f"{found!r}")
        unit = Unit().guard(store.LOCK_ADDRESS, found, refuse=unknown, key=("radius_address", found))
        store.drop_address(unit, found)
        unit.record(_event("mab.removed", f"address:{found}", actor, address=found))
        await self._database.commit(unit)

    async def add_account(
        self, name: str, *, udp: bool, note: str, until: datetime | None, actor: str
    ) -> tuple[Account, str]:
        """Make an account, or another password for it; the password, which is shown this once. Raises MethodError."""
        if not _NAME.match(name) or mac(name) is not None:
            raise MethodError(ACCOUNT_INVALID, f"{name[:70]!r}")
        if len(await store.accounts(self._database)) >= MOST_ACCOUNTS:
            raise MethodError(LISTS_FULL, f"{MOST_ACCOUNTS} accounts")
        password = secrets.token_urlsafe(15)
        made = Account(name, await self._passwords.hash(password), udp, note, until, self._clock.now(), actor)
        unit = Unit()
        store.put_account(unit, made)
        unit.record(_event("pap.added", f"pap:{name}", actor, account=name, udp=udp, note=note, until=_iso(until)))
        await self._database.commit(unit)
        return made, password

    async def remove_account(self, name: str, *, actor: str) -> None:
        """Raises MethodError (``radius.pap.account_unknown``)."""
        unknown = MethodError(ACCOUNT_UNKNOWN, f"{name[:70]!r}")
        unit = Unit().guard(store.LOCK_ACCOUNT, name, refuse=unknown, key=("radius_account", name))
        store.drop_account(unit, name)
        unit.record(_event("pap.removed", f"pap:{name}", actor, account=name))
        await self._database.commit(unit)


class Certified:
    """Addresses that have shown a certificate, in memory: 100,000 of them are some 15 MB.

    What this process lets in it knows at once, others' after the next :meth:`refresh`. Sessions that are forgotten by
    their retention are forgotten here with the next start.
    """

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._known: set[str] = set()
        self._after = UUID(int=0)

    def __call__(self, address: str) -> bool:
        return address in self._known

    def learn(self, address: str | None) -> None:
        """It has just shown one."""
        if address is not None:
            self._known.add(address)

    async def refresh(self) -> None:
        """Read what other processes have let in since."""
        after = self._after
        while True:
            found, after = await store.certified(self._reader, after, limit=_PAGE)
            self._known.update(found)
            if len(found) < _PAGE:
                break
        # Ids begin with the milliseconds at which they were made (RFC 9562 section 5.7), and a session is written down
        # some time after that: those of the last minutes are read again.
        self._after = max(self._after, UUID(int=max(0, (after.int >> 80) - _LATE_MS) << 80))


def _iso(moment: datetime | None) -> str:
    return moment.isoformat() if moment is not None else ""


def _event(kind: str, ref: str, actor: str, **payload: str | bool) -> Event:
    return Event(kind, actor, (ref,), dict(payload))
