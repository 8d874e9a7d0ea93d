"""``troth unseal`` where something is wrong: what is told, and that a token is not asked twice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.integration.cli.test_nouns import Said
from tests.support.ceremonies import Office
from tests.unit.pki.signer.test_custody import Token
from troth.assembly.layout import Layout
from troth.cli.main import FAILED, NOT_FOUND, main
from troth.kit.clock import Clock, SystemClock
from troth.pki.ceremony.plan import Custodian as Person
from troth.pki.ceremony.plan import Custodians, Group
from troth.pki.ceremony.share_files import encrypted
from troth.pki.ceremony.shares import split
from troth.pki.keys.backend import Backend
from troth.pki.keys.keyring import Keyring
from troth.pki.signer import process
from troth.pki.signer.server import SignerSettings, serve

PIN = b"the-pin-of-a-test"


class Counting(Token):
    """Counts how often a PIN was tried."""

    tries = 0

    def unseal(self, secret: bytes) -> None:
        self.tries += 1
        super().unseal(secret)


@dataclass
class Room:
    """A sealed signer, and the shares of its PIN and of a wrong one: two of Anna and Bert, one of Cleo's group."""

    token: Counting
    run: Callable[..., Awaitable[Said]]


@pytest.fixture
async def room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> AsyncIterator[Room]:
    layout = Layout.at(tmp_path / "data")
    layout.prepare()
    token, opened, office = Counting(PIN), Keyring.open, Office(tmp_path)

    def with_token(data: Path, clock: Clock, _settings: object) -> Keyring:
        backends: dict[str, Backend] = {"pkcs11:hsm": token}
        return opened(data, clock, backends=backends)

    monkeypatch.setattr(Keyring, "open", staticmethod(with_token))
    monkeypatch.setattr(process, "harden", lambda: None)
    people = {name: Person(**office.custodian(name)) for name in ("Anna", "Bert", "Cleo", "Dora")}
    groups = (
        Group("security", 2, (people["Anna"], people["Bert"])),
        Group("audit", 2, (people["Cleo"], people["Dora"])),
    )
    for kind, pin in (("right", PIN), ("wrong", b"another-pin")):
        listed, shares = split(pin, Custodians(groups), "PIN")
        (tmp_path / kind).mkdir()
        (tmp_path / kind / "shares.json").write_bytes(listed.encode())
        for name, content in encrypted(shares, "PIN").items():
            (tmp_path / kind / name).write_bytes(content)

    async def run(listed: str, *files: str, custodian: str = "pkcs11:hsm") -> Said:
        words = ["unseal", custodian, "--shares", str(tmp_path / listed / "shares.json"), "--data", str(layout.root)]
        for file in files:
            words += ["--share", str(tmp_path / f"{file}.age")]
        for name in office.identities:
            words += ["--identity", str(office.identities[name])]
        code = await asyncio.to_thread(main, words)
        told = capsys.readouterr()
        return Said(code, told.out, told.err)

    ready = asyncio.Event()
    settings = SignerSettings(layout.root, layout.signer_socket, "pki.example/ledger")
    task = asyncio.create_task(serve(settings, ready.set, clock=SystemClock()))
    await ready.wait()
    yield Room(token, run)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def everybody(kind: str) -> list[str]:
    return [f"{kind}/{name}" for name in ("security-anna", "security-bert", "audit-cleo", "audit-dora")]


async def test_too_few_a_lacking_group_and_words_of_another_secret_never_reach_the_signer(room: Room) -> None:
    said = await room.run("right", "right/security-anna", "right/security-bert")
    assert (said.code, "2 of audit" in said.err) == (FAILED, True)
    said = await room.run("right", *everybody("wrong"))
    assert (said.code, "ceremony.share" in said.err) == (FAILED, True)
    assert room.token.tries == 0
    assert room.token.sealed


async def test_a_wrong_pin_is_tried_once_and_the_right_one_opens_it_and_a_third_time_nobody_is_asked(
    room: Room,
) -> None:
    said = await room.run("wrong", *everybody("wrong"))
    assert (said.code, "keys.pin_refused" in said.err) == (FAILED, True)
    assert room.token.tries == 1
    said = await room.run("right", *everybody("right"))
    assert said.code == 0, said.err
    assert "pkcs11:hsm is open" in said.out
    assert "the ledger does not tell of it" in said.out  # no Troth runs here
    said = await room.run("right")
    assert (said.code, said.out) == (0, "pkcs11:hsm is not sealed.\n")
    assert room.token.tries == 2


async def test_a_custodian_that_is_not_there_is_told_before_anybody_types(room: Room) -> None:
    said = await room.run("right", custodian="pkcs11:nobody")
    assert (said.code, "there are software, pkcs11:hsm" in said.err) == (NOT_FOUND, True)
