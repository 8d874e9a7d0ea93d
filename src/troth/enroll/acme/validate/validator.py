"""One validation from beginning to end, within its budget and without surprises."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from troth.enroll.acme.errors import IDENTIFIER_UNSUPPORTED, VALIDATION_CONNECTION, VALIDATION_DNS
from troth.enroll.acme.problems import AcmeProblem
from troth.enroll.acme.validate.dns01 import validate_dns01
from troth.enroll.acme.validate.http01 import HttpPorts, validate_http01
from troth.enroll.acme.validate.network import Address, NetworkPolicy, networks
from troth.enroll.acme.validate.outcome import Challenge, Invalid, Log, NotShown, Valid
from troth.enroll.acme.validate.resolver import DnsResolver, Resolver, SystemResolver
from troth.enroll.acme.validate.tlsalpn01 import validate_tlsalpn01
from troth.kit.acme_settings import AcmeSettings

#: Challenge types by identifier type, in the order in which they are offered. A wildcard takes dns-01 only
#: (RFC 8555 leaves it to the server, but neither http-01 nor tls-alpn-01 shows control of a whole domain).
METHODS = {"dns": ("http-01", "dns-01", "tls-alpn-01"), "ip": ("http-01", "tls-alpn-01")}


@dataclass(frozen=True, slots=True)
class ValidationSettings:
    """Ports and time.

    Attributes:
        http_port: where http-01 asks, and http redirects lead.
        https_port: where https redirects of http-01 lead.
        tls_alpn_port: where tls-alpn-01 connects.
        budget: seconds for one validation, everything included.
    """

    http_port: int = 80
    https_port: int = 443
    tls_alpn_port: int = 443
    budget: float = 10.0


class Validator:
    """Validates challenges. Holds no state between them.

    Args:
        settings: ports and time.
        network: where connections may go.
        resolver: :class:`~.resolver.SystemResolver`, or :class:`~.resolver.DnsResolver` when one is configured.
    """

    def __init__(self, settings: ValidationSettings, *, network: NetworkPolicy, resolver: Resolver) -> None:
        self._settings = settings
        self._network = network
        self._resolver = resolver

    async def validate(self, challenge: Challenge) -> Valid | Invalid:
        """Hold ``challenge`` against the network. Returns within the budget; raises only CancelledError."""
        log = Log()
        try:
            async with asyncio.timeout(self._settings.budget):
                await self._run(challenge, log)
            return Valid(tuple(log.attempts))
        except NotShown as why:
            reason, detail, retryable = why.reason, why.detail, why.retryable
        except TimeoutError:
            reason = VALIDATION_DNS if challenge.type == "dns-01" else VALIDATION_CONNECTION
            detail, retryable = f"no answer within {self._settings.budget:g} seconds", True
        return Invalid(AcmeProblem(reason, f"{challenge.identifier.value}: {detail}"), retryable, tuple(log.attempts))

    async def _run(self, challenge: Challenge, log: Log) -> None:
        settings = self._settings
        if challenge.type not in METHODS.get(challenge.identifier.type, ()):
            raise NotShown(
                IDENTIFIER_UNSUPPORTED,
                f"{challenge.type} cannot show control of an identifier of type {challenge.identifier.type}",
                retryable=False,
            )
        if challenge.type == "dns-01":
            await validate_dns01(challenge, resolver=self._resolver, log=log)
        elif challenge.type == "http-01":
            ports = HttpPorts(settings.http_port, settings.https_port)
            await validate_http01(challenge, ports=ports, resolver=self._resolver, network=self._network, log=log)
        else:
            await validate_tlsalpn01(
                challenge,
                port=settings.tls_alpn_port,
                resolver=self._resolver,
                network=self._network,
                log=log,
            )


def build_validator(settings: AcmeSettings, *, own_listeners: Sequence[tuple[Address, int]]) -> Validator:
    """The validator that the configuration describes.

    ``own_listeners`` come from :func:`~.network.listener`, one for each socket of this installation. Raises
    ValueError for a resolver or network that is no address.
    """
    resolver: Resolver
    if settings.resolver:
        host, port = _address_and_port(settings.resolver)
        resolver = DnsResolver(host, port, budget=settings.timeout_seconds * 0.8)
    else:
        resolver = SystemResolver()
    return Validator(
        ValidationSettings(
            http_port=settings.http_port,
            tls_alpn_port=settings.tls_alpn_port,
            budget=float(settings.timeout_seconds),
        ),
        network=NetworkPolicy(
            denied=networks(settings.denied_networks),
            own_listeners=own_listeners,
            link_local=not settings.refuse_link_local,
        ),
        resolver=resolver,
    )


def _address_and_port(text: str) -> tuple[str, int]:
    """``ADDRESS``, ``ADDRESS:PORT`` or ``[IPv6]:PORT``."""
    if text.startswith("["):
        host, _, rest = text[1:].partition("]")
        return host, int(rest.removeprefix(":") or 53)
    if text.count(":") == 1:
        host, _, port = text.partition(":")
        return host, int(port)
    return text, 53
