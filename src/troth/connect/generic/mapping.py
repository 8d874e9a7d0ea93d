"""A message of any shape as signals, by the mapping that its definition gives."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from troth.connect.api import moment
from troth.connect.connector import Wiring
from troth.connect.errors import PUSH_UNREADABLE, PushRefused
from troth.connect.generic.options import IGNORE, Options, WhomOf
from troth.connect.generic.paths import Path, parse_path
from troth.kit.canonical import Json
from troth.trust.signals.model import Method, Signal, Whom

MAX_ITEMS: Final = 1_000
_CAUSE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@-]{0,127}\Z")
_YEAR_3000: Final = 32_503_680_000


class Reading:
    """The mapping of one definition, its paths parsed."""

    def __init__(self, wiring: Wiring) -> None:
        self._wiring = wiring
        options: Options = wiring.options
        self._options = options
        self._items = parse_path(options.items)
        self._kind = parse_path(options.kind.path)
        self._cause = parse_path(options.cause) if options.cause else None
        self._time = None if options.observed_at is None else parse_path(options.observed_at.path)
        self._severity = None if options.severity is None else parse_path(options.severity.path)
        self._whom = [(one, [(way, parse_path(path)) for way, path in one.ways()]) for one in options.whom]
        self._evidence = [parse_path(path) for path in options.evidence]
        self._fields = {name: parse_path(path) for name, path in options.fields.items()}
        named = options.message_id
        self._header = named.partition(":")[2].lower() if named.lower().startswith("header:") else ""
        self._id = parse_path(named) if named and not self._header else None

    def events(self, body: bytes) -> list[Any]:
        """The events of a message. Raises PushRefused for what is no JSON, or holds no list where one should be."""
        try:
            document = msgspec.json.decode(body)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise PushRefused(PUSH_UNREADABLE, "no JSON") from error
        if not self._options.items:
            return [document]
        found = self._items.find(document)
        if not isinstance(found, list):
            raise PushRefused(PUSH_UNREADABLE, f"no list at {self._options.items}")
        if len(found) > MAX_ITEMS:
            raise PushRefused(PUSH_UNREADABLE, f"more than {MAX_ITEMS} events")
        return found

    def name(self, event: Any, headers: Mapping[str, str], place: int) -> str:
        """By what a repetition of the event is known."""
        if self._header and (named := headers.get(self._header, "").strip()):
            return f"{named[:150]}:{place}" if self._options.items else named[:150]
        if self._id is not None and (found := self._id.text(event)):
            return found[:150]
        return "sha256:" + hashlib.sha256(msgspec.json.encode(event, order="sorted")).hexdigest()

    def signal(self, event: Any, name: str, *, method: Method) -> Signal | None:
        """The event as a signal; None if its kind is one to pass over. Raises ValueError, ConnectorError."""
        kind = self._kind_of(event)
        if kind == IGNORE:
            return None
        return self._wiring.signal(
            kind,
            self._whom_of(event),
            message_id=name,
            observed_at=self._time_of(event),
            cause=self._cause_of(event),
            severity=self._severity_of(event),
            evidence=" · ".join(
                text for path in self._evidence if (text := path.text(event, longest=10_000, any_letters=True))
            ),
            fields=self._fields_of(event),
            method=method,
        )

    def _kind_of(self, event: Any) -> str:
        said = self._kind.text(event) if self._options.kind.path else None
        return self._options.kind.values.get(said or "", self._options.kind.default)

    def _whom_of(self, event: Any) -> Whom:
        for one, ways in self._whom:
            for way, path in ways:
                value = path.text(event)
                if value is not None:
                    return _whom(one, way, value)
        raise ValueError("it names nobody: none of the paths of `whom` leads to a text")

    def _time_of(self, event: Any) -> datetime:
        known = self._options.observed_at
        if known is None or self._time is None:
            return self._wiring.clock.now()
        said = self._time.find(event)
        if known.format == "rfc3339":
            return moment(said)
        try:
            seconds = float(said) / (1000 if known.format == "milliseconds" else 1)
        except (TypeError, ValueError, OverflowError) as error:
            raise ValueError(f"no time at {known.path}") from error
        if isinstance(said, bool) or not 0 <= seconds < _YEAR_3000:
            raise ValueError(f"no time at {known.path}")
        return datetime.fromtimestamp(seconds, UTC)

    def _cause_of(self, event: Any) -> str | None:
        said = None if self._cause is None else self._cause.text(event)
        if said is None:
            return None
        # A cause that another event is to clear must be the same text there; what is no word becomes one.
        return said if _CAUSE.match(said) else "id:" + hashlib.sha256(said.encode()).hexdigest()[:32]

    def _severity_of(self, event: Any) -> int | None:
        known = self._options.severity
        if known is None or self._severity is None:
            return None
        said = self._severity.find(event)
        if isinstance(said, str) and said in known.values:
            return known.values[said]
        if isinstance(said, (int, float)) and not isinstance(said, bool) and 0 <= said <= 100:
            return min(100, int(said * known.scale))
        return None

    def _fields_of(self, event: Any) -> dict[str, Json]:
        found = {name: _short(path, event) for name, path in self._fields.items()}
        return {name: value for name, value in found.items() if value is not None}


def _whom(one: WhomOf, way: str, value: str) -> Whom:
    if way == "alias" and one.alias is not None:
        return Whom(alias=(one.alias.system, value))
    if way == "device_serial":
        return Whom(device_serial=value[:253])
    return Whom(kind=way, name=value[:253])


def _short(path: Path, event: Any) -> Json:
    found = path.find(event)
    if isinstance(found, (bool, int)):
        return found
    return path.text(event, longest=2_000)
