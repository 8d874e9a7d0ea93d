"""A key that a custodian made and that was never written down here: who dies in between leaves a trace of it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import pytest

from troth.kit.clock import FakeClock
from troth.pki.keys.algorithm import KeyAlgorithm, generate_private_key, public_key_info
from troth.pki.keys.backend import Made
from troth.pki.keys.errors import CUSTODIAN_TIMEOUT, CUSTODIAN_UNAVAILABLE, CustodianDown
from troth.pki.keys.keyring import Keyring
from troth.pki.keys.model import KeyPurpose
from troth.pki.keys.records import Records

CLOCK = FakeClock(datetime(2026, 6, 1, tzinfo=UTC))


class Killed(BaseException):
    """The signer ends here."""


class Token:
    """Makes keys, unless it is told to raise."""

    algorithms = frozenset({KeyAlgorithm.P256})
    longest = 0
    sealed = False

    def __init__(self) -> None:
        self.raises: BaseException | None = None

    def unseal(self, secret: bytes) -> None:
        raise AssertionError

    def generate(self, key_id: str, algorithm: KeyAlgorithm) -> Made:
        if self.raises is not None:
            raise self.raises
        return Made({"id": key_id}, public_key_info(generate_private_key(algorithm)), ())

    def public_key(self, handle: Mapping[str, str]) -> bytes:
        raise AssertionError

    def sign(self, handle: Mapping[str, str], algorithm: KeyAlgorithm, content: bytes, *, digested: bool) -> bytes:
        raise AssertionError

    def close(self) -> None:
        pass


def opened(data: Path, token: Token) -> Keyring:
    return Keyring.open(data, CLOCK, backends={"pkcs11:test": token})


def orphans(keys: Keyring) -> tuple[str, ...]:
    return next(one.orphans for one in keys.states() if one.name == "pkcs11:test")


def test_a_signer_that_dies_before_the_record_leaves_an_orphan_that_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = opened(tmp_path, Token())

    def die(_records: Records, _record: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(Records, "write", die)
        with pytest.raises(Killed):
            keys.generate(KeyPurpose.ISSUING, custodian="pkcs11:test")
    keys.close()
    again = opened(tmp_path, Token())
    (orphan,) = orphans(again)
    assert orphan.startswith("issuing-")
    assert [key.purpose for key in again.list_keys()] == []
    (tmp_path / "keys" / "held" / f"{orphan}.making").unlink()
    again.close()
    assert orphans(opened(tmp_path, Token())) == ()


@pytest.mark.parametrize(("reason", "left"), [(CUSTODIAN_UNAVAILABLE, 0), (CUSTODIAN_TIMEOUT, 1)])
def test_a_token_that_did_not_answer_in_time_may_have_made_it_one_that_said_no_has_not(
    tmp_path: Path, reason: object, left: int
) -> None:
    token = Token()
    keys = opened(tmp_path, token)
    token.raises = CustodianDown(reason)  # type: ignore[arg-type]
    with pytest.raises(CustodianDown):
        keys.generate(KeyPurpose.ISSUING, custodian="pkcs11:test")
    keys.held["pkcs11:test"].check()
    assert len(orphans(keys)) == left


def test_a_key_that_was_written_down_is_no_orphan(tmp_path: Path) -> None:
    keys = opened(tmp_path, Token())
    made = keys.generate(KeyPurpose.ISSUING, custodian="pkcs11:test")
    assert orphans(keys) == ()
    keys.close()
    again = opened(tmp_path, Token())
    assert orphans(again) == ()
    assert again.metadata(made.key_id) == made
