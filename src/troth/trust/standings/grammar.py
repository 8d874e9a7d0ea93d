"""From a standing document to rules. Everything that can be wrong is found here, with its line and field."""

from __future__ import annotations

import hashlib
import re
from dataclasses import replace
from datetime import timedelta
from functools import lru_cache
from importlib import resources
from typing import Final

from troth.trust.documents import DocumentError, Field, parse_document
from troth.trust.errors import STANDING_MALFORMED, RulesError
from troth.trust.feeds.caps import Cap
from troth.trust.signals.kinds import KINDS, class_of
from troth.trust.standings.rules import Breaker, CapRules, Flapping, HalfLife, StandingRules, Threshold, seconds

MAX_BYTES: Final = 65_536
_MAX_ENTRIES = 500
_FEED = re.compile(r"[a-z][a-z0-9-]{0,62}\Z")
_CLASSES = frozenset(f"{class_of(kind)}.*" for kind in KINDS)
_POINT = 10_000
_MAX_TARGETS = 10
_LONGEST = timedelta(days=366)


def parse_rules(text: str, *, file: str = "standing", version: int = 0) -> StandingRules:
    """The rules in ``text``; what it leaves out is as shipped. Raises RulesError with file, line and field."""
    try:
        return replace(_parsed(text), version=version)
    except DocumentError as error:
        raise RulesError(
            STANDING_MALFORMED, f"{file}: {error}", file=file, line=error.line, field=error.field
        ) from error


def digest(text: str) -> str:
    """SHA-256 of a document's text, in hexadecimal."""
    return hashlib.sha256(text.encode()).hexdigest()


def shipped_text() -> str:
    """The document that comes with Troth."""
    return resources.files("troth.trust").joinpath("standings", "shipped.yaml").read_text(encoding="utf-8")


@lru_cache(maxsize=1)
def shipped_rules() -> StandingRules:
    """The rules that govern until a document is applied."""
    return parse_rules(shipped_text(), file="shipped.yaml")


@lru_cache(maxsize=16)
def _parsed(text: str) -> StandingRules:
    top = parse_document(text, max_bytes=MAX_BYTES).fields(required=("standing",))["standing"]
    fields = top.fields(
        "description", "weights", "feeds", "half_lives", "restrict", "quarantine", "propose", "flapping", "caps"
    )
    made = StandingRules()
    if "description" in fields:
        fields["description"].text(limit=500)
    if "weights" in fields:
        made = replace(made, weights={name: _percent(one) for name, one in _by_kind(fields["weights"])})
    if "feeds" in fields:
        made = replace(made, feeds=_feeds(fields["feeds"]))
    if "half_lives" in fields:
        made = replace(made, half_lives={name: _half_life(one) for name, one in _by_kind(fields["half_lives"])})
    if "restrict" in fields:
        threshold, dwell = _threshold(fields["restrict"], made.restrict, made.dwell_restricted)
        made = replace(made, restrict=threshold, dwell_restricted=dwell)
    if "quarantine" in fields:
        threshold, dwell = _threshold(fields["quarantine"], made.quarantine, made.dwell_quarantined)
        made = replace(made, quarantine=threshold, dwell_quarantined=dwell)
    if "propose" in fields:
        made = _propose(fields["propose"], made)
    if "flapping" in fields:
        made = replace(made, flapping=_flapping(fields["flapping"], made.flapping))
    if "caps" in fields:
        made = replace(made, caps=_caps(fields["caps"], made.caps))
    if not (made.restrict.up <= made.quarantine.up <= made.propose and made.restrict.down <= made.quarantine.down):
        raise top.wrong("the thresholds must rise: restrict, then quarantine, then propose; `down` of both likewise")
    return made


def _by_kind(field: Field) -> list[tuple[str, Field]]:
    entries = list(field.fields().items())
    if len(entries) > _MAX_ENTRIES:
        raise field.wrong(f"at most {_MAX_ENTRIES} entries")
    for name, one in entries:
        if name != "*" and name not in KINDS and name not in _CLASSES:
            raise one.wrong("that is no kind of signal, no class of kinds (such as edr.*), and not *")
    return entries


def _feeds(field: Field) -> dict[str, int]:
    entries = field.fields()
    if len(entries) > _MAX_ENTRIES:
        raise field.wrong(f"at most {_MAX_ENTRIES} entries")
    for name, one in entries.items():
        if not _FEED.match(name):
            raise one.wrong("that is no name of a feed")
    return {name: _percent(one) for name, one in entries.items()}


def _between(field: Field, least: int, most: int) -> int:
    found = field.integer()
    if not least <= found <= most:
        raise field.wrong(f"a whole number from {least} to {most} was expected")
    return found


def _percent(field: Field) -> int:
    return _between(field, 0, 100)


def _duration(field: Field, *, least: int = 1) -> int:
    found = field.duration()
    if not least <= seconds(found) <= seconds(_LONGEST):
        raise field.wrong("a duration of a second to a year was expected")
    return seconds(found)


def _half_life(field: Field) -> HalfLife:
    if not field.is_mapping:
        return HalfLife(_duration(field))
    fields = field.fields("minor_below", "minor", required=("half_life",))
    if ("minor" in fields) != ("minor_below" in fields):
        raise field.wrong("minor and minor_below belong together")
    whole = _duration(fields["half_life"])
    if "minor" not in fields:
        return HalfLife(whole)
    minor = _duration(fields["minor"])
    if minor > whole:
        raise fields["minor"].wrong("what is less severe may not last longer")
    return HalfLife(whole, _between(fields["minor_below"], 0, 100), minor)


def _threshold(field: Field, default: Threshold, dwell: int) -> tuple[Threshold, int]:
    fields = field.fields("up", "down", "dwell")
    up = _between(fields["up"], 1, 100) * _POINT if "up" in fields else default.up
    down = _between(fields["down"], 1, 100) * _POINT if "down" in fields else default.down
    if down > up:
        raise field.wrong("`down` may not be above `up`")
    return Threshold(up, down), _duration(fields["dwell"]) if "dwell" in fields else dwell


def _propose(field: Field, rules: StandingRules) -> StandingRules:
    fields = field.fields("score", "classes", "quarantined_for")
    unhealed = rules.unhealed
    if "quarantined_for" in fields:
        one = fields["quarantined_for"]
        unhealed = 0 if one.is_text and one.text() == "never" else _duration(one, least=60)
    return replace(
        rules,
        propose=_between(fields["score"], 1, 100) * _POINT if "score" in fields else rules.propose,
        quorum=_between(fields["classes"], 2, 6) if "classes" in fields else rules.quorum,
        unhealed=unhealed,
    )


def _flapping(field: Field, default: Flapping) -> Flapping:
    fields = field.fields("penalty", "suppress", "reuse", "half_life", "ceiling")
    points = {
        name: _between(fields[name], 0 if name == "penalty" else 1, 1_000_000) if name in fields else value
        for name, value in (
            ("penalty", default.penalty), ("suppress", default.suppress), ("reuse", default.reuse),
            ("ceiling", default.ceiling),
        )
    }  # fmt: skip
    if not points["reuse"] <= points["suppress"] <= points["ceiling"]:
        raise field.wrong("reuse, suppress and ceiling must rise in this order")
    half_life = _duration(fields["half_life"]) if "half_life" in fields else default.half_life
    if half_life > 86_400:
        raise fields["half_life"].wrong("at most a day: what flaps must be released some time")
    return Flapping(points["penalty"], points["suppress"], points["reuse"], half_life, points["ceiling"])


def _caps(field: Field, default: CapRules) -> CapRules:
    fields = field.fields("kind", "group", "everyone", "hard", "breaker", "notify")
    breaker = default.breaker
    if "breaker" in fields:
        inner = fields["breaker"].fields("percent", "population")
        breaker = Breaker(
            _between(inner["percent"], 1, 100) if "percent" in inner else breaker.percent,
            _between(inner["population"], 2, 1_000_000) if "population" in inner else breaker.population,
        )
    hard = default.hard
    if "hard" in fields:
        hard = _cap(fields["hard"], default.hard, window=False)
    return CapRules(
        kind=_cap(fields["kind"], default.kind) if "kind" in fields else default.kind,
        group=_cap(fields["group"], default.group) if "group" in fields else default.group,
        everyone=_cap(fields["everyone"], default.everyone) if "everyone" in fields else default.everyone,
        hard=hard,
        breaker=breaker,
        notify=_names(fields["notify"]) if "notify" in fields else default.notify,
    )


def _names(field: Field) -> tuple[str, ...]:
    found = field.texts(limit=63)
    if len(found) > _MAX_TARGETS or not all(_FEED.match(one) for one in found):
        raise field.wrong(f"at most {_MAX_TARGETS} names of targets under the reactions' targets were expected")
    return found


def _cap(field: Field, default: Cap, *, window: bool = True) -> Cap:
    fields = field.fields("percent", "subjects", *(["window"] if window else []))
    return Cap(
        _percent(fields["percent"]) if "percent" in fields else default.percent,
        _between(fields["subjects"], 0, 10_000_000) if "subjects" in fields else default.subjects,
        timedelta(seconds=min(_duration(fields["window"]), 31 * 86_400)) if "window" in fields else default.window,
    )
