"""What newOrder asks for, read strictly (RFC 8555, 7.4; RFC 8738), and the challenges offered for it."""

from __future__ import annotations

import re
import secrets
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from troth.client.jose import b64url_encode
from troth.enroll.acme import errors
from troth.enroll.acme.devices import DEVICE_TYPES, one_device, read_device
from troth.enroll.acme.model import (
    DEVICE_ATTEST_01,
    DNS_01,
    DNS_ACCOUNT_01,
    DNS_PERSIST_01,
    HTTP_01,
    TLS_ALPN_01,
    Challenge,
)
from troth.enroll.acme.problems import AcmeProblem, Identifier, compound
from troth.enroll.acme.validate.dns_persist01 import issuers_offered
from troth.kit.clock import to_seconds
from troth.kit.errors import TrothError
from troth.pki.names import canonical_dns, canonical_ip

_RFC3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)\Z", re.IGNORECASE | re.ASCII)
#: Go's zero time, which programs of smallstep's make (the step CLI) send for a time that nobody has chosen.
NO_TIME = "0001-01-01T00:00:00Z"
_SHORTEST = timedelta(minutes=2)

_BY_DNS = frozenset({DNS_01, DNS_ACCOUNT_01, DNS_PERSIST_01})
#: Which challenges can prove which type of identifier.
_FIT = {"dns": frozenset({HTTP_01, TLS_ALPN_01}) | _BY_DNS, "ip": frozenset({HTTP_01, TLS_ALPN_01})}
_FIT |= dict.fromkeys(DEVICE_TYPES, frozenset({DEVICE_ATTEST_01}))


def read_identifiers(value: object, most: int = 100, kinds: Sequence[str] = ("dns", "ip")) -> tuple[Identifier, ...]:
    """The identifiers of newOrder: canonical, sorted, without doubles. Raises AcmeProblem per failing identifier.

    ``kinds`` are the types that the directory takes.
    """
    if not isinstance(value, list) or not value:
        raise AcmeProblem(errors.MALFORMED, "identifiers is not a list with at least one entry")
    if len(value) > most:
        raise AcmeProblem(errors.IDENTIFIER_REJECTED, f"an order holds at most {most} identifiers")
    found: set[Identifier] = set()
    problems: list[AcmeProblem] = []
    for item in value:
        if (
            not isinstance(item, dict)
            or not isinstance(item.get("type"), str)
            or not isinstance(item.get("value"), str)
        ):
            raise AcmeProblem(errors.MALFORMED, "an identifier is not an object with type and value")
        kind, text = item["type"], item["value"]
        identifier = Identifier(kind[:40], text[:255])
        try:
            if kind not in kinds:
                problems.append(AcmeProblem(errors.IDENTIFIER_UNSUPPORTED, identifier=identifier))
            elif kind == "dns":
                found.add(Identifier("dns", canonical_dns(text)))
            elif kind == "ip":
                canonical = canonical_ip(text)
                if canonical != text:
                    raise AcmeProblem(errors.IDENTIFIER_MALFORMED, f"write it as {canonical}", identifier=identifier)
                found.add(Identifier("ip", canonical))
            elif kind in DEVICE_TYPES:
                found.add(read_device(kind, text))
            else:
                problems.append(AcmeProblem(errors.IDENTIFIER_UNSUPPORTED, identifier=identifier))
        except AcmeProblem as problem:
            problems.append(problem)
        except TrothError as error:
            problems.append(AcmeProblem(errors.IDENTIFIER_MALFORMED, error.detail, identifier=identifier))
    if problems:
        raise compound(problems)
    one_device(tuple(found))
    return tuple(sorted(found, key=lambda name: (name.type, name.value)))


def read_not_before(value: object) -> None:
    """``notBefore`` of newOrder, which is for nobody to choose. Raises AcmeProblem for one that is chosen."""
    if value is not None and value != NO_TIME:
        raise AcmeProblem(errors.MALFORMED, "notBefore cannot be chosen here")


def read_not_after(value: object, now: datetime, latest: datetime) -> datetime | None:
    """``notAfter`` of newOrder, in UTC and whole seconds. Raises AcmeProblem for an unreadable or unfit one.

    What the profile cannot give is refused here, and not quietly shortened in the certificate.
    """
    if value is None or value == NO_TIME:
        return None
    try:
        if not isinstance(value, str) or not _RFC3339.match(value):
            raise ValueError
        moment = to_seconds(datetime.fromisoformat(value.upper()).astimezone(UTC))
    except (ValueError, OverflowError):
        raise AcmeProblem(errors.MALFORMED, "notAfter is not an RFC 3339 time") from None
    if moment < now + _SHORTEST:
        raise AcmeProblem(errors.MALFORMED, "notAfter lies in the past, or less than two minutes ahead")
    if moment > latest:
        raise AcmeProblem(errors.MALFORMED, f"notAfter lies behind {latest:%Y-%m-%dT%H:%M:%SZ}, the latest given here")
    return moment


def read_ancestors(value: object, names: Sequence[Identifier]) -> dict[Identifier, str]:
    """The domains that newOrder offers to prove in place of names below them (``ancestorDomain``, RFC 9444, 4.1).

    ``value`` are the identifiers as :func:`read_identifiers` has accepted them. Raises AcmeProblem for what is no
    domain above the name.
    """
    found: dict[Identifier, str] = {}
    for item in value if isinstance(value, list) else ():
        domain = item.get("ancestorDomain")
        if domain is None or item["type"] != "dns":
            continue
        name = Identifier("dns", canonical_dns(item["value"]))
        try:
            ancestor = canonical_dns(domain) if isinstance(domain, str) else ""
        except TrothError:
            ancestor = ""
        base = name.value.removeprefix("*.")
        if not ancestor or ancestor.startswith("*.") or not (base == ancestor or base.endswith(f".{ancestor}")):
            raise AcmeProblem(errors.IDENTIFIER_MALFORMED, "ancestorDomain is no domain above it", identifier=name)
        if name in names:
            found[name] = ancestor
    return found


def offered_challenges(
    name: Identifier, offered: Sequence[str], issuers: Sequence[str] = (), *, wide: bool = False
) -> tuple[Challenge, ...]:
    """The challenges for an identifier (``*.`` included), of those that the directory offers, in its order.

    ``issuers``: names of this server, without which there is no dns-persist-01. ``wide``: more than the one name is
    to be proved. DNS alone for wildcards (RFC 8555, 8.4), never DNS for addresses (RFC 8738).

    Raises AcmeProblem where none is left: nobody could ever prove it.
    """
    fit = _BY_DNS if wide or name.value.startswith("*.") else _FIT[name.type]
    kinds = [kind for kind in offered if kind in fit and (kind != DNS_PERSIST_01 or issuers)]
    if not kinds:
        detail = f"no proof that this directory takes can show control of {name.value!r}"
        raise AcmeProblem(errors.IDENTIFIER_REJECTED, detail, identifier=name)
    return tuple(_challenge(kind, issuers) for kind in kinds)


def _challenge(kind: str, issuers: Sequence[str]) -> Challenge:
    if kind == DNS_PERSIST_01:
        return Challenge(kind, "", issuers=issuers_offered(issuers))
    return Challenge(kind, b64url_encode(secrets.token_bytes(32)))
