"""``troth standing``, ``troth exempt`` and the rollout of feeds, against the real application."""

from __future__ import annotations

import json
from pathlib import Path

from tests.integration.cli.test_nouns import Run, run, served
from tests.support.dashboard import House

__all__ = ("run", "served")


async def test_the_rules_are_shown_compared_tried_and_applied(run: Run, house: House, tmp_path: Path) -> None:
    file = tmp_path / "standing.yaml"
    file.write_text("standing:\n  weights: {edr.intrusion: 50}\n")
    await house.apply("devices: [{name: laptop-1}]")
    await house.trust.feed()
    await house.trust.take("edr.intrusion", "laptop-1")
    assert "restrict: {up: 35" in (await run("standing", "show")).out
    tried = await run("standing", "reevaluate", "-f", str(file))
    assert "1 from quarantined to restricted" in tried.out
    assert "Nothing was changed" in tried.out
    dry = await run("apply", "-f", str(file), "--dry-run")
    assert "would go from quarantined to restricted" in dry.out
    applied = await run("apply", "-f", str(file))
    assert "standing rules" in applied.out
    assert "in force" in (await run("standing", "history")).out
    assert "+  weights: {edr.intrusion: 50}" in (await run("standing", "diff", "0")).out
    assert (await run("standing", "show", "--version", "9")).code == 1
    assert "Begun" in (await run("standing", "reevaluate", "--apply")).out
    assert "Under way" in (await run("standing", "run")).out
    why = await run("why", "laptop-1")
    assert "edr says edr.intrusion (edr): 40.5 %" in why.out


async def test_an_exemption_waits_for_others_and_a_feed_is_rolled_out(run: Run, house: House) -> None:
    await house.apply("devices: [{name: laptop-1}]\n---\nfeeds: [{name: edr, kinds: ['edr.*'], rollout: shadow}]")
    await house.trust.take("edr.intrusion", "laptop-1")
    asked = await run("exempt", "add", "laptop-1", "--reason", "surgery", "--hours", "4")
    assert asked.code == 5
    assert "Nobody is exempt" in (await run("exempt", "list")).out
    assert "1 subjects would be quarantined" in (await run("feed", "shadow", "edr")).out
    assert "*: 25 %" in (await run("feed", "rollout", "edr", "25", "--reason", "looks good")).out
    assert "edr.alert: only watched" in (await run("feed", "rollout", "edr", "shadow", "--kind", "edr.alert")).out
    found = json.loads((await run("feed", "shadow", "edr", "-o", "json")).out)
    assert found["rollout"] == {"*": 25, "edr.alert": 0}
