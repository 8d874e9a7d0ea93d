"""dns-persist-01 (draft-ietf-acme-dns-persist-02): a standing TXT record names who may order, and whose account.

At ``_validation-persist.<name>``: ``issuer; accounturi=URI[; policy=wildcard][; persistUntil=SECONDS]``, in the syntax
of a CAA value. There is no token: whoever can write there has said once which account speaks for the name.

The URI is a hash over name, key and URL of the account, which the client computes by itself (4.1): were it the server's
word alone, an impostor between client and server could have the owner authorize the impostor's account. Records made
with a former key of the account go on proving. Drafts up to -01 had the account's URL itself; where the directory
allows it that is taken, too.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence

from troth.enroll.acme.errors import VALIDATION_INCORRECT
from troth.enroll.acme.validate.issue_value import parse_issue_value
from troth.enroll.acme.validate.outcome import Challenge, Log, NotShown
from troth.enroll.acme.validate.resolver import Resolver

LABEL = "_validation-persist"


async def validate_persist(challenge: Challenge, *, resolver: Resolver, log: Log, now: float) -> float | None:
    """Return if a record allows the challenge's account at ``now`` (seconds since 1970); until when, if it says so.

    Raises NotShown.
    """
    name = f"{LABEL}.{challenge.identifier.value}"
    values = await resolver.texts(name)
    log.add(name, None, f"{len(values)} TXT record(s)")
    why = "none names this server"
    for value in values:
        refused = persist_refuses(value, challenge, now)
        if not refused:
            return persist_until(value)
        if parse_issue_value(value) is not None:
            why = refused
    raise NotShown(VALIDATION_INCORRECT, f"of the {len(values)} TXT record(s) at {name} {why}", retryable=True)


def hash_prefix(account_uri: str) -> str:
    """``accountHashPrefix``: what the hashed URIs of an account begin with, which has this URL."""
    return f"{account_uri.rpartition('/acct/')[0]}/account-hash/"


def hashed_uri(prefix: str, name: str, thumbprint: str, account_uri: str) -> str:
    """The hashed URI (4.1). ``name``: the FQDN, or ``*`` for one that does not depend on it; all of them ASCII."""
    content = bytes((len(name),)) + f"{name}{thumbprint}{account_uri}".encode("ascii")
    digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode("ascii")
    return f"{prefix}sha-256/{digest}"


def _names_account(uri: str | None, challenge: Challenge) -> bool:
    """Whether ``uri`` is one of those by which a record may name the account (4.2)."""
    if not uri or not challenge.account_uri:
        return False
    if challenge.plain_uris and uri == challenge.account_uri:
        return True
    prefix = hash_prefix(challenge.account_uri)
    return uri.startswith(prefix) and any(
        uri == hashed_uri(prefix, name, thumbprint, challenge.account_uri)
        for thumbprint in challenge.thumbprints
        for name in (challenge.identifier.value, "*")
    )


def persist_refuses(value: bytes, challenge: Challenge, now: float) -> str:
    """Why one record does not allow it; empty if it does."""
    found = parse_issue_value(value)
    if found is None or found.issuer not in challenge.issuers:
        return "none names this server"
    if not _names_account(found.parameters.get("accounturi"), challenge):
        return "none names this account (accounturi)"
    if challenge.wide and found.parameters.get("policy", "").lower() != "wildcard":
        return "none allows wildcards and subdomains (policy=wildcard)"
    until = found.parameters.get("persistuntil")
    if until is None:
        return ""
    if not until.isascii() or not until.isdecimal() or len(until) > 15:
        return "one has a persistUntil that is no number of seconds"
    return "" if int(until) > now else "the one for this account has run out (persistUntil)"


def persist_until(value: bytes) -> float | None:
    """When a record that was accepted runs out; None if it does not say."""
    found = parse_issue_value(value)
    until = found.parameters.get("persistuntil") if found is not None else None
    return float(until) if until is not None else None


def issuers_offered(issuers: Sequence[str]) -> tuple[str, ...]:
    """The names told in a challenge: at least one and at most ten."""
    return tuple(issuers[:10])
