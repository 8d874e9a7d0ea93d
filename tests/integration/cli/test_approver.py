"""``troth approver``: the first two persons are confirmed on the machine, and later changes are proposed."""

from __future__ import annotations

import json
from types import TracebackType
from typing import Any, Self

import pytest

from tests.integration.cli.test_nouns import Run, run, served
from tests.integration.web.test_judged import Office, office
from tests.support.judging import DeskInProcess
from troth.cli import approver
from troth.cli.main import FAILED, PROPOSED

__all__ = ["office", "run", "served"]


@pytest.fixture
def setup(office: Office, monkeypatch: pytest.MonkeyPatch) -> DeskInProcess:
    """The machine's owner reaches the signer; here it is in this process."""
    signer = office.house.signer

    class Client:
        def __init__(self, *_given: Any) -> None:
            pass

        async def __aenter__(self) -> Self:
            return self

        async def __aexit__(
            self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
        ) -> None:
            pass

        def __getattr__(self, name: str) -> Any:
            return getattr(signer, name)

    monkeypatch.setattr(approver, "SignerClient", Client)
    return signer


async def test_the_machines_owner_pins_whose_number_he_has_compared(
    office: Office, setup: DeskInProcess, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "Nobody is pinned." in (await run("approver", "list")).out
    proposal = (await office.make("ann")).json()["proposal"]
    monkeypatch.setattr("builtins.input", lambda _question: "no")
    refused = await run("approver", "confirm", proposal)
    assert (refused.code, "cli.approver_not_confirmed" in refused.err) == (FAILED, True)
    assert (await setup.approvers()).approvers == ()
    monkeypatch.setattr("builtins.input", lambda _question: "yes")
    said = await run("approver", "confirm", proposal)
    assert said.code == 0, said.err
    number = json.loads((await run("approver", "list", "-o", "json")).out)["approvers"][0]["fingerprint"]
    assert number in said.out
    again = await run("approver", "confirm", proposal, "--yes")
    assert (again.code, "approver.add, executed" in again.err) == (FAILED, True)


async def test_what_changes_the_approvers_or_makes_a_key_is_proposed(
    office: Office, setup: DeskInProcess, run: Run
) -> None:
    for name in ("ann", "ben"):
        founding = (await office.make(name)).json()["proposal"]
        assert (await run("approver", "confirm", founding, "--yes")).code == 0
    proposal = (await office.make("cat")).json()["proposal"]
    for who in ("ann", "ben"):
        assert (await office.approve(who, proposal)).status_code == 200
    assert "2 of 3 persons must approve" in (await run("approver", "list")).out
    number = json.loads((await run("approver", "list", "-o", "json")).out)["approvers"][2]["fingerprint"]
    for words in (
        ("approver", "remove", number),
        ("approver", "number", "3"),
        ("key", "generate", "--algorithm", "p256", "--propose"),
        ("crl", "cut", "issuing", "8", "--propose"),
    ):
        said = await run(*words)
        assert said.code == PROPOSED, (words, said)
    assert (await run("approver", "remove", "1234 5678 9abc def0")).code == FAILED


async def test_a_key_made_on_the_machine_is_in_the_ledger(office: Office, run: Run) -> None:
    said = await run("key", "record", "issuing-1")
    assert said.code == 0, said.err
    assert await office.events("key.") == ["key.generated"]
