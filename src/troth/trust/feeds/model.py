"""Feeds: who may tell us what, about whom, with how much effect, and by which secret we know them.

Defined in YAML under ``feeds:`` and applied as a whole file or not at all. A feed's webhook secret is made here,
shown once, and kept sealed: an HMAC needs the secret itself, so a hash would not do.
"""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Annotated, Any, Final, Literal
from uuid import UUID

import msgspec

from troth.kit.strict_yaml import YamlRefused, load_yaml
from troth.trust.feeds.caps import Cap
from troth.trust.model import Kind, Subject
from troth.trust.signals.errors import (
    CLEAR_NOT_GRANTED,
    FEED_INVALID,
    KIND_NOT_GRANTED,
    OUT_OF_SCOPE,
    FeedInvalid,
    NotGranted,
)
from troth.trust.signals.kinds import KINDS, Effect, class_of
from troth.trust.signals.model import Signal
from troth.trust.standing import Standing

SECRET_PREFIX: Final = "whsec_"  # noqa: S105 -- what a secret begins with is no secret
_NAME = re.compile(r"[a-z][a-z0-9-]{0,62}\Z")
_MAX_TEXT = 262_144


_Stage = Literal["shadow", 5, 25, 100]
#: How far a feed's words can be in force, per cent of the subjects; 0 is only watching.
STAGES: Final = (0, 5, 25, 100)


class ScopeDefinition(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """About whom: kinds of subject, and groups if not everyone of those kinds."""

    subjects: tuple[Literal["device", "user", "workload"], ...] = ("device", "user")
    groups: tuple[str, ...] = ()

    def covers(self, kind: str, groups: frozenset[str]) -> bool:
        """Whether a subject of that kind, in those groups, is within it."""
        return kind in self.subjects and (not self.groups or not groups.isdisjoint(self.groups))


class CapDefinition(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How many subjects the feed may restrict in one window; what is left out comes from the settings.

    ``above``: what happens beyond: everything is staged, or the subject is restricted and the rest is staged.
    """

    percent: Annotated[int, msgspec.Meta(ge=0, le=100)] | None = None
    subjects: Annotated[int, msgspec.Meta(ge=0)] | None = None
    window_seconds: Annotated[int, msgspec.Meta(ge=1, le=31 * 86_400)] | None = None
    above: Literal["stage", "restrict"] = "stage"


class FeedDefinition(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One entry under ``feeds:``.

    Attributes:
        kinds: kinds of signal, or whole classes of them (``edr.*``).
        greatest_effect: no signal of this feed moves a subject further than this.
        may_clear: whether it may take back what it raised.
        suspended: its signals are recorded, and whatever they ask for is staged.
        cadence_seconds: how often it is heard from when all is well; without it its silence says nothing.
        rollout: how far its words are in force: ``shadow``, 5, 25 or 100 (per cent of the subjects), for all kinds or
            by kind or class; left out, it stays as it is (for a new feed as the settings say).
    """

    name: str
    kinds: tuple[str, ...]
    scope: ScopeDefinition = ScopeDefinition()
    greatest_effect: Literal["restricted", "quarantined", "distrusted"] = "quarantined"
    may_clear: bool = True
    cap: CapDefinition = CapDefinition()
    suspended: bool = False
    cadence_seconds: Annotated[int, msgspec.Meta(ge=5, le=31 * 86_400)] | None = None
    rollout: _Stage | dict[str, _Stage] | None = None


class _Document(msgspec.Struct, forbid_unknown_fields=True):
    feeds: tuple[FeedDefinition, ...]


@dataclass(frozen=True, slots=True)
class Feed:
    """A feed as it is in force."""

    name: str
    kinds: tuple[str, ...]
    scope: ScopeDefinition
    greatest_effect: Standing
    may_clear: bool
    cap: Cap
    suspended: bool
    applied_at: datetime
    actor: str
    former_until: datetime | None = None
    cadence: timedelta | None = None
    rollout: Mapping[str, int] = field(default_factory=lambda: {"*": 100})
    cap_above: str = "stage"
    suspended_by: str | None = None
    suspended_why: str = ""
    suspended_at: datetime | None = None

    def stage_of(self, kind: str) -> int:
        """For how many per cent of the subjects a word of ``kind`` is in force."""
        for name in (kind, f"{class_of(kind)}.*", "*"):
            found = self.rollout.get(name)
            if found is not None:
                return found
        return 100

    def enforces(self, kind: str, subject_id: UUID) -> bool:
        """Whether a word of ``kind`` about this subject is in force, or only watched.

        A subject's place in the order of rollout is the same for every feed and kind, and never moves: who is in at
        5 % is in at 25 %.
        """
        place = int.from_bytes(hashlib.sha256(b"troth rollout" + subject_id.bytes).digest()[:8], "big") % 100
        return place < self.stage_of(kind)

    def may_send(self, kind: str) -> bool:
        """Whether signals of ``kind`` are granted."""
        return any(kind == granted or _in_class(kind, granted) for granted in self.kinds)

    def covers(self, subject: Subject) -> bool:
        """Whether ``subject`` is in scope."""
        if subject.kind.value not in self.scope.subjects:
            return False
        return not self.scope.groups or not set(self.scope.groups).isdisjoint(subject.groups)

    def grant(self, signal: Signal, subject: Subject | None) -> None:
        """Raise NotGranted if the feed may not send ``signal`` (about ``subject``, if it is known whom it means)."""
        kind = signal.kind.name
        if not self.may_send(kind):
            raise NotGranted(KIND_NOT_GRANTED, f"feed {self.name} may not send {kind}", kind=kind)
        if signal.effect is Effect.CLEAR and not self.may_clear:
            raise NotGranted(CLEAR_NOT_GRANTED, f"feed {self.name} may not clear", kind=kind)
        if subject is not None and not self.covers(subject):
            raise NotGranted(OUT_OF_SCOPE, f"feed {self.name} may not speak of this {subject.kind.value}", kind=kind)


_EVERYONE: Mapping[str, int] = {"*": 100}


def is_feed_name(name: str) -> bool:
    """Whether a feed could be called so; anything else need not be looked up."""
    return _NAME.match(name) is not None


def parse_feeds(source: str | Mapping[str, Any]) -> tuple[FeedDefinition, ...]:
    """The definitions in a YAML document (or one parsed already). Raises FeedInvalid, naming the field."""
    document: Any = source
    if isinstance(source, str):
        try:
            document = load_yaml(source, max_bytes=_MAX_TEXT)
        except YamlRefused as error:
            raise FeedInvalid(FEED_INVALID, str(error)) from error
    try:
        feeds = msgspec.convert(document, _Document).feeds
    except (msgspec.ValidationError, RecursionError) as error:
        raise FeedInvalid(FEED_INVALID, str(error)[:300]) from error
    seen: set[str] = set()
    for feed in feeds:
        _check(feed, seen)
        seen.add(feed.name)
    return feeds


def _check(feed: FeedDefinition, seen: set[str]) -> None:
    def refuse(field: str, what: str) -> FeedInvalid:
        return FeedInvalid(FEED_INVALID, f"feed {feed.name[:80]!r}: {field}: {what}", feed=feed.name[:80], field=field)

    if not is_feed_name(feed.name):
        raise refuse("name", "lower-case letters, digits and hyphens, at most 63, beginning with a letter")
    if feed.name in seen:
        raise refuse("name", "defined twice in this file")
    if not feed.kinds:
        raise refuse("kinds", "grant at least one kind")
    for granted in feed.kinds:
        if granted not in KINDS and not any(_in_class(kind, granted) for kind in KINDS):
            raise refuse("kinds", f"{granted[:80]!r} is no kind and no class of kinds (such as edr.*)")
    for name in feed.rollout if isinstance(feed.rollout, dict) else ():
        if name != "*" and name not in KINDS and not any(_in_class(kind, name) for kind in KINDS):
            raise refuse("rollout", f"{name[:80]!r} is no kind, no class of kinds (such as edr.*), and not *")
    if not feed.scope.subjects:
        raise refuse("scope.subjects", f"name at least one of {', '.join(kind.value for kind in Kind)}")


def _in_class(kind: str, granted: str) -> bool:
    return granted.endswith(".*") and kind.startswith(granted[:-1])


def stages(asked: str | int | Mapping[str, str | int], default: Mapping[str, int]) -> dict[str, int]:
    """Rollout as it is kept: by kind, class or ``*``, per cent of the subjects."""
    by_name = asked if isinstance(asked, Mapping) else {"*": asked}
    found = {name: 0 if stage == "shadow" else int(stage) for name, stage in by_name.items()}
    return found if "*" in found else {"*": default.get("*", 100), **found}


def in_force(
    definition: FeedDefinition, default: Cap, *, at: datetime, actor: str, rollout: Mapping[str, int] = _EVERYONE
) -> Feed:
    """The feed that ``definition`` makes, its gaps filled from the settings' ``default`` cap and ``rollout``."""
    asked = definition.cap
    return Feed(
        name=definition.name,
        kinds=definition.kinds,
        scope=definition.scope,
        greatest_effect=Standing(definition.greatest_effect),
        may_clear=definition.may_clear,
        cap=Cap(
            percent=default.percent if asked.percent is None else asked.percent,
            subjects=default.subjects if asked.subjects is None else asked.subjects,
            window=default.window if asked.window_seconds is None else timedelta(seconds=asked.window_seconds),
        ),
        suspended=definition.suspended,
        applied_at=at,
        actor=actor,
        cadence=None if definition.cadence_seconds is None else timedelta(seconds=definition.cadence_seconds),
        rollout=dict(rollout) if definition.rollout is None else stages(definition.rollout, rollout),
        cap_above=asked.above,
    )


# --- secrets ---------------------------------------------------------------------------------------------------------


def new_webhook_secret() -> bytes:
    """256 random bits; the Standard Webhooks specification asks for 24 to 64 bytes."""
    return secrets.token_bytes(32)


def shown(secret: bytes) -> str:
    """A webhook secret as its sender is given it: ``whsec_`` and base64."""
    return SECRET_PREFIX + base64.b64encode(secret).decode()
