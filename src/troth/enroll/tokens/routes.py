"""``POST /enroll/token``: ``{"issuer", "token"}`` in, a credential for one ACME account out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated

import msgspec

from troth.enroll.compromise import Allowance, network_of
from troth.enroll.errors import ProofsLimited
from troth.enroll.tokens.desk import TokenDesk
from troth.enroll.tokens.errors import TOKEN_REQUEST, TOKEN_TOO_MANY, TokenRefused
from troth.kit.clock import Clock
from troth.kit.errors import INTERNAL, TrothError, trace_of
from troth.kit.lane import Request, Response, Route
from troth.kit.log import get_logger
from troth.kit.problems import problem

log = get_logger("enroll")

PATH = "/enroll/token"
MAX_BODY = 65_536
#: Tokens a minute from one network, and in all, of each process.
PER_NETWORK, IN_ALL = 60, 600


class TokenRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is sent. ``issuer`` is the configuration's name for whose token it is."""

    issuer: Annotated[str, msgspec.Meta(min_length=1, max_length=32)]
    token: Annotated[str, msgspec.Meta(min_length=1, max_length=49_152)]


class TokenDoor:
    """See the module.

    Args:
        directories: URL of each ACME directory by its name.
    """

    def __init__(self, desk: TokenDesk, clock: Clock, directories: Mapping[str, str]) -> None:
        self._desk = desk
        self._directories = directories
        self._each = Allowance(clock, PER_NETWORK)
        self._all = Allowance(clock, IN_ALL)

    def routes(self) -> Sequence[Route]:
        """What to put on the https lane."""
        return (Route(PATH, {"POST": self.receive}, permission="public", max_body=MAX_BODY),)

    async def receive(self, request: Request) -> Response:
        """One token. The credential is durable before the answer, and shown this once."""
        try:
            _take(self._each, network_of(request.client))
            _take(self._all, "")
            asked = read_request(request.body)
            done = await self._desk.exchange(asked.issuer, asked.token)
        except TrothError as refusal:
            reason, detail, status = refusal.reason, refusal.detail, refusal.reason.status
            if reason.status >= 500 and not isinstance(refusal, TokenRefused):
                log.warning("token.failed", code=refusal.code, exc_info=trace_of(refusal))
                reason, detail, status = INTERNAL, "something failed inside Troth; try again later", 503
            else:
                log.info("token.refused", code=refusal.code, client=request.client)
            return Response(status, problem(reason, detail, status), _headers(b"application/problem+json"))
        enrolment, allowed = done.made.enrolment, done.allowed
        names = enrolment.directories or tuple(self._directories)
        told = {
            "key_id": str(enrolment.id),
            "hmac_key": done.made.secret,
            "expires_at": enrolment.expires_at.isoformat(),
            "names": list(allowed.names),
            "profiles": list(allowed.profiles),
            "directories": {name: self._directories[name] for name in names if name in self._directories},
        }
        return Response(200, msgspec.json.encode(told), _headers(b"application/json"))


def read_request(body: bytes) -> TokenRequest:
    """The request. Raises TokenRefused."""
    try:
        return msgspec.json.decode(body, type=TokenRequest)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise TokenRefused(TOKEN_REQUEST, str(error)[:200]) from error


def _take(allowance: Allowance, name: str) -> None:
    try:
        allowance.take(name)
    except ProofsLimited as limited:
        raise TokenRefused(TOKEN_TOO_MANY) from limited


def _headers(kind: bytes) -> tuple[tuple[bytes, bytes], ...]:
    return ((b"content-type", kind), (b"cache-control", b"no-store"))
