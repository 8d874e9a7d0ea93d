"""tls-alpn-01 (RFC 8737): a TLS server of our own that shows a certificate made for the question."""

from __future__ import annotations

import asyncio
import hashlib
import os
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from ipaddress import ip_address
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from troth.agent.errors import CHALLENGE, AgentError
from troth.agent.keys.files import to_pem
from troth.agent.solvers.model import Proof
from troth.kit.clock import Clock

ALPN = "acme-tls/1"
_ACME_IDENTIFIER = x509.ObjectIdentifier("1.3.6.1.5.5.7.1.31")
_PATIENCE = 10.0


class TlsListeners:
    """Servers on a port, each open while somebody shows a proof there."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._open: dict[tuple[str, int], _Listener] = {}
        self._gate = asyncio.Lock()
        # A name is asked for by nothing but itself, so two proofs for it at once could not be told apart.
        self._names: dict[str, asyncio.Lock] = {}

    @asynccontextmanager
    async def shown(self, address: str, port: int, proof: Proof) -> AsyncIterator[None]:
        """Serve ``proof`` at ``address``, every one if empty. Raises AgentError if the port cannot be had."""
        name = server_name(proof)
        async with self._names.setdefault(name, asyncio.Lock()), self._shown((address, port), name, proof):
            yield

    @asynccontextmanager
    async def _shown(self, key: tuple[str, int], name: str, proof: Proof) -> AsyncIterator[None]:
        address, port = key
        context = _context(proof, self._clock)
        async with self._gate:
            listener = self._open.get(key)
            if listener is None:
                listener = self._open[key] = await _Listener.start(address, port)
        listener.contexts[name] = context
        try:
            yield
        finally:
            del listener.contexts[name]
            if not listener.contexts:
                self._open.pop(key, None)
                listener.stop()


class TlsSolver:
    """Answers on a port of its own."""

    challenge = "tls-alpn-01"

    def __init__(self, listeners: TlsListeners, address: str, port: int) -> None:
        self._listeners, self._address, self._port = listeners, address, port

    @asynccontextmanager
    async def shown(self, proof: Proof) -> AsyncIterator[Mapping[str, Any]]:
        async with self._listeners.shown(self._address, self._port, proof):
            yield {}


def server_name(proof: Proof) -> str:
    """The SNI with which the server will ask (RFC 8737, 3; RFC 8738, 6: the reverse name of an address)."""
    return ip_address(proof.value).reverse_pointer if proof.type == "ip" else proof.value


class _Listener:
    """Shakes hands with whoever speaks ``acme-tls/1`` for a name that is shown just now, and says no more."""

    def __init__(self) -> None:
        self.contexts: dict[str, ssl.SSLContext] = {}
        self._server: asyncio.Server | None = None

    @classmethod
    async def start(cls, address: str, port: int) -> _Listener:
        listener = cls()
        front = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        front.minimum_version = ssl.TLSVersion.TLSv1_2
        front.set_alpn_protocols([ALPN])
        front.sni_callback = listener._choose
        try:
            listener._server = await asyncio.start_server(listener._serve, address or None, port, ssl=front)
        except OSError as error:
            detail = f"port {port}{' of ' + address if address else ''} cannot be had: {error.strerror}"
            raise AgentError(CHALLENGE, detail) from error
        return listener

    def stop(self) -> None:
        if self._server is not None:
            self._server.close()

    def _choose(
        self, connection: ssl.SSLObject | ssl.SSLSocket, name: str | None, _front: ssl.SSLContext
    ) -> int | None:
        context = self.contexts.get((name or "").lower())
        if context is None:
            return ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME
        connection.context = context
        return None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(_PATIENCE):
                await reader.read(1)  # the server has seen what it wanted when it hangs up
        except (TimeoutError, OSError):
            pass
        finally:
            writer.close()


def _context(proof: Proof, clock: Clock) -> ssl.SSLContext:
    """A context that shows the self-signed certificate of RFC 8737, 3."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "acme-tls-alpn-01")])
    shown = x509.IPAddress(ip_address(proof.value)) if proof.type == "ip" else x509.DNSName(proof.value)
    digest = hashlib.sha256(proof.key_authorization.encode("ascii")).digest()
    now = clock.now()
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([shown]), critical=False)
        .add_extension(x509.UnrecognizedExtension(_ACME_IDENTIFIER, b"\x04\x20" + digest), critical=True)
        .sign(key, hashes.SHA256())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols([ALPN])
    # The library reads files only; this one is in memory and has no name.
    memory = os.memfd_create("acme", os.MFD_CLOEXEC)
    try:
        os.write(memory, certificate.public_bytes(Encoding.PEM) + to_pem(key))
        context.load_cert_chain(f"/proc/self/fd/{memory}")
    finally:
        os.close(memory)
    return context
