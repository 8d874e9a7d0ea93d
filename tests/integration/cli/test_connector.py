"""``troth connector`` and ``troth signal`` against the real application and a fake vendor on loopback."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.integration.cli.test_nouns import Run
from tests.integration.cli.test_nouns import run as run
from tests.integration.cli.test_nouns import served as served
from tests.support.dashboard import House
from tests.support.vendors.falcon import Falcon
from troth.cli.main import FAILED, NOT_FOUND
from troth.kit.ids import new_id
from troth.trust.intake.inbox import Inbox, InboxWorker
from troth.trust.intake.reported import Reported
from troth.trust.signals.model import Whom
from troth.trust.standing import Standing

FEED = "feeds: [{name: edr, kinds: ['edr.*'], cadence_seconds: 60}]\n---\n"


@pytest.fixture
async def falcon(house: House) -> AsyncIterator[Falcon]:
    async with Falcon(house.trust.clock) as made:
        yield made


async def test_a_connector_is_applied_tested_paused_and_removed(
    run: Run, house: House, falcon: Falcon, tmp_path: Path
) -> None:
    file, secret = tmp_path / "connectors.yaml", tmp_path / "secret"
    file.write_text(
        f"{FEED}connectors:\n  - {{name: falcon, vendor: crowdstrike, feed: edr, base_url: '{falcon.url}', "
        "client_id: client-1}\n"
    )
    secret.write_text(falcon.client_secret + "\n")
    applied = await run("apply", "-f", str(file))
    assert (applied.code, "troth connector secret falcon" in applied.out) == (0, True), applied.err
    assert "lacks a secret" not in applied.err
    assert "client_secret" in (await run("connector", "list")).out
    missing = await run("connector", "test", "falcon")
    assert (missing.code, "connector.secret_missing" in missing.err) == (FAILED, True)
    kept = await run("connector", "secret", "falcon", "--file", str(secret))
    assert (kept.code, "client_secret" in kept.out) == (0, True), kept.err
    falcon.scopes = {"Alerts: read", "Hosts: read"}
    tested = await run("connector", "test", "falcon")
    assert tested.code == FAILED
    for part in ("Zero Trust Assessment: read", "NO", "connector.scope", "Fix: Grant the named scope", "Its clock is"):
        assert part in tested.out
    falcon.scopes = None
    assert (await run("connector", "test", "falcon", "-o", "json")).code == 0
    shown = await run("connector", "show", "falcon")
    assert falcon.url in shown.out
    assert falcon.client_secret not in shown.out
    assert "paused" in (await run("connector", "pause", "falcon", "--reason", "tests")).out
    assert (await run("connector", "resume", "falcon")).code == 0
    assert (await run("connector", "reread", "falcon")).code == 0
    assert "fresh" in (await run("feed", "list")).out
    assert (await run("connector", "remove", "falcon")).code == 0
    assert (await run("connector", "show", "falcon")).code == NOT_FOUND
    assert (await run("connector", "list")).out.startswith("No connector.")
    gone = await run("connector", "secret", "falcon", "--file", str(tmp_path / "none"))
    assert gone.code == FAILED


async def test_a_sample_is_tried_by_the_mapping(run: Run, house: House, tmp_path: Path) -> None:
    await house.apply(FEED.partition("---")[0])
    await house.apply(
        "connectors:\n  - {name: siem, vendor: generic, feed: edr, options: {whom: [{device: /h}], "
        "kind: {path: /t, values: {bad: edr.intrusion, ping: ignore}}}}\n"
    )
    await house.trust.subject("laptop-1")
    sample = tmp_path / "sample.json"
    for said, told in (({"h": "laptop-1", "t": "bad"}, "edr.intrusion"), ({"h": "x", "t": "?"}, "nobody known here"),
                       ({"t": "ping"}, "becomes nothing")):  # fmt: skip
        sample.write_text(json.dumps(said))
        done = await run("connector", "try", "siem", "--file", str(sample))
        assert (done.code, told in done.out) == (0, True), done.err
    sample.write_text("{")
    assert "connector.push_unreadable" in (await run("connector", "try", "siem", "--file", str(sample))).err


async def test_signals_that_name_nobody_are_listed_bound_and_set_aside(run: Run, house: House) -> None:
    await house.apply(FEED.partition("---")[0])
    trust = house.trust
    laptop = await trust.subject("laptop-1")
    inbox, desk = Inbox(trust.database, trust.clock), trust.desk
    worker = InboxWorker(trust.database, trust.clock, new_id(), desk)
    for name in ("a1", "a2"):
        whom = Whom(alias=("crowdstrike.aid", name))
        await inbox.accept(
            "edr", [trust.signal("edr.contained", "x", whom=whom)], reports=[Reported(whom, trust.ago(1))]
        )
    await inbox.accept("edr", [trust.signal("mdm.lost", "laptop-1")])
    await worker.run_once()
    listed = (await run("signal", "unresolved")).out
    assert "crowdstrike.aid a1" in listed
    assert "a2" in (await run("signal", "strangers")).out
    assert "signal.kind_not_granted" in (await run("signal", "refused")).out
    ids = {one["value"]: one["id"] for one in json.loads((await run("signal", "unresolved", "-o", "json")).out)}
    bound = await run("signal", "bind", ids["a1"], "device:laptop-1")
    assert (bound.code, "1 signals are taken again" in bound.out) == (0, True), bound.err
    assert (await run("signal", "aside", ids["a2"], "--reason", "a contractor's")).code == 0
    assert (await run("signal", "bind", ids["a2"], "laptop-1")).code == NOT_FOUND
    assert (await run("signal", "bind-name", "crowdstrike.aid", "a2", "laptop-1")).code == 0
    assert (await run("signal", "unresolved")).out.startswith("Every signal named somebody")
    (refused,) = json.loads((await run("signal", "refused", "-o", "json")).out)
    assert (await run("signal", "retry", refused["id"])).code == 0
    await worker.run_once()
    assert await trust.standing(laptop) is Standing.QUARANTINED
