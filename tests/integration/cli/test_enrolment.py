"""``troth enrolment`` and ``troth account``."""

from __future__ import annotations

import json
import plistlib
import stat
from pathlib import Path

from tests.integration.cli.test_nouns import Run, run, served
from tests.integration.web.test_enrolments import an_account
from tests.support.dashboard import House
from troth.cli.main import DENIED, FAILED, NOT_FOUND

__all__ = ["run", "served"]


async def test_an_enrolment_is_made_shown_and_ended(run: Run, tmp_path: Path) -> None:
    words = ("enrolment", "create", "web servers", "--suffix", "shop.example", "--vouch", "--accounts", "3")
    made = json.loads((await run(*words, "-o", "json")).out)
    key_id = made["key_id"]
    said = (await run("enrolment", "show", key_id)).out
    assert "*.shop.example" in said
    assert "0 of 3" in said
    assert made["secret"] not in said
    assert key_id in (await run("enrolment", "list")).out

    dry = await run("enrolment", "revoke", key_id, "--certificates")
    assert "Nothing was done" in dry.out
    assert (await run("enrolment", "revoke", key_id, "--yes")).code == 0
    assert "revoked" in (await run("enrolment", "list")).out
    assert (await run("enrolment", "revoke", key_id, "--yes")).code == DENIED
    assert (await run("enrolment", "show", "01a208bf-f7eb-7f41-9827-f85844a70bb1")).code == NOT_FOUND
    told = await run("enrolment", "create", "web", "--vouch")
    assert (told.code, "vouches" in told.err) == (FAILED, True)


async def test_a_secret_can_go_to_a_file_and_nowhere_else(run: Run, tmp_path: Path) -> None:
    out, profile, asset = tmp_path / "secret", tmp_path / "a.mobileconfig", tmp_path / "a.json"
    words = (
        "enrolment", "create", "Laptop", "--kind", "directory", "--device-id", "C02X", "--serial", "C02X",
        "--out", str(out), "--apple", str(profile), "--apple-json", str(asset),
    )  # fmt: skip
    said = await run(*words)
    assert said.code == 0, said.err
    secret = out.read_text().strip()
    assert len(secret) == 43
    assert secret not in said.out + said.err
    for path in (out, profile, asset):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    [payload] = plistlib.loads(profile.read_bytes())["PayloadContent"]
    assert secret in payload["DirectoryURL"]
    assert json.loads(asset.read_text())["ClientIdentifier"] == "C02X"
    again = await run(*words)
    assert (again.code, str(out) in again.err) == (FAILED, True)
    listed = json.loads((await run("enrolment", "list", "-o", "json")).out)
    assert len(listed["items"]) == 1, "nothing was made whose secret is lost"
    once = await run("enrolment", "create", "Laptop", "--kind", "client-identifier", "--device-id", "C02X")
    assert "Identifier" in once.out


async def test_accounts_are_listed_unpaused_and_closed(run: Run, house: House) -> None:
    account = str(await an_account(house))
    assert account in (await run("account", "list", "--status", "valid")).out
    assert "moved.example: 50 failures" in (await run("account", "show", account)).out
    assert "moved.example" in (await run("account", "paused")).out
    assert "1 names" in (await run("account", "unpause", account)).out
    assert "Nobody is paused" in (await run("account", "paused")).out
    assert "Nothing was done" in (await run("account", "revoke", account)).out
    assert (await run("account", "revoke", account, "--certificates", "--yes")).code == 0
    assert json.loads((await run("account", "show", account, "-o", "json")).out)["status"] == "revoked"
    assert (await run("account", "revoke", account, "--yes")).code == FAILED
    assert "No account" in (await run("account", "list", "--enrolment", account)).out


async def test_est_labels_and_where_an_enrolment_is_good(run: Run) -> None:
    url = "https://acme.test:8443/.well-known/est/hosts"
    said = (await run("est", "labels")).out
    assert "hosts (default)" in said
    assert url in said
    made = await run("enrolment", "create", "gear", "--suffix", "shop.example", "--vouch", "--directory", "est:hosts")
    assert url in made.out
    key_id = json.loads((await run("enrolment", "list", "-o", "json")).out)["items"][0]["id"]
    assert made.out.count(key_id) >= 2  # the key id is the user name
    assert url in (await run("enrolment", "show", key_id)).out
    assert "None yet." in (await run("est", "certificates", key_id)).out
