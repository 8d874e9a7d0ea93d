"""Places as people define them: YAML under ``places:``, applied as a whole file or not at all.

places:
  - name: staff
    vlan: 20
    role: employee
    session_timeout: 8h
  - name: quarantine
    vlan: 900
    acl_rules:
      - permit udp to any port 53
      - permit tcp to 192.0.2.10/32 port 443
    redirect_url: https://help.example.com/quarantine
    redirect_acl: REDIRECT
    session_timeout: 30m
    essential: [vlan]
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta

from troth.radius.places.errors import PLACE_INVALID, PlaceInvalid
from troth.radius.places.rules import MAX_RULES, Rule, closed, parse_rule
from troth.trust.documents import DocumentError, Field, parse_document
from troth.trust.literals import parse_duration

MAX_BYTES: Final = 262_144
MAX_PLACES: Final = 500
#: What decides where somebody is, as opposed to for how long and how fast.
CONFINING: Final = ("vlan", "role", "acl", "acl_rules", "sgt")
#: 0xFFFF and 0xFFFE are Cisco's own; 0 is «unknown».
_MAX_SGT: Final = 65_533
_NAME: Final = re.compile(r"[a-z][a-z0-9-]{0,31}\Z")
_WORD: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._@/-]{0,62}(?<! )\Z")

_Vlan = Annotated[int, Meta(ge=1, le=4094)] | Annotated[str, Meta(max_length=64)]
_Name = Annotated[str, Meta(max_length=64)]
_Kilobits = Annotated[int, Meta(ge=8, le=100_000_000)]


class PlaceDefinition(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One entry under ``places:``.

    Attributes:
        vlan: by its number (1 to 4094), or by the name it has on the equipment.
        voice_vlan: the VLAN of a telephone, likewise.
        role: what the equipment calls user role, group policy or group.
        acl: an access list that stands on the equipment, by name.
        acl_rules: what the client may reach (:mod:`troth.radius.places.rules`), sent along; what no rule matches is
            denied.
        downloadable: have the equipment ask for the rules by a name of its own (Cisco), where it can.
        ipv6: whether the rules are sent for IPv6 as well; without them IPv6 is not filtered by this place.
        sgt: security group tag (Cisco TrustSec), 1 to 65533.
        session_timeout: after it the client authenticates anew: 1m to 24h. idle_timeout: 1m to 24h.
        redirect_url, redirect_acl: where a browser is led, and the equipment's access list that says which traffic.
        bandwidth_down, bandwidth_up: towards and from the client, in kbit/s; both or neither.
        essential: without which it is not this place: a vendor that cannot express one of these is told nothing, and
            the client is rejected. Default: the VLAN if there is one, else everything that confines.
        description: for people.
    """

    name: str
    vlan: _Vlan | None = None
    voice_vlan: _Vlan | None = None
    role: _Name = ""
    acl: _Name = ""
    acl_rules: Annotated[tuple[str, ...], Meta(max_length=MAX_RULES)] = ()
    downloadable: bool = False
    ipv6: bool = True
    sgt: Annotated[int, Meta(ge=1, le=_MAX_SGT)] | None = None
    session_timeout: str = ""
    idle_timeout: str = ""
    redirect_url: Annotated[str, Meta(max_length=200)] = ""
    redirect_acl: _Name = ""
    bandwidth_down: _Kilobits | None = None
    bandwidth_up: _Kilobits | None = None
    essential: tuple[str, ...] | None = None
    description: Annotated[str, Meta(max_length=500)] = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A place as it is used: checked, times in seconds, rules parsed and closed. See :class:`PlaceDefinition`."""

    name: str
    vlan: int | str | None = None
    voice_vlan: int | str | None = None
    role: str | None = None
    acl: str | None = None
    acl_rules: tuple[Rule, ...] = ()
    downloadable: bool = False
    ipv6: bool = True
    sgt: int | None = None
    session_timeout: int | None = None
    idle_timeout: int | None = None
    redirect_url: str | None = None
    redirect_acl: str | None = None
    bandwidth_down: int | None = None
    bandwidth_up: int | None = None
    essential: frozenset[str] = frozenset()


def place_of(definition: PlaceDefinition) -> Place:
    """The place that a definition means. Raises PlaceInvalid, naming place and field."""
    _check_names(definition)
    for field in ("session_timeout", "idle_timeout"):
        _seconds(definition, field)
    if (definition.bandwidth_down is None) != (definition.bandwidth_up is None):
        raise invalid(definition.name, "bandwidth_down", "name both directions or neither")
    if definition.redirect_acl and not definition.redirect_url:
        raise invalid(definition.name, "redirect_acl", "there is no redirect_url that it could be for")
    if definition.downloadable and not definition.acl_rules:
        raise invalid(definition.name, "downloadable", "there are no acl_rules to download")
    rules = closed(_rules(definition)) if definition.acl_rules else ()
    confining = [field for field in CONFINING if getattr(definition, field)]
    return Place(
        name=definition.name,
        vlan=definition.vlan, voice_vlan=definition.voice_vlan,
        role=definition.role or None, acl=definition.acl or None,
        acl_rules=rules, downloadable=definition.downloadable, ipv6=definition.ipv6, sgt=definition.sgt,
        session_timeout=_seconds(definition, "session_timeout"), idle_timeout=_seconds(definition, "idle_timeout"),
        redirect_url=_url(definition), redirect_acl=definition.redirect_acl or None,
        bandwidth_down=definition.bandwidth_down, bandwidth_up=definition.bandwidth_up,
        essential=_essential(definition, confining),
    )  # fmt: skip


def parse_places(text: str) -> tuple[PlaceDefinition, ...]:
    """The definitions in a YAML document, each of which makes a place. Raises PlaceInvalid, naming line and field."""
    try:
        fields = parse_document(text, max_bytes=MAX_BYTES).fields(required=("places",))
        found = tuple(_definition(entry) for entry in fields["places"].entries())
    except DocumentError as error:
        raise PlaceInvalid(PLACE_INVALID, str(error), line=error.line, field=error.field) from error
    if len(found) > MAX_PLACES:
        raise PlaceInvalid(PLACE_INVALID, f"more than {MAX_PLACES} places in one file", field="places")
    if len({one.name for one in found}) != len(found):
        twice = next(one.name for at, one in enumerate(found) if one.name in {other.name for other in found[:at]})
        raise invalid(twice, "name", "defined twice in this file")
    return found


def is_place_name(name: str) -> bool:
    """Whether a place could be called so."""
    return _NAME.match(name) is not None


def invalid(name: str, field: str, what: str) -> PlaceInvalid:
    """A refusal that names the place and the field."""
    return PlaceInvalid(PLACE_INVALID, f"place {name[:80]!r}: {field}: {what}", place=name[:80], field=field)


def check_word(place: str, field: str, value: str) -> str:
    """``value``, which may stand in an attribute as a name: nothing in it ends one. Raises PlaceInvalid."""
    if not _WORD.match(value):
        raise invalid(place, field, "1 to 63 letters, digits, blanks and ._@/-, beginning with a letter or digit")
    return value


def _definition(entry: Field) -> PlaceDefinition:
    try:
        plain: Mapping[str, Any] = {name: field.json() for name, field in entry.fields().items()}
        made = msgspec.convert(plain, PlaceDefinition)
        place_of(made)
    except msgspec.ValidationError as error:
        raise entry.wrong(str(error)[:300]) from error
    except PlaceInvalid as error:
        raise entry.wrong(error.detail) from error
    return made


def _check_names(definition: PlaceDefinition) -> None:
    name = definition.name
    if not is_place_name(name):
        raise invalid(name, "name", "lower-case letters, digits and hyphens, at most 32, beginning with a letter")
    for field in ("vlan", "voice_vlan", "role", "acl", "redirect_acl"):
        value = getattr(definition, field)
        if isinstance(value, int) or value in (None, ""):
            continue
        if field in ("vlan", "voice_vlan") and value.isdigit():
            raise invalid(name, field, "write a VLAN's number without quotes")
        check_word(name, field, value)


def _rules(definition: PlaceDefinition) -> tuple[Rule, ...]:
    found = []
    for number, text in enumerate(definition.acl_rules):
        try:
            found.append(parse_rule(text))
        except ValueError as error:
            raise invalid(definition.name, f"acl_rules[{number}]", str(error)) from error
    return tuple(found)


def _seconds(definition: PlaceDefinition, field: str) -> int | None:
    text: str = getattr(definition, field)
    if not text:
        return None
    duration = parse_duration(text)
    if duration is None or not 60 <= duration.total_seconds() <= 86_400:
        raise invalid(definition.name, field, "1m to 24h")
    return int(duration.total_seconds())


def _url(definition: PlaceDefinition) -> str | None:
    url = definition.redirect_url
    if not url:
        return None
    try:
        parts = urlsplit(url)
        sound = parts.scheme in ("https", "http") and bool(parts.hostname) and not parts.username and parts.port != 0
    except ValueError:
        sound = False
    if not sound or not url.isascii() or not url.isprintable() or " " in url:
        raise invalid(definition.name, "redirect_url", "an http or https address in printable ASCII, at most 200")
    return url


def _essential(definition: PlaceDefinition, confining: list[str]) -> frozenset[str]:
    if definition.essential is None:
        return frozenset(["vlan"] if definition.vlan is not None else confining)
    found = frozenset(definition.essential)
    if not found <= set(confining):
        there = ", ".join(confining) or "nothing that confines"
        raise invalid(definition.name, "essential", f"names only what confines and the place has: {there}")
    if confining and not found:
        raise invalid(definition.name, "essential", f"at least one of {', '.join(confining)}")
    return found
