"""The server's doors for agents: a request is signed with the key of the agent's own certificate.

A flattened JWS whose header names the certificate by its SHA-256 (``x5t#S256``), with a nonce (docs/workloads.md).
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from troth.agent import disk
from troth.agent.door.errors import IDENTITY, SERVER
from troth.agent.errors import AgentError
from troth.client.acme_session import sign_jws
from troth.client.errors import JoseError, TransportError
from troth.client.jose import PrivateKey, SigningKey, b64url_encode
from troth.client.transport import HttpAnswer, Transport

_TRIES = 3
_JOSE = {"Content-Type": "application/jose+json"}


@dataclass(frozen=True, slots=True)
class Identity:
    """The agent's own certificate and its key."""

    certificate: bytes
    key: SigningKey

    @property
    def thumbprint(self) -> str:
        """``x5t#S256`` (RFC 7515, 4.1.8)."""
        return b64url_encode(hashlib.sha256(self.certificate).digest())


class Refused(AgentError):
    """The server said no: asking again changes nothing. ``facts`` has its ``code`` and ``status``."""


class Unavailable(AgentError):
    """There was no answer, or none that says anything of the request: ask again later."""


def identity_at(directory: Path, key: PrivateKey) -> Identity:
    """The certificate in a directory (``leaf.pem``) with its key, wherever that is held. Raises AgentError."""
    leaf = disk.read(directory / "leaf.pem")
    if leaf is None:
        raise AgentError(IDENTITY, f"{directory} has no leaf.pem")
    try:
        certificate = x509.load_pem_x509_certificate(leaf)
        if certificate.public_key() != key.public_key():
            raise AgentError(IDENTITY, f"{directory}: the key is not that of the certificate")
        return Identity(certificate.public_bytes(Encoding.DER), SigningKey.wrap(key))
    except (ValueError, TypeError, JoseError) as error:
        raise AgentError(IDENTITY, f"{directory}: {error}") from error


class AgentDoor:
    """Signed requests to one server.

    Args:
        base: its https listener, without a slash at the end; the server signs for no other spelling.
        identity: read anew for each request, since it is renewed; on a thread, since a token takes its time. Raises
            AgentError.
    """

    def __init__(self, base: str, transport: Transport, identity: Callable[[], Identity]) -> None:
        self._base = base
        self._transport = transport
        self._identity = identity
        self._nonce: str | None = None

    async def ask(self, path: str, payload: Mapping[str, Any] | bytes) -> dict[str, Any]:
        """The server's answer to ``payload``. Raises Refused, Unavailable, or AgentError about the identity."""
        identity = await asyncio.to_thread(self._identity)
        octets = payload if isinstance(payload, bytes) else msgspec.json.encode(payload)
        for attempt in range(1, _TRIES + 1):
            header = {
                "alg": identity.key.public.algorithm,
                "x5t#S256": identity.thumbprint,
                "url": f"{self._base}{path}",
                "nonce": await self._take_nonce(),
            }
            signed = await asyncio.to_thread(sign_jws, identity.key, header, octets)
            answer = await self._send("POST", path, signed)
            said = _json(answer)
            if answer.status < 300:
                return said
            code, detail = str(said.get("code", "")), str(said.get("detail", ""))[:300]
            told = f"{code or answer.status}: {detail}"
            if code == "workload.nonce" and attempt < _TRIES:
                continue
            # Without a code of Troth's it was somebody else who answered: a proxy, a captive portal.
            if code and code != "workload.nonce" and answer.status in (400, 401, 403, 404):
                raise Refused(SERVER, told, code=code, status=answer.status)
            raise Unavailable(SERVER, told, code=code)
        raise AssertionError("the loop above returns or raises")

    async def _take_nonce(self) -> str:
        if self._nonce is None:
            await self._send("GET", "/workload/nonce", b"")
        nonce, self._nonce = self._nonce, None
        if nonce is None:
            raise Unavailable(SERVER, "the server gave no nonce")
        return nonce

    async def _send(self, method: str, path: str, body: bytes) -> HttpAnswer:
        try:
            answer = await self._transport.request(method, f"{self._base}{path}", body=body, headers=_JOSE)
        except TransportError as error:
            raise Unavailable(SERVER, error.detail) from error
        self._nonce = answer.header("replay-nonce") or self._nonce
        return answer


def _json(answer: HttpAnswer) -> dict[str, Any]:
    try:
        found = msgspec.json.decode(answer.body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        found = None
    return found if isinstance(found, dict) else {}
