"""The attestation CA's door: ``POST /tpm/attest`` and ``POST /tpm/secret``.

The wire is smallstep's (``go.step.sm/crypto/tpm/attestation``), so that its agent and whatever is built on it work
unchanged with ``https://HOST/tpm`` as the attestation CA's URL; octets are in standard base64. Members that nothing
here rests on (``tpmInfo``, ``akCert``, ``useTCSDActivationFormat``) are taken and not looked at. Nobody who knocks has
an account: the TPM proves itself, and an allowance for each network bounds what is tried.
"""

from __future__ import annotations

import base64
from binascii import Error as Base64Error
from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated, TypeVar

import msgspec
from msgspec import Meta, Struct

from troth.enroll.compromise import Allowance, network_of
from troth.enroll.errors import ProofsLimited
from troth.enroll.tpm.desk import AttestationDesk, Evidence
from troth.enroll.tpm.errors import REQUEST, TOO_MANY, TpmRefused
from troth.kit.clock import Clock
from troth.kit.errors import INTERNAL, Reason, TrothError, trace_of
from troth.kit.lane import Request, Response, Route
from troth.kit.log import get_logger
from troth.kit.problems import problem

log = get_logger("enroll")

ATTEST, SECRET = "/tpm/attest", "/tpm/secret"
MAX_ATTEST, MAX_SECRET = 65_536, 1_024
#: All networks together, in multiples of one's allowance.
_ALL = 20

_Octets = Annotated[str, Meta(max_length=16_384)]


class Parameters(Struct, frozen=True):
    """``params``: the attestation key and its creation, as the TPM encodes them."""

    public: _Octets
    create_data: _Octets = msgspec.field(name="createData")
    create_attestation: _Octets = msgspec.field(name="createAttestation")
    create_signature: _Octets = msgspec.field(name="createSignature")


class AttestRequest(Struct, frozen=True):
    """The body of ``/attest``."""

    params: Parameters
    ek: _Octets | None = None
    ek_certs: Annotated[tuple[_Octets, ...], Meta(max_length=6)] | None = msgspec.field(name="ekCerts", default=None)


class SecretRequest(Struct, frozen=True):
    """The body of ``/secret``."""

    secret: Annotated[str, Meta(max_length=128)]


_Body = TypeVar("_Body", bound=Struct)


class TpmDoor:
    """See the module.

    Args:
        per_minute: requests that each network (an IPv4 address, an IPv6 /64) has in a minute, in each process.
    """

    def __init__(self, desk: AttestationDesk, clock: Clock, *, per_minute: int = 60) -> None:
        self._desk = desk
        self._each = Allowance(clock, per_minute)
        self._all = Allowance(clock, per_minute * _ALL)

    def routes(self) -> Sequence[Route]:
        """What to put on the https lane."""
        return (
            Route(ATTEST, {"POST": self.attest}, permission="public", max_body=MAX_ATTEST),
            Route(SECRET, {"POST": self.secret}, permission="public", max_body=MAX_SECRET),
        )

    async def attest(self, request: Request) -> Response:
        """A TPM's evidence, answered with a secret for it to open."""

        async def act() -> object:
            evidence = read_attest_request(request.body)
            credential = await self._desk.challenge(evidence)
            return {"credential": _text(credential.identity), "secret": _text(credential.secret)}

        return await self._answered(request, "attest", act)

    async def secret(self, request: Request) -> Response:
        """The opened secret, answered with the attestation key's certificate and its chain."""

        async def act() -> object:
            opened = _octets(_read(request.body, SecretRequest).secret)
            issued = await self._desk.certify(opened, address=request.client)
            log.info("tpm.attested", certificate=str(issued.id), client=request.client)
            return {"chain": [_text(one) for one in (issued.der, *issued.chain)]}

        return await self._answered(request, "secret", act)

    async def _answered(self, request: Request, name: str, act: Callable[[], Awaitable[object]]) -> Response:
        try:
            self._take(request.client)
            told = await act()
        except TrothError as refusal:
            if refusal.reason.status >= 500:
                # What failed below is the log's; the TPM's owner only has to try again.
                log.warning("tpm.failed", code=refusal.code, request=name, exc_info=trace_of(refusal))
                return _problem(INTERNAL, "something failed inside Troth; try again later", 503)
            log.info("tpm.refused", code=refusal.code, detail=refusal.detail, request=name, client=request.client)
            return _problem(refusal.reason, refusal.detail)
        return Response(200, msgspec.json.encode(told), _headers(b"application/json"))

    def _take(self, client: str | None) -> None:
        try:
            self._each.take(network_of(client))
            self._all.take("")
        except ProofsLimited as limited:
            raise TpmRefused(TOO_MANY) from limited


def read_attest_request(body: bytes) -> Evidence:
    """The evidence in a body of ``/attest``. Raises TpmRefused."""
    asked = _read(body, AttestRequest)
    return Evidence(
        _octets(asked.ek or ""),
        tuple(_octets(one) for one in asked.ek_certs or ()),
        _octets(asked.params.public),
        _octets(asked.params.create_data),
        _octets(asked.params.create_attestation),
        _octets(asked.params.create_signature),
    )


def _read(body: bytes, kind: type[_Body]) -> _Body:
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise TpmRefused(REQUEST, str(error)[:300]) from error


def _octets(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (Base64Error, ValueError) as error:
        raise TpmRefused(REQUEST, "octets are in base64 (RFC 4648, section 4)") from error


def _text(octets: bytes) -> str:
    return base64.b64encode(octets).decode()


def _problem(reason: Reason, detail: str, status: int = 0) -> Response:
    status = status or reason.status
    return Response(status, problem(reason, detail, status), _headers(b"application/problem+json"))


def _headers(kind: bytes) -> tuple[tuple[bytes, bytes], ...]:
    return ((b"content-type", kind), (b"cache-control", b"no-store"))
