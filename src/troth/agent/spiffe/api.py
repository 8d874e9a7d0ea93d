"""The Workload API: each call is answered for the process that made it (SPIFFE Workload API, sections 4 and 5)."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence

from troth.agent.errors import AgentError
from troth.agent.spiffe.caller import Caller, identify
from troth.agent.spiffe.http2 import Call, Code, Status
from troth.agent.spiffe.jwt_messages import FETCH_JWT_BUNDLES, FETCH_JWT_SVID, VALIDATE_JWT_SVID
from troth.agent.spiffe.messages import (
    FETCH_X509_BUNDLES,
    FETCH_X509_SVID,
    X509Svid,
    x509_bundles_response,
    x509_svid_response,
)
from troth.agent.spiffe.pods import Pods
from troth.agent.spiffe.settings import WorkloadSettings
from troth.agent.spiffe.svids import Svids
from troth.agent.spiffe.tokens import NOBODY, TokenCalls
from troth.kit.log import get_logger

log = get_logger("agent")

#: Section 4.1: without it the request may be one that a browser or a proxy was made to send (SSRF).
SECURITY_HEADER = "workload.spiffe.io"


class WorkloadApi:
    """See the module.

    Args:
        identify: of a call's socket, who is there.
    """

    def __init__(
        self,
        svids: Svids,
        tokens: TokenCalls,
        workloads: Sequence[WorkloadSettings],
        pods: Pods | None,
        *,
        identify: Callable[..., Caller] = identify,
    ) -> None:
        self._svids = svids
        self._tokens = tokens
        self._workloads = [(one.name, frozenset(one.selectors)) for one in workloads]
        self._pods = pods
        self._identify = identify

    async def answer(self, call: Call) -> AsyncGenerator[bytes, None]:
        """The messages of one call. Raises Status."""
        builds: dict[str, Callable[[Sequence[X509Svid]], bytes]] = {
            FETCH_X509_SVID: x509_svid_response,
            FETCH_X509_BUNDLES: _bundles,
            FETCH_JWT_BUNDLES: self._tokens.bundles,
        }
        build = builds.get(call.method)
        if build is None and call.method not in (FETCH_JWT_SVID, VALIDATE_JWT_SVID):
            raise Status(Code.UNIMPLEMENTED, f"{call.method[:100]} is not served here")
        if call.headers.get(SECURITY_HEADER) != "true":
            raise Status(Code.INVALID_ARGUMENT, f"the metadata {SECURITY_HEADER}: true is missing")
        names, selectors = await self._registered(call)
        if call.method == FETCH_JWT_SVID:
            yield await self._tokens.fetch(call.message, names, selectors)
            return
        with self._svids.watch(names, selectors):
            told = b""
            while True:
                news = self._svids.news
                live = self._svids.live(names)
                if not live:
                    self._end(names, begun=bool(told))
                elif told or self._svids.settled(names):
                    if build is None:
                        yield self._tokens.validate(call.message, live)
                        return
                    message = build(live)
                    if message != told:
                        told = message
                        yield message
                await news.wait()

    def _end(self, names: frozenset[str], *, begun: bool) -> None:
        """Raise Status if there is nothing to be had, and nothing to be waited for."""
        if self._svids.refused(names):
            # Section 5.2.1: an identity that was withdrawn ends the stream in the same way as one that never was.
            raise Status(Code.PERMISSION_DENIED, NOBODY)
        failure = self._svids.failure(names)
        if failure or begun:
            raise Status(Code.UNAVAILABLE, failure or "the certificate has ended and there is none in its place")

    async def _registered(self, call: Call) -> tuple[frozenset[str], frozenset[str]]:
        """The workloads that the caller is, and what was seen of it. Raises Status."""
        try:
            caller = self._identify(call.peer)
            selectors = caller.selectors()
            if self._pods is not None and caller.placement.pod:
                selectors |= await self._pods.selectors(caller.placement.pod)
        except AgentError as error:
            log.warning("spiffe.caller_unknown", code=error.code, detail=error.detail)
            code = Code.PERMISSION_DENIED if error.reason.status == 403 else Code.UNAVAILABLE
            raise Status(code, NOBODY if code is Code.PERMISSION_DENIED else error.reason.summary) from error
        names = frozenset(name for name, wanted in self._workloads if wanted <= selectors)
        if not names:
            log.info("spiffe.refused", pid=caller.pid, uid=caller.uid, selectors=sorted(selectors)[:20])
            raise Status(Code.PERMISSION_DENIED, NOBODY)
        log.info("spiffe.call", pid=caller.pid, uid=caller.uid, workloads=sorted(names), method=call.method)
        return names, selectors


def _bundles(live: Sequence[X509Svid]) -> bytes:
    return x509_bundles_response({one.trust_domain: one.roots for one in live})
