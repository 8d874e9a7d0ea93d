"""ACME's objects as clients see them (RFC 8555, section 7.1); rendered compactly, since acme.sh reads with regexes."""

from __future__ import annotations

from datetime import datetime
from functools import lru_cache
from typing import Any

from troth.enroll.acme.model import Account, Authorization, Challenge, Order
from troth.enroll.acme.urls import Urls


@lru_cache(maxsize=1024)
def rfc3339(moment: datetime) -> str:
    """UTC with whole seconds and a Z, as every client parses it. Each answer about an order says when it expires."""
    return f"{moment.isoformat(timespec='seconds')[:19]}Z"  # strftime costs six times that


def account_view(account: Account, urls: Urls) -> dict[str, Any]:
    """Section 7.1.2."""
    return {
        "status": account.status,
        "contact": list(account.contact),
        "termsOfServiceAgreed": account.terms_agreed,
        "orders": urls.orders(account.id),
    }


def order_view(order: Order, urls: Urls) -> dict[str, Any]:
    """Section 7.1.3."""
    view: dict[str, Any] = {
        "status": order.status,
        "expires": rfc3339(order.expires),
        "identifiers": [{"type": name.type, "value": name.value} for name in order.identifiers],
        "profile": order.profile,
        "authorizations": [urls.authz(authz) for authz in order.authorizations],
        "finalize": urls.finalize(order.id),
    }
    if order.not_after is not None:
        view["notAfter"] = rfc3339(order.not_after)
    if order.replaces is not None:
        view["replaces"] = order.replaces
    if order.error is not None:
        view["error"] = order.error
    if order.status == "valid" and order.certificate_id is not None:
        view["certificate"] = urls.certificate(order.certificate_id)
    return view


def authz_view(authz: Authorization, urls: Urls) -> dict[str, Any]:
    """Section 7.1.4. Once an authorization is decided only the challenge that decided it is shown."""
    shown = authz.challenges
    decided = {"valid": "valid", "expired": "valid", "invalid": "invalid"}.get(authz.status)
    if decided is not None:
        shown = tuple(challenge for challenge in shown if challenge.status == decided) or shown
    view: dict[str, Any] = {
        "identifier": {"type": authz.identifier.type, "value": authz.identifier.value},
        "status": authz.status,
        "expires": rfc3339(authz.expires),
        "challenges": [challenge_view(authz, challenge, urls) for challenge in shown],
    }
    if authz.wildcard:
        view["wildcard"] = True
    if authz.subdomains:
        view["subdomainAuthAllowed"] = True
    return view


def challenge_view(authz: Authorization, challenge: Challenge, urls: Urls) -> dict[str, Any]:
    """Section 8."""
    view: dict[str, Any] = {
        "type": challenge.type,
        "url": urls.challenge(authz.id, challenge.type),
        "status": challenge.status,
    }
    if challenge.token:
        view["token"] = challenge.token
    if challenge.issuers:
        view["issuerDomainNames"] = list(challenge.issuers)
        # As drafts up to -01 name it, beside the account as they have it in the record.
        view["issuer-domain-names"] = list(challenge.issuers)
        view["accounturi"] = urls.account_uri(authz.account_id)
    if challenge.validated is not None:
        view["validated"] = challenge.validated
    if challenge.error is not None:
        view["error"] = challenge.error
    return view
