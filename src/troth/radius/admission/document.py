"""Networks as people define them: YAML under ``networks:``, applied as a whole file or not at all.

    networks:
      - name: corp
        match: {ssids: [Corp], port_types: [wireless]}
        authorities: [issuing]
        profiles: [wifi-device, wifi-user, quarantine]   # no others, whatever their chain says
        places: {allow: staff, restrict: limited, quarantine: healing}

docs/networks.md has every field. What is left out is as strict as it can be.
"""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated, Final, Literal

import msgspec
from cryptography import x509
from msgspec import Meta

from troth.kit.canonical import Json
from troth.radius.admission.errors import NETWORK_INVALID, NetworkInvalid
from troth.radius.admission.model import (
    METHODS,
    BreakerRule,
    EkuRule,
    ForeignRule,
    Identity,
    Match,
    Method,
    Network,
    PlainRule,
    StalePolicy,
    TlsVersion,
)
from troth.radius.admission.points import LONGEST_URL, is_list_url
from troth.trust.documents import DocumentError, Field, parse_document
from troth.trust.literals import parse_duration
from troth.trust.model import Outcome

_NAME: Final = re.compile(r"[a-z][a-z0-9-]{0,62}\Z")
_MAX_BYTES: Final = 262_144
#: RFC 9190, 2.1.2 with RFC 8446, 4.6.1: no ticket lives longer.
_RESUMPTION: Final = timedelta(days=7)
_STALE: Final = timedelta(days=1)
_SESSION: Final = timedelta(days=7)
_CRL_EVERY: Final = timedelta(minutes=5)

_Word = Annotated[str, Meta(min_length=1, max_length=253, pattern=r"\A[^\x00-\x1f\x7f]*\Z")]
_Words = Annotated[tuple[_Word, ...], Meta(max_length=200)]
_Ssid = Annotated[str, Meta(min_length=1, max_length=32)]


class MatchDefinition(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What is joined, if it is this network; see :class:`~troth.radius.admission.model.Match`."""

    ssids: Annotated[tuple[_Ssid, ...], Meta(max_length=200)] = ()
    nas: _Words = ()
    port_types: _Words = ()
    realms: _Words = ()


class CrlDefinition(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Where a revocation list is fetched from.

    Attributes:
        anchor: below which it is; needed only where the network names several.
        issuers: PEM of who signs it, then of those between that one and the anchor; none: the anchor signs it.
    """

    url: Annotated[str, Meta(min_length=1, max_length=LONGEST_URL)]
    anchor: _Word | None = None
    issuers: Annotated[tuple[Annotated[str, Meta(max_length=16_384)], ...], Meta(max_length=6)] = ()


class ForeignDefinition(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """How certificates of foreign anchors are met."""

    policy: _Word
    identity: Annotated[tuple[Literal["upn", "uri", "email", "dns", "cn"], ...], Meta(min_length=1)]
    kind: Literal["device", "user"]
    meet_as: Literal["guest", "subject"] = msgspec.field(name="as", default="guest")
    revocation: Literal["closed", "open"] = "closed"
    crls: Annotated[tuple[CrlDefinition, ...], Meta(max_length=20)] = ()
    distribution_points: bool = False
    crl_every: str = "1h"


class PlainDefinition(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """How devices without certificates are met."""

    policy: _Word
    kind: Literal["device", "user"]
    known: bool = True


class BreakerDefinition(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """When the admission breaker opens."""

    off: bool = False
    share: Annotated[int, Meta(ge=1, le=100)] = 20
    least: Annotated[int, Meta(ge=2, le=100_000)] = 20
    window: str = "10m"
    holds: str = "4h"
    notify: Annotated[tuple[_Word, ...], Meta(max_length=20)] = ()


class NetworkDefinition(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One entry under ``networks:``; see :class:`~troth.radius.admission.model.Network`."""

    name: str
    match: MatchDefinition
    description: Annotated[str, Meta(max_length=500)] = ""
    methods: tuple[Method, ...] = ("eap-tls",)
    authorities: _Words = ()
    anchors: _Words = ()
    profiles: _Words = ()
    policy: _Word | None = None
    foreign: ForeignDefinition | None = None
    mab: PlainDefinition | None = None
    pap: PlainDefinition | None = None
    eku: Literal["client_auth", "any", "unstated"] = "client_auth"
    tls: tuple[TlsVersion, ...] = ("1.2", "1.3")
    resumption: str = "8h"
    stale: Literal["reject", "continue", "restrict"] = "reject"
    stale_for: str = ""
    places: dict[Literal["allow", "restrict", "quarantine"], _Word] = {}
    longest: str = "12h"
    shortest: str = "5m"
    breaker: BreakerDefinition = BreakerDefinition()
    proxy: _Word | None = None


def parse_networks(text: str) -> tuple[NetworkDefinition, ...]:
    """The definitions in a YAML document. Raises NetworkInvalid, naming line and field.

    Whether authorities, anchors and profiles exist is asked when they are applied.
    """
    try:
        fields = parse_document(text, max_bytes=_MAX_BYTES).fields(required=("networks",))
        found = tuple(_definition(entry) for entry in fields["networks"].entries())
    except DocumentError as error:
        raise NetworkInvalid(NETWORK_INVALID, str(error), line=error.line, field=error.field) from error
    seen: set[str] = set()
    for one in found:
        if one.name in seen:
            raise invalid(one, "name", "defined twice in this file")
        seen.add(one.name)
        network_of(one)
    return found


def network_of(definition: NetworkDefinition, version: int = 1) -> Network:
    """The network that a definition makes. Raises NetworkInvalid for one that contradicts itself."""
    _consistent(definition)
    foreign, breaker, match = definition.foreign, definition.breaker, definition.match
    return Network(
        name=definition.name,
        match=Match(
            frozenset(match.ssids),
            frozenset(match.nas),
            frozenset(one.lower() for one in match.port_types),
            frozenset(one.lower() for one in match.realms),
        ),
        description=definition.description,
        methods=tuple(one for one in METHODS if one in definition.methods),
        authorities=definition.authorities,
        anchors=definition.anchors,
        profiles=frozenset(definition.profiles),
        policy=definition.policy,
        foreign=None
        if foreign is None
        else ForeignRule(
            foreign.policy, tuple(Identity(one) for one in foreign.identity), foreign.kind,
            foreign.meet_as == "guest", foreign.revocation == "closed", foreign.distribution_points,
            crl_every(definition),
        ),
        mab=_plain(definition.mab),
        pap=_plain(definition.pap),
        eku=EkuRule(definition.eku),
        tls_versions=tuple(sorted(set(definition.tls))),
        resumption=_time(definition, "resumption", _RESUMPTION, zero=True),
        stale=StalePolicy(definition.stale),
        stale_for=_time(definition, "stale_for", _STALE) if definition.stale != "reject" else timedelta(0),
        places=tuple((Outcome(name), place) for name, place in sorted(definition.places.items())),
        longest=_time(definition, "longest", _SESSION),
        shortest=_time(definition, "shortest", _SESSION),
        breaker=None
        if breaker.off
        else BreakerRule(
            breaker.share, breaker.least, _span(definition, "breaker.window", breaker.window, timedelta(hours=6)),
            _span(definition, "breaker.holds", breaker.holds, timedelta(hours=48)), breaker.notify,
        ),
        proxy=definition.proxy,
        version=version,
    )  # fmt: skip


def crl_every(definition: NetworkDefinition) -> timedelta:
    """How often others' lists are looked for. Raises NetworkInvalid."""
    text = definition.foreign.crl_every if definition.foreign is not None else "1h"
    found = _span(definition, "foreign.crl_every", text, timedelta(days=1))
    if found < _CRL_EVERY:
        raise invalid(definition, "foreign.crl_every", "at least 5m")
    return found


def invalid(definition: NetworkDefinition, field: str, what: str) -> NetworkInvalid:
    """A refusal that names the network and the field."""
    name = definition.name[:80]
    return NetworkInvalid(NETWORK_INVALID, f"network {name!r}: {field}: {what}", network=name, field=field)


def is_network_name(name: str) -> bool:
    """Whether a network could be called so."""
    return _NAME.match(name) is not None


def _definition(entry: Field) -> NetworkDefinition:
    plain: Json = {name: field.json() for name, field in entry.fields().items()}
    try:
        made = msgspec.convert(plain, NetworkDefinition)
    except msgspec.ValidationError as error:
        raise entry.wrong(str(error)[:300]) from error
    if not _NAME.match(made.name):
        raise entry.wrong("name: lower-case letters, digits and hyphens, at most 63, beginning with a letter")
    return made


def _consistent(one: NetworkDefinition) -> None:
    """Raise NetworkInvalid unless its fields agree with one another."""
    match = one.match
    if not (match.ssids or match.nas or match.port_types or match.realms):
        raise invalid(one, "match", "say at least one of ssids, nas, port_types and realms")
    if one.proxy is None:
        if not one.methods:
            raise invalid(one, "methods", "name one, or a proxy")
        if "eap-tls" in one.methods and not (one.authorities or one.anchors):
            raise invalid(one, "authorities", "name who vouches: authorities of ours, or foreign anchors")
    if one.authorities and not one.profiles:
        raise invalid(one, "profiles", "name the profiles that are admitted: a chain alone admits nobody")
    if bool(one.anchors) != (one.foreign is not None):
        raise invalid(one, "foreign", "anchors and foreign go together: say how what they vouch for is met")
    for method, rule in (("mab", one.mab), ("pap", one.pap)):
        if (method in one.methods) != (rule is not None):
            raise invalid(one, method, "the method and its rule go together")
    _fetches(one)
    if rule_without_place(one):
        raise invalid(one, "places", "devices without certificates are restricted: name a place for restrict")
    if not one.tls:
        raise invalid(one, "tls", "name 1.2, 1.3 or both")
    if (one.stale == "reject") == bool(one.stale_for):
        raise invalid(one, "stale_for", "say for how long, with stale: continue or restrict and with no other")
    if one.stale == "restrict" and "restrict" not in one.places:
        raise invalid(one, "places", "name a place for restrict, which stale: restrict needs")
    if _time(one, "shortest", _SESSION) > _time(one, "longest", _SESSION):
        raise invalid(one, "shortest", "longer than longest")


def _fetches(one: NetworkDefinition) -> None:
    """Raise NetworkInvalid unless what it says of fetching revocation lists can be done."""
    if one.foreign is None:
        return
    crl_every(one)
    seen: set[tuple[str, str]] = set()
    for place, named in enumerate(one.foreign.crls):
        field = f"foreign.crls[{place}]"
        if not is_list_url(named.url):
            raise invalid(one, f"{field}.url", "an http:// or https:// address without a user name")
        if named.anchor is None and len(one.anchors) != 1:
            raise invalid(one, f"{field}.anchor", "name the anchor that it is below")
        if named.anchor is not None and named.anchor not in one.anchors:
            raise invalid(one, f"{field}.anchor", f"{named.anchor!r} is not among anchors")
        key = (named.anchor or one.anchors[0], named.url)
        if key in seen:
            raise invalid(one, f"{field}.url", "named twice")
        seen.add(key)
        for text in named.issuers:
            try:
                x509.load_pem_x509_certificates(text.encode())
            except ValueError as error:
                raise invalid(one, f"{field}.issuers", "each is a certificate in PEM") from error


def rule_without_place(one: NetworkDefinition) -> bool:
    """Whether it lets in devices without certificates and names no place for them."""
    return (one.mab is not None or one.pap is not None) and "restrict" not in one.places


def _plain(rule: PlainDefinition | None) -> PlainRule | None:
    return None if rule is None else PlainRule(rule.policy, rule.kind, rule.known)


def _time(one: NetworkDefinition, field: str, most: timedelta, *, zero: bool = False) -> timedelta:
    text: str = getattr(one, field)
    if zero and text == "0":
        return timedelta(0)
    return _span(one, field, text, most)


def _span(one: NetworkDefinition, field: str, text: str, most: timedelta) -> timedelta:
    found = parse_duration(text)
    if found is None or not timedelta(0) < found <= most:
        raise invalid(one, field, f"a duration such as 15m, 8h or 1d, at most {int(most.total_seconds() // 3_600)}h")
    return found
