"""Certificates by EST (RFC 7030): the first one with a secret, all others with the certificate before.

The request is written down before it is sent: after a kill, or an answer that was lost, the very same one is sent
again, and a server of Troth's answers it with the very same certificate. What the server calls its authorities is
believed because TLS has vouched for it under the roots of the configuration; its roots are kept beside those, so that a
rollover of the authority finds the agent ready.
"""

from __future__ import annotations

import asyncio
import base64
import ssl
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID

from troth.agent import disk
from troth.agent.account import anchors, secret
from troth.agent.errors import ISSUER, UNFIT, AgentError
from troth.agent.keys.model import HeldKey
from troth.agent.settings import IssuerSettings
from troth.agent.source import Remember, Request, Suggestion
from troth.agent.state import Window
from troth.client.acme_session import retry_after
from troth.client.csr import certificate_request, renewal_request
from troth.client.errors import TransportError
from troth.client.est import Credential, EstClient, EstError, chains, is_root
from troth.client.renewal import cert_id, parse_renewal_info
from troth.client.transport import Transport
from troth.kit.clock import Clock
from troth.kit.log import get_logger

log = get_logger("agent")

_AGENT = "troth-agent"
_ROOTS = "est-roots.pem"
#: The server will not renew this certificate by itself; with a secret it may still give a first one.
_NOT_RENEWED = frozenset({400, 401, 403, 404})


@dataclass(frozen=True, slots=True)
class _Identity:
    """A certificate and its key in files, to be shown in TLS."""

    certificate: Path
    key: Path


class EstSource:
    """See :class:`~troth.agent.source.Source`.

    Args:
        directory: of the issuer, in the agent's state: the roots that the server has told are kept there.
    """

    def __init__(self, name: str, settings: IssuerSettings, directory: Path, clock: Clock) -> None:
        self._name = name
        self._settings = settings
        self._directory = directory
        self._clock = clock

    def anchors(self) -> bytes:
        """PEM of the roots that chains must lead to: those of the configuration, and those that the server has told."""
        return b"\n".join((anchors(self._settings), self._told()))

    async def obtain(
        self, request: Request, key: HeldKey, bookmark: Mapping[str, str], remember: Remember
    ) -> Sequence[bytes]:
        authorities = await self._authorities()
        leaf = await self._renewed(request, key, bookmark, remember)
        if leaf is None:
            leaf = await self._enrolled(request, key, bookmark, remember)
        ways = chains(leaf, authorities)
        if not ways:
            raise AgentError(UNFIT, "none of the authorities that the server told has issued the certificate")
        return [b"".join(one.public_bytes(Encoding.PEM) for one in way) for way in ways]

    async def suggest(self, leaf: x509.Certificate) -> Suggestion | None:
        if not self._settings.renewal_info:
            return None
        async with self._transport() as transport:
            url = f"{self._settings.renewal_info.rstrip('/')}/{cert_id(leaf)}"
            answer = await transport.request("GET", url)
        if answer.status != 200:
            return None
        told = parse_renewal_info(answer.body, retry_after(answer))
        return Suggestion(Window(told.start, told.end, told.explanation_url), told.retry_after)

    # --- authorities ---------------------------------------------------------------------------------------------

    async def _authorities(self) -> list[x509.Certificate]:
        async with self._transport() as transport:
            found = await EstClient(self._settings.est, transport).authorities()
        roots = sorted(one.public_bytes(Encoding.PEM) for one in found if is_root(one))
        told = b"".join(roots)
        if told != self._told():
            log.info("agent.est_roots", issuer=self._name, roots=len(roots))
            disk.make_directory(self._directory)
            disk.write(self._directory / _ROOTS, told)
        return found

    def _told(self) -> bytes:
        return disk.read(self._directory / _ROOTS) or b""

    # --- certificates --------------------------------------------------------------------------------------------

    async def _renewed(
        self, request: Request, key: HeldKey, bookmark: Mapping[str, str], remember: Remember
    ) -> x509.Certificate | None:
        """The present certificate anew; None where it cannot be shown, or the server will not renew it by itself."""
        shown = self._present(request)
        if shown is None:
            return None
        present, identity = shown
        csr = await _written("renewing", bookmark, remember, key, lambda: renewal_request(key.private_key(), present))
        try:
            async with self._transport(identity) as transport:
                return await EstClient(self._settings.est, transport).renew(csr)
        except (EstError, TransportError) as error:
            # The server has just told its authorities: a connection that fails now fails for what it was shown.
            refused = isinstance(error, TransportError) or error.status in _NOT_RENEWED
            if not refused or not self._can_begin:
                raise
            log.info("agent.est_not_renewed", issuer=self._name, detail=error.detail)
            return None

    async def _enrolled(
        self, request: Request, key: HeldKey, bookmark: Mapping[str, str], remember: Remember
    ) -> x509.Certificate:
        """A first certificate, with the secret or the certificate of the configuration."""
        if not self._can_begin:
            raise AgentError(ISSUER, "there is no certificate to renew, and nothing to begin with")
        names = {kind: [one.value for one in request.identifiers if one.type == kind] for kind in ("dns", "ip")}
        csr = await _written(
            "enrolling", bookmark, remember, key,
            lambda: certificate_request(key.private_key(), dns=names["dns"], ip=names["ip"]),
        )  # fmt: skip
        async with self._transport(self._bootstrap()) as transport:
            return await EstClient(self._settings.est, transport, self._credential()).enrol(csr)

    @property
    def _can_begin(self) -> bool:
        return bool(self._settings.est_secret_file or self._settings.bootstrap_certificate)

    def _credential(self) -> Credential | None:
        path = self._settings.est_secret_file
        return Credential(self._settings.est_user, secret(path)) if path else None

    def _bootstrap(self) -> _Identity | None:
        if not self._settings.bootstrap_certificate:
            return None
        return _Identity(Path(self._settings.bootstrap_certificate), Path(self._settings.bootstrap_key))

    def _present(self, request: Request) -> tuple[x509.Certificate, _Identity] | None:
        """What is to be renewed, if it can be shown in TLS: its key is a file, it is for clients, and it holds."""
        if not request.replaces or request.present is None:
            return None
        identity = _Identity(request.present / "leaf.pem", request.present / "key.pem")
        if not identity.key.is_file():
            return None
        try:
            leaf = x509.load_pem_x509_certificate(request.replaces.encode())
            usages = [one.value for one in leaf.extensions if isinstance(one.value, x509.ExtendedKeyUsage)]
        except ValueError:
            return None
        holds = leaf.not_valid_before_utc <= self._clock.now() < leaf.not_valid_after_utc
        fits = all(ExtendedKeyUsageOID.CLIENT_AUTH in one for one in usages)
        return (leaf, identity) if holds and fits else None

    def _transport(self, identity: _Identity | None = None) -> Transport:
        """Connections that trust :meth:`anchors`' roots and show ``identity``. Raises AgentError."""
        try:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.load_verify_locations(cafile=self._settings.trust)
            if told := self._told():
                context.load_verify_locations(cadata=told.decode("ascii"))
            if identity is not None:
                # Without a password OpenSSL would ask the terminal for one.
                context.load_cert_chain(identity.certificate, identity.key, password="")
        except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
            raise AgentError(ISSUER, f"trust or certificate of issuer.{self._name}: {error}") from error
        return Transport(context, user_agent=_AGENT)


async def _written(
    what: str, bookmark: Mapping[str, str], remember: Remember, key: HeldKey, make: Callable[[], bytes]
) -> bytes:
    """The request that an earlier try has written down, if it is for this key; else one that is written down now."""
    kept = bookmark.get(what, "")
    try:
        csr = base64.b64decode(kept, validate=True)
        if kept and x509.load_der_x509_csr(csr).public_key() == key.public_key:
            return csr
    except (ValueError, TypeError):
        pass  # what cannot be read is made anew
    csr = await asyncio.to_thread(make)
    remember({what: base64.b64encode(csr).decode()})
    return csr
