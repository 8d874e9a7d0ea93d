"""The HTTP check: nginx's ``auth_request`` and Envoy's ``ext_authz`` over HTTP.

Both ask before each request and let through what is answered 200. Who is let in, and why not, stands in headers that
the proxy may pass on; the body of a refusal is a problem document. Whatever is missing or wrong is a refusal.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from urllib.parse import quote, unquote

from troth.connect.authz.certificates import shown
from troth.connect.authz.door import DUTIES, PROBLEM, Answer, Caller, Gate, asking_of, obligations, refusal
from troth.connect.authz.errors import NO_CERTIFICATE, AuthzError
from troth.kit.errors import Reason, registered_reasons
from troth.kit.lane import Request, Response, Route
from troth.kit.problems import problem

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
MAX_BODY = 65_536
#: What a proxy may pass on of whoever is let in.
_TOLD = ("subject", "owner", *DUTIES)


class Check:
    """``/authz/check``, and below it the path of the request that is asked about, as Envoy appends it."""

    def __init__(self, caller: Caller, gate: Gate) -> None:
        self._caller = caller
        self._gate = gate

    def routes(self) -> Sequence[Route]:
        """What to put on the https lane. Public: each request proves its caller."""
        methods = dict.fromkeys(METHODS, self.check)
        return [
            Route("/authz/check", methods, permission="public", max_body=MAX_BODY),
            Route("/authz/check/{*}", methods, permission="public", max_body=MAX_BODY),
        ]

    async def check(self, request: Request) -> Response:
        """200 or a refusal."""
        try:
            application = await self._caller.prove(request)
            self._caller.take(application)
            sha256 = shown(request.headers)
            if sha256 is None:
                self._caller.count(application, "deny")
                raise AuthzError(NO_CERTIFICATE)
            headers = request.headers
            appended = f"/{request.params[0]}" if request.params else ""
            asking = asking_of(
                application,
                action=(headers.get("x-original-method") or request.method)[:20],
                resource_type="http",
                resource=_path(headers.get("x-original-uri", "") or appended),
                # The nearest proxy is the one that asks: what it adds stands last.
                address=headers.get("x-real-ip", "") or headers.get("x-forwarded-for", "").rpartition(",")[2].strip(),
            )
            answer = await self._gate.certificate(application, sha256, asking)
        except AuthzError as error:
            return refusal(error, (b"x-troth-decision", b"deny"), (b"x-troth-reason", error.code.encode()))
        self._caller.count(application, "permit" if answer.permits else "deny")
        return _response(answer)


def _response(answer: Answer) -> Response:
    admission = answer.admission
    headers = [
        (b"x-troth-decision", b"permit" if answer.permits else b"deny"),
        (b"x-troth-outcome", admission.outcome.value.encode()),
        (b"x-troth-reason", admission.reason.encode()),
        (b"cache-control", b"no-store"),
    ]
    if answer.decision is not None:
        headers.append((b"x-troth-decision-id", str(answer.decision).encode()))
    if not answer.permits:
        reason = _reason(admission.reason)
        detail = admission.obligations.say or ""
        return Response(403, problem(reason, detail, 403), (*headers, PROBLEM[0]))
    told: dict[str, str] = {name: str(value) for name, value in obligations(admission.obligations).items()}
    if len(admission.subjects) == 1:
        [subject] = admission.subjects
        told["subject"] = f"{subject.kind.value}:{subject.name}"
        told["owner"] = subject.owner.name if subject.owner is not None else ""
    # All of them, empty ones too: a proxy sets what it is told, and what it is not told stays as the client sent it.
    headers += [(f"x-troth-{name.replace('_', '-')}".encode(), _header(told.get(name, ""))) for name in _TOLD]
    return Response(200, b"", tuple(headers))


@cache
def _reason(code: str) -> Reason:
    return registered_reasons()[code]


def _header(text: str) -> bytes:
    """``text`` as a header's value: what is not printable ASCII is escaped as in an URL."""
    return quote(text, safe="!#$&'()*+,/:;=?@[]~", errors="replace").encode("ascii")


def _path(uri: str) -> str:
    """Path of a request's target. Not its query: that may hold secrets, and this goes into records."""
    return unquote(uri.partition("?")[0])[:1024]
