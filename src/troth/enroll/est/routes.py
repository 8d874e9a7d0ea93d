"""The EST door: ``/.well-known/est/…`` and ``/.well-known/est/LABEL/…`` on the https listener.

Refusals are text, since RFC 7030 has no format for them: a line for a person, what to do about it, and the stable code
in the header ``Troth-Code`` too. A client that should come again is told so by 202 (the request waits) or 503
(something here does not answer), both with Retry-After.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence

from troth.enroll.acme.problems import AcmeProblem
from troth.enroll.compromise import Allowance, network_of
from troth.enroll.errors import ProofsLimited
from troth.enroll.est import errors
from troth.enroll.est.attributes import csr_attributes
from troth.enroll.est.authorities import ca_certificates
from troth.enroll.est.body import CERTS_ONLY, MAX_BODY, certs_only, encoded, key_and_certificate
from troth.enroll.est.callers import Callers
from troth.enroll.est.desk import EstDesk
from troth.enroll.est.errors import EstRefused, EstWaits
from troth.enroll.est.keygen import with_made_key
from troth.enroll.est.model import Label
from troth.enroll.est.request import EnrolRequest, bound, read_request
from troth.enroll.est.tally import Tally
from troth.kit.clock import Clock
from troth.kit.errors import Reason, TrothError, trace_of
from troth.kit.lane import Handler, Request, Response, Route
from troth.kit.log import get_logger
from troth.pki.catalogue import Catalogue

log = get_logger("enroll")

ROOT = "/.well-known/est"
#: What failed below while the request was in order: nothing for the client to mend.
_BELOW = ("store.", "signer.", "pki.gate.", "pki.authority.", "trust.standing.changed", "trust.subject.raced")
_BELOW_RETRY = 30
_A_MINUTE = 60
#: How libest calls itself, now and before.
_LIBEST = ("libest", "Cisco EST client")
#: Names of headers as they are usually written: libest compares them so.
_TEXT = (b"Content-Type", b"text/plain; charset=utf-8")
_BASE64 = (b"Content-Transfer-Encoding", b"base64")
_NO_STORE = (b"Cache-Control", b"no-store")
_ASK = (b"WWW-Authenticate", b'Basic realm="EST enrolment", charset="UTF-8"')

_Work = Callable[[Request, Label], Awaitable["tuple[Response, str]"]]


class EstDoor:
    """See the module.

    Args:
        labels: by name. default: that of requests without a label.
        per_minute: requests that each network has in a minute, in each process.
    """

    def __init__(
        self,
        labels: Mapping[str, Label],
        default: str,
        callers: Callers,
        desk: EstDesk,
        catalogue: Catalogue,
        tally: Tally,
        clock: Clock,
        *,
        per_minute: int,
    ) -> None:
        self._labels = labels
        self._default = default
        self._callers = callers
        self._desk = desk
        self._catalogue = catalogue
        self._tally = tally
        self._clock = clock
        self._network = Allowance(clock, per_minute)

    def routes(self) -> Sequence[Route]:
        """What to put on the https lane, and on no other: secrets come in the clear inside TLS."""
        gets: dict[str, _Work] = {"cacerts": self._cacerts, "csrattrs": self._csrattrs}
        posts: dict[str, _Work] = {
            "simpleenroll": self._simpleenroll,
            "simplereenroll": self._simplereenroll,
            "serverkeygen": self._serverkeygen,
            "fullcmc": self._fullcmc,
        }
        found: list[Route] = []
        for method, works in (("GET", gets), ("POST", posts)):
            for name, work in works.items():
                handler = self._handler(name, work, limited=method == "POST")
                paths = (f"{ROOT}/{name}", f"{ROOT}/{{}}/{name}")
                found += [Route(path, {method: handler}, permission="public", max_body=MAX_BODY) for path in paths]
        return found

    def _handler(self, operation: str, work: _Work, *, limited: bool) -> Handler:
        async def handle(request: Request) -> Response:
            label = self._labels.get(request.params[0] if request.params else self._default)
            named = "unknown" if label is None else label.name
            try:
                if label is None:
                    raise EstRefused(errors.LABEL_UNKNOWN)
                if limited:
                    self._take(request)
                response, result = await work(request, label)
            except TrothError as refusal:
                response, result = self._refused(refusal), refusal.code
                failed = response.status >= 500
                tell = log.warning if failed else log.info
                tell("est.refused", operation=operation, label=named, code=refusal.code, status=response.status,
                     client=request.client, exc_info=trace_of(refusal) if failed else None)  # fmt: skip
            self._tally.count(named, operation, result)
            return response

        return handle

    def _take(self, request: Request) -> None:
        try:
            self._network.take(network_of(request.client))
        except ProofsLimited as limited:
            raise EstRefused(errors.TOO_MANY) from limited

    # --- what everybody may know ---------------------------------------------------------------------------------

    async def _cacerts(self, request: Request, label: Label) -> tuple[Response, str]:
        found = ca_certificates(self._catalogue, self._catalogue.profile(label.profile), self._clock.now())
        return _binary(request, CERTS_ONLY, certs_only(found)), "told"

    async def _csrattrs(self, request: Request, label: Label) -> tuple[Response, str]:
        found = csr_attributes(self._catalogue.profile(label.profile), label.channel_binding)
        return _binary(request, b"application/csrattrs", found), "told"

    # --- certificates --------------------------------------------------------------------------------------------

    async def _simpleenroll(self, request: Request, label: Label) -> tuple[Response, str]:
        caller = await self._callers.enrolling(request, label)
        wanted = _read(request, label)
        der, before = await self._desk.enrol(caller, label, wanted, address=request.client)
        return _binary(request, CERTS_ONLY, certs_only((der,))), "repeated" if before else "issued"

    async def _simplereenroll(self, request: Request, label: Label) -> tuple[Response, str]:
        caller = await self._callers.renewing(request, label)
        wanted = _read(request, label)
        der, before = await self._desk.enrol(caller, label, wanted, address=request.client, renewing=True)
        return _binary(request, CERTS_ONLY, certs_only((der,))), "repeated" if before else "issued"

    async def _serverkeygen(self, request: Request, label: Label) -> tuple[Response, str]:
        caller = await self._callers.enrolling(request, label)
        if not label.server_keygen:
            raise EstRefused(errors.KEYGEN_REFUSED)
        wanted, key = await asyncio.to_thread(with_made_key, _read(request, label))
        der, _ = await self._desk.enrol(caller, label, wanted, address=request.client)
        boundary = f"troth-{secrets.token_hex(16)}".encode()
        body = key_and_certificate(key, der, boundary, lines=_in_lines(request))
        kind = (b"Content-Type", b'multipart/mixed; boundary="' + boundary + b'"')
        return Response(200, body, (kind, _NO_STORE)), "issued"

    async def _fullcmc(self, request: Request, label: Label) -> tuple[Response, str]:
        raise EstRefused(errors.FULL_CMC)

    # --- refusals ------------------------------------------------------------------------------------------------

    @staticmethod
    def _refused(refusal: TrothError) -> Response:
        code, status = refusal.code, refusal.reason.status
        if isinstance(refusal, AcmeProblem):  # of the limits, which are shared with ACME
            kept = [(b"Retry-After", value) for name, value in refusal.headers if name == b"retry-after"]
            return _told(refusal.reason, refusal.detail, refusal.status, *kept)
        if isinstance(refusal, EstWaits):
            return _told(refusal.reason, refusal.detail, status, _after(refusal.retry_after))
        if code.startswith(_BELOW) or (status >= 500 and refusal.reason is not errors.FULL_CMC):
            # What failed is in the log; the client only has to come again.
            return _told(errors.UNAVAILABLE, "", 503, _after(_BELOW_RETRY))
        if status == 429:
            return _told(refusal.reason, refusal.detail, status, _after(_A_MINUTE))
        return _told(refusal.reason, refusal.detail, status, *((_ASK,) if status == 401 else ()))


def _read(request: Request, label: Label) -> EnrolRequest:
    kind = request.headers.get("content-type", "application/pkcs10").partition(";")[0].strip().lower()
    if kind != "application/pkcs10":
        raise EstRefused(errors.MEDIA_TYPE, f"it is {kind[:80]!r}")
    found = read_request(request.body)
    bound(found, request.tls_unique, label.channel_binding)
    return found


def _binary(request: Request, kind: bytes, content: bytes) -> Response:
    text = encoded(content, lines=_in_lines(request))
    return Response(200, text, ((b"Content-Type", kind), _BASE64, _NO_STORE))


def _in_lines(request: Request) -> bool:
    return request.headers.get("user-agent", "").startswith(_LIBEST)


def _after(seconds: int) -> tuple[bytes, bytes]:
    return b"Retry-After", str(seconds).encode()


def _told(reason: Reason, detail: str, status: int, *more: tuple[bytes, bytes]) -> Response:
    lines = [reason.summary] if detail in ("", reason.summary) else [reason.summary, _plain(detail)]
    text = "\n".join([*lines, f"To do: {reason.fix}", f"Code: {reason.code}"]) + "\n"
    return Response(status, text.encode(), (_TEXT, _NO_STORE, (b"Troth-Code", reason.code.encode()), *more))


def _plain(text: str) -> str:
    """A detail may hold what the client sent: it stays one line of what can be printed."""
    return "".join(one if one.isprintable() else "?" for one in text)[:500]
