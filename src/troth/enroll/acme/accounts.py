"""Accounts: made, found, changed, given a new key, closed (RFC 8555, section 7.3)."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from msgspec.structs import replace

from troth.audit.event import Event
from troth.client.jose import VerifyingKey
from troth.enroll.acme import account_store, errors, store
from troth.enroll.acme.account_store import AccountStore
from troth.enroll.acme.binding import read_binding, refused
from troth.enroll.acme.directories import Directory
from troth.enroll.acme.jwk import encode_jwk
from troth.enroll.acme.limits import Meters
from troth.enroll.acme.model import Account
from troth.enroll.acme.problems import AcmeProblem
from troth.enroll.acme.urls import Urls
from troth.enroll.compromise import network_of
from troth.enroll.credentials.errors import EnrolmentRefused
from troth.enroll.credentials.model import Enrolment
from troth.enroll.credentials.service import Enrolments
from troth.kit.clock import Clock
from troth.kit.ids import new_id, parse_id
from troth.pki.blocked_store import NOT_BLOCKED
from troth.store.pool import Database
from troth.store.unit import Unit

_MAILTO = re.compile(r"mailto:[^\s@,?;<>\"]{1,64}@[a-z0-9.-]{1,253}\Z", re.IGNORECASE | re.ASCII)
_MAILTO_BLANKS = re.compile(r"\A(mailto:) *(.*?) *\Z", re.IGNORECASE | re.ASCII)
_MAX_CONTACTS = 10
_BLOCKED = "this key was reported as compromised and is blocked; make a new one"


#: What a directory asks of newcomers, in words.
_NEEDED = {
    "external-account": "accounts of this directory need an external account binding",
    "enrolment": "accounts of this directory are opened under the directory URL of an enrolment alone",
}


class _Taken(Exception):
    """Another request has just registered the same key."""


@dataclass(frozen=True, slots=True)
class AccountRules:
    """What accounts must bring.

    Attributes:
        contact_required: at least one contact.
        contact_domains: lower-case domains that contacts may lie in; empty: any.
        terms_url: terms that must be agreed to; empty: none.
    """

    contact_required: bool = False
    contact_domains: tuple[str, ...] = ()
    terms_url: str = ""


class AccountDesk:
    """What can be done with accounts."""

    def __init__(
        self, database: Database, clock: Clock, rules: AccountRules, enrolments: Enrolments, meters: Meters
    ) -> None:
        self._rules = rules
        self._database = database
        self._store = AccountStore(database.lookups)
        self._clock = clock
        self._enrolments = enrolments
        self._meters = meters

    async def register(
        self,
        key: VerifyingKey,
        payload: dict[str, Any],
        urls: Urls,
        directory: Directory,
        *,
        enrolment: Enrolment | None = None,
        client: str | None = None,
    ) -> tuple[Account, bool]:
        """The account of ``key`` and whether it was made now. Raises AcmeProblem, EnrolmentRefused.

        ``enrolment`` is the one whose directory this is. A client that lost the answer asks again with the same key,
        and is given the same account: a binding that is used up or has expired by then is not looked at any more.
        """
        thumbprint = key.thumbprint
        known = await self._store.by_key(urls.name, thumbprint)
        if known is not None:
            return self._usable(known, enrolment), False
        if payload.get("onlyReturnExisting") is True:
            raise AcmeProblem(errors.ACCOUNT_UNKNOWN, "no account has this key")
        if self._rules.terms_url and payload.get("termsOfServiceAgreed") is not True:
            link = (b"link", f'<{self._rules.terms_url}>;rel="terms-of-service"'.encode())
            raise AcmeProblem(errors.TERMS_REQUIRED, headers=(link,), members={"instance": self._rules.terms_url})
        enrolment = enrolment or await self._bound(payload.get("externalAccountBinding"), key, urls, directory)
        if enrolment is None:
            if directory.requires != "nothing":
                raise AcmeProblem(errors.BINDING_REQUIRED, _NEEDED[directory.requires])
            # What an operator has vouched for, he has counted himself.
            self._meters.take([("accounts_per_network", network_of(client))])
        account = Account(
            id=new_id(),
            directory=urls.name,
            thumbprint=thumbprint,
            jwk=encode_jwk(key),
            status="valid",
            contact=read_contacts(payload.get("contact"), self._rules),
            terms_agreed=payload.get("termsOfServiceAgreed") is True,
            created_at=self._clock.now(),
            enrolment_id=None if enrolment is None else enrolment.id,
            enrolment_kind=None if enrolment is None else enrolment.kind,
        )
        unit = Unit().claim(
            account_store.ADD_ACCOUNT,
            thumbprint,
            account.id,
            account.directory,
            account.jwk,
            json.dumps(account.contact),
            account.terms_agreed,
            account.created_at,
            account.enrolment_id,
            account.enrolment_kind,
            refuse=_Taken(),
            key=("acme_account", account.directory, thumbprint),
        )
        unit.guard(NOT_BLOCKED, hashlib.sha256(key.spki()).digest(), refuse=AcmeProblem(errors.JWS_KEY, _BLOCKED))
        if enrolment is not None:
            self._enrolments.opening(unit, enrolment)
        unit.record(
            Event(
                "acme.account.created",
                f"acme:{account.id}",
                (f"account:{account.id}", *(() if enrolment is None else (enrolment.ref,))),
                {"directory": account.directory, "thumbprint": thumbprint},
            )
        )
        try:
            await self._database.commit(unit)
        except (_Taken, EnrolmentRefused) as refusal:
            # The other of two requests with this key may also have taken the last account of the enrolment.
            known = await self._store.by_key(urls.name, thumbprint)
            if known is None:
                raise
            if isinstance(refusal, EnrolmentRefused) and known.enrolment_id != account.enrolment_id:
                raise
            return self._usable(known, enrolment), False
        return account, True

    async def _bound(self, value: object, key: VerifyingKey, urls: Urls, directory: Directory) -> Enrolment | None:
        """The enrolment that an external account binding proves (section 7.3.4). Raises AcmeProblem."""
        if value is None:
            return None
        binding = read_binding(value, url=urls.at("new-account"), key=key)
        kid = parse_id(binding.kid)
        found = None if kid is None else await self._enrolments.hmac_key(kid)
        if found is None:
            raise refused()
        enrolment, mac_key = found
        binding.verify(mac_key)
        if not enrolment.opens(directory.name):
            raise refused("this key id opens no accounts in this directory")
        if directory.requires == "enrolment":
            raise refused(_NEEDED["enrolment"])
        return enrolment

    async def update(self, account: Account, payload: dict[str, Any]) -> Account:
        """Change the contacts or close the account; members that are read-only are ignored (section 7.3.2)."""
        status = payload.get("status")
        if status is not None and status not in ("deactivated", account.status):
            raise AcmeProblem(errors.MALFORMED, "status can only be set to 'deactivated'")
        unit = self._changing(account)
        if status == "deactivated":
            # Section 7.3.6: what the account has under way ends with it.
            unit.write(account_store.DEACTIVATE_ACCOUNT, account.id)
            unit.write(store.CANCEL_AUTHZS, account.id).write(store.CANCEL_ORDERS, account.id)
            unit.record(_event("deactivated", account, {}))
            await self._database.commit(unit)
            return replace(account, status="deactivated")
        if "contact" not in payload:
            return account
        contact = read_contacts(payload["contact"], self._rules)
        unit.write(account_store.SET_CONTACT, account.id, json.dumps(contact)).record(_event("changed", account, {}))
        await self._database.commit(unit)
        return replace(account, contact=contact)

    async def change_key(self, account: Account, key: VerifyingKey, urls: Urls) -> Account:
        """Put ``key`` in the place of the account's key; the account's URL stays (section 7.3.5)."""
        thumbprint = key.thumbprint
        await self._refuse_taken(account, thumbprint, urls)
        unit = self._changing(account)
        unit.guard(
            account_store.KEY_FREE,
            account.directory,
            thumbprint,
            refuse=_Taken(),
            key=("acme_account", account.directory, thumbprint),
        )
        unit.guard(NOT_BLOCKED, hashlib.sha256(key.spki()).digest(), refuse=AcmeProblem(errors.JWS_KEY, _BLOCKED))
        jwk = encode_jwk(key)
        unit.write(account_store.SET_KEY, account.id, thumbprint, jwk)
        unit.record(_event("key_changed", account, {"old": account.thumbprint, "new": thumbprint}))
        try:
            await self._database.commit(unit)
        except AcmeProblem:
            raise
        except Exception:
            # The guard's word, or the unique index's where another process was faster: both mean a holder.
            await self._refuse_taken(account, thumbprint, urls)
            raise
        return replace(account, thumbprint=thumbprint, jwk=jwk)

    async def _refuse_taken(self, account: Account, thumbprint: str, urls: Urls) -> None:
        """Section 7.3.5: 409, with the URL of the account that has the key."""
        holder = await self._store.by_key(account.directory, thumbprint)
        if holder is not None:
            raise _in_use(holder, urls, account.enrolment_id if account.enrolment_kind == "directory" else None)

    @staticmethod
    def _changing(account: Account) -> Unit:
        """A unit that changes the account, unless it was closed or given another key meanwhile."""
        changed = AcmeProblem(errors.ACCOUNT_INACTIVE, "the account was closed or given another key meanwhile")
        return Unit().guard(
            account_store.ACCOUNT_KEY_IS, account.id, account.thumbprint, refuse=changed, key=account.id
        )

    @staticmethod
    def _usable(account: Account, enrolment: Enrolment | None) -> Account:
        if not belongs(account, None if enrolment is None or enrolment.kind != "directory" else enrolment.id):
            raise AcmeProblem(errors.ACCOUNT_KEY_IN_USE, "this key belongs to an account of another directory URL")
        if account.status != "valid":
            raise AcmeProblem(errors.ACCOUNT_INACTIVE, f"the account of this key is {account.status}")
        return account


def belongs(account: Account, root: UUID | None) -> bool:
    """Whether ``account`` may be used under the root of the enrolment ``root``, or under the open one (None).

    Who knows a secret directory's URL is let in; an account that was made there is good there alone.
    """
    if root is not None:
        return account.enrolment_id == root
    return account.enrolment_kind != "directory"


def _in_use(holder: Account, urls: Urls, root: UUID | None) -> AcmeProblem:
    # Of an account that cannot be reached from here no URL is told.
    location = ((b"location", urls.account(holder.id).encode()),) if belongs(holder, root) else ()
    return AcmeProblem(errors.ACCOUNT_KEY_IN_USE, headers=location)


def read_contacts(value: object, rules: AccountRules) -> tuple[str, ...]:
    """Contacts from a payload: mailto URLs with one address and no header fields. Raises AcmeProblem.

    getssl writes ``mailto: ops@example.org``, and the step CLI the address as it was given to it: blanks around an
    address are taken away, and an address without a scheme is one for mail.
    """
    value = [] if value is None else value
    if not isinstance(value, list) or len(value) > _MAX_CONTACTS or not all(isinstance(item, str) for item in value):
        raise AcmeProblem(errors.MALFORMED, f"contact is not a list of at most {_MAX_CONTACTS} strings")
    contacts = [_MAILTO_BLANKS.sub(r"\1\2", item if ":" in item else f"mailto:{item}") for item in value]
    for item in contacts:
        if not item.lower().startswith("mailto:"):
            raise AcmeProblem(errors.CONTACT_UNSUPPORTED, f"contact {item[:80]!r} is not a mailto URL")
        if not _MAILTO.match(item) or not item.isprintable():
            raise AcmeProblem(errors.CONTACT_INVALID, f"contact {item[:80]!r} is not one plain address")
        if rules.contact_domains and item.rpartition("@")[2].lower() not in rules.contact_domains:
            raise AcmeProblem(errors.CONTACT_INVALID, f"contact {item[:80]!r} is in none of the accepted domains")
    if rules.contact_required and not value:
        raise AcmeProblem(errors.CONTACT_INVALID, "a contact is required here")
    return tuple(contacts)


def _event(what: str, account: Account, data: dict[str, str]) -> Event:
    return Event(f"acme.account.{what}", f"acme:{account.id}", (f"account:{account.id}",), data)
