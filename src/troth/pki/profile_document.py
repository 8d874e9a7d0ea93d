"""A profile's YAML: a small safe subset, read into a record and checked.

No aliases (one can unfold without bound), no tags, no doubled keys (the second would silently win), bounded size and
depth: profiles are also sent by people over the API.
"""

from __future__ import annotations

from typing import Any

import msgspec
import yaml

from troth.pki.errors import PROFILE_MALFORMED, ProfileRefused
from troth.pki.profile import Profile
from troth.pki.profile_rules import check

MAX_BYTES = 65_536
_MAX_DEPTH = 8
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def read_profile(text: str) -> Profile:
    """A profile from YAML. Raises ProfileRefused with the field that is wrong."""
    if len(text.encode(errors="surrogatepass")) > MAX_BYTES:
        raise ProfileRefused(PROFILE_MALFORMED, "the document is longer than 64 KiB")
    try:
        _refuse_unbounded(text)
        profile = msgspec.convert(yaml.load(text, Loader=_Loader), Profile)  # noqa: S506 -- the safe loader, in C
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"line {mark.line + 1}: " if mark else ""
        raise ProfileRefused(PROFILE_MALFORMED, f"{where}{error.problem or 'not YAML'}"[:300]) from error
    except (yaml.YAMLError, msgspec.ValidationError, ValueError, RecursionError) as error:
        # ValueError: a date or number that YAML means and Python has not (2026-02-31).
        raise ProfileRefused(PROFILE_MALFORMED, str(error).splitlines()[0][:300]) from error
    check(profile)
    return profile


def _refuse_unbounded(text: str) -> None:
    """Refuse aliases, tags, depth and doubled keys before anything is built of them."""
    keys: list[set[str] | None] = []
    expecting: list[bool] = []
    for event in yaml.parse(text, Loader=_Loader):
        line = event.start_mark.line + 1 if event.start_mark is not None else 1
        if isinstance(event, yaml.AliasEvent):
            raise ProfileRefused(PROFILE_MALFORMED, f"line {line}: aliases are not taken; write it out")
        if isinstance(event, yaml.NodeEvent) and (event.anchor or getattr(event, "tag", None)):
            raise ProfileRefused(PROFILE_MALFORMED, f"line {line}: anchors and tags are not taken")
        if isinstance(event, (yaml.CollectionEndEvent)):
            keys.pop()
            expecting.pop()
            continue
        if isinstance(event, (yaml.ScalarEvent, yaml.CollectionStartEvent)) and keys:
            here = keys[-1]
            if here is not None:
                if expecting[-1] and isinstance(event, yaml.ScalarEvent):
                    if event.value in here:
                        raise ProfileRefused(PROFILE_MALFORMED, f"line {line}: {event.value[:80]!r} stands here twice")
                    here.add(event.value)
                expecting[-1] = not expecting[-1]
        if isinstance(event, yaml.CollectionStartEvent):
            if len(keys) >= _MAX_DEPTH:
                raise ProfileRefused(PROFILE_MALFORMED, f"line {line}: nested deeper than {_MAX_DEPTH}")
            keys.append(set() if isinstance(event, yaml.MappingStartEvent) else None)
            expecting.append(True)
