"""Security event tokens (RFC 8417) in the profile of SSF 1.0, section 4: built, taken apart, held against a stream.

The order: taken apart strictly; header (``typ``, ``alg``, ``kid``); signature; then the claims. Only who can sign is
told what is wrong with a claim. A token that names its own key, or is signed with a shared secret, is refused.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from troth.client.compact import CompactJws, assembled, signing_input
from troth.client.errors import JoseError
from troth.client.jose import VerifyingKey
from troth.connect.ssf.errors import (
    SET_AUDIENCE,
    SET_ISSUER,
    SET_MALFORMED,
    SET_SIGNATURE,
    SET_TIME,
    refused,
)

TYPE: Final = "secevent+jwt"
MEDIA_TYPE: Final = "application/secevent+jwt"
#: No ``none``, no HMAC. The interoperability profile wants RS256 only; real transmitters use the others as well.
ALGORITHMS: Final = frozenset({"RS256", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"})
MAX_TOKEN: Final = 65_536
#: How far another clock may be ahead of ours.
SKEW: Final = timedelta(minutes=5)
_MAX_TEXT = 1_024
_MAX_AUDIENCES = 32
_FAR = 1 << 40


@dataclass(frozen=True, slots=True)
class SecurityEvent:
    """A token that was proved.

    Attributes:
        type: URI of the one event.
        event: its claims.
        subject: ``sub_id`` as sent; None if there is none.
        digest: SHA-256 of the token.
        key_id: by which key it was signed.
    """

    issuer: str
    jti: str
    issued_at: datetime
    audience: tuple[str, ...]
    type: str
    event: Mapping[str, Any]
    subject: Any
    transaction: str | None
    digest: bytes
    key_id: str | None


@dataclass(frozen=True, slots=True)
class Expected:
    """What a stream expects of its tokens.

    Attributes:
        audiences: any one of them must be named; empty: the stream was given none, and any is refused.
        untyped: tokens need no ``typ`` (Google's came before explicit typing).
        max_age: older ones cannot be told from repetitions any more.
    """

    issuer: str
    audiences: frozenset[str]
    max_age: timedelta
    untyped: bool = False


def parse(token: str) -> CompactJws:
    """Take ``token`` apart and look at its header. Raises SetRefused."""
    try:
        found = CompactJws.parse(token.strip(" \t\r\n"), limit=MAX_TOKEN)
    except JoseError as error:
        raise refused(SET_MALFORMED, error.detail) from error
    if found.text_of("alg") not in ALGORITHMS:
        raise refused(SET_SIGNATURE, f"alg is not one of {', '.join(sorted(ALGORITHMS))}")
    return found


def verify(found: CompactJws, token: str, key: VerifyingKey, expected: Expected, *, now: datetime) -> SecurityEvent:
    """The event in ``found``, signed by ``key`` and fit for the stream. Raises SetRefused."""
    prove(found, key)
    return read(found, token, expected, now=now)


def prove(found: CompactJws, key: VerifyingKey) -> None:
    """Hold the signature against ``key``. Raises SetRefused (``ssf.set.signature``)."""
    try:
        found.verify(key)
    except JoseError as error:
        raise refused(SET_SIGNATURE, error.detail) from error


def read(found: CompactJws, token: str, expected: Expected, *, now: datetime) -> SecurityEvent:
    """The event in ``found``, whose signature is good, if it is fit for the stream. Raises SetRefused."""
    kind = found.text_of("typ")
    typed = kind is not None and kind.lower().removeprefix("application/") == TYPE
    if not typed and not (expected.untyped and (kind is None or kind.upper() == "JWT")):
        raise refused(SET_MALFORMED, f"the header's typ is not {TYPE} (SSF 1.0, 4.1.1)")
    claims = found.claims
    for forbidden, clause in (("exp", "4.1.7"), ("sub", "4.1.2")):
        if forbidden in claims:
            raise refused(SET_MALFORMED, f"the claim {forbidden} must not be there (SSF 1.0, {clause})")
    if claims.get("iss") != expected.issuer:
        raise refused(SET_ISSUER)
    audience = _audience(claims.get("aud"))
    if expected.audiences.isdisjoint(audience):
        raise refused(SET_AUDIENCE)
    issued = _moment(claims.get("iat"))
    if issued > now + SKEW:
        raise refused(SET_TIME, f"iat is {issued.isoformat()}, which is to come")
    if issued < now - expected.max_age:
        raise refused(SET_TIME, f"iat is {issued.isoformat()}, more than {expected.max_age.days} days ago")
    kind_of_event, event = _event(claims.get("events"))
    transaction = claims.get("txn")
    return SecurityEvent(
        issuer=expected.issuer,
        jti=_text(claims, "jti"),
        issued_at=issued,
        audience=audience,
        type=kind_of_event,
        event=event,
        subject=claims.get("sub_id"),
        transaction=_text(claims, "txn") if transaction is not None else None,
        digest=hashlib.sha256(token.strip(" \t\r\n").encode()).digest(),
        key_id=found.text_of("kid"),
    )


def build(
    sign: Callable[[bytes], bytes],
    *,
    algorithm: str,
    key_id: str,
    issuer: str,
    audience: Collection[str] | str,
    jti: str,
    issued_at: datetime,
    event_type: str,
    event: Mapping[str, Any],
    subject: Mapping[str, Any],
    transaction: str | None = None,
) -> str:
    """A token signed by ``sign`` (JWS octets over the signing input). Raises ValueError for what must not be sent."""
    if algorithm not in ALGORITHMS:
        raise ValueError(f"a token is not signed with {algorithm}")
    claims: dict[str, Any] = {
        "iss": issuer,
        "jti": jti,
        "iat": int(issued_at.timestamp()),
        "aud": audience if isinstance(audience, str) else list(audience),
        "sub_id": dict(subject),
        "events": {event_type: dict(event)},
    }
    if transaction is not None:
        claims["txn"] = transaction
    text = signing_input({"alg": algorithm, "kid": key_id, "typ": TYPE}, claims)
    return assembled(text, sign(text.encode("ascii")))


def _text(claims: Mapping[str, Any], name: str) -> str:
    value = claims.get(name)
    if not isinstance(value, str) or not 0 < len(value) <= _MAX_TEXT or not storable(value):
        raise refused(SET_MALFORMED, f"the claim {name} is not a text of 1 to {_MAX_TEXT} characters")
    return value


def storable(text: str) -> bool:
    """Whether a database keeps ``text``: there is no NUL in it (halves of surrogate pairs end at the parser)."""
    return "\x00" not in text


def _audience(value: Any) -> tuple[str, ...]:
    found = (value,) if isinstance(value, str) else tuple(value) if isinstance(value, list) else ()
    if not 0 < len(found) <= _MAX_AUDIENCES or not all(isinstance(one, str) for one in found):
        raise refused(SET_AUDIENCE, "the claim aud is not a text or a list of texts")
    return found


def _moment(value: Any) -> datetime:
    """A NumericDate (RFC 7519, section 2)."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < _FAR:
        raise refused(SET_MALFORMED, "the claim iat is no time in seconds")
    try:
        return datetime.fromtimestamp(value, UTC)
    except (ValueError, OverflowError, OSError) as error:
        raise refused(SET_MALFORMED, "the claim iat is beyond all times") from error


def _event(value: Any) -> tuple[str, Mapping[str, Any]]:
    """The one event. SSF 1.0, 4.2.1 lets several URIs name the same event; the interoperability profile wants one."""
    if not isinstance(value, dict) or len(value) != 1:
        raise refused(SET_MALFORMED, "the claim events does not hold one event")
    ((kind, event),) = value.items()
    if not isinstance(event, dict) or not 0 < len(kind) <= _MAX_TEXT or not storable(kind):
        raise refused(SET_MALFORMED, "the event is no JSON object under a URI")
    return kind, event
