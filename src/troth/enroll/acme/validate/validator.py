"""One validation from beginning to end, within its budget and without surprises."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from typing import TypeAlias

from msgspec import structs

from troth.enroll.acme.errors import IDENTIFIER_UNSUPPORTED, VALIDATION_CONNECTION, VALIDATION_DNS
from troth.enroll.acme.problems import AcmeProblem
from troth.enroll.acme.validate.caa import CaaQuestion, check_caa
from troth.enroll.acme.validate.dns01 import validate_dns01
from troth.enroll.acme.validate.dns_persist01 import validate_persist
from troth.enroll.acme.validate.http01 import HttpPorts, validate_http01
from troth.enroll.acme.validate.network import NetworkPolicy, networks
from troth.enroll.acme.validate.outcome import Challenge, Invalid, Log, NotShown, Valid
from troth.enroll.acme.validate.perspectives import Perspectives, Validating
from troth.enroll.acme.validate.resolver import DnsResolver, Resolver, SystemResolver
from troth.enroll.acme.validate.tlsalpn01 import validate_tlsalpn01
from troth.kit.acme_settings import AcmeSettings, AcmeVantage
from troth.kit.addresses import Address
from troth.kit.errors import Reason

#: Challenge types by identifier type, in the order in which they are offered. A wildcard takes dns-01 only
#: (RFC 8555 leaves it to the server, but neither http-01 nor tls-alpn-01 shows control of a whole domain).
METHODS = {
    "dns": ("http-01", "dns-01", "tls-alpn-01", "dns-account-01", "dns-persist-01"),
    "ip": ("http-01", "tls-alpn-01"),
}
_BY_DNS = frozenset({"dns-01", "dns-account-01", "dns-persist-01"})


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
        self.resolver = resolver

    async def validate(self, challenge: Challenge) -> Valid | Invalid:
        """Hold ``challenge`` against the network. Returns within the budget; raises only CancelledError."""
        log = Log()
        late = VALIDATION_DNS if challenge.type in _BY_DNS else VALIDATION_CONNECTION
        return await self._within(self._run(challenge, log), log, challenge.identifier.value, late)

    async def permitted(self, question: CaaQuestion, issuers: Sequence[str]) -> Valid | Invalid:
        """Look at CAA alone, in the same manner."""
        log = Log()
        looking = check_caa(question, issuers=issuers, resolver=self.resolver, log=log)
        return await self._within(looking, log, question.name, VALIDATION_DNS)

    async def _within(
        self, looking: Coroutine[object, object, float | None], log: Log, what: str, late: Reason
    ) -> Valid | Invalid:
        try:
            async with asyncio.timeout(self._settings.budget):
                until = await looking
            return Valid(tuple(log.attempts), until)
        except NotShown as why:
            reason, detail, retryable = why.reason, why.detail, why.retryable
        except TimeoutError:
            reason, detail, retryable = late, f"no answer within {self._settings.budget:g} seconds", True
        return Invalid(AcmeProblem(reason, f"{what}: {detail}"), retryable, tuple(log.attempts))

    async def _run(self, challenge: Challenge, log: Log) -> float | None:
        until = await self._method(challenge, log)
        if challenge.caa and challenge.identifier.type == "dns":
            question = CaaQuestion(
                challenge.identifier.value, challenge.wildcard, challenge.account_uri, challenge.type
            )
            await check_caa(question, issuers=challenge.issuers, resolver=self.resolver, log=log)
        return until

    async def _method(self, challenge: Challenge, log: Log) -> float | None:
        """Return if the challenge is met; until when, if the proof says so. Raises NotShown."""
        settings = self._settings
        if challenge.type not in METHODS.get(challenge.identifier.type, ()):
            raise NotShown(
                IDENTIFIER_UNSUPPORTED,
                f"{challenge.type} cannot show control of an identifier of type {challenge.identifier.type}",
                retryable=False,
            )
        if challenge.type == "dns-persist-01":
            return await validate_persist(challenge, resolver=self.resolver, log=log, now=challenge.asked_at)
        if challenge.type in ("dns-01", "dns-account-01"):
            await validate_dns01(challenge, resolver=self.resolver, log=log)
        elif challenge.type == "http-01":
            ports = HttpPorts(settings.http_port, settings.https_port)
            await validate_http01(challenge, ports=ports, resolver=self.resolver, network=self._network, log=log)
        else:
            await validate_tlsalpn01(
                challenge,
                port=settings.tls_alpn_port,
                resolver=self.resolver,
                network=self._network,
                log=log,
            )
        return None


#: Makes what asks a vantage in a process elsewhere: its name, its settings, seconds for a look.
Reaching: TypeAlias = Callable[[str, AcmeVantage, float], Validating]


def build_validating(
    settings: AcmeSettings, *, own_listeners: Sequence[tuple[Address, int]], reaching: Reaching | None = None
) -> Perspectives:
    """The validator that the configuration describes, with its vantage points. Raises ValueError as below.

    ``reaching``: for vantages that have a ``url``; without it they are refused.
    """
    first = build_validator(settings, own_listeners=own_listeners)
    vantages: dict[str, Validating] = {}
    for name, one in settings.vantages.items():
        if not one.url:
            vantages[name] = build_validator(settings, own_listeners=own_listeners, vantage=one)
        elif reaching is None or not one.key or one.resolver or one.source_address:
            raise ValueError(f"acme.vantages.{name}: a url goes with a key, and with nothing else")
        else:
            vantages[name] = reaching(name, one, float(settings.timeout_seconds))
    if settings.quorum > len(vantages):
        raise ValueError(f"acme.quorum asks for {settings.quorum} vantage points, and there are {len(vantages)}")
    return Perspectives(first, vantages, settings.quorum)


def quick_validating(settings: AcmeSettings, reaching: Reaching | None = None) -> Perspectives:
    """One that only looks names up, while a client waits for the answer to its request.

    With its vantage points: what is found at once needs as many of them as anything else.
    """
    quick = structs.replace(settings, timeout_seconds=min(2, settings.timeout_seconds))
    return build_validating(quick, own_listeners=(), reaching=reaching)


def build_validator(
    settings: AcmeSettings, *, own_listeners: Sequence[tuple[Address, int]], vantage: AcmeVantage | None = None
) -> Validator:
    """The validator that the configuration describes, here or at a vantage point.

    ``own_listeners`` come from :func:`~.network.listener`, one for each socket of this installation. Raises
    ValueError for a resolver or network that is no address.
    """
    resolver: Resolver
    server = vantage.resolver if vantage is not None and vantage.resolver else settings.resolver
    source = vantage.source_address if vantage is not None else ""
    if source:
        ip_address(source)
    if server or source:
        host, port = _address_and_port(server) if server else (None, 53)
        resolver = DnsResolver(host, port, budget=settings.timeout_seconds * 0.8, source=source)
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
            allowed=networks(settings.allowed_networks),
            source=source,
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
