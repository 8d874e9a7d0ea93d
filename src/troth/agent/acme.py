"""Certificates by ACME (RFC 8555): one order for one attempt, whatever happens in between.

What must not be done twice is written down before it is done. An order whose answer was lost (a kill, a cut line) is
looked for in the account's list; an order that was finalised is waited for; only one that is dead is made again.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import msgspec
from cryptography import x509

from troth.agent.account import Accounts, is_unknown_account
from troth.agent.config import DEVICE
from troth.agent.errors import CHALLENGE, AgentError
from troth.agent.keys.model import HeldKey
from troth.agent.settings import ChallengeSettings
from troth.agent.solvers.attest01 import AttestSolver
from troth.agent.solvers.build import Solvers
from troth.agent.solvers.model import Proof, Solver
from troth.agent.source import Remember, Request, Suggestion
from troth.agent.state import Window
from troth.client.acme import AcmeClient, AcmeError
from troth.client.acme_objects import Authorization, Order
from troth.client.acme_session import decode
from troth.client.csr import certificate_request
from troth.client.renewal import cert_id
from troth.kit.errors import TrothError
from troth.kit.log import get_logger

log = get_logger("agent")

_ORDERS_READ = 20
_PAGES_READ = 5
_ALTERNATES_READ = 4
_DEAD = frozenset({"invalid"})


class _DeadProof(AgentError):
    """An authorization of the order can be fulfilled no more."""


class _OrderList(msgspec.Struct, frozen=True):
    orders: tuple[str, ...] = ()


class AcmeSource:
    """See :class:`~troth.agent.source.Source`.

    Args:
        prepare: has the key's place ready to attest; called before it is asked to.
        wait: seconds that are given to a validation, and to an issuance.
    """

    def __init__(
        self,
        accounts: Accounts,
        solvers: Solvers,
        *,
        prepare: Callable[[], Awaitable[None]] | None = None,
        wait: float = 120.0,
    ) -> None:
        self._accounts = accounts
        self._solvers = solvers
        self._prepare = prepare or _nothing
        self._wait = wait

    async def obtain(
        self, request: Request, key: HeldKey, bookmark: Mapping[str, str], remember: Remember
    ) -> Sequence[bytes]:
        async with self._client() as client:
            order = await self._order(client, request, bookmark, remember)
            try:
                await self._prove(client, order, request.challenge, key)
            except _DeadProof:
                remember({})  # whatever the server makes of the order, nothing can come of it
                raise
            order = await client.order(order.url)
            if order.status not in ("processing", "valid"):
                csr = await asyncio.to_thread(_request, key, request)
                order = await client.finalize(order, csr)
            order = await client.wait_order(order, timeout=self._wait)
            return await _chains(client, order)

    async def suggest(self, leaf: x509.Certificate) -> Suggestion | None:
        async with self._client() as client:
            told = await client.renewal_info(leaf)
        if told is None:
            return None
        return Suggestion(Window(told.start, told.end, told.explanation_url), told.retry_after)

    @asynccontextmanager
    async def _client(self) -> AsyncIterator[AcmeClient]:
        try:
            async with self._accounts.client() as client:
                yield client
        except AcmeError as error:
            if is_unknown_account(error):
                self._accounts.forget()
            raise

    # The order.

    async def _order(
        self, client: AcmeClient, request: Request, bookmark: Mapping[str, str], remember: Remember
    ) -> Order:
        if bookmark.get("order"):
            found = await _living(client, bookmark["order"])
            if found is not None:
                log.info("agent.order_resumed", order=self._accounts.shown(found.url), status=found.status)
                return found
        elif bookmark.get("ordering"):
            found = await _lost(client, request)
            if found is not None:
                log.info("agent.order_found", order=self._accounts.shown(found.url), status=found.status)
                remember({"order": found.url})
                return found
        remember({"ordering": "yes"})
        order = await _new_order(client, request)
        remember({"order": order.url})
        return order

    # The proofs.

    async def _prove(self, client: AcmeClient, order: Order, settings: ChallengeSettings | None, key: HeldKey) -> None:
        if order.status != "pending":
            return
        found = [await client.authorization(url) for url in order.authorizations]
        # One by one: two proofs for a name and its wildcard share a TXT record.
        for authorization in found:
            if authorization.status == "pending":
                await self._prove_one(client, authorization, settings, key)
            elif authorization.status != "valid":
                name = authorization.identifier.value
                raise _DeadProof(
                    CHALLENGE, f"the proof for {name} is {authorization.status}; the next try makes another"
                )

    async def _prove_one(
        self, client: AcmeClient, authorization: Authorization, settings: ChallengeSettings | None, key: HeldKey
    ) -> None:
        name = authorization.identifier.value
        offered = ", ".join(challenge.type for challenge in authorization.challenges) or "nothing"
        if authorization.identifier.type in DEVICE:
            solver: Solver = AttestSolver(key, self._prepare)
        elif settings is not None:
            solver = self._solvers.make(settings)
        else:
            raise AgentError(CHALLENGE, f"the server wants a proof for {name} ({offered}), and no `challenge` is set")
        challenge = authorization.challenge(solver.challenge)
        if challenge is None:
            raise AgentError(CHALLENGE, f"for {name} the server offers {offered}, not {solver.challenge}")
        token = challenge.token
        proof = Proof(
            authorization.identifier.type, name, token, client.key_authorization(token), client.dns_value(token)
        )
        async with AsyncExitStack() as stack:
            answer: Mapping[str, Any] = await stack.enter_async_context(solver.shown(proof))
            if challenge.status == "pending":
                await client.answer(challenge, dict(answer))
            await client.wait_authorization(authorization.url, timeout=self._wait, interval=0.2)


async def _new_order(client: AcmeClient, request: Request) -> Order:
    names = [(one.type, one.value) for one in request.identifiers]
    replaces = _name_of(request.replaces) if request.replaces and client.directory.renewal_info else ""
    try:
        return await client.new_order(names, profile=request.profile, replaces=replaces)
    except AcmeError as error:
        # Whose renewal this is does not matter enough to go without one (RFC 9773, 5: a server may refuse it).
        if not replaces or error.problem.short_type not in ("alreadyReplaced", "malformed", "unauthorized"):
            raise
        log.info("agent.replaces_refused", detail=error.detail)
        return await client.new_order(names, profile=request.profile)


def _name_of(leaf: str) -> str:
    try:
        return cert_id(x509.load_pem_x509_certificate(leaf.encode()))
    except (ValueError, TrothError):
        return ""  # without an authority key identifier it has no name


async def _chains(client: AcmeClient, order: Order) -> list[bytes]:
    """The certificate with each chain that the server has for it (RFC 8555, 7.4.2)."""
    answer = await client.post(order.certificate)
    others = [(await client.post(url)).body for url in answer.links("alternate")[:_ALTERNATES_READ]]
    return [answer.body, *others]


async def _nothing() -> None:
    return None


def _request(key: HeldKey, request: Request) -> bytes:
    """The certificate request: the names that have a place in one; what a device is called stands in the order."""
    names = {kind: [one.value for one in request.identifiers if one.type == kind] for kind in ("dns", "ip")}
    return certificate_request(key.private_key(), dns=names["dns"], ip=names["ip"])


async def _living(client: AcmeClient, url: str) -> Order | None:
    """The order at ``url``, unless it is dead or the server does not know it."""
    try:
        order = await client.order(url)
    except AcmeError as error:
        if error.status in (403, 404):
            return None
        raise
    return None if order.status in _DEAD else order


async def _lost(client: AcmeClient, request: Request) -> Order | None:
    """A living order of this account for exactly these names, newest first: one that was made and not answered.

    A server without the list of orders (RFC 8555, 7.1.2.1) gives nothing, and then the lost order expires there.
    """
    wanted = {(one.type, one.value) for one in request.identifiers}
    try:
        urls = await _listed(client)
    except TrothError as error:
        log.info("agent.no_order_list", detail=error.detail)
        return None
    for url in urls:
        order = await _living(client, url)
        if order is None or order.status == "valid":
            continue  # a valid one has its certificate, which is for the key of an attempt that ended
        same_profile = not request.profile or order.profile in ("", request.profile)
        if same_profile and {(one.type, one.value) for one in order.identifiers} == wanted:
            return order
    return None


async def _listed(client: AcmeClient) -> list[str]:
    """The account's orders, the last ones listed first."""
    account = await client.account()
    found: list[str] = []
    url = account.orders
    for _ in range(_PAGES_READ):
        if not url:
            break
        answer = await client.post(url)
        found += decode(answer, _OrderList).orders
        url = next(iter(answer.links("next")), "")
    return found[::-1][:_ORDERS_READ]
