"""A client as patient as real ones are: it remembers what it was told, and asks again where no answer came."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from tests.support.webroot import ChallengeWebRoot
from troth.client.acme import AcmeClient
from troth.client.acme_objects import Order
from troth.client.csr import certificate_request


async def _nothing() -> None:
    """The worker validates by itself."""


@dataclass
class Applicant:
    """One name for which a certificate is wanted, by http-01.

    Attributes:
        client: has an account. A restarted server may be met with another client of the same account.
        order_url: of the order, once an answer named it.
        pem: the chain, once it was downloaded.
        heard: order statuses that answers told, in order, without repetitions.
    """

    name: str
    client: AcmeClient
    web_root: ChallengeWebRoot
    order_url: str = ""
    pem: bytes = b""
    heard: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.csr = certificate_request(ec.generate_private_key(ec.SECP256R1()), dns=[self.name])

    @property
    def certificate(self) -> x509.Certificate:
        """The leaf of the downloaded chain."""
        return x509.load_pem_x509_certificate(self.pem)

    async def obtain(
        self,
        *,
        enter: Callable[[str], None] = lambda _: None,
        validate: Callable[[], Awaitable[None]] = _nothing,
        patience: float = 60.0,
    ) -> None:
        """Go on from where the last answer left off, until the certificate is here.

        ``enter`` is told each stage; ``validate`` does the worker's part where there is no worker. Raises TimeoutError
        for an order that stays in ``processing``, and whatever the client raises.
        """
        enter("ordering")
        order = await (self._order() if self.order_url else self._place())
        if order.status == "pending":
            enter("proving")
            for url in order.authorizations:
                await self._prove(url)
            enter("validating")
            await validate()
            enter("proved")
            for url in order.authorizations:
                await self.client.wait_authorization(url, timeout=patience)
            order = await self._order()
        enter("finalizing")
        async with asyncio.timeout(patience):
            while order.status in ("ready", "processing"):
                if order.status == "ready":
                    order = self._hear(await self.client.finalize(order, self.csr))
                else:
                    await asyncio.sleep(0.2)
                    order = await self._order()
        assert order.status == "valid", f"{self.name}: {self.heard}, {order.error}"
        enter("downloading")
        self.pem = await self.client.certificate(order)

    async def _place(self) -> Order:
        order = await self.client.new_order([("dns", self.name)])
        self.order_url = order.url
        return self._hear(order)

    async def _order(self) -> Order:
        return self._hear(await self.client.order(self.order_url))

    async def _prove(self, url: str) -> None:
        authorization = await self.client.authorization(url)
        challenge = authorization.challenge("http-01")
        if authorization.status != "pending" or challenge is None:
            return
        self.web_root.tokens[challenge.token] = self.client.key_authorization(challenge.token)
        await self.client.answer(challenge)

    def _hear(self, order: Order) -> Order:
        assert "valid" not in self.heard or order.status == "valid", f"{self.name}: {self.heard}, then {order.status}"
        if self.heard[-1:] != [order.status]:
            self.heard.append(order.status)
        return order
