from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.ceremonies import NOW, Office
from troth.kit.errors import TrothError
from troth.pki.ceremony.checks import check_plan
from troth.pki.ceremony.errors import PlanRefused
from troth.pki.ceremony.plan import parse_plan


def refusal(office: Office, document: dict[str, Any]) -> str:
    with pytest.raises(TrothError) as caught:
        check_plan(office.plan("plan.yaml", document), NOW)
    return caught.value.code


def test_a_plan_that_says_all_it_must_is_accepted(office: Office) -> None:
    check_plan(office.plan("plan.yaml", office.root()), NOW)


@pytest.mark.parametrize("block", ["certificate", "custodians", "outputs", "window", "key", "title"])
def test_a_root_plan_without_one_of_its_blocks_is_refused(office: Office, block: str) -> None:
    assert refusal(office, office.root(**{block: None})).startswith("ceremony.plan.")


def test_an_unknown_field_is_refused_at_any_depth(office: Office) -> None:
    document = office.root()
    document["certificate"]["subject"]["commonname"] = "x"
    assert refusal(office, document) == "ceremony.plan.malformed"


@pytest.mark.parametrize(
    "text",
    [
        b"ceremony: root\nceremony: key\n",
        b"a: &x 1\nb: *x\n",
        b"- root\n",
        b"\xff\xfe",
        b"{" * 5000,
        b"? [1]\n: 2\n",
        b"!!python/object/apply:os.system ['true']\n",
        b"a: 1\n" * 100_000,
    ],
)
def test_what_is_no_plain_yaml_mapping_is_refused(text: bytes) -> None:
    with pytest.raises(PlanRefused):
        parse_plan(text, Path())


def test_a_time_without_a_zone_is_refused(office: Office) -> None:
    document = office.root()
    document["window"]["from"] = "2026-11-24T00:00:00"
    assert refusal(office, document) == "ceremony.plan.malformed"


def test_a_clock_outside_the_window_is_refused(office: Office) -> None:
    window = {"from": "2026-11-25T00:00:00Z", "until": "2026-11-26T00:00:00Z"}
    assert refusal(office, office.root(window=window)) == "ceremony.window"


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("certificate.crl_url", "http://pki.test/x.crl"),
        ("certificate.extended_key_usages", ["2.5.29.37.0"]),
        ("certificate.issuer_classes", ["open"]),
        ("key.sealed", "x"),
        ("key.file", "x"),
        ("key.module", "x"),
        ("certificate.validity", {"from": "2026-11-24T00:00:00Z", "until": "2076-11-24T00:00:00Z"}),
        ("crl", {"number": 1, "this_update": "2026-11-24T00:00:00Z", "next_update": "2027-11-24T00:00:00Z"}),
        ("inputs", {"issuer": "x"}),
    ],
)
def test_what_means_nothing_for_a_root_is_refused(office: Office, place: str, value: object) -> None:
    document = office.root()
    *path, last = place.split(".")
    block = document
    for name in path:
        block = block[name]
    block[last] = value
    assert refusal(office, document) == "ceremony.plan.refused"


def test_custodians_of_whom_one_would_suffice_are_refused(office: Office) -> None:
    document = office.root()
    document["custodians"]["groups"] = [{"name": "x", "threshold": 1, "members": [office.custodian("Anna")]}]
    assert refusal(office, document) == "ceremony.share.plan"


def test_a_person_who_would_hold_two_shares_is_refused(office: Office) -> None:
    document = office.root()
    document["custodians"]["groups"][1]["members"][0] = office.custodian("Anna")
    assert refusal(office, document) == "ceremony.share.plan"


def test_an_age_recipient_that_is_none_is_refused_before_a_key_is_made(office: Office) -> None:
    document = office.root()
    document["custodians"]["groups"][0]["members"][0]["recipient"] = "age1" + "q" * 58
    assert refusal(office, document) == "ceremony.share.plan"


@settings(deadline=None)
@given(st.binary(max_size=400))
def test_any_octets_are_a_plan_or_refused(content: bytes) -> None:
    with pytest.raises(PlanRefused):
        parse_plan(content, Path())


_ATOMS = st.sampled_from(
    [None, True, 0, -1, 2**70, 1.5, "", "x", "root", "2026-11-24T00:00:00Z", [], {}, ["x"], {"a": 1}]
)
_VALUES = _ATOMS | st.dictionaries(st.sampled_from(["from", "until", "custody", "algorithm", "number"]), _ATOMS)
_BLOCKS = st.sampled_from(["ceremony", "title", "window", "key", "inputs", "outputs", "certificate", "crl"])


@settings(deadline=None)
@given(st.dictionaries(_BLOCKS, _VALUES, min_size=1, max_size=8))
def test_a_plan_with_any_blocks_exchanged_is_refused_with_a_reason(blocks: dict[str, Any]) -> None:
    document = Office(Path()).document("root", "out") | blocks
    with pytest.raises(TrothError) as caught:
        check_plan(parse_plan(yaml.safe_dump(document).encode(), Path()), NOW)
    assert caught.value.code.startswith("ceremony.")
