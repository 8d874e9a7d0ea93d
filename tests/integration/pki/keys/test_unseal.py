"""A signer whose token waits for its custodians, opened by shares from the command line."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.integration.pki.keys.test_signer_with_token import Signer, signer
from tests.support.ceremonies import Office
from tests.support.tokens import PIN, SoftToken
from troth.assembly.layout import Layout
from troth.cli.main import main
from troth.pki.ceremony.plan import Custodian as Person
from troth.pki.ceremony.plan import Custodians, Group
from troth.pki.ceremony.share_files import encrypted
from troth.pki.ceremony.shares import split
from troth.pki.signer import process

__all__ = ["signer"]


@pytest.mark.parametrize("signer", ["unseal"], indirect=True)
async def test_custodians_open_the_running_signer_and_too_few_do_not(
    signer: Signer,
    soft_token: SoftToken,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    office = Office(tmp_path)
    people = tuple(Person(**office.custodian(name)) for name in ("Anna", "Bert", "Cleo"))
    listed, shares = split(PIN.encode(), Custodians((Group("security", 2, people),)), "PIN")
    (tmp_path / "shares.json").write_bytes(listed.encode())
    for name, content in encrypted(shares, "PIN").items():
        (tmp_path / name).write_bytes(content)
    # The command hardens its process, which is the test's own here; and the signer of this test has its own socket.
    monkeypatch.setattr(process, "harden", lambda: None)
    socket = Layout.at(signer.data).signer_socket
    socket.parent.mkdir(parents=True, exist_ok=True)
    socket.symlink_to(signer.data / "s.sock")

    async def unseal(*names: str) -> int:
        words = ["unseal", "pkcs11:hsm", "--shares", str(tmp_path / "shares.json"), "--data", str(signer.data)]
        for name in names:
            words += ["--share", str(tmp_path / f"security-{name.lower()}.age")]
            words += ["--identity", str(office.identities[name])]
        return await asyncio.to_thread(main, words)

    async def state() -> str:
        async with signer.client("setup") as setup:
            return next(one.state for one in (await setup.custody()).custodians if one.name == "pkcs11:hsm")

    assert await state() == "sealed"
    assert await unseal("Cleo") == 1
    assert "1 of security" in capsys.readouterr().err
    assert await state() == "sealed"
    assert await unseal("Cleo", "Anna") == 0
    assert await state() == "ready"
    assert PIN not in capsys.readouterr().out
    assert PIN.encode() not in signer.shows()
