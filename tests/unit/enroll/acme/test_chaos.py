"""Test mode: what it makes awkward, and that it is never on by mistake."""

from __future__ import annotations

import pytest

from troth.enroll.acme.chaos import Chaos, TestModeRefused, chaos_of
from troth.enroll.acme.problems import Identifier
from troth.enroll.acme.validate.outcome import Challenge, Invalid, Valid
from troth.kit.acme_settings import AcmeTestSettings

CHALLENGE = Challenge("http-01", Identifier("dns", "a.example"), "token", "token.key")


class Nonces:
    """Knows one nonce, once."""

    def __init__(self) -> None:
        self.good = {"a", "b"}

    def issue(self) -> str:
        return "c"

    def consume(self, nonce: str) -> bool:
        found = nonce in self.good
        self.good.discard(nonce)
        return found


class Never:
    async def validate(self, challenge: Challenge) -> Valid | Invalid:
        raise AssertionError("nothing is to be looked at")


@pytest.mark.parametrize("name", [one for one in AcmeTestSettings.__struct_fields__ if one != "enabled"])
def test_no_setting_counts_unless_test_mode_is_turned_on_as_such(name: str) -> None:
    value = True if isinstance(getattr(AcmeTestSettings(), name), bool) else 7
    with pytest.raises(TestModeRefused, match=f"acme_test.{name} is set"):
        chaos_of(AcmeTestSettings(**{name: value}), [True])
    assert chaos_of(AcmeTestSettings(enabled=True, **{name: value}), [True])


def test_nothing_is_awkward_by_default() -> None:
    chaos = chaos_of(AcmeTestSettings(), [False])
    nonces = Nonces()
    never = Never()
    assert not chaos
    assert not chaos.random_paths
    assert chaos.reuses()
    assert chaos.nonces(nonces) is nonces
    assert chaos.validating(never) is never


def test_proofs_are_taken_for_granted_under_trial_authorities_alone() -> None:
    with pytest.raises(TestModeRefused, match="trial"):
        chaos_of(AcmeTestSettings(enabled=True, always_valid=True), [True, False])


async def test_everything_valid_connects_to_nothing() -> None:
    chaos = Chaos(AcmeTestSettings(enabled=True, always_valid=True))
    assert isinstance(await chaos.validating(Never()).validate(CHALLENGE), Valid)


def test_a_refused_nonce_is_used_up_all_the_same() -> None:
    fates = iter([10, 90])
    nonces = Chaos(AcmeTestSettings(enabled=True, reject_nonces_percent=50), lambda: next(fates)).nonces(Nonces())
    assert nonces.issue() == "c"
    assert not nonces.consume("a")
    assert not nonces.consume("a")
    assert nonces.consume("b")
    assert not nonces.consume("x")


@pytest.mark.parametrize(("percent", "reuses"), [(0, False), (100, True)])
def test_proofs_are_used_again_always_or_never(percent: int, reuses: bool) -> None:
    chaos = Chaos(AcmeTestSettings(enabled=True, reuse_proofs_percent=percent))
    assert {chaos.reuses() for _ in range(50)} == {reuses}
