"""Pools of servers as people define them: YAML under ``proxies:``, applied as a whole file or not at all.

    proxies:
      - name: nps
        realms: [corp.example.org, "-"]    # a network may name the pool as well (`proxy: nps` under `networks:`)
        servers:
          - address: 10.0.0.5:1812
          - address: 10.0.0.6:1812
      - name: eduroam
        realms: ["*"]
        foreign: true                      # others' users: what they may be given here is not theirs to say
        place: guests
        operator_name: example.org
        country: DE
        chargeable_identity: true
        servers:
          - address: flr1.example.net:2083
            transport: radsec
            names: ["dns:flr1.example.net"]

Secrets stand in no definition. Servers are asked in the order in which they stand, unless ``spread`` is true.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from troth.kit.canonical import Json
from troth.radius.proxy import eduroam, nai
from troth.radius.proxy.border import DROPPABLE
from troth.radius.proxy.errors import POOL_INVALID, PoolInvalid
from troth.radius.radsec.names import checked
from troth.trust.documents import DocumentError, Field, parse_document
from troth.trust.vocabulary import nearest

_NAME = re.compile(r"[a-z][a-z0-9-]{0,62}\Z")
_ADDRESS = re.compile(r"(?:\[(?P<six>[0-9a-fA-F:.]{2,45})\]|(?P<host>[A-Za-z0-9.-]{1,253})):(?P<port>[0-9]{1,5})\Z")
_MAX_BYTES: Final = 262_144
MOST_SERVERS: Final = 16

_Realm = Annotated[str, Meta(min_length=1, max_length=253)]


class ServerDefinition(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One server.

    Attributes:
        address: ``HOST:PORT``, ``[IPV6]:PORT``.
        accounting_port: of a server over UDP that takes accounting; 0: it takes none.
        names: over RadSec, what its certificate must carry, one of them; none: its host.
        status_server: it answers Status-Server (RFC 5997). If not, it counts as alive again after ``dead_seconds``.
        require_message_authenticator: replies without one are dropped. Off only for a server that cannot be mended:
            whoever is on the way can then turn its Reject into an Accept (CVE-2024-3596).
    """

    address: str
    transport: Literal["udp", "radsec"] = "udp"
    accounting_port: Annotated[int, Meta(ge=0, le=65535)] = 0
    names: tuple[str, ...] = ()
    status_server: bool = True
    require_message_authenticator: bool = True

    @property
    def host(self) -> str:
        """Name or address, without port."""
        return _split(self.address)[0]

    @property
    def port(self) -> int:
        """Where it takes Access-Requests."""
        return _split(self.address)[1]


class PoolDefinition(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One entry under ``proxies:``.

    Attributes:
        servers: in the order in which they are asked.
        realms: as in :func:`troth.radius.proxy.nai.serves`; none: only networks name this pool.
        spread: conversations are spread over all living servers, in place of the first that lives.
        foreign: others' users. Their replies lose what says where in this network somebody belongs.
        place: under ``places:``; where those who are accepted belong, whatever the reply says.
        operator_name: this organisation's realm, told as Operator-Name (RFC 5580) and asked of nobody else.
        country: two letters; with it, each answer is a line of F-Ticks in the log (RFC 7593 section 4).
        chargeable_identity: ask for a Chargeable-User-Identity (RFC 4372).
        strip_realm: the server is told the user without his realm.
        accounting: accounting of these users is told to the pool as well, after it was taken down here.
        send_drop, accept_drop: names of attributes that do not cross, beside those that never do.
        window_seconds: for so long one server is waited for.
        dead_seconds: pause between two probes of a server that did not answer.
        max_in_flight: requests under way.
    """

    name: str
    servers: tuple[ServerDefinition, ...]
    realms: tuple[_Realm, ...] = ()
    spread: bool = False
    foreign: bool = False
    place: str = ""
    operator_name: Annotated[str, Meta(max_length=253)] = ""
    country: str = ""
    chargeable_identity: bool = False
    strip_realm: bool = False
    accounting: bool = False
    send_drop: tuple[str, ...] = ()
    accept_drop: tuple[str, ...] = ()
    window_seconds: Annotated[int, Meta(ge=1, le=30)] = 4
    dead_seconds: Annotated[int, Meta(ge=1, le=3600)] = 30
    max_in_flight: Annotated[int, Meta(ge=1, le=16_384)] = 512

    def weight(self, realm: str) -> tuple[int, int] | None:
        """How narrowly this pool serves ``realm``; None: not at all."""
        return max((nai.weight(one) for one in self.realms if nai.serves(one, realm)), default=None)


def parse_proxies(text: str) -> tuple[PoolDefinition, ...]:
    """The pools in a YAML document. Raises PoolInvalid, naming line and field."""
    try:
        fields = parse_document(text, max_bytes=_MAX_BYTES).fields(required=("proxies",))
        found = tuple(_pool(entry) for entry in fields["proxies"].entries())
    except DocumentError as error:
        raise PoolInvalid(POOL_INVALID, str(error), line=error.line, field=error.field) from error
    names = [one.name for one in found]
    for name in names:
        if names.count(name) > 1:
            raise invalid(name, "name", "defined twice in this file")
    return found


def whole(pools: Sequence[PoolDefinition]) -> None:
    """Raise PoolInvalid if two of all pools that would be in force want the same realm."""
    owner: dict[str, str] = {}
    for pool in pools:
        for realm in pool.realms:
            if realm in owner:
                raise invalid(pool.name, "realms", f"{realm!r} is {owner[realm]!r}'s already")
            owner[realm] = pool.name


def invalid(name: str, field: str, what: str) -> PoolInvalid:
    """A refusal that names the pool and the field."""
    return PoolInvalid(POOL_INVALID, f"pool {name[:80]!r}: {field}: {what}", pool=name[:80], field=field)


def is_pool_name(name: str) -> bool:
    """Whether a pool could be called so."""
    return _NAME.match(name) is not None


def _pool(entry: Field) -> PoolDefinition:
    plain: dict[str, Json] = {name: field.json() for name, field in entry.fields().items()}
    try:
        made = msgspec.convert(plain, PoolDefinition)
    except msgspec.ValidationError as error:
        raise entry.wrong(str(error)[:300]) from error
    if not is_pool_name(made.name):
        raise entry.wrong("name: lower-case letters, digits and hyphens, at most 63, beginning with a letter")
    if not 0 < len(made.servers) <= MOST_SERVERS:
        raise entry.wrong(f"servers: 1 to {MOST_SERVERS}")
    servers = tuple(_server(entry, one) for one in made.servers)
    if len({(one.host, one.port) for one in servers}) != len(servers):
        raise entry.wrong("servers: an address stands here twice")
    realms = tuple(_realm(entry, one) for one in made.realms)
    if made.operator_name and nai.fault(nai.Nai("", made.operator_name)) is not None:
        raise entry.wrong("operator_name: a realm, as example.org")
    if made.country and not (eduroam.is_country(made.country) and made.operator_name):
        raise entry.wrong("country: two capital letters, beside an operator_name")
    for one in (*made.send_drop, *made.accept_drop):
        if one not in DROPPABLE:
            near = nearest(one, DROPPABLE)
            hint = f"did you mean {near!r}?" if near else f"there are {', '.join(sorted(DROPPABLE))}"
            raise entry.wrong(f"{one[:60]!r} cannot be dropped; {hint}")
    if made.place and not made.foreign:
        raise entry.wrong("place: only where `foreign: true` says that the reply's own is not taken")
    return msgspec.structs.replace(made, servers=servers, realms=realms, operator_name=made.operator_name.lower())


def _server(entry: Field, one: ServerDefinition) -> ServerDefinition:
    found = _ADDRESS.match(one.address)
    if found is None or not 0 < int(found["port"]) < 65536:
        raise entry.wrong(f"servers: {one.address[:80]!r}: HOST:PORT or [IPV6]:PORT")
    if one.transport == "udp" and one.names:
        raise entry.wrong(f"servers: {one.address}: names are of certificates, and UDP has none")
    if one.transport == "radsec" and one.accounting_port:
        raise entry.wrong(f"servers: {one.address}: over RadSec accounting takes the same connection")
    try:
        return msgspec.structs.replace(one, names=tuple(checked(name) for name in one.names))
    except ValueError as error:
        raise entry.wrong(f"servers: {one.address}: {error}") from error


def _realm(entry: Field, realm: str) -> str:
    realm = realm.lower()
    if realm not in {"*", "-"} and nai.fault(nai.Nai("", realm.removeprefix("*."))) is not None:
        raise entry.wrong(f"realms: {realm[:80]!r}: a realm, *.REALM, * for every other, or - for none")
    return realm


def _split(address: str) -> tuple[str, int]:
    found = _ADDRESS.match(address)
    if found is None:
        raise ValueError(f"{address!r} is no HOST:PORT")
    return found["six"] or found["host"], int(found["port"])
