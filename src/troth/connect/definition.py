"""Connectors as people define them: YAML under ``connectors:``, applied as a whole file or not at all.

    connectors:
      - name: falcon
        vendor: crowdstrike
        feed: edr                # the feed it speaks for: kinds, scope and caps are that feed's
        cloud: eu-1              # or base_url:, where the vendor runs on addresses of one's own
        client_id: 0123abcd
        poll_seconds: 30
        snapshot_hours: 6
        options: {}              # what this vendor alone knows; checked by its own schema

Secrets stand in no definition. What is common to all is here; what a vendor has of its own is in its ``options``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Final
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta

from troth.connect.errors import CONNECTOR_INVALID, ConnectorInvalid
from troth.kit.canonical import Json
from troth.trust.documents import DocumentError, Field, parse_document
from troth.trust.subjects.directory import RESERVED_SOURCES

_NAME = re.compile(r"[a-z][a-z0-9-]{0,62}\Z")
_MAX_BYTES: Final = 262_144
_HOST = re.compile(r"[A-Za-z0-9.-]{1,253}\Z")

_Word = Annotated[str, Meta(max_length=253, pattern=r"\A[\x21-\x7e]*\Z")]


class ConnectorDefinition(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One entry under ``connectors:``.

    Attributes:
        vendor: whose API, as in docs/connectors.md.
        feed: the feed that it speaks for.
        cloud: one of the vendor's own addresses, by its short name.
        base_url: in place of a cloud: ``https://host[:port][/path]``. A host that is none of the vendor's must be on
            the allow-list of outgoing requests as well (``egress.hosts``).
        tenant: the customer's name there, where there is one.
        client_id: by which Troth is known there.
        poll_seconds: pause between two looks.
        snapshot_hours: how often everything is read, not only what is new; 0: never.
        options: the vendor's own.
    """

    name: str
    vendor: str
    feed: str
    cloud: _Word = ""
    base_url: _Word = ""
    tenant: _Word = ""
    client_id: _Word = ""
    poll_seconds: Annotated[int, Meta(ge=5, le=86_400)] = 30
    snapshot_hours: Annotated[int, Meta(ge=0, le=720)] = 6
    options: Mapping[str, Any] = {}


def parse_connectors(text: str) -> tuple[ConnectorDefinition, ...]:
    """The definitions in a YAML document. Raises ConnectorInvalid, naming line and field.

    Whether the vendor is one that is known, and likes what stands there, is asked in
    :func:`troth.connect.vendors.check`.
    """
    try:
        fields = parse_document(text, max_bytes=_MAX_BYTES).fields(required=("connectors",))
        found = tuple(_definition(entry) for entry in fields["connectors"].entries())
    except DocumentError as error:
        raise ConnectorInvalid(CONNECTOR_INVALID, str(error), line=error.line, field=error.field) from error
    seen: set[str] = set()
    for one in found:
        if one.name in seen:
            raise invalid(one, "name", "defined twice in this file")
        seen.add(one.name)
    return found


def invalid(definition: ConnectorDefinition, field: str, what: str) -> ConnectorInvalid:
    """A refusal that names the connector and the field."""
    name = definition.name[:80]
    return ConnectorInvalid(CONNECTOR_INVALID, f"connector {name!r}: {field}: {what}", connector=name, field=field)


def is_connector_name(name: str) -> bool:
    """Whether a connector could be called so."""
    return _NAME.match(name) is not None


def host_of(url: str) -> str:
    """The host that ``url`` names, in lower case; empty for what is no address."""
    try:
        return (urlsplit(url).hostname or "").lower()
    except ValueError:
        return ""


def _definition(entry: Field) -> ConnectorDefinition:
    try:
        made = msgspec.convert(_plain(entry), ConnectorDefinition)
    except msgspec.ValidationError as error:
        raise entry.wrong(str(error)[:300]) from error
    for field, value in (("name", made.name), ("vendor", made.vendor), ("feed", made.feed)):
        if not _NAME.match(value):
            raise entry.wrong(f"{field}: lower-case letters, digits and hyphens, at most 63, beginning with a letter")
    if made.feed in RESERVED_SOURCES:
        raise entry.wrong(f"feed: {made.feed!r} is one of Troth's own words")
    if made.base_url and made.cloud:
        raise entry.wrong("base_url: name it or a cloud, not both")
    if made.base_url and not _is_base(made.base_url):
        raise entry.wrong("base_url: https://host[:port][/path] without a query")
    return made


def _plain(entry: Field) -> Json:
    """The entry as JSON; a text that YAML reads as something else is refused with its line."""
    return {name: field.json() for name, field in entry.fields().items()}


def _is_base(url: str) -> bool:
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 -- raises for a port that is none
    except ValueError:
        return False
    host = parts.hostname or ""
    plain = not (parts.query or parts.fragment or parts.username or parts.password)
    return parts.scheme in {"https", "http"} and plain and _HOST.match(host) is not None
