"""Which addresses and accounts there are, as one process holds them: asked in memory, replaced as a whole."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Address:
    """A device that may join by its address alone.

    Attributes:
        mac: canonical.
        note: why.
        until: after which it may not; None: until it is removed.
    """

    mac: str
    note: str
    until: datetime | None
    added_at: datetime
    actor: str


@dataclass(frozen=True, slots=True)
class Account:
    """Somebody who may join with a password.

    Attributes:
        hash: argon2id.
        udp: it may be told over UDP.
        note, until: as of an address.
    """

    name: str
    hash: str
    udp: bool
    note: str
    until: datetime | None
    added_at: datetime
    actor: str

    def __repr__(self) -> str:
        return f"Account({self.name!r}, …)"


@dataclass(frozen=True, slots=True)
class Lists:
    """Both, by name."""

    addresses: Mapping[str, Address] = field(default_factory=dict)
    accounts: Mapping[str, Account] = field(default_factory=dict)

    @classmethod
    def of(cls, addresses: Iterable[Address], accounts: Iterable[Account]) -> Lists:
        """As one look-up each."""
        return cls({one.mac: one for one in addresses}, {one.name: one for one in accounts})

    def address(self, mac: str, at: datetime) -> Address | None:
        """The entry of an address, if it is in force."""
        found = self.addresses.get(mac)
        return found if found is not None and (found.until is None or at < found.until) else None

    def account(self, name: str, at: datetime) -> Account | None:
        """The account of that name, if it is in force."""
        found = self.accounts.get(name)
        return found if found is not None and (found.until is None or at < found.until) else None
