"""``POST /agent/report``: what an agent found, signed as every request of an agent (``enroll.workload.node``)."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from troth.enroll.compromise import Allowance, network_of
from troth.enroll.errors import ProofsLimited
from troth.enroll.workload.node import NodeDesk
from troth.inventory.errors import REPORT_TOO_OFTEN, ReportRefused
from troth.inventory.service import Reports
from troth.kit.clock import Clock
from troth.kit.errors import INTERNAL, TrothError, trace_of
from troth.kit.lane import Request, Response, Route
from troth.kit.log import get_logger
from troth.kit.problems import problem
from troth.trust.model import Subject

log = get_logger("inventory")

REPORT = "/agent/report"
MAX_BODY = 4 * 1024 * 1024
#: Reports a minute: of one agent, and from one network before a signature is looked at.
PER_AGENT, PER_NETWORK = 4, 60


class ReportDoor:
    """See the module.

    Args:
        base: how the world reaches this listener, without a slash at the end.
    """

    def __init__(self, base: str, nodes: NodeDesk, reports: Reports, clock: Clock) -> None:
        self._url = f"{base}{REPORT}"
        self._nodes = nodes
        self._reports = reports
        self._each = Allowance(clock, PER_AGENT)
        self._network = Allowance(clock, PER_NETWORK)

    def routes(self) -> Sequence[Route]:
        """What to put on the https lane."""
        return (Route(REPORT, {"POST": self.receive}, permission="public", max_body=MAX_BODY),)

    async def receive(self, request: Request) -> Response:
        """One report; what it says is durable before the answer."""
        try:
            _take(self._network, network_of(request.client))
            node = await self._nodes.open(request, self._url, admit=self._admit)
            taken = await self._reports.take(node)
        except TrothError as refusal:
            reason, detail, status = refusal.reason, refusal.detail, refusal.reason.status
            if status >= 500:
                log.warning("report.failed", code=refusal.code, exc_info=trace_of(refusal))
                reason, detail, status = INTERNAL, "something failed inside Troth; try again later", 503
            else:
                log.info("report.refused", code=refusal.code, client=request.client)
            return Response(status, problem(reason, detail, status), self._headers(b"application/problem+json"))
        log.info("report.taken", host=node.subject.name, certificates=taken.certificates, facts=taken.facts)
        return Response(200, msgspec.json.encode(taken), self._headers(b"application/json"))

    def _admit(self, subject: Subject) -> None:
        _take(self._each, str(subject.id))

    def _headers(self, kind: bytes) -> tuple[tuple[bytes, bytes], ...]:
        nonce = self._nodes.nonce().encode()
        return ((b"content-type", kind), (b"cache-control", b"no-store"), (b"replay-nonce", nonce))


def _take(allowance: Allowance, name: str) -> None:
    try:
        allowance.take(name)
    except ProofsLimited as limited:
        raise ReportRefused(REPORT_TOO_OFTEN) from limited
