"""The documents of this room say what the code does."""

from __future__ import annotations

import re
from pathlib import Path

from tests.unit.trust.policies import AT
from troth.trust.authoring.examples import run_tests
from troth.trust.policy.grammar import parse_policy
from troth.trust.subjects.directory import parse_directory
from troth.trust.vocabulary import VOCABULARY

DOCS = Path(__file__).parents[3] / "docs"


def blocks(name: str) -> list[str]:
    return re.findall(r"```yaml\n(.*?)```", (DOCS / name).read_text(encoding="utf-8"), re.DOTALL)


def test_the_attribute_table_is_the_vocabulary() -> None:
    text = (DOCS / "policies.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([a-z0-9_.]+)` \| ([a-z()]+) \| (.+) \|$", text, re.MULTILINE)
    assert rows == [(path, word.type.value, word.meaning) for path, word in VOCABULARY.items()]


def test_the_examples_are_taken_as_they_stand() -> None:
    [policy] = blocks("policies.md")
    assert parse_policy(policy).rules[0].name == "healthy-device"
    assert [one.differences for one in run_tests(parse_policy(policy))] == [()]
    [directory] = blocks("directory.md")
    assert [one.name for one in parse_directory(directory, at=AT).subjects] == ["alice", "laptop-17", "shop"]
