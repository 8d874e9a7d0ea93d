"""Reading a directory file."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.trust.policies import AT
from troth.trust.errors import DirectoryError
from troth.trust.model import Kind
from troth.trust.subjects.directory import parse_directory

GOOD = """\
users:
  - {name: alice, enabled: true, email: alice@corp.example, groups: [wifi-users]}
devices:
  - name: laptop-17
    owner: alice
    managed: true
    checked_at: 2026-11-23T09:00:00+01:00
    names: [Laptop-17.corp.example, "*.lab.example"]
    attributes: {asset_tag: A-100}
    posture:
      - source: mdm
        observed_at: 2026-11-23T09:55:00Z
        values: {posture.compliant: true, risk.score: 12}
      - values: {posture.agent_ok: true}
workloads:
  - {name: shop, owner: alice, protected: true}
"""


def test_a_file_becomes_subjects_with_names_attributes_and_facts() -> None:
    file = parse_directory(GOOD, at=AT)
    alice, laptop, shop = file.subjects
    assert (file.source, alice.key, shop.protected) == ("directory", (Kind.USER, "alice"), True)
    assert laptop.names == ("laptop-17.corp.example", "*.lab.example")
    assert laptop.attributes == {
        "managed": True, "checked_at": "2026-11-23T08:00:00+00:00", "asset_tag": "A-100"
    }  # fmt: skip
    assert [(one.source, one.path, one.value) for one in laptop.facts] == [
        ("mdm", "posture.compliant", True),
        ("mdm", "risk.score", 12),
        ("directory", "posture.agent_ok", True),
    ]
    assert laptop.facts[2].observed_at == AT


@pytest.mark.parametrize(
    ("before", "after", "line", "field", "part"),
    [
        ("managed: true", "managd: true", 6, "devices[0].managd", "did you mean 'managed'?"),
        ("managed: true", "managed: 'yes'", 6, "devices[0].managed", "not a bool"),
        ("risk.score: 12", "risk.score: 1.5", 13, "devices[0].posture[0].values.risk.score", "whole number"),
        ("risk.score: 12", "risk.scor: 12", 13, "devices[0].posture[0].values.risk.scor", "did you mean 'risk.score'?"),
        ("risk.score: 12", "request.names: [a]", 13, "devices[0].posture[0].values.request.names", "an observation"),
        ("09:55:00Z", "09:55:00", 12, "devices[0].posture[0].observed_at", "with its offset"),
        ("09:55:00Z", "19:55:00Z", 12, "devices[0].posture[0].observed_at", "future"),
        ("source: mdm", "source: request", 11, "devices[0].posture[0].source", "Troth's own"),
        ('"*.lab.example"', '"a b.example"', 8, "devices[0].names[1]", "no DNS name"),
        ('"*.lab.example"', "laptop-17.corp.example", 8, "devices[0].names", "each once"),
        ("{name: shop, ", "{", 16, "workloads[0]", "'name' is missing"),
        ("name: shop", "name: no", 16, "workloads[0].name", "quotes"),
        ("asset_tag: A-100", "Asset: A-100", 9, "devices[0].attributes.Asset", "lower-case"),
        ("asset_tag: A-100", "name: A-100", 9, "devices[0].attributes.name", "no meaning yet"),
        ("users:", "people:", 1, "people", "no such field"),
        ("groups: [wifi-users]", "owner: bob", 2, "users[0].owner", "no such field"),
    ],
)
def test_an_error_points_at_line_and_field(before: str, after: str, line: int, field: str, part: str) -> None:
    assert before in GOOD
    with pytest.raises(DirectoryError) as caught:
        parse_directory(GOOD.replace(before, after), at=AT, file="devices.yaml")
    assert (caught.value.facts["line"], caught.value.facts["field"]) == (line, field)
    assert part in caught.value.detail


def test_a_subject_twice_or_a_name_twice_is_an_error() -> None:
    with pytest.raises(DirectoryError, match="stands here twice, first on line 2"):
        parse_directory("users:\n  - {name: a}\n  - {name: a}\n", at=AT)
    with pytest.raises(DirectoryError, match="belongs to 'a' already"):
        parse_directory("devices:\n  - {name: a, names: [x.example]}\n  - {name: b, names: [x.example]}\n", at=AT)


@given(st.integers(0, len(GOOD)), st.text(max_size=6))
def test_any_damage_is_taken_or_refused_cleanly(at: int, text: str) -> None:
    lines = [1]
    try:
        parse_directory(GOOD[:at] + text + GOOD[at + 2 :], at=AT)
    except DirectoryError as error:
        lines.append(int(str(error.facts["line"])))
    assert min(lines) >= 1
