"""Orders and their authorizations (RFC 8555, sections 7.4 and 7.5)."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from troth.audit.event import Event
from troth.client.jose import b64url_encode
from troth.enroll.acme import errors, store
from troth.enroll.acme.model import DNS_01, HTTP_01, TLS_ALPN_01, Account, Authorization, Challenge, Order
from troth.enroll.acme.problems import AcmeProblem, Identifier, compound
from troth.enroll.acme.store import AcmeStore, encode_challenges
from troth.kit.clock import Clock, to_seconds
from troth.kit.errors import TrothError
from troth.kit.ids import new_id
from troth.pki.names import canonical_dns, canonical_ip
from troth.store.jobs import JOBS_CHANNEL, Job, enqueue
from troth.store.pool import Database
from troth.store.unit import Unit

VALIDATE_JOB = "acme.validate"
PAGE = 50


@dataclass(frozen=True, slots=True)
class OrderRules:
    """Bounds of orders.

    Attributes:
        order_lifetime: a pending or ready order and its authorizations expire after this.
        proof_lifetime: how long a proof of control is taken for further orders of the same account.
        max_names: identifiers of one order.
    """

    order_lifetime: timedelta = timedelta(days=7)
    proof_lifetime: timedelta = timedelta(hours=8)
    max_names: int = 100


class OrderDesk:
    """What can be done with orders and authorizations, but for issuing (``finalize``)."""

    def __init__(self, database: Database, clock: Clock, rules: OrderRules) -> None:
        self._database = database
        self._store = AcmeStore(database)
        self._clock = clock
        self._rules = rules

    async def place(self, account: Account, payload: dict[str, Any]) -> Order:
        """A new order with one authorization per identifier. Raises AcmeProblem, with subproblems per identifier.

        A name that the account has proved lately needs no new proof: its authorization is born valid, and expires
        when that proof does.
        """
        identifiers = read_identifiers(payload.get("identifiers"), self._rules.max_names)
        profile = payload.get("profile")
        if profile is not None and profile != account.profile:
            raise AcmeProblem(errors.PROFILE_UNKNOWN, f"this directory issues the profile {account.profile!r} only")
        now = self._clock.now()
        if payload.get("notBefore") is not None:
            raise AcmeProblem(errors.MALFORMED, "notBefore cannot be chosen here")
        expires = to_seconds(now + self._rules.order_lifetime)
        held = await self._store.held(account.id, (name.value for name in identifiers), now)
        order = Order(
            id=new_id(),
            account_id=account.id,
            profile=account.profile,
            status="ready" if all(name.value in held for name in identifiers) else "pending",
            identifiers=identifiers,
            not_after=read_not_after(payload.get("notAfter"), now),
            expires=expires,
            error=None,
            attempt=0,
            csr_sha256=None,
            certificate_id=None,
        )
        unit = Unit().guard(store.ACCOUNT_VALID, account.id, refuse=AcmeProblem(errors.ACCOUNT_INACTIVE))
        encoded = json.dumps([[name.type, name.value] for name in identifiers])
        unit.write(
            store.ADD_ORDER, order.id, account.id, order.profile, order.status, encoded, order.not_after, expires, now
        )
        authorizations = [_new_authorization(order, name, held.get(name.value)) for name in identifiers]
        for authz in authorizations:
            unit.write(
                store.ADD_AUTHZ,
                authz.id,
                order.id,
                account.id,
                authz.identifier.type,
                authz.identifier.value,
                authz.wildcard,
                authz.status,
                authz.expires,
                encode_challenges(authz.challenges),
            )
        unit.record(
            Event(
                "acme.order.placed",
                f"acme:{account.id}",
                (f"order:{order.id}", f"account:{account.id}"),
                {"profile": order.profile, "names": [name.value for name in identifiers]},
            )
        )
        await self._database.commit(unit)
        return replace(order, authorizations=tuple(authz.id for authz in authorizations))

    async def order(self, account: Account, identifier: UUID) -> Order:
        """An order of ``account``; one that ran out is shown as invalid. Raises AcmeProblem."""
        order = await self._store.order(identifier)
        if order is None:
            raise AcmeProblem(errors.NOT_FOUND, "there is no such order")
        if order.account_id != account.id:
            raise AcmeProblem(errors.ACCOUNT_FOREIGN, "the order belongs to another account")
        if order.status in ("pending", "ready") and order.expires <= self._clock.now():
            return replace(order, status="invalid")
        return order

    async def orders(self, account: Account, after: UUID) -> list[UUID]:
        """A page of an account's orders."""
        return await self._store.orders_of(account.id, after=after, limit=PAGE)

    async def authorization(self, account: Account, identifier: UUID) -> Authorization:
        """An authorization of ``account``. Raises AcmeProblem."""
        authz = await self._store.authorization(identifier)
        if authz is None:
            raise AcmeProblem(errors.NOT_FOUND, "there is no such authorization")
        if authz.account_id != account.id:
            raise AcmeProblem(errors.ACCOUNT_FOREIGN, "the authorization belongs to another account")
        if authz.status == "pending" and authz.expires <= self._clock.now():
            return replace(authz, status="invalid")
        return authz

    async def deactivate(self, account: Account, authz: Authorization) -> Authorization:
        """Give an authorization up; its order, if it is still pending, fails (section 7.5.2)."""
        if authz.status not in ("pending", "valid"):
            return authz
        unit = self._locked(authz)
        unit.write(store.SET_AUTHZ, authz.id, "deactivated", encode_challenges(authz.challenges), authz.expires)
        unit.write(store.SETTLE_ORDER, authz.order_id, None)
        unit.record(_event("acme.authorization.deactivated", f"acme:{account.id}", authz, {}))
        await self._database.commit(unit)
        return replace(authz, status="deactivated")

    async def answer(self, account: Account, authz: Authorization, kind: str) -> Authorization:
        """The client says that a challenge can be checked. Idempotent: a second call returns the present state."""
        challenge = authz.challenge(kind)
        if challenge is None:
            raise AcmeProblem(errors.NOT_FOUND, "there is no such challenge")
        if authz.status != "pending" or challenge.status != "pending":
            return authz
        changed = with_challenge(authz, replace_challenge(challenge, status="processing"))
        unit = self._locked(authz).guard(store.AUTHZ_PENDING, authz.id, refuse=_Moved(), key=("acme_authz", authz.id))
        unit.write(store.SET_AUTHZ, authz.id, "pending", encode_challenges(changed.challenges), authz.expires)
        enqueue(
            unit, Job(VALIDATE_JOB, f"{authz.id}/{kind}", self._clock.now(), {"authz": str(authz.id), "type": kind})
        )
        try:
            await self._database.commit(unit)
        except _Moved:
            return await self.authorization(account, authz.id)
        self._database.wake(JOBS_CHANNEL)
        return changed

    async def settle(
        self,
        authz: Authorization,
        challenge: Challenge,
        status: str,
        data: dict[str, str],
        *,
        with_job: Callable[[Unit], Unit],
    ) -> None:
        """Write the result of a validation: the challenge, its authorization, its order, and the job's end with them.

        ``status`` is the authorization's: ``pending`` when the validation will be tried again.
        """
        changed = with_challenge(authz, challenge)
        unit = self._locked(authz).guard(store.AUTHZ_PENDING, authz.id, refuse=_Moved(), key=("acme_authz", authz.id))
        expires = authz.expires
        if status == "valid":
            expires = to_seconds(self._clock.now() + self._rules.proof_lifetime)
        unit.write(store.SET_AUTHZ, authz.id, status, encode_challenges(changed.challenges), expires)
        if status != "pending":
            unit.write(store.SETTLE_ORDER, authz.order_id, json.dumps(challenge.error) if challenge.error else None)
            unit.record(_event(f"acme.authorization.{status}", "system:validator", authz, data))
        try:
            await self._database.commit(with_job(unit))
        except _Moved:
            await self._database.commit(with_job(Unit()))

    @staticmethod
    def _locked(authz: Authorization) -> Unit:
        """Under the order's lock, so that the last two authorizations of an order see each other."""
        return Unit().guard(
            store.LOCK_ORDER, authz.order_id, refuse=AcmeProblem(errors.NOT_FOUND), key=("acme_order", authz.order_id)
        )


class _Moved(Exception):
    """The authorization was decided meanwhile."""


def _new_authorization(order: Order, name: Identifier, held: Authorization | None) -> Authorization:
    wildcard = name.value.startswith("*.")
    return Authorization(
        id=new_id(),
        order_id=order.id,
        account_id=order.account_id,
        identifier=Identifier(name.type, name.value[2:] if wildcard else name.value),
        wildcard=wildcard,
        status="pending" if held is None else "valid",
        expires=order.expires if held is None else held.expires,
        challenges=offered_challenges(name.type, wildcard=wildcard) if held is None else held.challenges,
    )


def read_identifiers(value: object, most: int = 100) -> tuple[Identifier, ...]:
    """The identifiers of newOrder: canonical, sorted, without doubles. Raises AcmeProblem per failing identifier."""
    if not isinstance(value, list) or not value:
        raise AcmeProblem(errors.MALFORMED, "identifiers is not a list with at least one entry")
    if len(value) > most:
        raise AcmeProblem(errors.IDENTIFIER_REJECTED, f"an order holds at most {most} identifiers")
    found: set[Identifier] = set()
    problems: list[AcmeProblem] = []
    for item in value:
        if (
            not isinstance(item, dict)
            or not isinstance(item.get("type"), str)
            or not isinstance(item.get("value"), str)
        ):
            raise AcmeProblem(errors.MALFORMED, "an identifier is not an object with type and value")
        kind, text = item["type"], item["value"]
        identifier = Identifier(kind[:40], text[:255])
        try:
            if kind == "dns":
                found.add(Identifier("dns", canonical_dns(text)))
            elif kind == "ip":
                canonical = canonical_ip(text)
                if canonical != text:
                    raise AcmeProblem(errors.IDENTIFIER_MALFORMED, f"write it as {canonical}", identifier=identifier)
                found.add(Identifier("ip", canonical))
            else:
                problems.append(AcmeProblem(errors.IDENTIFIER_UNSUPPORTED, identifier=identifier))
        except AcmeProblem as problem:
            problems.append(problem)
        except TrothError as error:
            problems.append(AcmeProblem(errors.IDENTIFIER_MALFORMED, error.detail, identifier=identifier))
    if problems:
        raise compound(problems)
    return tuple(sorted(found, key=lambda name: (name.type, name.value)))


def read_not_after(value: object, now: datetime) -> datetime | None:
    """``notAfter`` of newOrder; the profile caps it at issue. Raises AcmeProblem for a past or unreadable one."""
    if value is None:
        return None
    try:
        if not isinstance(value, str):
            raise ValueError
        moment = datetime.fromisoformat(value)
        if moment.tzinfo is None:
            raise ValueError
    except ValueError:
        raise AcmeProblem(errors.MALFORMED, "notAfter is not an RFC 3339 time") from None
    if moment <= now:
        raise AcmeProblem(errors.MALFORMED, "notAfter lies in the past")
    return to_seconds(moment)


def offered_challenges(kind: str, *, wildcard: bool) -> tuple[Challenge, ...]:
    """The challenges for an identifier: DNS alone for wildcards (RFC 8555, 8.4), never DNS for addresses (RFC 8738)."""
    if wildcard:
        kinds: tuple[str, ...] = (DNS_01,)
    elif kind == "ip":
        kinds = (HTTP_01, TLS_ALPN_01)
    else:
        kinds = (HTTP_01, DNS_01, TLS_ALPN_01)
    return tuple(Challenge(name, b64url_encode(secrets.token_bytes(32))) for name in kinds)


def replace_challenge(challenge: Challenge, **changes: Any) -> Challenge:
    """``challenge`` with some members changed."""
    members = {name: getattr(challenge, name) for name in challenge.__struct_fields__}
    return Challenge(**{**members, **changes})


def with_challenge(authz: Authorization, changed: Challenge) -> Authorization:
    """``authz`` with the challenge of that type replaced."""
    return replace(authz, challenges=tuple(changed if c.type == changed.type else c for c in authz.challenges))


def _event(kind: str, actor: str, authz: Authorization, data: dict[str, str]) -> Event:
    return Event(
        kind,
        actor,
        (f"order:{authz.order_id}", f"account:{authz.account_id}"),
        {"authorization": str(authz.id), "name": authz.name, **data},
    )
