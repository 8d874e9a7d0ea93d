"""Authorizations before there is an order (RFC 8555, 7.4.1; RFC 9444, 4.1).

A client that sets a machine up proves a name first and orders later; a whole domain is proved once for what will be
ordered below it. An authorization lies in an order everywhere else, so one that comes first gets an order of its own
which is never told to anybody, has no profile and can never be finalized: it is born ``invalid``. So all that settles,
closes and forgets authorizations serves these as well.
"""

from __future__ import annotations

import json
from typing import Any

from troth.audit.event import Event
from troth.enroll.acme import errors, store
from troth.enroll.acme.account_store import ACCOUNT_VALID
from troth.enroll.acme.admission import Admission, Failing
from troth.enroll.acme.authorizations import Proofs, authorize, unproved
from troth.enroll.acme.devices import DEVICE_TYPES
from troth.enroll.acme.directories import Directory
from troth.enroll.acme.door import Case, Envelope
from troth.enroll.acme.identifiers import read_identifiers
from troth.enroll.acme.model import Account, Authorization, Order
from troth.enroll.acme.orders import OrderRules
from troth.enroll.acme.problems import AcmeProblem, Identifier
from troth.enroll.acme.store import encode_challenges
from troth.enroll.acme.views import authz_view
from troth.kit.clock import Clock, to_seconds
from troth.kit.ids import new_id
from troth.kit.lane import Response, Route
from troth.store.pool import Database
from troth.store.unit import Unit

PATH = "new-authz"


class PreAuthorizations:
    """See the module."""

    def __init__(self, database: Database, clock: Clock, rules: OrderRules, admission: Admission) -> None:
        self._database = database
        self._clock = clock
        self._rules = rules
        self._admission = admission

    async def authorize(self, account: Account, payload: dict[str, Any], directory: Directory) -> Authorization:
        """A new authorization for the identifier in ``payload``. Raises AcmeProblem."""
        if not directory.pre_authorization:
            raise AcmeProblem(errors.NOT_FOUND, "this directory offers no pre-authorization")
        name, whole = _read(payload.get("identifier"), directory)
        now = self._clock.now()
        admitted = await self._admission.admit(account, (name,), None)
        order = Order(
            id=new_id(),
            account_id=account.id,
            profile="",
            status="invalid",
            identifiers=(name,),
            not_after=None,
            expires=to_seconds(now + self._rules.order_lifetime),
            error=None,
            attempt=0,
            csr_sha256=None,
            certificate_id=None,
        )
        ancestors = {name: name.value} if whole else {}
        made = authorize(order, directory, vouched=admitted.vouched, ancestors=ancestors, proofs=Proofs(), now=now)
        authz = made[name]
        unit = Unit().guard(ACCOUNT_VALID, account.id, refuse=AcmeProblem(errors.ACCOUNT_INACTIVE))
        self._admission.guard(unit, account, admitted, unproved(made))
        encoded = json.dumps([[name.type, name.value]])
        unit.write(
            store.ADD_ORDER, order.id, account.id, order.profile, order.status, encoded, None, order.expires, now, None
        )
        unit.write(
            store.ADD_AUTHZ, authz.id, order.id, account.id, authz.identifier.type, authz.identifier.value,
            authz.wildcard, authz.status, authz.expires, encode_challenges(authz.challenges), authz.subdomains,
        )  # fmt: skip
        data = {"authorization": str(authz.id), "name": name.value}
        unit.record(Event("acme.authorization.asked", f"acme:{account.id}", (f"account:{account.id}",), data))
        try:
            await self._database.commit(unit)
        except Failing:
            raise await self._admission.problem(account, (name,)) from None
        return authz


def _read(value: object, directory: Directory) -> tuple[Identifier, bool]:
    """The identifier, and whether the authorization shall hold for all names below it."""
    if not isinstance(value, dict):
        raise AcmeProblem(errors.MALFORMED, "identifier is not an object")
    # A device proves itself for one key, and there is none before an order.
    kinds = [kind for kind in directory.identifiers if kind not in DEVICE_TYPES]
    [name] = read_identifiers([value], 1, kinds)
    if name.value.startswith("*."):
        raise AcmeProblem(errors.IDENTIFIER_MALFORMED, "wildcards are authorized with an order", identifier=name)
    whole = value.get("subdomainAuthAllowed", False)
    if not isinstance(whole, bool):
        raise AcmeProblem(errors.MALFORMED, "subdomainAuthAllowed is not true or false")
    return name, whole and name.type == "dns" and directory.subdomains


class PreAuthorizationRoutes:
    """newAuthz."""

    def __init__(self, envelope: Envelope, desk: PreAuthorizations) -> None:
        self._envelope = envelope
        self._desk = desk

    def routes(self) -> list[Route]:
        """Its route."""
        return [*self._envelope.post(PATH, self._new_authz)]

    async def _new_authz(self, case: Case) -> Response:
        authz = await self._desk.authorize(case.account, case.signed.json(), case.directory)
        return self._envelope.answer(case, 201, authz_view(authz, case.urls), location=case.urls.authz(authz.id))
