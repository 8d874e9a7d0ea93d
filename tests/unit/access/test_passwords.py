from __future__ import annotations

import contextlib

import pytest
from argon2 import PasswordHasher, extract_parameters
from argon2.exceptions import VerifyMismatchError
from hypothesis import given
from hypothesis import strategies as st

from troth.access.errors import AccessError
from troth.access.passwords import MAXIMUM_LENGTH, MINIMUM_LENGTH, Passwords, require_strength

CHEAP = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)


@pytest.mark.parametrize(
    "password",
    ["", "short", "elevenchars", "a" * 40, "abcabcabcabcabc", "dora.the.admin", "xdora.the.adminx", "y" * 257],
)
def test_a_password_that_is_short_repetitive_or_the_name_is_refused(password: str) -> None:
    with pytest.raises(AccessError) as refused:
        require_strength(password, name="dora.the.admin")
    assert refused.value.code == "access.password_weak"


def test_a_long_password_is_accepted_whatever_it_is_made_of() -> None:
    for password in ("correct horse battery", "пароль из многих слов", "🦉🐍🦊🐢🦎🐙🦑🦀🐠🐬🐳🦈"):
        require_strength(password, name="dora")


@given(st.text(max_size=300), st.text(min_size=1, max_size=64))
def test_whatever_is_typed_is_accepted_or_refused_with_the_one_reason(password: str, name: str) -> None:
    with contextlib.suppress(AccessError):
        require_strength(password, name=name)


async def test_the_right_password_matches_and_no_other() -> None:
    passwords = Passwords(CHEAP)
    stored = await passwords.hash("correct horse battery")
    assert stored.startswith("$argon2id$")
    assert await passwords.matches(stored, "correct horse battery")
    assert not await passwords.matches(stored, "correct horse batterz")
    assert not await passwords.matches(stored, "")
    assert not await passwords.matches(stored, "x" * (MAXIMUM_LENGTH * 10))


async def test_one_password_typed_on_two_keyboards_is_one_password() -> None:
    passwords = Passwords(CHEAP)
    stored = await passwords.hash("cafe\u0301 au lait, ﬁn")
    assert await passwords.matches(stored, "caf\u00e9 au lait, fin")


async def test_nobody_matches_nothing_and_damaged_hashes_match_nothing() -> None:
    passwords = Passwords(CHEAP)
    assert not await passwords.matches(None, "nobody has this password")
    assert not await passwords.matches("not a hash", "anything at all")


@pytest.mark.parametrize("hasher", [CHEAP, PasswordHasher()], ids=["cheap", "default"])
def test_a_check_against_nobody_costs_what_a_real_one_does(hasher: PasswordHasher) -> None:
    nobody = Passwords(hasher)._nobody
    assert extract_parameters(nobody) == extract_parameters(hasher.hash("correct horse battery"))
    with pytest.raises(VerifyMismatchError):  # and not InvalidHashError, which would come at once
        hasher.verify(nobody, "nobody has this password")
    assert Passwords(hasher)._nobody != nobody


async def test_a_hash_made_at_other_costs_is_outdated() -> None:
    stored = await Passwords(CHEAP).hash("correct horse battery")
    assert Passwords(PasswordHasher(time_cost=2, memory_cost=8, parallelism=1)).outdated(stored)
    assert not Passwords(CHEAP).outdated(stored)


def test_the_default_costs_are_those_of_rfc_9106() -> None:
    hasher = PasswordHasher()
    assert (hasher.time_cost, hasher.memory_cost, hasher.parallelism) == (3, 65_536, 4)
    assert MINIMUM_LENGTH == 12
