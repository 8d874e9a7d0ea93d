"""The checks that look across files: fences, reason codes, exceptions. (`make lint` runs them on the product.)"""

from __future__ import annotations

import pytest

from scripts.checks.exceptions import without_exceptions
from scripts.checks.fences import fences
from scripts.checks.reasons import reason_codes
from scripts.checks.source import Finding, Source


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("trust/x.py", "import httpx"),
        ("kit/log.py", "from httpx import AsyncClient"),
        ("connect/edr.py", "import urllib.request"),
        ("connect/edr.py", "from urllib import request"),
        ("status/x.py", "def f():\n    from litestar import get"),
        ("trust/service.py", "import asyncpg.exceptions"),
        ("cli/main.py", "from troth.web.app import build"),
        ("cli/main.py", "from troth import web"),
        ("trust/x.py", "import troth.client"),
    ],
)
def test_an_import_across_a_fence_is_found(path: str, text: str) -> None:
    assert [finding.rule for finding in fences(Source.parse(path, text))] == ["fence"]


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("kit/http.py", "import httpx"),
        ("web/app.py", "from litestar import Litestar"),
        ("store/pool.py", "import asyncpg"),
        ("assembly/build.py", "from troth.web.app import build"),
        ("connect/acme.py", "from troth.client import jose"),
        ("trust/x.py", "import urllib.parse"),
        ("trust/x.py", "import httpxray"),
        ("trust/x.py", "from troth.kit import clock"),
    ],
)
def test_an_import_within_its_fence_is_let_be(path: str, text: str) -> None:
    assert list(fences(Source.parse(path, text))) == []


def lines_of(*files: tuple[str, str]) -> list[tuple[str, int]]:
    return [(found.path, found.line) for found in reason_codes(Source.parse(path, text) for path, text in files)]


HEAD = "from troth.kit.errors import reason\n"


def test_a_reason_code_defined_in_two_rooms_is_found() -> None:
    one = ("pki/errors.py", HEAD + 'A = reason("a.b", "", fix="")')
    two = ("trust/errors.py", HEAD + 'A = reason("a.c", "", fix="")\nB = reason("a.b", "", fix="")')
    assert lines_of(one, two) == [("trust/errors.py", 3)]


def test_a_computed_reason_code_is_found() -> None:
    assert lines_of(("pki/errors.py", HEAD + 'A = reason(f"a.{b}", "", fix="")')) == [("pki/errors.py", 2)]


def test_a_reason_outside_errors_is_found() -> None:
    assert lines_of(("pki/gate.py", HEAD + 'A = reason("a.b", "", fix="")')) == [("pki/gate.py", 2)]


def test_other_things_called_reason_are_let_be() -> None:
    assert lines_of(("pki/gate.py", "entry.reason(1)"), ("pki/crl.py", 'x509.reason("a.b")')) == []


def test_an_exception_hides_its_finding_and_no_other() -> None:
    here, there = Finding("a.py", 1, "sql", ""), Finding("b.py", 1, "sql", "")
    assert list(without_exceptions([here, there], {("a.py", "sql"): "because"})) == [there]


def test_an_exception_that_nothing_needs_is_found() -> None:
    (found,) = without_exceptions([], {("a.py", "sql"): "because"})
    assert (found.path, found.rule) == ("a.py", "exceptions")


def test_an_exception_without_a_reason_hides_nothing() -> None:
    here = Finding("a.py", 1, "sql", "")
    assert here in list(without_exceptions([here], {("a.py", "sql"): ""}))
