"""How Troth proves itself to another system: an OAuth 2 client (by secret or by key), or a token as it is.

A token is asked for once, however many wait for it, kept until shortly before its end, and asked for anew once if it
is refused all the same.

Sources: RFC 6749 (client credentials, 4.4), RFC 7521 and 7523 (JWT for client authentication).
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Mapping
from typing import Final, Literal, Protocol
from urllib.parse import quote_plus, urlencode

import msgspec

from troth.client.assertion import ASSERTION_TYPE, client_assertion, read_private_key
from troth.client.errors import JoseError
from troth.client.jose import SigningKey
from troth.connect.errors import ANSWER, CREDENTIALS, SECRET_INVALID, VENDOR_FAILED, ConnectorError
from troth.kit.clock import Clock
from troth.kit.http import Answer

#: Tokens are renewed this long before they end: a request under way must not outlive its token.
_MARGIN: Final = 60.0
_SHORTEST: Final = 30.0
_LONGEST: Final = 86_400.0
JWT_BEARER: Final = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_FORM: Final = {"content-type": "application/x-www-form-urlencoded", "accept": "application/json"}


class Fetches(Protocol):
    """The guarded client."""

    async def request(
        self, method: str, url: str, *, headers: Mapping[str, str] | None = None, body: bytes = b""
    ) -> Answer:
        """One exchange."""
        ...


class Proof(Protocol):
    """What goes along with each request."""

    async def headers(self) -> Mapping[str, str]:
        """The headers that prove who asks. Raises ConnectorError or HttpFailed."""
        ...

    def refused(self) -> bool:
        """The other side refused them: forget them. Whether asking anew may help."""
        ...


class Token:
    """A token that a person has put here: ``Authorization: <word> <token>``."""

    def __init__(self, token: bytes, *, word: str = "Bearer", header: str = "authorization") -> None:
        self._header = {header: f"{word} {_text(token)}".strip()}

    async def headers(self) -> Mapping[str, str]:
        return self._header

    def refused(self) -> bool:
        return False


class _Answered(msgspec.Struct):
    """RFC 6749, 5.1. ``expires_in`` may be left out; some send it as a text."""

    access_token: str
    token_type: str = "Bearer"  # noqa: S105 -- the name of a scheme
    expires_in: int | str = 1800
    scope: str = ""


class _Refused(msgspec.Struct):
    error: str = ""


class ClientCredentials:
    """An OAuth 2 client that acts for itself.

    Args:
        secret: the client's secret. key: a PEM private key in its place, for ``private_key_jwt``.
        style: where the secret stands: in the form (``post``) or in the header (``basic``).
        form: what else the vendor wants in the form (``audience``, ``resource``).
        key_id: of the key, where the vendor knows several. head: what else stands in an assertion's header.
    """

    def __init__(
        self,
        http: Fetches,
        clock: Clock,
        *,
        url: str,
        client_id: str,
        secret: bytes | None = None,
        key: bytes | None = None,
        key_id: str = "",
        head: Mapping[str, str] | None = None,
        style: Literal["post", "basic"] = "post",
        scope: str = "",
        form: Mapping[str, str] | None = None,
        audience: str = "",
    ) -> None:
        self._http = http
        self._clock = clock
        self._url = url
        self._client_id = client_id
        self._secret = None if secret is None else _text(secret)
        self._key = None if key is None else key_of(key)
        self._head = {**({"kid": key_id} if key_id else {}), **(head or {})}
        self._style = style
        self._form = {"grant_type": "client_credentials", **({"scope": scope} if scope else {}), **(form or {})}
        self._audience = audience or url
        self._claims: Mapping[str, str] | None = None
        self._token: str | None = None
        self._until = float("-inf")
        self._lock = asyncio.Lock()
        #: The scopes that came with the last token; empty if the vendor does not say.
        self.granted: tuple[str, ...] = ()

    @classmethod
    def on_behalf(
        cls, http: Fetches, clock: Clock, *, url: str, issuer: str, subject: str, key: bytes, key_id: str, scope: str
    ) -> ClientCredentials:
        """A service that acts for ``subject`` by a JWT as authorization grant (RFC 7523, 2.1), as Google has it."""
        made = cls(http, clock, url=url, client_id=issuer, key=key, key_id=key_id)
        made._claims = {"sub": subject, "scope": scope}
        made._form = {"grant_type": JWT_BEARER}
        return made

    async def headers(self) -> Mapping[str, str]:
        """See :class:`Proof`."""
        async with self._lock:
            if self._token is None or self._clock.monotonic() >= self._until:
                await self._ask()
            return {"authorization": f"Bearer {self._token}"}

    def refused(self) -> bool:
        """See :class:`Proof`."""
        self._token = None
        return True

    async def _ask(self) -> None:
        asked = self._clock.monotonic()
        form, headers = dict(self._form), dict(_FORM)
        if self._key is not None:
            signed = client_assertion(
                self._key, client_id=self._client_id, audience=self._audience, now=self._clock.now(), head=self._head,
                claims=self._claims,
            )  # fmt: skip
            form |= (
                {"assertion": signed}
                if self._claims is not None
                else {"client_id": self._client_id, "client_assertion_type": ASSERTION_TYPE, "client_assertion": signed}
            )
        elif self._style == "basic":
            pair = f"{quote_plus(self._client_id)}:{quote_plus(self._secret or '')}"
            headers["authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
        else:
            form |= {"client_id": self._client_id, "client_secret": self._secret or ""}
        answer = await self._http.request("POST", self._url, headers=headers, body=urlencode(form).encode())
        if answer.status >= 500:
            raise ConnectorError(VENDOR_FAILED, f"its token endpoint answered {answer.status}")
        if answer.status not in (200, 201):
            raise ConnectorError(CREDENTIALS, f"its token endpoint answered {answer.status}{_why(answer.body)}")
        try:
            told = msgspec.json.decode(answer.body, type=_Answered)
            seconds = min(float(told.expires_in), _LONGEST)
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            raise ConnectorError(ANSWER, "its token endpoint's answer is no token (RFC 6749, 5.1)") from error
        self._token = told.access_token
        self._until = asked + max(seconds - _MARGIN, min(seconds, _SHORTEST))
        self.granted = tuple(told.scope.split())


def key_of(pem: bytes) -> SigningKey:
    """A private key that a person has handed over. Raises ConnectorError (``connector.secret_invalid``)."""
    try:
        return read_private_key(pem)
    except JoseError as error:
        raise ConnectorError(SECRET_INVALID, error.detail) from error


def _why(body: bytes) -> str:
    """The OAuth error code (RFC 6749, 5.2), if it is one: a word of a fixed alphabet, safe to show."""
    try:
        word = msgspec.json.decode(body, type=_Refused).error
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return ""
    return f": {word}" if word and len(word) <= 64 and word.replace("_", "").isalnum() and word.isascii() else ""


def _text(secret: bytes) -> str:
    try:
        return secret.decode("ascii")
    except UnicodeDecodeError as error:
        raise ConnectorError(SECRET_INVALID, "a secret of plain characters was expected") from error
