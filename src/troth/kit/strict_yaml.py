"""YAML as people apply it, read strictly: nothing that unfolds, nothing that wins silently, nothing that is called.

No aliases (a small file could unfold without bound), no tags, no merges, no doubled keys (the second would silently
win), bounded size and depth. What is refused is refused before anything is built of it.
"""

from __future__ import annotations

from typing import Any

import yaml

#: Deeper than any document of ours, and shallow enough for whatever recurses over it.
MAX_DEPTH = 16
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class YamlRefused(ValueError):
    """What is wrong, and in which line (from 1; 0: of the whole)."""

    def __init__(self, message: str, line: int = 0) -> None:
        super().__init__(f"line {line}: {message}" if line else message)
        self.message = message
        self.line = line


def load_yaml(text: str, *, max_bytes: int, max_depth: int = MAX_DEPTH) -> Any:
    """What the one document in ``text`` holds: dictionaries, lists, texts, numbers, booleans, None, dates.

    Raises YamlRefused.
    """
    if len(text.encode(errors="surrogatepass")) > max_bytes:
        raise YamlRefused(f"the document is larger than {max_bytes // 1024} KiB")
    try:
        _refuse_unbounded(text, max_depth)
        return yaml.load(text, Loader=_Loader)  # noqa: S506 -- the safe loader, in C
    except YamlRefused:
        raise
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise YamlRefused(_one_line(error.problem or "not YAML"), mark.line + 1 if mark else 0) from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        # ValueError: a date or number that YAML means and Python has not (2026-02-31).
        raise YamlRefused(_one_line(str(error)) or "not YAML") from error


def _refuse_unbounded(text: str, max_depth: int) -> None:
    """Raise YamlRefused for what is not taken, and yaml.YAMLError for what is no YAML."""
    keys: list[set[str] | None] = []
    key_is_next: list[bool] = []
    for event in yaml.parse(text, Loader=_Loader):
        line = event.start_mark.line + 1 if event.start_mark is not None else 0
        if isinstance(event, yaml.AliasEvent):
            raise YamlRefused("aliases are not taken; write it out", line)
        if isinstance(event, yaml.NodeEvent) and (event.anchor or getattr(event, "tag", None)):
            raise YamlRefused("anchors and tags are not taken", line)
        if isinstance(event, yaml.CollectionEndEvent):
            keys.pop()
            key_is_next.pop()
            continue
        if not isinstance(event, (yaml.ScalarEvent, yaml.CollectionStartEvent)):
            continue
        here = keys[-1] if keys else None
        if here is not None:
            if key_is_next[-1]:
                _take_key(event, here, line)
            key_is_next[-1] = not key_is_next[-1]
        if isinstance(event, yaml.CollectionStartEvent):
            if len(keys) >= max_depth:
                raise YamlRefused(f"nested deeper than {max_depth}", line)
            keys.append(set() if isinstance(event, yaml.MappingStartEvent) else None)
            key_is_next.append(True)


def _take_key(event: yaml.Event, here: set[str], line: int) -> None:
    if not isinstance(event, yaml.ScalarEvent):
        raise YamlRefused("a field's name is a word", line)
    if event.value == "<<" and not event.style:
        raise YamlRefused("merges are not taken; write it out", line)
    if event.value in here:
        raise YamlRefused(f"{_one_line(event.value)[:80]!r} stands here twice", line)
    here.add(event.value)


def _one_line(text: str) -> str:
    return " ".join("".join(one if one.isprintable() else " " for one in text).split())[:300]
