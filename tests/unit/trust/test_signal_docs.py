"""docs/signals.md lists what there is."""

from __future__ import annotations

from pathlib import Path

from troth.trust.feeds.model import parse_feeds
from troth.trust.signals.kinds import KINDS, Effect, Shape, SignalKind

PAGE = (Path(__file__).parents[3] / "docs" / "signals.md").read_text(encoding="utf-8")


def _row(kind: SignalKind) -> str:
    raises = kind.effect is Effect.RAISE
    level = kind.level.value if raises else "–"
    weight = "fact" if kind.hard else f"{kind.severity} · {kind.confidence}" if raises else "–"
    lasts = {Shape.EVENT: "decays", Shape.LEVEL: "holds", Shape.LIFECYCLE: "holds"}[kind.shape] if raises else "–"
    return f"| `{kind.name}` | {kind.effect.value} | {level} | {weight} | {lasts} | `{kind.cause}` | {kind.summary} |"


def test_every_kind_is_in_the_table_with_its_effect_level_weight_and_cause() -> None:
    rows = [line for line in PAGE.splitlines() if line.startswith("| `")]
    assert rows == [_row(kind) for kind in KINDS.values()]


def test_the_documented_feed_is_a_feed() -> None:
    (definition,) = parse_feeds(PAGE.split("```yaml\n")[1].split("```")[0])
    assert definition.name == "edr"
