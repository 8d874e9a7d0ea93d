"""``ssf_streams:`` in YAML: read strictly, every mistake told with its stream and field.

ssf_streams:
  - name: idp
    feed: idp
    issuer: https://idp.example.com
    delivery: poll
    auth: client_credentials
    client_id: troth
    token_url: https://idp.example.com/oauth2/token
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

from troth.connect.ssf.errors import STREAM_INVALID, StreamInvalid
from troth.connect.ssf.events import TYPES
from troth.connect.ssf.model import StreamDefinition
from troth.kit.strict_yaml import YamlRefused, load_yaml
from troth.trust.feeds.model import is_feed_name

_MAX_TEXT: Final = 262_144
_SYSTEM = re.compile(r"[a-z][a-z0-9_.-]{0,63}\Z")
_BY_NAME: Final = {one.name: one.uri for one in reversed(list(TYPES.values()))}


class _Document(msgspec.Struct, forbid_unknown_fields=True):
    ssf_streams: tuple[StreamDefinition, ...]


def parse_streams(source: str | Mapping[str, Any]) -> tuple[StreamDefinition, ...]:
    """The definitions in a YAML document (or one parsed already). Raises StreamInvalid."""
    document: Any = source
    if isinstance(source, str):
        try:
            document = load_yaml(source, max_bytes=_MAX_TEXT)
        except YamlRefused as error:
            raise StreamInvalid(STREAM_INVALID, str(error)) from error
    try:
        found = msgspec.convert(document, _Document).ssf_streams
    except (msgspec.ValidationError, RecursionError, TypeError) as error:
        raise StreamInvalid(STREAM_INVALID, str(error)[:300]) from error
    seen: set[str] = set()
    checked = []
    for one in found:
        checked.append(checked_definition(one))
        if one.name in seen:
            raise _wrong(one, "name", "defined twice in this file")
        seen.add(one.name)
    return tuple(checked)


def checked_definition(one: StreamDefinition) -> StreamDefinition:
    """``one`` with its events as URIs. Raises StreamInvalid."""
    if not is_feed_name(one.name):
        raise _wrong(one, "name", "lower-case letters, digits and hyphens, at most 63, beginning with a letter")
    if not is_feed_name(one.feed):
        raise _wrong(one, "feed", "this cannot be the name of a feed")
    if not _is_url(one.issuer) or urlsplit(one.issuer).query or urlsplit(one.issuer).fragment:
        raise _wrong(one, "issuer", "an https URL without query and fragment (SSF 1.0, 7.1)")
    for field in ("token_url", "metadata_url", "jwks_uri"):
        value = getattr(one, field)
        if value and not _is_url(value):
            raise _wrong(one, field, "an https URL")
    _check_credentials(one)
    events = tuple(_BY_NAME.get(event, event) for event in one.events)
    for event in events:
        if not urlsplit(event).scheme or len(event) > 300 or not event.isprintable():
            raise _wrong(one, "events", f"{event[:80]!r} is neither a type's URI nor one's short name")
    for member, system in one.identifiers.items():
        if member not in ("user", "device") or not _SYSTEM.match(system):
            raise _wrong(one, "identifiers", "user and device lead to a system such as entra.device")
    if one.verify_seconds and not 10 <= one.verify_seconds <= 86_400:
        raise _wrong(one, "verify_seconds", "0, or 10 to 86400")
    for field in ("audience", "events", "scopes", "tenants"):
        texts = getattr(one, field)
        if len(texts) > 64 or not all(0 < len(text) <= 1_024 and text.isprintable() for text in texts):
            raise _wrong(one, field, "at most 64 texts")
    if len(one.description) > 200 or not one.description.isprintable():
        raise _wrong(one, "description", "at most 200 characters")
    return msgspec.structs.replace(one, events=events)


def _check_credentials(one: StreamDefinition) -> None:
    if not one.managed:
        if one.delivery != "push":
            raise _wrong(one, "managed", "a stream that was set up by hand pushes; to poll, we must know it")
        if not one.audience:
            raise _wrong(one, "audience", "say for whom the tokens of a stream are that was set up by hand")
    elif one.auth in ("client_credentials", "private_key_jwt") and not (one.client_id and one.token_url):
        raise _wrong(one, "auth", f"{one.auth} needs client_id and token_url")
    if len(one.client_id) > 500 or not one.client_id.isprintable():
        raise _wrong(one, "client_id", "at most 500 characters")
    if not one.authorization and one.delivery == "push" and one.managed:
        raise _wrong(one, "authorization", "a stream that we make can always be told a header to send")


def _is_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        return False
    printable = text.isascii() and text.isprintable() and " " not in text and len(text) <= 1_024
    return parts.scheme in ("https", "http") and bool(parts.hostname) and port != 0 and not parts.username and printable


def _wrong(one: StreamDefinition, field: str, what: str) -> StreamInvalid:
    name = one.name[:80]
    return StreamInvalid(STREAM_INVALID, f"stream {name!r}: {field}: {what}", stream=name, field=field)
