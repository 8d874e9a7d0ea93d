"""``ssf_receivers:`` in YAML: who may hear what about whom. Nobody who is not named here hears anything.

ssf_receivers:
  - name: vpn
    audience: [https://vpn.example.com]
    events: [caep.session-revoked, caep.credential-change]
    scope: {subjects: [device, user], groups: [staff]}
    push_hosts: [vpn.example.com]
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, Literal
from urllib.parse import urlsplit

import msgspec

from troth.connect.ssf.events import CAEP, TYPES
from troth.connect.ssf.transmitter.errors import RECEIVER_INVALID, ReceiverRefused, refused
from troth.kit.strict_yaml import YamlRefused, load_yaml
from troth.trust.feeds.model import ScopeDefinition, is_feed_name

#: What can be sent at all.
SUPPORTED: Final = tuple(
    CAEP + name for name in ("session-revoked", "credential-change", "device-compliance-change", "risk-level-change")
)
_HOST = re.compile(r"(\*\.)?[A-Za-z0-9.-]{1,253}\Z")
_MAX_TEXT: Final = 262_144
_BY_NAME: Final = {TYPES[uri].name: uri for uri in SUPPORTED}


class ReceiverDefinition(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One entry under ``ssf_receivers:``.

    Attributes:
        audience: what its tokens name.
        events: types that it may hear, by URI or short name; default: all that there are.
        scope: about whom.
        subject_format: how users and devices are named: by ``email``, by ``iss_sub`` (our issuer and our id), or
            ``complex``: a device with its user.
        dialect: ``caep``, or ``okta``: risk levels as Okta words them, and the subject within the event as well.
        push_hosts: to which hosts it may have pushed; none: it polls.
        push_url: where to push without any stream of its making (Okta's receiver); the header is a secret.
        streams: how many it may have.
        credential_changes: of which changes of single certificates it hears, if it hears of ``credential-change`` at
            all: ``revoke``, by whomever; ``create``, each that is issued.
    """

    name: str
    audience: tuple[str, ...]
    events: tuple[str, ...] = SUPPORTED
    scope: ScopeDefinition = ScopeDefinition()
    subject_format: Literal["email", "iss_sub", "complex"] = "complex"
    dialect: Literal["caep", "okta"] = "caep"
    push_hosts: tuple[str, ...] = ()
    push_url: str = ""
    streams: int = 1
    credential_changes: tuple[Literal["revoke", "create"], ...] = ("revoke",)


class _Document(msgspec.Struct, forbid_unknown_fields=True):
    ssf_receivers: tuple[ReceiverDefinition, ...]


def parse_receivers(source: str | Mapping[str, Any]) -> tuple[ReceiverDefinition, ...]:
    """The definitions in a YAML document (or one parsed already). Raises ReceiverRefused."""
    document: Any = source
    if isinstance(source, str):
        try:
            document = load_yaml(source, max_bytes=_MAX_TEXT)
        except YamlRefused as error:
            raise refused(RECEIVER_INVALID, str(error)) from error
    try:
        found = msgspec.convert(document, _Document).ssf_receivers
    except (msgspec.ValidationError, RecursionError, TypeError) as error:
        raise refused(RECEIVER_INVALID, str(error)[:300]) from error
    checked = tuple(_checked(one) for one in found)
    if len({one.name for one in checked}) != len(checked):
        raise refused(RECEIVER_INVALID, "a receiver is defined twice in this file")
    return checked


def _checked(one: ReceiverDefinition) -> ReceiverDefinition:
    if not is_feed_name(one.name):
        raise _wrong(one, "name", "lower-case letters, digits and hyphens, at most 63, beginning with a letter")
    if not 0 < len(one.audience) <= 16 or not all(0 < len(a) <= 1_024 and a.isprintable() for a in one.audience):
        raise _wrong(one, "audience", "1 to 16 texts")
    events = tuple(dict.fromkeys(_BY_NAME.get(event, event) for event in one.events))
    if not events or not set(events) <= set(SUPPORTED):
        raise _wrong(one, "events", f"some of {', '.join(_BY_NAME)}")
    if not one.scope.subjects:
        raise _wrong(one, "scope.subjects", "name at least one kind")
    if len(one.push_hosts) > 16 or not all(_HOST.match(host) for host in one.push_hosts):
        raise _wrong(one, "push_hosts", "host names, *.example.com for all below one")
    if one.push_url and (urlsplit(one.push_url).scheme not in ("https", "http") or not one.push_url.isascii()):
        raise _wrong(one, "push_url", "an https URL")
    if not 1 <= one.streams <= 16:
        raise _wrong(one, "streams", "1 to 16")
    return msgspec.structs.replace(one, events=events)


def may_push_to(definition: ReceiverDefinition, url: str) -> bool:
    """Whether the receiver may have pushed to ``url``. The guarded client has a say besides."""
    try:
        parts = urlsplit(url)
        host = (parts.hostname or "").lower()
        sound = parts.scheme in ("https", "http") and parts.port != 0 and not parts.username and url.isascii()
    except ValueError:
        return False
    if not host or not sound or not url.isprintable() or len(url) > 1_024:
        return False
    return any(
        host.endswith(allowed[1:].lower()) if allowed.startswith("*.") else host == allowed.lower()
        for allowed in definition.push_hosts
    )


def _wrong(one: ReceiverDefinition, field: str, what: str) -> ReceiverRefused:
    name = one.name[:80]
    return refused(RECEIVER_INVALID, f"receiver {name!r}: {field}: {what}", receiver=name, field=field)
