"""``options:`` of a generic connector: how a message proves itself, and what in it means what."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from troth.connect.generic.paths import parse_path
from troth.trust.signals.kinds import KINDS, Effect

_PathText = Annotated[str, Meta(max_length=400)]
_Header = Annotated[str, Meta(pattern=r"\A[A-Za-z0-9-]{0,64}\Z")]
#: In place of a kind: a message that says nothing about anybody, and is passed over.
IGNORE: Final = "ignore"


class Verify(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a message proves where it comes from.

    Attributes:
        scheme: ``standard-webhooks`` (signed with id and time), ``hmac-sha256`` (over the body, as GitHub does it), or
            ``bearer`` (the secret itself in a header).
        header: where signature or secret stand; empty: ``x-hub-signature-256``, ``authorization``.
        prefix: what stands before it there; None: ``sha256=``, ``Bearer ``.
        encoding: of an ``hmac-sha256``.
    """

    scheme: Literal["standard-webhooks", "hmac-sha256", "bearer"] = "standard-webhooks"
    header: _Header = ""
    prefix: Annotated[str, Meta(max_length=40)] | None = None
    encoding: Literal["hex", "base64"] = "hex"


class KindOf(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which kind of signal it is: by the value at ``path``, or always ``default``.

    A value that is not in ``values`` is unknown and told as ``default``, which must be a kind that raises.
    """

    default: str = "generic.raised"
    path: _PathText = ""
    values: Mapping[str, str] = {}


class Alias(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A name of another system: ``{system: entra.device, value: /device/id}``."""

    system: Annotated[str, Meta(pattern=r"\A[a-z][a-z0-9_.-]{0,63}\Z")]
    value: _PathText


class WhomOf(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whom it is about, in one way."""

    device: _PathText | None = None
    user: _PathText | None = None
    workload: _PathText | None = None
    device_serial: _PathText | None = None
    alias: Alias | None = None

    def ways(self) -> Iterator[tuple[str, str]]:
        """(way, path) of each that is given."""
        for way in ("device", "user", "workload", "device_serial"):
            path = getattr(self, way)
            if path is not None:
                yield way, path
        if self.alias is not None:
            yield "alias", self.alias.value


class TimeOf(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """When it was observed. A message without it counts as observed when it came."""

    path: _PathText
    format: Literal["rfc3339", "seconds", "milliseconds"] = "rfc3339"


class SeverityOf(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How severe it is, 0 to 100: a number at ``path``, times ``scale``, or a word in ``values``."""

    path: _PathText
    values: Mapping[str, Annotated[int, Meta(ge=0, le=100)]] = {}
    scale: Annotated[int, Meta(ge=1, le=100)] = 1


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole mapping.

    Attributes:
        items: where in the message a list of events stands; empty: the message is one event.
        message_id: by which a repetition is known: a path within the event, or ``header:NAME``; empty: its digest.
        whom: ways to say whom it is about; the first that is there counts.
        cause: what is raised or cleared, such as an alert's id; empty: the kind's own.
        evidence: what a person should read.
        fields: evidence for machines: name → path.
    """

    whom: Annotated[tuple[WhomOf, ...], Meta(min_length=1, max_length=8)]
    verify: Verify = Verify()
    kind: KindOf = KindOf()
    items: _PathText = ""
    message_id: _PathText = ""
    observed_at: TimeOf | None = None
    cause: _PathText = ""
    severity: SeverityOf | None = None
    evidence: Annotated[tuple[_PathText, ...], Meta(max_length=8)] = ()
    fields: Annotated[Mapping[str, _PathText], Meta(max_length=16)] = {}


def wrong_with(options: Options) -> tuple[str, str] | None:
    """(field, what is wrong with it), or None."""
    if any(len(list(one.ways())) != 1 for one in options.whom):
        return "options.whom", "each entry says whom in one way: device, user, workload, device_serial or alias"
    for value, kind in options.kind.values.items():
        if kind not in KINDS and kind != IGNORE:
            return "options.kind.values", f"{value!r}: {kind!r} is no kind of signal, nor {IGNORE!r}"
    default = KINDS.get(options.kind.default)
    if default is None:
        return "options.kind.default", f"{options.kind.default!r} is no kind of signal"
    if default.effect is Effect.CLEAR:
        return "options.kind.default", "what is unknown is not good: name a kind that raises"
    if options.kind.values and not options.kind.path:
        return "options.kind.path", "say where the value stands"
    for field, text in _paths(options):
        try:
            parse_path(text)
        except ValueError as error:
            return field, str(error)
    return None


def _paths(options: Options) -> Iterator[tuple[str, str]]:
    yield "options.kind.path", options.kind.path
    yield "options.items", options.items
    yield "options.cause", options.cause
    if not options.message_id.lower().startswith("header:"):
        yield "options.message_id", options.message_id
    if options.observed_at is not None:
        yield "options.observed_at.path", options.observed_at.path
    if options.severity is not None:
        yield "options.severity.path", options.severity.path
    for one in options.whom:
        for _, path in one.ways():
            yield "options.whom", path
    for path in (*options.evidence, *options.fields.values()):
        yield "options.evidence" if path in options.evidence else "options.fields", path
