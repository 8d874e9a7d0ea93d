"""The workload door: ``/workload/nonce``, ``/workload/svid``, ``/workload/jwt``, ``/workload/standing``,
``/workload/bundle``.

Every answer to a signed request carries a fresh ``Replay-Nonce``. Refusals are problem documents with a stable code.
"""

from __future__ import annotations

import base64
from collections.abc import Awaitable, Callable, Sequence

import msgspec

from troth.enroll.compromise import Allowance, network_of
from troth.enroll.errors import ProofsLimited
from troth.enroll.workload import bundle
from troth.enroll.workload.desk import SvidDesk
from troth.enroll.workload.errors import TOO_MANY, NodeRefused
from troth.enroll.workload.jwt import JwtDesk
from troth.enroll.workload.node import Node, NodeDesk
from troth.kit.clock import Clock
from troth.kit.errors import INTERNAL, Reason, TrothError, trace_of
from troth.kit.lane import Request, Response, Route
from troth.kit.log import get_logger
from troth.kit.problems import problem
from troth.trust.model import Subject

log = get_logger("enroll")

NONCE, SVID, STANDING, BUNDLE = "/workload/nonce", "/workload/svid", "/workload/standing", "/workload/bundle"
JWT = "/workload/jwt"
#: Requests a minute from one network before a signature is looked at, in multiples of one agent's allowance.
_NETWORK = 20
_MAX_BODY = 65_536


class WorkloadDoor:
    """See the module.

    Args:
        base: how the world reaches this listener, without a slash at the end; signed URLs begin with it.
        per_minute: requests that each agent has in a minute, in each process.
    """

    def __init__(
        self, base: str, nodes: NodeDesk, desk: SvidDesk, jwts: JwtDesk, clock: Clock, *, per_minute: int = 120
    ) -> None:
        self._base = base
        self._nodes = nodes
        self._desk = desk
        self._jwts = jwts
        self._clock = clock
        self._each = Allowance(clock, per_minute)
        self._network = Allowance(clock, per_minute * _NETWORK)

    def routes(self) -> Sequence[Route]:
        """What to put on the https lane."""
        return (
            Route(NONCE, {"GET": self.nonce, "HEAD": self.nonce}, permission="public"),
            Route(SVID, {"POST": self.svid}, permission="public", max_body=_MAX_BODY),
            Route(JWT, {"POST": self.jwt}, permission="public", max_body=_MAX_BODY),
            Route(STANDING, {"POST": self.standing}, permission="public", max_body=_MAX_BODY),
            Route(BUNDLE, {"GET": self.bundle}, permission="public"),
        )

    async def nonce(self, request: Request) -> Response:
        """A nonce in the header, nothing else."""
        return Response(204, b"", self._headers(b"text/plain"))

    async def bundle(self, request: Request) -> Response:
        """The roots and the keys of tokens, for anybody: a SPIFFE bundle endpoint (profile https_web)."""
        headers = ((b"content-type", b"application/json"), (b"cache-control", b"max-age=%d" % bundle.REFRESH_HINT))
        return Response(200, bundle.document(self._desk.roots(), await self._jwts.keys.published() or ()), headers)

    async def jwt(self, request: Request) -> Response:
        """A token for a workload of the node that asks."""

        async def issue(node: Node) -> object:
            made = await self._jwts.issue(node, address=request.client)
            log.info("jwt_svid.issued", spiffe_id=made.spiffe_id, node=node.subject.name)
            return {
                "spiffe_id": made.spiffe_id,
                "token": made.token,
                "expires_at": made.expires_at.isoformat(),
                "jwt_keys": made.keys,
            }

        return await self._signed(request, "jwt", JWT, issue)

    async def svid(self, request: Request) -> Response:
        """A certificate for a workload of the node that asks."""

        async def issue(node: Node) -> object:
            svid = await self._desk.issue(node, address=request.client)
            chain = (svid.certificate.der, *svid.certificate.chain)
            log.info("svid.issued", spiffe_id=svid.spiffe_id, node=node.subject.name)
            return {
                "spiffe_id": svid.spiffe_id,
                "chain": [base64.b64encode(one).decode() for one in chain],
                "not_after": svid.certificate.not_after.isoformat(),
                "roots": [base64.b64encode(one).decode() for one in svid.roots],
                "bundle": svid.bundle,
                "jwt_keys": await self._jwts.keys.published(),
            }

        return await self._signed(request, "svid", SVID, issue)

    async def standing(self, request: Request) -> Response:
        """Which of the named SVIDs are in force no more; the digest of the bundle."""

        async def look(node: Node) -> object:
            ended, roots = await self._desk.standing(node)
            return {
                "ended": ended,
                "roots": [base64.b64encode(one.certificate).decode() for one in roots],
                "bundle": bundle.digest(roots),
                "jwt_keys": await self._jwts.keys.published(),
            }

        return await self._signed(request, "standing", STANDING, look)

    async def _signed(
        self, request: Request, name: str, path: str, act: Callable[[Node], Awaitable[object]]
    ) -> Response:
        try:
            _take(self._network, network_of(request.client))
            node = await self._nodes.open(request, f"{self._base}{path}", admit=self._admit)
            told = await act(node)
        except TrothError as refusal:
            if refusal.reason.status >= 500:
                # What failed below is the log's; the agent only has to try again.
                log.warning("workload.failed", code=refusal.code, request=name, exc_info=trace_of(refusal))
                return self._problem(INTERNAL, "something failed inside Troth; try again later", 503)
            log.info("workload.refused", code=refusal.code, request=name, client=request.client)
            return self._problem(refusal.reason, refusal.detail)
        return Response(200, msgspec.json.encode(told), self._headers(b"application/json"))

    def _admit(self, subject: Subject) -> None:
        _take(self._each, str(subject.id))

    def _problem(self, reason: Reason, detail: str, status: int = 0) -> Response:
        status = status or reason.status
        return Response(status, problem(reason, detail, status), self._headers(b"application/problem+json"))

    def _headers(self, kind: bytes) -> tuple[tuple[bytes, bytes], ...]:
        nonce = self._nodes.nonce().encode()
        return ((b"content-type", kind), (b"cache-control", b"no-store"), (b"replay-nonce", nonce))


def _take(allowance: Allowance, name: str) -> None:
    try:
        allowance.take(name)
    except ProofsLimited as limited:
        raise NodeRefused(TOO_MANY) from limited
