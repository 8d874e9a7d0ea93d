"""``troth demo`` on a running Troth, as a visitor plays it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from cryptography import x509

from tests.support.running import RunningTroth
from troth.cli.demo import fleet

pytestmark = pytest.mark.timeout(900)


def listed(troth: RunningTroth, *arguments: str) -> list[dict[str, Any]]:
    found = json.loads(troth.run(*arguments, "--output", "json").stdout)
    return list(found["items"] if isinstance(found, dict) else found)


def waiting(troth: RunningTroth) -> int:
    return sum(one["feed"] == fleet.SENSOR for one in listed(troth, "staged", "list"))


def play(troth: RunningTroth) -> tuple[dict[str, Any], str]:
    """What the walk says it did, and how it told it."""
    done = troth.run("demo", "--fast", "--output", "json")
    return json.loads(done.stdout), done.stderr


def test_the_walk_is_played_told_twice_and_taken_away(troth: RunningTroth) -> None:
    told, story = play(troth)
    # It leaves what it says.
    devices = listed(troth, "subject", "list", fleet.PREFIX, "--kind", "device", "--limit", "200")
    assert told["devices"] == len(devices) == 40
    assert told["outcomes"] == {"allow": 33, "restrict": 4, "quarantine": 2, "deny": 1}
    assert told["issued"] == 39
    quarantined = [one["name"] for one in devices if one["standing"] == "quarantined"]
    assert len(quarantined) == told["quarantined"] == fleet.SENSOR_CAP
    assert waiting(troth) == told["staged"] == len(fleet.storm()) - fleet.SENSOR_CAP
    # A hold takes effect, and ends, within a second on a quiet machine; this one may be busy.
    assert 0 < told["hold_ms"] < 5000
    assert 0 < told["release_ms"] < 5000
    assert told["ledger_events"] > 300
    # `troth why` tells what was decided, and what holds now.
    why = troth.run("why", f"device:{quarantined[0]}").stdout
    assert "was allowed" in why
    assert f"Now device {quarantined[0]} is quarantined" in why
    assert f"feed {fleet.SENSOR} raised edr" in why
    # The server's certificate is an ACME client's, and speaks for a workload of the fleet.
    assert told["acme"] == "issued"
    (server,) = listed(troth, "cert", "list", fleet.SERVER_ADDRESS)
    pem = troth.run("cert", "show", server["serial"], "--pem").stdout
    found = x509.load_pem_x509_certificate(pem.encode()).extensions.get_extension_for_class(x509.SubjectAlternativeName)
    assert [str(name) for name in found.value.get_values_for_type(x509.IPAddress)] == [fleet.SERVER_ADDRESS]
    # Each step says what it did and where to look.
    assert "revoked (certificateHold)" in story
    assert f"{troth.summary['admin_url']}/staged" in story
    assert "policy client-device" in story  # the words of `troth why`

    # Played again: nothing is made twice, and the story comes out the same.
    again, _ = play(troth)
    assert again["kept"] == 39
    assert again["issued"] == 0
    assert again["quarantined"] + again["staged"] == len(fleet.storm())

    # Taken away: nobody of the fleet is left, and no certificate of it is good.
    taken = json.loads(troth.run("demo", "--clean", "--output", "json").stdout)
    assert taken["subjects"] == 53
    assert taken["certificates"] >= 40
    assert listed(troth, "subject", "list", fleet.PREFIX) == []
    assert waiting(troth) == 0
    for status in ("good", "held"):
        names = [one["names"][0]["value"] for one in listed(troth, "cert", "list", "--status", status) if one["names"]]
        assert not [name for name in names if name.endswith(fleet.DOMAIN) or name == fleet.SERVER_ADDRESS]
    assert {one["state"] for one in listed(troth, "feed", "list") if one["name"].startswith(fleet.PREFIX)} == {
        "suspended"
    }
    nothing = json.loads(troth.run("demo", "--clean", "--output", "json").stdout)
    assert nothing == {"subjects": 0, "certificates": 0, "accusations": 0}


def test_without_a_running_troth_it_says_so(troth: RunningTroth, tmp_path: Any) -> None:
    empty = RunningTroth(tmp_path / "none", troth.web_root, troth.dns, 0)
    empty.data.mkdir()
    done = empty.run("demo", "--fast", check=False)
    assert done.returncode == 1
    assert "troth up" in done.stderr
