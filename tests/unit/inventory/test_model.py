"""A report's parts, whatever is in them."""

from __future__ import annotations

import base64
import re
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from scripts import golden_lint
from tests.unit.fuzz.test_parsers import mutated
from troth.agent.survey import posture
from troth.inventory.errors import ReportRefused
from troth.inventory.model import SOURCES, FoundCertificate, read_certificate, read_report
from troth.inventory.service import roots_of

ANOTHER_VERSION = golden_lint.certificate().replace(bytes.fromhex("a003020102"), bytes.fromhex("a003020101"), 1)

REPORT = (
    b'{"agent":"a","at":"2026-03-02T09:00:00Z","certificates":["AAAA"],"sightings":[{"certificate":0,"place":"/a",'
    b'"kind":"file","key":true}],"stores":[{"name":"system","place":"/b","roots":[]}],"facts":[{"path":"posture.firewall",'
    b'"value":true,"observed_at":"2026-03-02T09:00:00Z","source":"proc"}],"cut":["/root"]}'
)


@given(st.integers(0, 6), st.integers(0, 2**32))
def test_a_report_is_read_or_refused(changes: int, number: int) -> None:
    try:
        read_report(mutated(REPORT, changes, number))
    except ReportRefused:
        pass


@given(st.integers(0, 6), st.integers(0, 2**32))
def test_a_certificate_is_read_or_left_out(changes: int, number: int) -> None:
    some = mutated(golden_lint.certificate(), changes, number)
    found = read_certificate(base64.b64encode(some).decode())
    assert found is None or isinstance(found, FoundCertificate)


@given(st.text(max_size=60))
def test_what_is_no_base64_is_left_out(text: str) -> None:
    assert read_certificate(text) is None or base64.b64decode(text)


def test_stores_that_were_not_read_say_nothing_of_roots() -> None:
    assert roots_of(read_report(REPORT)) == []
    assert roots_of(read_report(REPORT.replace(b'"roots":[]', b'"roots":null'))) is None


def test_a_certificate_of_another_version_is_left_out() -> None:
    """The library refuses it by an exception of its own kind; one such file must not hide a host's report."""
    assert read_certificate(base64.b64encode(ANOTHER_VERSION).decode()) is None


def test_every_source_that_our_agent_names_is_known() -> None:
    named = set(re.findall(r'Fact\(.*, "([a-z-]+)"\)', Path(posture.__file__).read_text(encoding="utf-8")))
    assert named
    assert named <= SOURCES
