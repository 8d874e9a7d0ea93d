"""docs/signals.md lists what there is."""

from __future__ import annotations

from pathlib import Path

from troth.trust.feeds import parse_feeds
from troth.trust.signals import KINDS, Effect

PAGE = (Path(__file__).parents[3] / "docs" / "signals.md").read_text(encoding="utf-8")


def test_every_kind_is_in_the_table_with_its_effect_level_and_cause() -> None:
    rows = [line for line in PAGE.splitlines() if line.startswith("| `")]
    assert rows == [
        f"| `{kind.name}` | {kind.effect.value} | {kind.level.value if kind.effect is Effect.RAISE else '–'} "
        f"| `{kind.cause}` | {kind.summary} |"
        for kind in KINDS.values()
    ]


def test_the_documented_feed_is_a_feed() -> None:
    (definition,) = parse_feeds(PAGE.split("```yaml\n")[1].split("```")[0])
    assert definition.name == "edr"
