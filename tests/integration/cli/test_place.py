"""``troth place`` against the real application."""

from __future__ import annotations

import json
from pathlib import Path

from tests.integration.cli.test_nouns import Run
from tests.integration.cli.test_nouns import run as run
from tests.integration.cli.test_nouns import served as served
from troth.cli.main import FAILED, NOT_FOUND


async def test_places_are_applied_shown_rendered_and_removed(run: Run, tmp_path: Path) -> None:
    assert (await run("place", "list")).out.startswith("No place.")
    file = tmp_path / "places.yaml"
    file.write_text("places: [{name: staff, vlan: 20, session_timeout: 8h}, {name: lab, role: lab}]\n")
    applied = await run("apply", "-f", str(file))
    assert (applied.code, "+ place staff: created" in applied.out) == (0, True), applied.err
    assert "VLAN 20" in (await run("place", "list")).out
    assert "vlan" in (await run("place", "show", "staff")).out
    rendered = await run("place", "render", "staff", "--vendor", "ruckus-icx")
    assert (rendered.code, "U:20" in rendered.out) == (0, True)
    refused = await run("place", "render", "lab", "--vendor", "unifi")
    assert (refused.code, "Clients are rejected there" in refused.out) == (FAILED, True)
    as_json = await run("place", "render", "lab", "--vendor", "mikrotik", "--medium", "wired", "-o", "json")
    assert (as_json.code, json.loads(as_json.out)["attributes"]) == (FAILED, [])
    assert "there are aruba-aos" in (await run("place", "render", "lab", "--vendor", "none")).err
    assert "CoA-Request" in (await run("place", "vendors", "cisco-ios-xe")).out
    assert "MikroTik RouterOS" in (await run("place", "vendors")).out
    assert (await run("place", "remove", "staff")).code == 0
    assert (await run("place", "show", "staff")).code == NOT_FOUND
