"""An ACME (RFC 8555) client: one account on one server.

>>> async with Transport(trusting("root.pem")) as transport:
...     client = await AcmeClient.open(directory_url, key=SigningKey.generate(), transport=transport)
...     await client.register()
...     order = await client.new_order([("dns", "www.example.org")])
...     for url in order.authorizations:
...         authorization = await client.authorization(url)
...         challenge = authorization.challenge("http-01")
...         ...                                     # serve client.key_authorization(challenge.token)
...         await client.answer(challenge)
...         await client.wait_authorization(url)
...     order = await client.finalize(order, certificate_request(key, dns=["www.example.org"]))
...     chain = await client.certificate(await client.wait_order(order))

Each answer's nonce signs the next request; a badNonce is retried. Whatever the server refuses is raised as
:class:`AcmeError` with its problem document. Used by the tests, the demonstration, the benchmarks and ``connect``.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from cryptography import x509

from troth.client.acme_objects import Account, Authorization, Challenge, Order, Problem
from troth.client.acme_session import AcmeError, AcmeSession, decode, location, retry_after, sign_jws
from troth.client.errors import ACME_TIMEOUT
from troth.client.jose import SigningKey, b64url_decode, b64url_encode
from troth.client.renewal import RenewalInfo, cert_id, parse_renewal_info
from troth.client.transport import HttpAnswer
from troth.kit.errors import TrothError

__all__ = ["AcmeClient", "AcmeError", "AcmeTimeout", "ExternalBinding"]


class AcmeTimeout(TrothError):
    """An order or authorization stayed unfinished."""


@dataclass(frozen=True, slots=True)
class ExternalBinding:
    """Credentials for an external account binding (RFC 8555, 7.3.4).

    Attributes:
        key_id: as the operator gave it.
        hmac_key: base64url, as the operator gave it.
        algorithm: HS256, HS384 or HS512.
    """

    key_id: str
    hmac_key: str
    algorithm: str = "HS256"


class AcmeClient(AcmeSession):
    """See the module's text. Make one with :meth:`open`; it may be used by several tasks at once."""

    # Accounts.

    async def register(
        self,
        contact: Sequence[str] = (),
        *,
        terms_agreed: bool = True,
        only_existing: bool = False,
        binding: ExternalBinding | None = None,
    ) -> Account:
        """Make or find the account of this client's key."""
        url = self.directory.new_account
        payload: dict[str, Any] = {"termsOfServiceAgreed": terms_agreed}
        if contact:
            payload["contact"] = list(contact)
        if only_existing:
            payload["onlyReturnExisting"] = True
        if binding is not None:
            payload["externalAccountBinding"] = _bind(binding, url, self.key)
        answer = await self.post(url, payload, with_key=True)
        self.account_url = location(answer)
        return msgspec.structs.replace(decode(answer, Account), url=self.account_url, created=answer.status == 201)

    async def account(self) -> Account:
        """The account as the server has it."""
        return await self._account(None)

    async def update_contact(self, contact: Sequence[str]) -> Account:
        """Replace the account's contacts."""
        return await self._account({"contact": list(contact)})

    async def deactivate(self) -> Account:
        """Close the account for good."""
        return await self._account({"status": "deactivated"})

    async def change_key(self, new_key: SigningKey) -> None:
        """Put ``new_key`` in the place of this client's key (RFC 8555, 7.3.5)."""
        url = self.directory.key_change
        protected = {"alg": new_key.public.algorithm, "jwk": dict(new_key.public.jwk), "url": url}
        payload = {"account": self.account_url, "oldKey": dict(self.key.public.jwk)}
        await self.post(url, sign_jws(new_key, protected, msgspec.json.encode(payload)))
        self.key = new_key

    async def _account(self, payload: dict[str, Any] | None) -> Account:
        answer = await self.post(self.account_url, payload)
        return msgspec.structs.replace(decode(answer, Account), url=self.account_url)

    # Renewal (RFC 9773).

    async def renewal_info(self, certificate: x509.Certificate) -> RenewalInfo | None:
        """When the server would have ``certificate`` renewed; None if it does not say such things.

        To say in the order that follows that it takes this certificate's place: ``new_order(replaces=cert_id(…))``.
        """
        if not self.directory.renewal_info:
            return None
        url = f"{self.directory.renewal_info.rstrip('/')}/{cert_id(certificate)}"
        answer = await self.get(url)
        return parse_renewal_info(answer.body, retry_after(answer))

    # Orders.

    async def new_order(
        self,
        identifiers: Iterable[tuple[str, str]],
        *,
        profile: str = "",
        not_before: str = "",
        not_after: str = "",
        replaces: str = "",
    ) -> Order:
        """Order a certificate for ``identifiers``, pairs such as ``("dns", "www.example.org")``."""
        payload: dict[str, Any] = {"identifiers": [{"type": kind, "value": value} for kind, value in identifiers]}
        optional = {"profile": profile, "notBefore": not_before, "notAfter": not_after, "replaces": replaces}
        payload.update({name: value for name, value in optional.items() if value})
        answer = await self.post(self.directory.new_order, payload)
        return _order(answer, location(answer))

    async def order(self, url: str) -> Order:
        """The order at ``url``."""
        return _order(await self.post(url), url)

    async def authorization(self, url: str) -> Authorization:
        """The authorization at ``url``."""
        answer = await self.post(url)
        return msgspec.structs.replace(decode(answer, Authorization), url=url, retry_after=retry_after(answer))

    async def deactivate_authorization(self, url: str) -> Authorization:
        """Give a proof of control up."""
        return decode(await self.post(url, {"status": "deactivated"}), Authorization)

    def key_authorization(self, token: str) -> str:
        """What http-01 serves for ``token`` (RFC 8555, 8.1)."""
        return f"{token}.{self.key.public.thumbprint}"

    def dns_value(self, token: str) -> str:
        """What the TXT record of dns-01 holds for ``token``."""
        return b64url_encode(hashlib.sha256(self.key_authorization(token).encode("ascii")).digest())

    async def answer(self, challenge: Challenge, response: dict[str, Any] | None = None) -> Challenge:
        """Tell the server that ``challenge`` is ready to be looked at."""
        return decode(await self.post(challenge.url, response or {}), Challenge)

    async def finalize(self, order: Order, csr: bytes) -> Order:
        """Ask for the certificate with a DER certificate request; the order may come back as ``processing``."""
        return _order(await self.post(order.finalize, {"csr": b64url_encode(csr)}), order.url)

    async def certificate(self, order: Order | str) -> bytes:
        """The PEM chain of a valid order (or at a certificate's URL), leaf first."""
        return (await self.post(order if isinstance(order, str) else order.certificate)).body

    async def revoke(self, certificate: bytes, reason: int | None = None, *, key: SigningKey | None = None) -> None:
        """Revoke a DER certificate, as its account or, with ``key``, as the holder of the certified key."""
        payload: dict[str, Any] = {"certificate": b64url_encode(certificate)}
        if reason is not None:
            payload["reason"] = reason
        await self.post(self.directory.revoke_cert, payload, with_key=key is not None, key=key)

    # Waiting.

    async def wait_authorization(self, url: str, *, timeout: float = 60.0, interval: float = 0.05) -> Authorization:
        """Poll until the authorization leaves ``pending``. Raises AcmeError if it failed, AcmeTimeout if it stays."""
        pause = interval
        try:
            async with asyncio.timeout(timeout):
                while (found := await self.authorization(url)).status == "pending":
                    pause = await _pause(pause, found.retry_after, timeout)
        except TimeoutError:
            raise AcmeTimeout(ACME_TIMEOUT, f"the authorization {url} is still pending") from None
        if found.status != "valid":
            failed = next((challenge.error for challenge in found.challenges if challenge.error), None)
            raise AcmeError(failed or Problem(detail=f"the authorization is {found.status}"))
        return found

    async def wait_order(self, order: Order, *, timeout: float = 60.0, interval: float = 0.05) -> Order:
        """Poll until a finalised order is valid. Raises AcmeError if it became invalid, AcmeTimeout if it stays."""
        pause = interval
        try:
            async with asyncio.timeout(timeout):
                while order.status not in ("valid", "invalid"):
                    pause = await _pause(pause, order.retry_after, timeout)
                    order = await self.order(order.url)
        except TimeoutError:
            raise AcmeTimeout(ACME_TIMEOUT, f"the order {order.url} is still {order.status}") from None
        if order.status == "invalid":
            raise AcmeError(order.error or Problem(detail="the order is invalid"))
        return order


def _bind(binding: ExternalBinding, url: str, key: SigningKey) -> dict[str, str]:
    header = b64url_encode(msgspec.json.encode({"alg": binding.algorithm, "kid": binding.key_id, "url": url}))
    content = b64url_encode(msgspec.json.encode(key.public.jwk))
    digest = f"sha{binding.algorithm.removeprefix('HS')}"
    mac = hmac.digest(b64url_decode(binding.hmac_key), f"{header}.{content}".encode("ascii"), digest)
    return {"protected": header, "payload": content, "signature": b64url_encode(mac)}


def _order(answer: HttpAnswer, url: str) -> Order:
    return msgspec.structs.replace(decode(answer, Order), url=url, retry_after=retry_after(answer))


async def _pause(pause: float, asked: float, timeout: float) -> float:
    await asyncio.sleep(min(max(pause, asked), timeout))
    return min(pause * 1.5, 2.0)
