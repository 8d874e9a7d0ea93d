"""Opening an ACME request: who signed it, and what it says (RFC 8555, section 6.2 to 6.5; RFC 7515).

:func:`open_request` does the whole of it, in this order:

1. content type and size, before anything is parsed;
2. structure: a strictly flattened JWS (``flattened``) whose protected header has an accepted ``alg``, exactly one
   of ``jwk`` and ``kid`` (the one this resource takes), ``url`` and ``nonce``;
3. the key: parsed from ``jwk``, or of the account that ``kid`` names;
4. the signature;
5. the signed ``url`` against the one this request came to;
6. the nonce, last: whoever cannot sign cannot burn other people's nonces;
7. the account's state, told only to those who proved to hold its key.

Every failure is an :class:`~troth.enroll.acme.problems.AcmeProblem`; hostile bytes raise nothing else.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Generic, Literal, Protocol, TypeAlias, TypeVar

import msgspec

from troth.client.errors import JoseError
from troth.client.jose import VerifyingKey
from troth.enroll.acme import errors
from troth.enroll.acme.flattened import Flattened, malformed, parse_object
from troth.enroll.acme.jwk import AccountKeys
from troth.enroll.acme.problems import AcmeProblem

#: Bodies of ACME requests; challenge routes that carry attestation certificates may take more.
MAX_BODY = 65_536

#: Which of the two ways of naming the signer a resource takes.
SignedBy: TypeAlias = Literal["jwk", "kid", "either"]


class Account(Protocol):
    """What opening a request needs to know of an account; the service's own record has more."""

    @property
    def jwk(self) -> bytes:
        """The account's public key as :func:`troth.enroll.acme.jwk.encode_jwk` wrote it."""
        ...

    @property
    def status(self) -> str:
        """``valid``, ``deactivated`` or ``revoked``."""
        ...


class Nonces(Protocol):
    """What the door needs of :class:`troth.enroll.acme.nonce.NonceMap`."""

    def issue(self) -> str:
        """A fresh nonce."""
        ...

    def consume(self, nonce: str) -> bool:
        """Whether ``nonce`` is ours, fresh and unused until this call."""
        ...


A = TypeVar("A", bound=Account)


class SignedRequest(msgspec.Struct, Generic[A], frozen=True):
    """An authenticated request.

    Attributes:
        account: the account that signed by ``kid``; None if the request carried its key as ``jwk``.
        key: the key that signed.
        payload: decoded octets; empty for POST-as-GET (RFC 8555, 6.3).
        url: the URL that was signed and requested.
    """

    account: A | None
    key: VerifyingKey
    payload: bytes
    url: str

    @property
    def is_post_as_get(self) -> bool:
        """Whether the payload is the empty string, which asks to read and not to act."""
        return not self.payload

    def json(self) -> dict[str, Any]:
        """The payload as a JSON object, members unique. Raises AcmeProblem (malformed) for anything else."""
        return parse_object(self.payload, "payload")


async def open_request(
    body: bytes,
    *,
    content_type: str | None,
    url: str,
    signed_by: SignedBy,
    account_prefix: str,
    find_account: Callable[[str], Awaitable[A | None]],
    keys: AccountKeys,
    nonces: Nonces,
    max_body: int = MAX_BODY,
) -> SignedRequest[A]:
    """Authenticate one ACME POST.

    Args:
        body: the request's body.
        content_type: its header, or None.
        url: this resource's URL as the client sees it (from the configured base, never from the Host header).
        signed_by: which of ``jwk`` and ``kid`` this resource takes.
        account_prefix: what every account URL of this directory starts with; the rest goes to ``find_account``.
        find_account: looks an account up by the rest of its URL; None when there is none.
        keys: parsed keys, kept across requests.
        nonces: where the nonce is consumed.

    Raises AcmeProblem; see the module's text for the order of checks.
    """
    _check_media_type(content_type)
    if len(body) > max_body:
        raise AcmeProblem(errors.TOO_LARGE, f"the body has more than {max_body} bytes")
    parts = Flattened.parse(body)
    header = parts.header
    algorithm = parts.algorithm()
    kid, jwk = header.get("kid"), header.get("jwk")
    if (kid is None) == (jwk is None):
        malformed("the protected header must have exactly one of jwk and kid")
    if signed_by != "either" and (kid is None) != (signed_by == "jwk"):
        malformed(f"this resource takes requests signed with {signed_by} in the protected header")
    signed_url, nonce = parts.string("url"), parts.string("nonce")

    account: A | None = None
    if kid is not None:
        account = await _find(parts.string("kid"), account_prefix, find_account)
        key = keys.stored(account.jwk)
    else:
        key = keys.offered(jwk)

    parts.verify(key, algorithm)
    if signed_url != url:
        raise AcmeProblem(errors.JWS_URL, f"the request was signed for another URL than {url}")
    if not nonces.consume(nonce):
        raise AcmeProblem(errors.BAD_NONCE)
    if account is not None and account.status != "valid":
        raise AcmeProblem(errors.ACCOUNT_INACTIVE, f"the account is {account.status}")
    return SignedRequest(account, key, parts.payload, url)


def open_key_change(outer: SignedRequest[A], *, account_url: str, keys: AccountKeys) -> VerifyingKey:
    """The new key that the inner JWS of a keyChange proves (RFC 8555, 7.3.5).

    ``outer`` is the opened request, signed by the account at ``account_url``. Raises AcmeProblem if the inner JWS
    does not name that account and its present key, or is not signed by the new key.
    """
    parts = Flattened.parse(outer.payload)
    header = parts.header
    algorithm = parts.algorithm()
    if "jwk" not in header or "kid" in header:
        malformed("the inner JWS must carry the new key as jwk")
    if "nonce" in header:
        malformed("the inner JWS must not have a nonce")
    if parts.string("url") != outer.url:
        malformed("the url of the inner JWS is not that of the outer")
    key = keys.offered(header["jwk"])
    parts.verify(key, algorithm)
    inner = parse_object(parts.payload, "inner payload")
    if inner.get("account") != account_url:
        malformed("the inner payload names another account")
    try:
        old = VerifyingKey.from_jwk(inner.get("oldKey"))
    except JoseError as error:
        malformed(f"oldKey: {error.detail}")
    if old.thumbprint != outer.key.thumbprint:
        malformed("oldKey is not the account's present key")
    return key


def _check_media_type(content_type: str | None) -> None:
    media_type = (content_type or "").partition(";")[0].strip().lower()
    if media_type != "application/jose+json":
        raise AcmeProblem(errors.MEDIA_TYPE)


async def _find(kid: str, prefix: str, find_account: Callable[[str], Awaitable[A | None]]) -> A:
    rest = kid[len(prefix) :]
    if not kid.startswith(prefix) or not rest:
        malformed("kid is no account URL of this directory")
    account = await find_account(rest)
    if account is None:
        raise AcmeProblem(errors.ACCOUNT_UNKNOWN, "there is no account with this URL")
    return account
