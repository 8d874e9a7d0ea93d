"""What an enrolment is, and which names it covers."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, TypeAlias
from uuid import UUID

import msgspec

from troth.enroll.credentials.errors import ENROLMENT_INVALID, EnrolmentRefused
from troth.kit.errors import TrothError
from troth.pki.names import canonical_dns, canonical_ip

Kind: TypeAlias = Literal["external-account", "directory", "client-identifier"]
KINDS: tuple[Kind, ...] = ("external-account", "directory", "client-identifier")
#: Identifier types of devices (draft-ietf-acme-device-attest).
DEVICE_TYPES = frozenset({"permanent-identifier", "hardware-module"})
#: How the names of EST's labels begin among those of directories, which hold no colon.
EST = "est:"
_MOST_RULES = 200
_LONGEST = 253


class NameRules(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Names that may be asked for. With no rule at all, any; with one, nothing that no rule covers.

    Attributes:
        names: exact DNS names (``*.`` included) and addresses.
        suffixes: DNS names; each covers itself, all below it, and wildcards there.
        networks: ``10.0.0.0/8``.
        devices: exact values of device identifiers, octet for octet.
    """

    names: tuple[str, ...] = ()
    suffixes: tuple[str, ...] = ()
    networks: tuple[str, ...] = ()
    devices: tuple[str, ...] = ()

    @property
    def empty(self) -> bool:
        """Whether nothing is said."""
        return not (self.names or self.suffixes or self.networks or self.devices)


class Covering:
    """:class:`NameRules`, made ready to be asked."""

    __slots__ = ("_anything", "_devices", "_names", "_networks", "_suffixes")

    def __init__(self, rules: NameRules) -> None:
        self._anything = rules.empty
        self._names = frozenset(rules.names)
        self._suffixes = frozenset(rules.suffixes)
        self._devices = frozenset(rules.devices)
        self._networks = [ipaddress.ip_network(one) for one in rules.networks]

    def __call__(self, kind: str, value: str) -> bool:
        """Whether the rules cover an identifier in its canonical form (a wildcard with its ``*.``)."""
        if self._anything:
            return True
        if kind == "dns":
            return value in self._names or self._below(value.removeprefix("*."))
        if kind == "ip":
            if value in self._names:
                return True
            address = ipaddress.ip_address(value)
            return any(address.version == one.version and address in one for one in self._networks)
        return kind in DEVICE_TYPES and value in self._devices

    def _below(self, name: str) -> bool:
        # As many look-ups as the name has labels, however many suffixes there are.
        while name:
            if name in self._suffixes:
                return True
            name = name.partition(".")[2]
        return False


@dataclass(frozen=True, slots=True)
class Enrolment:
    """One credential, as it lies in the table.

    Attributes:
        kind: ``external-account``: key id and HMAC key (RFC 8555, 7.3.4); ``directory``: a secret in the path of the
            directory; ``client-identifier``: an opaque device identifier, good once.
        directories: where it opens accounts; empty: in every ACME directory. EST's labels are named (``est:LABEL``) or
            not meant: who handed out a credential for servers did not think of client certificates.
        profiles: what its accounts may order; empty: whatever the directory offers.
        vouches: names that the rules cover are taken as proved.
        device_id, user_id: subjects in whose name its accounts act.
        sealed: the HMAC key, sealed.
        expires_at: afterwards it opens nothing; what it has opened stays.
        most_accounts, most_orders: None: any number.
    """

    id: UUID
    kind: Kind
    name: str
    directories: tuple[str, ...]
    profiles: tuple[str, ...]
    rules: NameRules
    vouches: bool
    device_id: UUID | None
    user_id: UUID | None
    sealed: bytes | None = field(repr=False)
    status: Literal["valid", "revoked"]
    expires_at: datetime
    most_accounts: int | None
    most_orders: int | None
    accounts: int
    orders: int
    created_at: datetime
    created_by: str
    revoked_at: datetime | None = None
    revoked_by: str | None = None

    def state(self, now: datetime) -> str:
        """``valid``, ``revoked``, ``expired`` or ``used``."""
        if self.status == "revoked":
            return "revoked"
        if self.expires_at <= now:
            return "expired"
        full = self.most_accounts is not None and self.accounts >= self.most_accounts
        spent = self.most_orders is not None and self.orders >= self.most_orders
        return "used" if full or spent else "valid"

    def opens(self, directory: str) -> bool:
        """Whether it is good in ``directory``."""
        if directory in self.directories:
            return True
        return not self.directories and not directory.startswith(EST)

    @property
    def ref(self) -> str:
        """How the ledger names it."""
        return f"enrolment:{self.id}"


class Wanted(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an operator asks for. ``seconds``: how long from now it opens accounts."""

    kind: Kind
    name: str
    seconds: int
    directories: tuple[str, ...] = ()
    profiles: tuple[str, ...] = ()
    rules: NameRules = NameRules()
    vouches: bool = False
    device_id: UUID | None = None
    user_id: UUID | None = None
    most_accounts: int | None = None
    most_orders: int | None = None


_LONGEST_LIFE = 10 * 366 * 86_400


def checked(wanted: Wanted) -> Wanted:
    """``wanted`` with its rules in canonical form. Raises EnrolmentRefused, naming the field."""
    name = wanted.name.strip()
    if not name or len(name) > 100 or not name.isprintable():
        raise _invalid("name is a text of 1 to 100 printable characters")
    if not 60 <= wanted.seconds <= _LONGEST_LIFE:
        raise _invalid("it lives for at least a minute and at most ten years")
    for what, number in (("most_accounts", wanted.most_accounts), ("most_orders", wanted.most_orders)):
        if number is not None and not 1 <= number <= 1_000_000:
            raise _invalid(f"{what} is a number from 1 to 1,000,000")
    rules = _canonical(wanted.rules)
    if wanted.vouches and rules.empty:
        raise _invalid("an enrolment that vouches for names must say for which")
    if wanted.kind == "client-identifier" and len(rules.devices) != 1 and wanted.device_id is None:
        raise _invalid("a client identifier stands for one device: name its identifier, or a device of the directory")
    return msgspec.structs.replace(wanted, name=name, rules=rules)


def _canonical(rules: NameRules) -> NameRules:
    if sum(map(len, (rules.names, rules.suffixes, rules.networks, rules.devices))) > _MOST_RULES:
        raise _invalid(f"more than {_MOST_RULES} rules")
    return NameRules(
        names=tuple(sorted({_name(one) for one in rules.names})),
        suffixes=tuple(sorted({_suffix(one) for one in rules.suffixes})),
        networks=tuple(sorted({_network(one) for one in rules.networks})),
        devices=tuple(sorted({_device(one) for one in rules.devices})),
    )


def _name(value: str) -> str:
    try:
        return canonical_ip(value)
    except TrothError:
        pass  # then it is a DNS name, or nothing
    try:
        return canonical_dns(value)
    except TrothError as error:
        raise _invalid(f"names: {error.detail}") from error


def _suffix(value: str) -> str:
    try:
        return canonical_dns(value.removeprefix("."), wildcard=False)
    except TrothError as error:
        raise _invalid(f"suffixes: {error.detail}") from error


def _network(value: str) -> str:
    try:
        return str(ipaddress.ip_network(value))
    except ValueError as error:
        raise _invalid(f"networks: {value[:80]!r}: {error}") from error


def _device(value: str) -> str:
    if not value or len(value) > _LONGEST or any(ord(one) < 0x20 or ord(one) == 0x7F for one in value):
        raise _invalid("devices: an identifier is 1 to 253 characters without control characters")
    return value


def _invalid(what: str) -> EnrolmentRefused:
    return EnrolmentRefused(ENROLMENT_INVALID, what)
