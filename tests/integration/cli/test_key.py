"""``troth key`` against the application, and against a real signer."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from tests.integration.cli.test_nouns import Run, run, served
from troth.assembly.layout import Layout
from troth.cli.main import FAILED, NOT_FOUND, main
from troth.kit.clock import SystemClock
from troth.pki.signer.server import SignerSettings, serve

__all__ = ["run", "served"]


async def test_keys_are_listed_with_their_custodians_and_what_is_wrong(run: Run) -> None:
    said = await run("key", "list")
    assert said.code == FAILED  # a script sees that a token is out
    assert "pkcs11:hsm" in said.out
    assert "keys.custodian_unavailable: the token was pulled" in said.out
    found = json.loads((await run("key", "list", "-o", "json")).out)
    assert [one["trouble"] is None for one in found["keys"]] == [True, False]


async def test_a_key_is_shown_with_the_evidence_of_its_making(run: Run) -> None:
    said = await run("key", "show", "issuing-2")
    assert said.code == 0
    assert "NEVER_EXTRACTABLE  true" in said.out
    assert "BEGIN PUBLIC KEY" in said.out
    assert (await run("key", "show", "issuing-9")).code == NOT_FOUND


async def test_a_key_that_signs_and_one_that_cannot_are_told_apart(run: Run) -> None:
    assert "signature verifies" in (await run("key", "test", "issuing-1")).out
    said = await run("key", "test", "issuing-2")
    assert said.code == FAILED
    assert "keys.custodian_unavailable" in said.err


async def test_an_issuing_key_is_made_by_the_owner_of_the_data_directory(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    layout = Layout.at(tmp_path / "data")
    layout.prepare()
    ready = asyncio.Event()
    settings = SignerSettings(layout.root, layout.signer_socket, "pki.example/ledger")
    signer = asyncio.create_task(serve(settings, ready.set, clock=SystemClock()))
    await ready.wait()
    command = ["key", "generate", "--algorithm", "mldsa65", "--data", str(layout.root)]
    assert await asyncio.to_thread(main, command) == 0
    assert "(mldsa65) with software" in capsys.readouterr().out
    refused = ["key", "generate", "--custodian", "pkcs11:nobody", "--data", str(layout.root)]
    assert await asyncio.to_thread(main, refused) == NOT_FOUND
    assert "keys.custodian_unknown" in capsys.readouterr().err
    signer.cancel()
    await asyncio.gather(signer, return_exceptions=True)
