"""Signed messages to one ACME server (RFC 8555, section 6): nonces, signatures, refusals."""

from __future__ import annotations

from typing import Any, Self, TypeVar

import msgspec

from troth.client.acme_objects import Directory, Problem
from troth.client.errors import ACME_ANSWER, ACME_REFUSED
from troth.client.jose import SigningKey, b64url_encode
from troth.client.transport import HttpAnswer, Transport
from troth.kit.errors import TrothError

_NONCES_KEPT = 64
_BAD_NONCE_TRIES = 8
_JOSE = {"Content-Type": "application/jose+json"}

T = TypeVar("T", bound=msgspec.Struct)


class AcmeError(TrothError):
    """The server refused.

    Attributes:
        problem: its problem document.
        status: HTTP status, 0 when the problem stood inside an order or challenge.
        retry_after: seconds, 0 if the server said nothing.
        headers: of the answer.
    """

    def __init__(self, problem: Problem, *, answer: HttpAnswer | None = None) -> None:
        super().__init__(ACME_REFUSED, f"{problem.short_type}: {problem.detail or problem.title}")
        self.problem = problem
        self.status = answer.status if answer else 0
        self.headers = answer.headers if answer else {}
        self.retry_after = retry_after(answer) if answer else 0.0


class AcmeSession:
    """A key, the account it signs for, and the nonces at hand."""

    def __init__(self, directory: Directory, *, key: SigningKey, transport: Transport) -> None:
        self.directory = directory
        self.key = key
        self.account_url = ""
        self._transport = transport
        self._nonces: list[str] = []

    @classmethod
    async def open(cls, directory_url: str, *, key: SigningKey, transport: Transport, account_url: str = "") -> Self:
        """Read the directory. ``account_url`` resumes an account; otherwise call :meth:`register`."""
        answer = await transport.request("GET", directory_url)
        if answer.status != 200:
            raise _refusal(answer)
        client = cls(decode(answer, Directory), key=key, transport=transport)
        client.account_url = account_url
        return client

    async def post(
        self,
        url: str,
        payload: dict[str, Any] | bytes | None = None,
        *,
        with_key: bool = False,
        key: SigningKey | None = None,
    ) -> HttpAnswer:
        """A signed POST; None for POST-as-GET. Raises AcmeError for statuses from 400.

        ``with_key`` signs with ``jwk`` in place of ``kid``; ``key`` signs with another key than the account's.
        """
        signer = key or self.key
        octets = b"" if payload is None else payload if isinstance(payload, bytes) else msgspec.json.encode(payload)
        refusal: AcmeError | None = None
        for _ in range(_BAD_NONCE_TRIES):
            protected: dict[str, Any] = {"alg": signer.public.algorithm, "nonce": await self._nonce(), "url": url}
            if with_key:
                protected["jwk"] = dict(signer.public.jwk)
            else:
                protected["kid"] = self.account_url
            body = sign_jws(signer, protected, octets)
            answer = await self._transport.request("POST", url, body=body, headers=_JOSE)
            self._keep_nonce(answer)
            if answer.status < 400:
                return answer
            refusal = _refusal(answer)
            if refusal.problem.short_type != "badNonce":
                raise refusal
        raise refusal or AcmeError(Problem(detail="no request was made"))

    async def get(self, url: str) -> HttpAnswer:
        """A plain GET. Raises AcmeError for statuses from 400."""
        answer = await self._transport.request("GET", url)
        if answer.status >= 400:
            raise _refusal(answer)
        return answer

    async def _nonce(self) -> str:
        if not self._nonces:
            answer = await self._transport.request("HEAD", self.directory.new_nonce)
            self._keep_nonce(answer)
            if not self._nonces:
                raise TrothError(ACME_ANSWER, "newNonce gave no Replay-Nonce")
        return self._nonces.pop()

    def _keep_nonce(self, answer: HttpAnswer) -> None:
        nonce = answer.header("replay-nonce")
        if nonce and len(self._nonces) < _NONCES_KEPT:
            self._nonces.append(nonce)


def sign_jws(key: SigningKey, protected: dict[str, Any], payload: bytes) -> bytes:
    """A flattened JWS (RFC 7515, 7.2.2) as ACME sends it."""
    header, content = b64url_encode(msgspec.json.encode(protected)), b64url_encode(payload)
    signature = b64url_encode(key.sign(f"{header}.{content}".encode("ascii")))
    return f'{{"protected":"{header}","payload":"{content}","signature":"{signature}"}}'.encode("ascii")


def decode(answer: HttpAnswer, kind: type[T]) -> T:
    """The answer's JSON as ``kind``. Raises TrothError for anything else."""
    try:
        return msgspec.json.decode(answer.body, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise TrothError(ACME_ANSWER, f"{answer.url}: {error}") from error


def location(answer: HttpAnswer) -> str:
    """The answer's Location. Raises TrothError without one."""
    found = answer.header("location")
    if not found:
        raise TrothError(ACME_ANSWER, f"{answer.url}: the answer has no Location")
    return found


def _refusal(answer: HttpAnswer) -> AcmeError:
    try:
        problem = msgspec.json.decode(answer.body, type=Problem)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        problem = Problem(detail=f"HTTP status {answer.status} without a problem document", status=answer.status)
    return AcmeError(problem, answer=answer)


def retry_after(answer: HttpAnswer) -> float:
    """Seconds of Retry-After; its date form, which no ACME server uses for polling, counts as nothing said."""
    value = answer.header("retry-after") or ""
    return float(value) if value.isascii() and value.isdigit() else 0.0
