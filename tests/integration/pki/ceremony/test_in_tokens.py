"""Ceremonies whose key is in a PKCS#11 token: SoftHSM, through the code that a real one goes through."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.support.ceremonies import NOW, Office
from tests.support.tokens import SoftToken
from troth.kit.errors import TrothError
from troth.pki.ceremony.custody import SHARES
from troth.pki.ceremony.shares import ShareSet

LABEL = "root-0b9d6d2e-8a7c-4e5f-9b1a-2c3d4e5f6a7b"
PRESENT = ("Anna", "Cleo", "Emil")


@pytest.fixture
def office(tmp_path: Path) -> Office:
    return Office(tmp_path)


def key_of(token: SoftToken, algorithm: str = "p384", **changes: Any) -> dict[str, Any]:
    found = {
        "custody": "pkcs11",
        "algorithm": algorithm,
        "module": token.library,
        "token": token.label,
        "label": LABEL,
        "pin": "new",
        "initial_pin": str(token.pin_file),
        **changes,
    }
    return {name: value for name, value in found.items() if value is not None}


def by_shares(token: SoftToken, algorithm: str = "p384") -> dict[str, Any]:
    return key_of(token, algorithm, pin="shares", initial_pin=None, shares="root/shares.json")


@pytest.mark.parametrize("algorithm", ["p384", "rsa4096", "ed25519"])
def test_a_root_in_a_token_is_opened_again_by_the_shares_of_its_pin(
    office: Office, soft_token: SoftToken, algorithm: str
) -> None:
    office.hold(office.plan("root.yaml", office.root(key=key_of(soft_token, algorithm))))
    held = office.hold(office.plan("crl.yaml", office.crl(key=by_shares(soft_token, algorithm))), *PRESENT)
    root = str(office.directory / "root" / "certificate.pem")
    checked = ["openssl", "crl", "-in", str(held.directory / "crl.pem"), "-CAfile", root, "-noout", "-verify"]
    assert "verify OK" in subprocess.run(checked, check=True, capture_output=True, text=True).stderr
    # The PIN that the token came with opens it no more.
    document = office.crl(
        "crl-2", key=key_of(soft_token, algorithm, pin=f"file:{soft_token.pin_file}", initial_pin=None)
    )
    with pytest.raises(TrothError) as caught:
        office.hold(office.plan("old.yaml", document))
    assert caught.value.code == "keys.pin_refused"


def test_the_transcript_has_what_the_token_says_of_the_key(office: Office, soft_token: SoftToken) -> None:
    held = office.hold(office.plan("root.yaml", office.root(key=key_of(soft_token))))
    lines = [json.loads(line) for line in (held.directory / "transcript.jsonl").read_text().splitlines()]
    evidence = dict(next(line["data"]["evidence"] for line in lines if line["kind"] == "key.made"))
    assert (evidence["SENSITIVE"], evidence["EXTRACTABLE"], evidence["NEVER_EXTRACTABLE"]) == ("true", "false", "true")
    assert evidence["token"] == soft_token.label


def test_another_token_of_the_same_label_is_refused_before_its_pin_is_tried(
    office: Office, soft_token: SoftToken
) -> None:
    document = office.root(key=key_of(soft_token, serial="0123456789abcdef"))
    with pytest.raises(TrothError) as caught:
        office.hold(office.plan("root.yaml", document))
    assert caught.value.code == "ceremony.token.other"
    assert not (office.directory / "root").exists()


def test_a_key_of_that_name_that_another_ceremony_made_is_not_taken(office: Office, soft_token: SoftToken) -> None:
    key = key_of(soft_token, pin=f"file:{soft_token.pin_file}", initial_pin=None)
    office.hold(office.plan("root.yaml", office.root(key=key, custodians=None)))
    with pytest.raises(TrothError) as caught:
        office.hold(office.plan("again.yaml", office.root("again", key=key, custodians=None)))
    assert caught.value.code == "ceremony.key.other"


@pytest.mark.parametrize("broken", ["set_pin", "generate", "reserved.json", "certificate.der", "finish"])
def test_cut_short_at_the_token_the_same_plan_takes_up_pin_and_key(
    office: Office, soft_token: SoftToken, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    from troth.pki.ceremony import token as tokens
    from troth.pki.ceremony.desk import Desk

    plan = office.plan("root.yaml", office.root(key=key_of(soft_token)))

    def fail(*_: object, **__: object) -> None:
        raise OSError(28, "no space left")

    with monkeypatch.context() as patched:
        if broken == "set_pin":
            patched.setattr(tokens, "_set_pin", fail)
        elif broken == "generate":
            patched.setattr(tokens.Pkcs11Token, "generate", fail)
        elif broken == "finish":
            patched.setattr(Desk, "finish", fail)
        else:
            real = Desk.write
            patched.setattr(
                Desk, "write", lambda desk, name, *a, **k: fail() if name == broken else real(desk, name, *a, **k)
            )
        with pytest.raises(TrothError):
            office.hold(plan)
    assert not (office.directory / "root").exists()
    held = office.hold(plan, *PRESENT)
    ShareSet.parse((held.directory / SHARES).read_bytes())
    office.hold(office.plan("crl.yaml", office.crl(key=by_shares(soft_token))), *PRESENT)


def test_a_dry_run_uses_a_token_of_its_own_and_leaves_the_real_one_alone(office: Office, soft_token: SoftToken) -> None:
    plan = office.plan("root.yaml", office.root(key=key_of(soft_token)))
    dry = office.hold(plan, dry_run=True)
    assert "throw-away SoftHSM token" in (dry.directory / "transcript.jsonl").read_text()
    held = office.hold(plan)
    assert held.directory.name == "root"
    assert office.clock.now() == NOW
