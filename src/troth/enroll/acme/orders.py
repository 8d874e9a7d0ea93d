"""Orders and their authorizations (RFC 8555, sections 7.4 and 7.5)."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID

import msgspec
from msgspec.structs import replace

from troth.audit.event import Event
from troth.enroll.acme import errors, store
from troth.enroll.acme.account_store import ACCOUNT_SIGNS
from troth.enroll.acme.admission import Admission, Admitted, Failing
from troth.enroll.acme.authorizations import (
    Proofs,
    authorize,
    domains_above,
    replace_challenge,
    unproved,
    with_challenge,
)
from troth.enroll.acme.chaos import Chaos
from troth.enroll.acme.device_admission import DeviceAdmission
from troth.enroll.acme.devices import DEVICE_TYPES
from troth.enroll.acme.directories import Directory
from troth.enroll.acme.identifiers import read_ancestors, read_identifiers, read_not_after, read_not_before
from troth.enroll.acme.lately import Lately
from troth.enroll.acme.model import DNS_ACCOUNT_01, DNS_PERSIST_01, Account, Authorization, Challenge, Order
from troth.enroll.acme.problems import AcmeProblem, Identifier
from troth.enroll.acme.renewal import Renewals, Replaced
from troth.enroll.acme.renewal_store import REPLACE
from troth.enroll.acme.standing import StandingProofs, lasting
from troth.enroll.acme.store import AcmeStore, encode_challenge, encode_challenges
from troth.enroll.acme.validate.dns_account01 import account_label
from troth.enroll.acme.validate.outcome import Valid
from troth.kit.clock import Clock, to_seconds
from troth.kit.ids import new_id
from troth.pki.catalogue import Catalogue
from troth.store.jobs import JOBS_CHANNEL, Job, enqueue
from troth.store.pool import Database
from troth.store.unit import Unit

VALIDATE_JOB = "acme.validate"
#: Woken when a validation has come to a result; see ``waiting``.
ANSWERED_CHANNEL = "troth_acme_answered"
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

    def __init__(
        self,
        database: Database,
        clock: Clock,
        rules: OrderRules,
        admission: Admission,
        renewals: Renewals | None = None,
        devices: DeviceAdmission | None = None,
        standing: StandingProofs | None = None,
        *,
        chaos: Chaos | None = None,
        lately: Lately | None = None,
    ) -> None:
        """Only who takes orders needs these: ``renewals`` judges what they say they replace, ``devices`` which devices
        may be asked for, ``standing`` finds proofs for which the client has nothing to do."""
        self._admission = admission
        self._devices = devices
        self._renewals = renewals
        self._standing = standing
        self._chaos = chaos or Chaos()
        self._lately = lately
        self._database = database
        self._store = AcmeStore(database.lookups)
        self._clock = clock
        self.rules = rules

    async def place(
        self,
        account: Account,
        payload: dict[str, Any],
        directory: Directory,
        catalogue: Catalogue,
        *,
        account_uri: str = "",
    ) -> Order:
        """A new order with one authorization per identifier.

        A name that the account has proved lately needs no new proof: its authorization is born valid, and expires
        when that proof does. Nor does one that the account's enrolment vouches for. ``account_uri``: how zones name the
        account (dns-persist-01).

        Raises AcmeProblem, with subproblems per identifier.
        """
        identifiers = read_identifiers(payload.get("identifiers"), self.rules.max_names, directory.identifiers)
        profile = directory.profile(payload.get("profile"), catalogue)
        read_not_before(payload.get("notBefore"))
        now = self._clock.now()
        order = Order(
            id=new_id(),
            account_id=account.id,
            profile=profile,
            status="pending",
            identifiers=identifiers,
            not_after=read_not_after(payload.get("notAfter"), now, now + directory.longest(profile, catalogue)),
            expires=to_seconds(now + self.rules.order_lifetime),
            error=None,
            attempt=0,
            csr_sha256=None,
            certificate_id=None,
        )
        replaced = None
        if self._renewals is not None:
            replaced = await self._renewals.replaced(account, payload.get("replaces"), identifiers)
        if replaced is not None:
            order = replace(order, replaces=replaced.cert_id)
        exempt = replaced is not None and replaced.exempt
        admitted = await self._admission.admit(account, identifiers, profile, exempt=exempt)
        if self._devices is not None:
            bound = self._admission.subject
            await self._devices.admit(account, identifiers, profile, directory.attesting, bound)
        ancestors = read_ancestors(payload["identifiers"], identifiers) if directory.subdomains else {}
        # A device proves itself for each order anew: its attestation is for one key.
        asked = [name for name in identifiers if name not in admitted.vouched and name.type not in DEVICE_TYPES]
        placing = _Placing(account, directory, admitted, ancestors, replaced, account_uri)
        try:
            try:
                return await self._place(order, placing, await self._proofs(account, directory, asked))
            except _Moved:
                # A proof was given up between look and commit: every name is proved anew.
                return await self._place(order, placing, Proofs())
        except Failing:
            raise await self._admission.problem(account, identifiers) from None

    async def _proofs(self, account: Account, directory: Directory, names: Sequence[Identifier]) -> Proofs:
        """What the account has proved of ``names``, or of the domains above them."""
        names = [name for name in names if self._chaos.reuses()]
        if not names:
            return Proofs()
        now = self._clock.now()
        held = await self._store.held(account.id, [name.value for name in names], now)
        if not directory.subdomains:
            return Proofs(held)
        above = [domain for name in names if name.type == "dns" for domain in domains_above(name.value)]
        return Proofs(held, await self._store.held_domains(account.id, above, now))

    async def _place(self, order: Order, placing: _Placing, proofs: Proofs) -> Order:
        account, directory = placing.account, placing.directory
        made = authorize(
            order,
            directory,
            vouched=placing.admitted.vouched,
            ancestors=placing.ancestors,
            proofs=proofs,
            now=self._clock.now(),
        )
        used = {id(proof): proof for name in order.identifiers if (proof := proofs.of(name)) is not None}
        if self._standing is not None and DNS_PERSIST_01 in directory.challenges:
            made = await self._standing.all_of(made, directory, placing.account_uri, placing.account)
        authorizations = tuple({authz.id: authz for authz in made.values()}.values())
        if all(authz.status == "valid" for authz in authorizations):
            # Like an order that becomes ready later, it lasts no longer than the proofs it stands on.
            order = replace(order, status="ready", expires=min(order.expires, *(a.expires for a in authorizations)))
        inactive = partial(AcmeProblem, errors.ACCOUNT_INACTIVE)
        unit = Unit().guard(ACCOUNT_SIGNS, account.id, account.thumbprint, refuse=inactive)
        for proof in used.values():
            unit.guard(store.AUTHZ_IS, proof.id, "valid", refuse=_Moved)
        self._admission.guard(unit, account, placing.admitted, unproved(made))
        replaced = placing.replaced
        if replaced is not None:
            taken = AcmeProblem(errors.ALREADY_REPLACED)
            key = ("acme_replacement", replaced.certificate_id)
            unit.claim(REPLACE, replaced.certificate_id, order.id, self._clock.now(), refuse=taken, key=key)
        encoded = msgspec.json.encode([(name.type, name.value) for name in order.identifiers]).decode()
        unit.write(
            store.ADD_ORDER,
            order.id,
            account.id,
            order.profile,
            order.status,
            encoded,
            order.not_after,
            order.expires,
            self._clock.now(),
            order.replaces,
        )
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
                authz.subdomains,
            )
        unit.record(
            Event(
                "acme.order.placed",
                f"acme:{account.id}",
                (f"order:{order.id}", f"account:{account.id}"),
                {"profile": order.profile, "names": [name.value for name in order.identifiers]},
            )
        )
        begun = self._clock.monotonic()
        await self._database.commit(unit)
        order = replace(order, authorizations=tuple(authz.id for authz in authorizations))
        if self._lately is not None:
            self._lately.placed(order, authorizations, begun)
        return order

    def order(self, account: Account, order: Order | None) -> Order:
        """``order``, if it is one of ``account``; one that ran out is shown as invalid. Raises AcmeProblem."""
        if order is None:
            raise AcmeProblem(errors.NOT_FOUND, "there is no such order")
        if order.account_id != account.id:
            raise AcmeProblem(errors.ACCOUNT_FOREIGN, "the order belongs to another account")
        if order.status in ("pending", "ready") and order.expires <= self._clock.now():
            return replace(order, status="invalid")
        return order

    @property
    def page(self) -> int:
        """How many orders are on a page of an account's list."""
        return self._chaos.page(PAGE)

    async def orders(self, account: Account, after: UUID) -> list[UUID]:
        """At most :attr:`page` + 1 of an account's orders above ``after``; the last tells that there are more."""
        return await self._store.orders_of(account.id, after=after, now=self._clock.now(), limit=self.page + 1)

    def authorization(self, account: Account, authz: Authorization | None) -> Authorization:
        """``authz``, if it is one of ``account``; one that ran out is shown as such. Raises AcmeProblem."""
        if authz is None:
            raise AcmeProblem(errors.NOT_FOUND, "there is no such authorization")
        if authz.account_id != account.id:
            raise AcmeProblem(errors.ACCOUNT_FOREIGN, "the authorization belongs to another account")
        if authz.status in ("pending", "valid") and authz.expires <= self._clock.now():
            # Section 7.1.6: only what was valid expires; what was never proved has failed.
            return replace(authz, status="expired" if authz.status == "valid" else "invalid")
        return authz

    async def deactivate(self, account: Account, authz: Authorization) -> Authorization:
        """Give an authorization up (section 7.5.2).

        A valid one is a proof that other orders may stand on as well; all that the account holds for the name goes
        with it, and so does every order that has not been finalized.
        """
        if authz.status not in ("pending", "valid"):
            return authz
        name = authz.identifier
        unit = self._locked(authz).exclusively(("acme_authz", authz.id)).write(store.DEACTIVATE_AUTHZ, authz.id)
        unit.write(store.SETTLE_ORDER, authz.order_id, None)
        if authz.status == "valid":
            unit.write(store.GIVE_UP, account.id, name.type, name.value, authz.wildcard)
            unit.write(store.GIVE_UP_ORDERS, account.id, name.type, name.value, authz.wildcard)
        unit.record(_event("acme.authorization.deactivated", f"acme:{account.id}", authz, {}))
        await self._database.commit(unit)
        return replace(authz, status="deactivated")

    async def answer(
        self, account: Account, authz: Authorization, kind: str, *, account_url: str = ""
    ) -> Authorization:
        """The client says that a challenge can be checked. Idempotent: a second call returns the present state.

        ``account_url`` is its ``kid``, of which dns-account-01 makes a label.
        """
        challenge = authz.challenge(kind)
        if challenge is None:
            raise AcmeProblem(errors.NOT_FOUND, "there is no such challenge")
        if authz.status != "pending" or challenge.status != "pending":
            return authz
        answered = replace_challenge(challenge, status="processing")
        unit = Unit().guard(store.AUTHZ_PENDING, authz.id, refuse=_Moved, key=("acme_authz", authz.id))
        unit.write(store.SET_CHALLENGE, authz.id, "pending", authz.expires, encode_challenge(answered))
        enqueue(unit, validation(authz, kind, self._clock.now(), label=self.label(kind, account_url)))
        try:
            await self._database.commit(unit)
        except _Moved:
            return self.authorization(account, await self._store.authorization(authz.id))
        self._database.wake(JOBS_CHANNEL)
        return with_challenge(authz, answered)

    @staticmethod
    def label(kind: str, account_url: str) -> str:
        """Of dns-account-01. It is kept, and not the URL: that may hold the secret of an enrolment."""
        return account_label(account_url) if kind == DNS_ACCOUNT_01 else ""

    async def settle(
        self,
        authz: Authorization,
        challenge: Challenge,
        status: str,
        data: dict[str, str],
        *,
        with_job: Callable[[Unit], Unit],
        joined: Unit | None = None,
        proof: Valid | None = None,
        queued: bool = True,
    ) -> Authorization | None:
        """Write the result of a validation: the challenge, its authorization, its order, and the job's end with them.

        ``status`` is the authorization's: ``pending`` when the validation will be tried again. ``joined`` is what is
        written beside it; its refusals are raised. ``proof``, where it is valid, may say how long it holds. ``queued``:
        a job asked for it, which ends even if nothing is left to be written, and whose result others wait for.

        Returns the authorization as it is now; None if it was decided otherwise meanwhile.
        """
        unit = self._locked(authz).guard(store.AUTHZ_PENDING, authz.id, refuse=_Moved, key=("acme_authz", authz.id))
        unit = unit if joined is None else unit.absorb(joined)
        expires = authz.expires
        if status == "valid":
            expires = lasting(self._clock.now(), self.rules.proof_lifetime, proof or Valid(()))
        unit.write(store.SET_CHALLENGE, authz.id, status, expires, encode_challenge(challenge))
        if status != "pending":
            unit.write(store.SETTLE_ORDER, authz.order_id, json.dumps(challenge.error) if challenge.error else None)
            unit.record(_event(f"acme.authorization.{status}", "system:validator", authz, data))
            name = Identifier(authz.identifier.type, authz.name)
            self._admission.settled(unit, authz.account_id, name, valid=status == "valid")
        moved, begun = False, self._clock.monotonic()
        try:
            await self._database.commit(with_job(unit))
        except _Moved:
            moved = True
            if queued:
                await self._database.commit(with_job(Unit()))
        if queued:
            self._database.wake(ANSWERED_CHANNEL)
        if moved:
            return None
        settled = replace(with_challenge(authz, challenge), status=status, expires=expires)
        if self._lately is not None and status == "valid":
            self._lately.proved(settled, begun)
        return settled

    @staticmethod
    def _locked(authz: Authorization) -> Unit:
        """Under the order's lock, so that the last two authorizations of an order see each other."""
        return Unit().guard(store.LOCK_ORDER, authz.order_id, refuse=_NO_ORDER, key=("acme_order", authz.order_id))


def validation(authz: Authorization, kind: str, due: datetime, *, label: str = "", tried: int = 0) -> Job:
    """The job that validates a challenge. ``tried``: how often that was done without one."""
    more = {"label": label} if label else {}
    counted = {"tried": tried} if tried else {}
    payload = {"authz": str(authz.id), "type": kind, **more, **counted}
    return Job(VALIDATE_JOB, f"{authz.id}/{kind}", due, payload)


#: Made where it is needed: an order that is locked is there as a rule.
_NO_ORDER = partial(AcmeProblem, errors.NOT_FOUND)


class _Placing(msgspec.Struct, frozen=True):
    """What an order is placed with, apart from itself."""

    account: Account
    directory: Directory
    admitted: Admitted
    ancestors: Mapping[Identifier, str]
    replaced: Replaced | None
    account_uri: str


class _Moved(Exception):
    """The authorization was decided, or given up, meanwhile."""


def _event(kind: str, actor: str, authz: Authorization, data: dict[str, str]) -> Event:
    return Event(
        kind,
        actor,
        (f"order:{authz.order_id}", f"account:{authz.account_id}"),
        {"authorization": str(authz.id), "name": authz.name, **data},
    )
