"""device-attest-01 (draft-ietf-acme-device-attest): the key's place says what the key is, bound to the challenge."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from troth.agent.errors import ATTESTATION_MISSING, CHALLENGE, AgentError, KeyTrouble
from troth.agent.keys.model import AttestingKey, HeldKey, StatementValue
from troth.agent.keys.tpm.enrol import enrol
from troth.agent.keys.tpm.keys import TpmKeys
from troth.agent.solvers.model import Proof
from troth.client.acme_session import AcmeError
from troth.client.jose import b64url_encode
from troth.client.transport import Transport
from troth.kit.clock import Clock


class AttestSolver:
    """Answers with a statement of the key's place. ``prepare`` has the place ready to make one."""

    challenge = "device-attest-01"

    def __init__(self, key: HeldKey, prepare: Callable[[], Awaitable[None]]) -> None:
        self._key = key
        self._prepare = prepare

    @asynccontextmanager
    async def shown(self, proof: Proof) -> AsyncIterator[Mapping[str, Any]]:
        if not isinstance(self._key, AttestingKey):
            raise AgentError(CHALLENGE, f"for {proof.value} an attested key is asked for, and this key cannot attest")
        await self._prepare()
        attested = await asyncio.to_thread(self._key.attest, proof.key_authorization)
        try:
            yield {"attObj": b64url_encode(encode({"fmt": attested.format, "attStmt": attested.statement}))}
        except AcmeError as refused:
            if refused.problem.short_type == "badAttestationStatement":
                # The attestation key's certificate may have been revoked, or its authority replaced.
                await asyncio.to_thread(self._key.disbelieved)
            raise


async def ready_to_attest(keys: TpmKeys, url: str, transport: Transport, clock: Clock) -> None:
    """Have the TPM's attestation key certified by the attestation CA at ``url``, unless it is. Raises KeyTrouble."""
    try:
        identity = await asyncio.to_thread(keys.attestation)
    except KeyTrouble as error:
        if error.reason is not ATTESTATION_MISSING:
            raise
    else:
        if identity.lasts(clock.now()):
            return
    await enrol(keys, url, transport)


def encode(value: StatementValue) -> bytes:
    """CBOR (RFC 8949) of integers, texts, octets, lists and maps with text keys: all that a statement has."""
    match value:
        case bool():
            raise TypeError("a statement has no booleans")
        case int():
            return _head(0, value) if value >= 0 else _head(1, -1 - value)
        case bytes():
            return _head(2, len(value)) + value
        case str():
            text = value.encode()
            return _head(3, len(text)) + text
        case list():
            return _head(4, len(value)) + b"".join(encode(one) for one in value)
    return _head(5, len(value)) + b"".join(encode(key) + encode(one) for key, one in value.items())


def _head(major: int, size: int) -> bytes:
    for info, octets, most in ((24, 1, 0xFF), (25, 2, 0xFFFF), (26, 4, 0xFFFFFFFF), (27, 8, 0xFFFFFFFFFFFFFFFF)):
        if size < 24:
            return bytes((major << 5 | size,))
        if size <= most:
            return bytes((major << 5 | info,)) + size.to_bytes(octets, "big")
    raise ValueError("a number of a statement has more than 64 bits")
