"""``troth nas`` against the real application: secrets are shown once or written to a file, and never an argument."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.integration.cli.test_nouns import Run
from tests.integration.cli.test_nouns import run as run
from tests.integration.cli.test_nouns import served as served
from tests.support.dashboard import House
from troth.cli.main import FAILED, NOT_FOUND
from troth.kit.sealing import SecretBox
from troth.radius.nas.loading import NasBook


async def secrets_of(house: House, name: str) -> tuple[bytes | None, bytes | None]:
    book = NasBook(house.trust.database, SecretBox(b"n" * 32, purpose="nas"))
    await book.refresh()
    found = book.table.named(name)
    assert found is not None
    return found.secrets


async def test_an_access_server_is_applied_given_a_secret_rotated_and_ended(
    run: Run, house: House, tmp_path: Path
) -> None:
    file, out = tmp_path / "nas.yaml", tmp_path / "secret"
    file.write_text("nas: [{name: switches, addresses: [10.1.0.0/24], vendor: cisco-ios-xe, site: berlin}]\n")
    assert (await run("nas", "list")).out.startswith("No access server.")
    dry = await run("nas", "apply", "-f", str(file), "--dry-run")
    assert (dry.code, "Nothing was applied" in dry.out) == (0, True), dry.err
    applied = await run("apply", "-f", str(file))
    assert (applied.code, "troth nas secret switches" in applied.out) == (0, True), applied.err

    shown = await run("nas", "secret", "switches")
    secret = (await secrets_of(house, "switches"))[0] or b""
    assert shown.code == 0
    assert secret.decode() in shown.out
    written = await run("nas", "rotate", "switches", "--out", str(out))
    assert written.code == 0, written.err
    following = (await secrets_of(house, "switches"))[1] or b""
    assert out.read_text() == f"{following.decode()}\n"
    assert out.stat().st_mode & 0o777 == 0o600
    assert following.decode() not in written.out
    assert "0 of 0 seen with it" in (await run("nas", "show", "switches")).out
    snippet = await run("nas", "snippet", "switches", "--server", "192.0.2.53")
    assert (" address ipv4 192.0.2.53 auth-port 1812" in snippet.out, "THE-SHARED-SECRET" in snippet.out) == (
        True,
        True,
    )
    again = await run("nas", "rotate", "switches")
    assert (again.code, "nas.rotating" in again.err) == (FAILED, True)
    assert (await run("nas", "rotate", "switches", "--abandon")).code == 0
    listed = json.loads((await run("nas", "list", "-o", "json")).out)
    assert [(one["name"], one["state"]) for one in listed] == [("switches", "silent")]

    assert (await run("nas", "retire", "switches", "--reason", "sold")).code == 0
    told = json.loads((await run("nas", "show", "switches", "-o", "json")).out)
    assert (told["state"], told["reason"], told["secrets"], told["seen_addresses"]) == ("retired", "sold", {}, [])
    assert (await run("nas", "delete", "switches")).code == 0
    assert (await run("nas", "show", "switches")).code == NOT_FOUND


async def test_a_secret_is_brought_by_file_and_never_lost_for_want_of_a_place(
    run: Run, house: House, tmp_path: Path
) -> None:
    file, brought = tmp_path / "nas.yaml", tmp_path / "brought"
    file.write_text("nas: [{name: ap, addresses: [10.2.0.1]}]\n")
    brought.write_text("brought-by-somebody-else\n")
    await run("apply", "-f", str(file))
    kept = await run("nas", "secret", "ap", "--file", str(brought))
    assert (kept.code, "brought-by" in kept.out) == (0, False), kept.err
    assert (await secrets_of(house, "ap"))[0] == b"brought-by-somebody-else"
    coa = await run("nas", "secret", "ap", "--coa", "-o", "json")
    assert len(json.loads(coa.out)["secret"]) == 32

    # A file that is there is not written over, and no secret is made that nobody could be told.
    nowhere = await run("nas", "secret", "ap", "--out", str(brought))
    assert (nowhere.code, "cli.file_unwritable" in nowhere.err) == (FAILED, True)
    assert (await secrets_of(house, "ap"))[0] == b"brought-by-somebody-else"
    unknown = tmp_path / "unknown"
    assert (await run("nas", "secret", "nobody", "--out", str(unknown))).code == NOT_FOUND
    assert not unknown.exists()
    missing = await run("nas", "secret", "ap", "--file", str(tmp_path / "none"))
    assert (missing.code, "cli.file_unreadable" in missing.err) == (FAILED, True)
    brought.write_text("testing123\n")
    weak = await run("nas", "rotate", "ap", "--file", str(brought))
    assert (weak.code, "nas.secret" in weak.err) == (FAILED, True)
    assert "testing123" not in weak.err


@pytest.mark.parametrize("rule", ["yes", "auto", "no"])
async def test_what_is_required_is_said_in_words(run: Run, tmp_path: Path, rule: str) -> None:
    file = tmp_path / "nas.yaml"
    file.write_text(f"nas: [{{name: ap, addresses: [10.2.0.1], require_message_authenticator: {rule}}}]\n")
    await run("apply", "-f", str(file))

    shown = (await run("nas", "show", "ap")).out

    words = {"yes": "required", "auto": "required once it is seen to sign", "no": "not required"}[rule]
    assert any(line.split(maxsplit=1)[-1].strip() == words for line in shown.splitlines() if "Authenticator" in line)
