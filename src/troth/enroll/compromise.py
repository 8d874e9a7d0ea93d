"""``POST /key-compromise``: anybody may prove that a private key is no secret. Nobody needs an account for that.

The body is the proof (``pki.blocked``): a PKCS#10 request, DER or PEM, at most 16 KiB. The signature is the
credential, so nothing else is asked; what costs us something is verifying it, and that is bounded per network and in
all. A proof sent again changes nothing.
"""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from collections.abc import Sequence

import msgspec

from troth.enroll.errors import TOO_MANY_PROOFS, ProofsLimited
from troth.kit.clock import Clock
from troth.kit.errors import Reason, TrothError
from troth.kit.lane import Request, Response, Route
from troth.kit.log import get_logger
from troth.kit.problems import problem
from troth.pki.blocked import MAX_PROOF, PROOF_NAME, BlockedKeys

log = get_logger("enroll")

PATH = "/key-compromise"
ACTOR = "public:key-holder"
#: Proofs a minute from one network (an IPv4 address, an IPv6 /64), and in all, for each process.
PER_NETWORK, IN_ALL = 10, 60
_MOST_NETWORKS = 4096

_HOW = (
    f"Prove that a private key is no secret: POST a PKCS#10 request (DER or PEM) signed with it, subject\n"
    f"CN={PROOF_NAME} and nothing else:\n\n"
    f"  openssl req -new -key KEY -subj '/CN={PROOF_NAME}' -outform DER -out proof.der\n"
    f"  curl --data-binary @proof.der https://THIS-SERVER{PATH}\n\n"
    f"The key is blocked for ever and every certificate that has it is revoked.\n"
).encode()


class Allowance:
    """So many a minute for each name, refilled steadily; forgets the names that were quiet longest."""

    def __init__(self, clock: Clock, a_minute: int) -> None:
        self._clock = clock
        self._most = float(a_minute)
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, name: str) -> None:
        """Use one up. Raises ProofsLimited."""
        now = self._clock.monotonic()
        left, then = self._left.pop(name, (self._most, now))
        left = min(self._most, left + (now - then) * self._most / 60)
        self._left[name] = (left - 1 if left >= 1 else left, now)
        if len(self._left) > _MOST_NETWORKS:
            self._left.popitem(last=False)
        if left < 1:
            raise ProofsLimited(TOO_MANY_PROOFS)


class CompromiseDoor:
    """See the module."""

    def __init__(self, keys: BlockedKeys, clock: Clock) -> None:
        self._keys = keys
        self._each = Allowance(clock, PER_NETWORK)
        self._all = Allowance(clock, IN_ALL)

    def routes(self) -> Sequence[Route]:
        """What to put on the https lane."""
        return (Route(PATH, {"POST": self.receive, "GET": self.explain}, permission="public", max_body=MAX_PROOF),)

    async def explain(self, request: Request) -> Response:
        """How to do it."""
        return Response(200, _HOW, ((b"content-type", b"text/plain; charset=utf-8"),))

    async def receive(self, request: Request) -> Response:
        """One proof. What it causes is durable before the answer."""
        try:
            self._each.take(network_of(request.client))
            self._all.take("")
            key = await self._keys.report(request.body, actor=ACTOR)
        except TrothError as refusal:
            log.info("key.proof_refused", code=refusal.code, client=request.client)
            return _problem(refusal.reason, refusal.detail)
        told = {"spki_sha256": key.spki_sha256.hex(), "blocked_at": key.at.isoformat()}
        return Response(200, msgspec.json.encode(told), _headers(b"application/json"))


def network_of(client: str | None) -> str:
    """An IPv4 address itself, the /64 of an IPv6 one."""
    try:
        address = ipaddress.ip_address((client or "").partition("%")[0])
    except ValueError:
        return "unknown"
    if isinstance(address, ipaddress.IPv6Address):
        return str(address.ipv4_mapped or ipaddress.IPv6Network((address, 64), strict=False))
    return str(address)


def _problem(reason: Reason, detail: str) -> Response:
    return Response(reason.status, problem(reason, detail), _headers(b"application/problem+json"))


def _headers(kind: bytes) -> tuple[tuple[bytes, bytes], ...]:
    return ((b"content-type", kind), (b"cache-control", b"no-store"))
