"""Access servers as people define them: YAML under ``nas:``, applied as a whole file or not at all.

    nas:
      - name: campus-switches
        addresses: [10.1.0.0/24, "2001:db8:1::/64"]
        vendor: cisco-ios-xe
        site: berlin
        require_message_authenticator: yes   # or auto, no
        coa: {port: 1700}                    # or false; unsigned_answers: true where it cannot sign them
        networks: [wired]
        radsec: {names: ["dns:*.sw.example.org"], sources: [10.1.0.0/24], only: false}

Secrets stand in no definition: Troth makes them, or takes them by a way of their own.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from troth.kit.canonical import Json
from troth.radius.nas.errors import NAS_INVALID, NasInvalid
from troth.trust.documents import DocumentError, Field, parse_document

_NAME = re.compile(r"[a-z][a-z0-9-]{0,62}\Z")
_MAX_BYTES: Final = 1_048_576
#: More in one file is no hand's work; a campus with more applies several.
MOST_ENTRIES: Final = 10_000
_RADSEC_NAME = re.compile(
    r"(dns:(\*\.)?[a-z0-9_]([a-z0-9_.-]{0,251}[a-z0-9])?|ip:[0-9a-f:.]{2,45}|uri:[\x21-\x7e]{1,1024}"
    r"|policy:[0-2](\.(0|[1-9][0-9]{0,18})){1,30})\Z"
)

_Name = Annotated[str, Meta(pattern=r"\A[a-z][a-z0-9-]{0,62}\Z")]
_Word = Annotated[str, Meta(max_length=253, pattern=r"\A[\x21-\x7e]*\Z")]
_Prefix = Annotated[str, Meta(pattern=r"\A[0-9a-fA-F.:]+(/[0-9]{1,3})?\Z")]


class CoaDefinition(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Where it takes CoA- and Disconnect-Requests (RFC 5176).

    Attributes:
        enabled: ``coa: false`` in short.
        address: empty: where its packets come from. port: 0: its vendor's usual one.
        unsigned_answers: its answers are believed without Message-Authenticator; its own requests need theirs.
    """

    enabled: bool = True
    address: _Word = ""
    port: Annotated[int, Meta(ge=0, le=65_535)] = 0
    unsigned_answers: bool = False


class RadsecDefinition(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Who it is over TLS. ``sources``: empty: its addresses. ``only``: nothing is taken over UDP."""

    names: Annotated[tuple[str, ...], Meta(min_length=1, max_length=64)]
    sources: Annotated[tuple[_Prefix, ...], Meta(max_length=64)] = ()
    only: bool = False


class NasDefinition(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One entry under ``nas:``. See :class:`troth.radius.nas.model.Nas` for what the fields do."""

    name: str
    addresses: Annotated[tuple[_Prefix, ...], Meta(max_length=256)] = ()
    vendor: _Name = "generic"
    description: Annotated[str, Meta(max_length=200)] = ""
    site: _Word = ""
    require_message_authenticator: Literal["yes", "auto", "no"] = "yes"
    limit_proxy_state: bool = True
    coa: CoaDefinition = CoaDefinition()
    max_in_flight: Annotated[int, Meta(ge=1, le=65_536)] | None = None
    networks: Annotated[tuple[_Name, ...], Meta(max_length=256)] = ()
    radsec: RadsecDefinition | None = None
    identifier: Annotated[str, Meta(max_length=253)] = ""


def parse_nas(text: str) -> tuple[NasDefinition, ...]:
    """The definitions in a YAML document. Raises NasInvalid, naming line and field."""
    try:
        fields = parse_document(text, max_bytes=_MAX_BYTES).fields(required=("nas",))
        found = tuple(_definition(entry) for entry in fields["nas"].entries())
    except DocumentError as error:
        raise NasInvalid(NAS_INVALID, str(error), line=error.line, field=error.field) from error
    if len(found) > MOST_ENTRIES:
        raise NasInvalid(NAS_INVALID, f"{len(found)} access servers in one file; {MOST_ENTRIES} are the most")
    return found


def held_apart(definitions: Sequence[NasDefinition]) -> None:
    """Raise NasInvalid where two have one name or one prefix: which of them a packet is from would be chance."""
    names: set[str] = set()
    owners: dict[str, str] = {}
    for one in definitions:
        if one.name in names:
            raise invalid(one, "name", "defined twice")
        names.add(one.name)
        for prefix in one.addresses:
            other = owners.setdefault(prefix, one.name)
            if other != one.name:
                raise invalid(one, "addresses", f"{prefix} is that of {other!r} already")


def invalid(definition: NasDefinition, field: str, what: str) -> NasInvalid:
    """A refusal that names the access server and the field."""
    name = definition.name[:80]
    return NasInvalid(NAS_INVALID, f"access server {name!r}: {field}: {what}", nas=name, field=field)


def is_nas_name(name: str) -> bool:
    """Whether an access server could be called so."""
    return _NAME.match(name) is not None


def _definition(entry: Field) -> NasDefinition:
    plain = {name: _plain(name, field.json()) for name, field in entry.fields().items()}
    try:
        made = msgspec.convert(plain, NasDefinition)
    except msgspec.ValidationError as error:
        raise entry.wrong(str(error)[:300]) from error
    if not is_nas_name(made.name):
        raise entry.wrong("name: lower-case letters, digits and hyphens, at most 63, beginning with a letter")
    try:
        made = msgspec.structs.replace(made, addresses=_prefixes(made.addresses), radsec=_radsec(made))
        if made.coa.address:
            ipaddress.ip_address(made.coa.address)
    except ValueError as error:
        raise entry.wrong(str(error)[:300]) from error
    if not made.identifier.isprintable() or not made.description.isprintable():
        raise entry.wrong("identifier, description: printable characters only")
    if not made.addresses and made.radsec is None:
        raise entry.wrong("addresses: where its packets come from is needed, or radsec:")
    if made.radsec is not None and not made.radsec.sources:
        raise entry.wrong("radsec.sources: where it connects from is needed, here or in addresses:")
    return made


def _plain(name: str, value: Json) -> Any:
    """YAML reads a bare yes or no as true or false; both are words here."""
    if name == "require_message_authenticator" and isinstance(value, bool):
        return "yes" if value else "no"
    if name == "coa" and isinstance(value, bool):
        return {"enabled": value}
    return value


def _radsec(made: NasDefinition) -> RadsecDefinition | None:
    radsec = made.radsec
    if radsec is None:
        return None
    names = tuple(name if name.startswith("uri:") else name.lower() for name in radsec.names)
    for name in names:
        if not _RADSEC_NAME.match(name):
            raise ValueError(f"radsec.names: {name[:80]!r} is none of dns:, ip:, uri: or policy: with a name behind it")
    names = tuple(f"ip:{ipaddress.ip_address(name[3:])}" if name.startswith("ip:") else name for name in names)
    return msgspec.structs.replace(radsec, names=names, sources=_prefixes(radsec.sources or made.addresses))


def _prefixes(texts: Sequence[str]) -> tuple[str, ...]:
    """Canonical, so that two spellings of one network are one. Raises ValueError."""
    found: list[str] = []
    for text in texts:
        network = ipaddress.ip_network(text)
        if network.prefixlen == 0:
            raise ValueError(f"{text}: everybody's address is nobody's")
        if network.is_multicast or str(network) in found:
            raise ValueError(f"{text}: a multicast address, or here twice")
        found.append(str(network))
    return tuple(found)
