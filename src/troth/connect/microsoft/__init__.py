"""What Microsoft's APIs have in common: clouds, how an application proves itself, and Graph's pages.

Each product has a package of its own (``entra``, ``intune``, …) with its table of words. Documented behaviour, not
tried live. Sources: the Microsoft Graph v1.0 reference and the Microsoft identity platform's, as of 2026.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256

from troth.connect.api import VendorApi, json_of, moment
from troth.connect.connector import Wiring
from troth.connect.definition import ConnectorDefinition
from troth.connect.errors import ANSWER, SECRET_INVALID, SECRET_MISSING, ConnectorError
from troth.connect.proof import ClientCredentials
from troth.kit.canonical import Json

#: National clouds → where Graph is.
GRAPH_CLOUDS: Final[Mapping[str, str]] = {
    "global": "https://graph.microsoft.com",
    "us-gov": "https://graph.microsoft.us",
    "us-dod": "https://dod-graph.microsoft.us",
    "china": "https://microsoftgraph.chinacloudapi.cn",
}
#: Host of an API → where its tokens come from. An address of one's own is asked itself.
_LOGIN: Final[Mapping[str, str]] = {
    "graph.microsoft.com": "https://login.microsoftonline.com",
    "api.securitycenter.microsoft.com": "https://login.microsoftonline.com",
    "api.security.microsoft.com": "https://login.microsoftonline.com",
    "graph.microsoft.us": "https://login.microsoftonline.us",
    "dod-graph.microsoft.us": "https://login.microsoftonline.us",
    "api-gcc.securitycenter.microsoft.us": "https://login.microsoftonline.com",
    "api-gov.securitycenter.microsoft.us": "https://login.microsoftonline.us",
    "microsoftgraph.chinacloudapi.cn": "https://login.chinacloudapi.cn",
}
HOSTS: Final = (*_LOGIN, *sorted({urlsplit(url).hostname or "" for url in _LOGIN.values()}))
SECRETS: Final[Mapping[str, str]] = {
    "client_secret": "a client secret of the app registration",
    "certificate": "PEM of a private key and its certificate, in the place of the client secret",
}
#: Tokens of a state that is no more: the read begins anew.
_RESYNC: Final = frozenset({"resyncRequired", "syncStateNotFound", "syncStateInvalid", "Directory_ResyncRequired"})


def check(definition: ConnectorDefinition) -> tuple[str, str] | None:
    """What every connector of Microsoft's needs: (field, what is wrong), or None."""
    if not definition.client_id:
        return "client_id", "the application (client) id of the app registration"
    if not definition.tenant or "/" in definition.tenant or definition.tenant in {"common", "organizations"}:
        return "tenant", "the directory (tenant) id, or one of its domain names"
    return None


def proof(wiring: Wiring, *, resource: str = "") -> ClientCredentials:
    """The app registration's proof, for ``resource`` (default: the API's own address). Raises ConnectorError."""
    base = wiring.base_url.rstrip("/")
    login = _LOGIN.get(urlsplit(base).hostname or "", base)
    url = f"{login}/{wiring.definition.tenant}/oauth2/v2.0/token"
    scope = f"{resource or base}/.default"
    client_id = wiring.definition.client_id
    if "certificate" in wiring.secrets:
        pem = wiring.secret("certificate")
        return ClientCredentials(
            wiring.http, wiring.clock, url=url, client_id=client_id, key=pem, head={"x5t#S256": _thumbprint(pem)},
            scope=scope,
        )  # fmt: skip
    if "client_secret" not in wiring.secrets:
        raise ConnectorError(SECRET_MISSING, "it needs a client_secret or a certificate", kind="client_secret")
    return ClientCredentials(
        wiring.http, wiring.clock, url=url, client_id=client_id, secret=wiring.secret("client_secret"), scope=scope
    )


def _thumbprint(pem: bytes) -> str:
    """``x5t#S256`` of the certificate (RFC 7515, 4.1.8)."""
    try:
        found = x509.load_pem_x509_certificate(pem)
    except ValueError as error:
        raise ConnectorError(SECRET_INVALID, "no PEM certificate beside the private key") from error
    return base64.urlsafe_b64encode(found.fingerprint(SHA256())).rstrip(b"=").decode()


@dataclass(frozen=True, slots=True)
class GraphPage:
    """One page of a collection.

    Attributes:
        following: link to the next page, empty on the last one.
        delta: on the last page of a delta query: the link that asks for what has changed since.
        lost: the state behind the link is no more (410, or one of Graph's codes for it): begin anew.
    """

    items: list[Any]
    following: str = ""
    delta: str = ""
    lost: bool = False


async def page(
    api: VendorApi, link: str, query: Mapping[str, str] | None, *, scope: str, prefer: str = ""
) -> GraphPage:
    """The page behind ``link``. Raises ConnectorError, Throttled, HttpFailed, EgressRefused."""
    answer = await api.answer(
        "GET", link, query, scope=scope, headers={"prefer": prefer} if prefer else None,
        good=frozenset({200, 400, 404, 410}),
    )  # fmt: skip
    found = json_of(answer)
    if answer.status != 200:
        if answer.status == 410 or _code(found) in _RESYNC:
            return GraphPage([], lost=True)
        raise ConnectorError(ANSWER, f"GET {urlsplit(link).path}: status {answer.status}{_said(found)}")
    items = found.get("value") if isinstance(found, dict) else None
    if not isinstance(items, list):
        raise ConnectorError(ANSWER, "value is no list")
    following, delta = found.get("@odata.nextLink") or "", found.get("@odata.deltaLink") or ""
    if not isinstance(following, str) or not isinstance(delta, str):
        raise ConnectorError(ANSWER, "a link is no text")
    if following and following == link:
        raise ConnectorError(ANSWER, "a page leads to itself")
    return GraphPage(items, following, delta)


async def sweep(
    api: VendorApi,
    wiring: Wiring,
    cursor: Json,
    path: str,
    field: str,
    *,
    top: int,
    scope: str,
    overlap: timedelta,
    select: str = "",
) -> tuple[GraphPage, dict[str, Json]]:
    """A page of what has changed by the time ``field``, and the cursor that goes on from it.

    Cursor: ``since``, and within a sweep ``began`` and ``next``. The next sweep begins ``overlap`` before this one did;
    the very first goes back by the option ``lookback_hours``. Raises as :func:`page` does.
    """
    known = cursor if isinstance(cursor, dict) else {}
    now = wiring.clock.now()
    since = str(known.get("since") or (now - timedelta(hours=wiring.options.lookback_hours)).isoformat())
    began = str(known.get("began") or now.isoformat())
    link = str(known.get("next") or "")
    query = {"$filter": f"{field} ge {time(since)}", "$top": str(top)} | ({"$select": select} if select else {})
    found = await page(api, link or path, None if link else query, scope=scope)
    if found.lost:
        return found, {"since": since}
    if found.following:
        return found, {"since": since, "began": began, "next": found.following}
    return found, {"since": max(moment(since), moment(began) - overlap).isoformat()}


def time(text: str) -> str:
    """An RFC 3339 time as Graph's filters take it: UTC, whole seconds."""
    return moment(text).strftime("%Y-%m-%dT%H:%M:%SZ")


def _code(found: Any) -> str:
    error = found.get("error") if isinstance(found, dict) else None
    code = error.get("code") if isinstance(error, dict) else None
    return code if isinstance(code, str) else ""


def _said(found: Any) -> str:
    code = _code(found)
    return f": {code[:80]}" if code.isascii() and code.isprintable() and code else ""
