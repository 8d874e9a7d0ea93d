"""Whose user it is, and which names no federation could route."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from troth.radius.proxy import nai
from troth.radius.proxy.nai import Nai


@pytest.mark.parametrize(
    ("name", "found"),
    [
        (b"alice@Example.ORG", Nai("alice", "example.org")),
        (b"@example.org", Nai("", "example.org")),
        (b"alice@home.test@proxy.test", Nai("alice@home.test", "proxy.test")),
        (b"alice", Nai("alice", "")),
        (b"CORP\\alice", Nai("CORP\\alice", "")),
        ("jürgen@bücher.example".encode(), Nai("jürgen", "bücher.example")),
        (b"alice@", Nai("alice", "")),
        (b"\xff@example.org", None),
        (b"alice\n@example.org", None),
        (b"a" * 254, None),
    ],
)
def test_the_last_at_sign_parts_user_and_realm(name: bytes, found: Nai | None) -> None:
    assert nai.parse(name) == found


@pytest.mark.parametrize(
    "name",
    [b"alice", b"alice@", b"alice@example", b"alice@example.org.", b"alice@.example.org", b"alice@example..org",
     b"alice@example.org ", b"al ice@example.org", b"alice@exam_ple.org", b"alice@-a.org", b"alice@10.0.0.1:99"],
)  # fmt: skip
def test_what_nobody_could_route_is_told_apart(name: bytes) -> None:
    found = nai.parse(name)
    assert found is not None
    assert nai.fault(found) is not None


@pytest.mark.parametrize("name", [b"alice@example.org", b"@a.b.example.org", "x@bücher.example".encode()])
def test_a_proper_name_has_no_fault(name: bytes) -> None:
    found = nai.parse(name)
    assert found is not None
    assert nai.fault(found) is None


@given(st.binary(max_size=300))
def test_any_octets_are_parsed_or_are_no_name(name: bytes) -> None:
    found = nai.parse(name)
    if found is not None:
        assert "@" not in found.realm
        assert found.realm == found.realm.lower()
        nai.fault(found)


def test_the_narrowest_pattern_wins() -> None:
    patterns = ["*", "*.example.org", "a.example.org", "-"]
    served = [one for one in patterns if nai.serves(one, "a.example.org")]
    assert max(served, key=nai.weight) == "a.example.org"
    assert [one for one in patterns if nai.serves(one, "b.example.org")] == ["*", "*.example.org"]
    assert [one for one in patterns if nai.serves(one, "")] == ["-"]
    assert not nai.serves("*.example.org", "badexample.org")
