"""Orders, authorizations and challenges over HTTP (RFC 8555, sections 7.4 and 7.5)."""

from __future__ import annotations

from troth.enroll.acme import errors
from troth.enroll.acme.attesting import MAX_ANSWER, AttestationDesk
from troth.enroll.acme.chaos import Chaos
from troth.enroll.acme.direct import Direct
from troth.enroll.acme.door import A_SECOND, Case, Envelope
from troth.enroll.acme.finalize import Finalizer
from troth.enroll.acme.model import DEVICE_ATTEST_01, Order
from troth.enroll.acme.orders import OrderDesk
from troth.enroll.acme.problems import AcmeProblem
from troth.enroll.acme.results import Results
from troth.enroll.acme.store import AcmeStore
from troth.enroll.acme.views import authz_view, challenge_view, order_view
from troth.kit.lane import Response, Route
from troth.pki.catalogue import Catalogue


class OrderRoutes:
    """newOrder, the order and its finalize, authorizations and their challenges."""

    def __init__(
        self,
        envelope: Envelope,
        orders: OrderDesk,
        finalizer: Finalizer,
        results: Results,
        store: AcmeStore,
        catalogue: Catalogue,
        attesting: AttestationDesk,
        direct: Direct | None = None,
        chaos: Chaos | None = None,
    ) -> None:
        """``direct``: who validates while the client waits; without it, jobs do. ``chaos``: test mode."""
        self._chaos = chaos or Chaos()
        self._direct = direct
        self._attesting = attesting
        self._envelope = envelope
        self._orders = orders
        self._finalizer = finalizer
        self._results = results
        self._store = store
        self._catalogue = catalogue

    def routes(self) -> list[Route]:
        """Their routes."""
        post, store, lately = self._envelope.post, self._store, self._envelope.lately
        new_order, finalize = (lately.for_new_order, lately.for_finalize) if lately is not None else (None, None)
        return [
            *post("new-order", self._new_order, loan=new_order),
            *post("order/{}", self._order, look=store.account_and_order),
            *post("order/{}/finalize", self._finalize, look=store.account_order_and_proofs, loan=finalize),
            *post("authz/{}", self._authz, look=store.account_and_authorization),
            *post("chall/{}/{}", self._challenge, look=store.account_and_authorization, max_body=MAX_ANSWER),
        ]

    async def _new_order(self, case: Case) -> Response:
        account = case.account
        account_uri = case.urls.account_uri(account.id)
        order = await self._orders.place(
            account, case.signed.json(), case.directory, self._catalogue, account_uri=account_uri
        )
        return self._envelope.answer(case, 201, order_view(order, case.urls), location=case.urls.order(order.id))

    async def _order(self, case: Case) -> Response:
        order = self._orders.order(case.account, case.found)
        return self._order_answer(case, await self._finalizer.recovered(order))

    async def _finalize(self, case: Case) -> Response:
        found, proofs = case.found or (None, ())
        order = self._orders.order(case.account, found)
        if order.status == "ready":
            case.directory.still(order.profile, self._catalogue)  # the operator may have thought better of it
        order = await self._finalizer.finalize(
            case.account,
            order,
            case.signed.json(),
            case.directory,
            account_uri=case.urls.account_uri(case.account.id),
            client=case.request.client,
            # They were read with the order. An order that is given up meanwhile is not ready any more, which the
            # reservation is guarded by.
            proofs=proofs,
        )
        return self._order_answer(case, order)

    def _order_answer(self, case: Case, order: Order) -> Response:
        order = self._chaos.told(order)
        waiting = (A_SECOND,) if order.status == "processing" else ()
        # acme.sh and mod_md look for the order's Location here too, where RFC 8555 asks for none.
        where = case.urls.order(order.id)
        return self._envelope.answer(case, 200, order_view(order, case.urls), *waiting, location=where)

    async def _authz(self, case: Case) -> Response:
        account = case.account
        authz = self._orders.authorization(account, case.found)
        if not case.signed.is_post_as_get:
            if case.signed.json().get("status") != "deactivated":
                raise AcmeProblem(errors.MALFORMED, "an authorization can only be deactivated")
            authz = await self._orders.deactivate(account, authz)
        # Said only where a try has failed and the next is due: a first validation takes milliseconds, and a client
        # that is told a second waits it out.
        failing = authz.status == "pending" and any(challenge.error for challenge in authz.challenges)
        waiting = (A_SECOND,) if failing else ()
        return self._envelope.answer(case, 200, authz_view(authz, case.urls), *waiting)

    async def _challenge(self, case: Case) -> Response:
        account, urls, kind = case.account, case.urls, case.params[1]
        authz = self._orders.authorization(account, case.found)
        if not case.signed.is_post_as_get:
            said = case.signed.json()  # a response object, empty for these types (erratum 5729); members are ignored
            if kind == DEVICE_ATTEST_01:
                thumbprint = self._envelope.keys.stored(account.jwk).thumbprint
                authz = await self._attesting.answer(account, authz, case.directory, said, thumbprint)
            else:
                answering = self._orders if self._direct is None else self._direct
                authz = await answering.answer(account, authz, kind, account_url=urls.account(account.id))
                authz = await self._results.of(authz)
        challenge = authz.challenge(kind)
        if challenge is None:
            raise AcmeProblem(errors.NOT_FOUND, "there is no such challenge")
        # python-acme raises without the "up" link.
        up = (b"link", f'<{urls.authz(authz.id)}>;rel="up"'.encode())
        # lego polls every five seconds unless this answer says otherwise.
        waiting = (A_SECOND,) if challenge.status == "processing" else ()
        view, where = challenge_view(authz, challenge, urls), urls.challenge(authz.id, kind)
        return self._envelope.answer(case, 200, view, up, *waiting, location=where)
