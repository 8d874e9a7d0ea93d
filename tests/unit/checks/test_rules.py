"""Each rule with what it must find and what it must let be."""

from __future__ import annotations

import pytest

from scripts.checks.rules import MOST_LINES, Rule, clock, permissions, signing, silence, size, sql, traces, unfinished
from scripts.checks.source import Source


def found(rule: Rule, text: str, path: str = "trust/service.py") -> list[int]:
    """The lines at which ``rule`` finds something."""
    return [finding.line for finding in rule(Source.parse(path, text))]


# --- clock -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "import datetime\ndatetime.datetime.now()",
        "import datetime as when\nwhen.datetime.utcnow()",
        "from datetime import datetime\ndatetime.now(UTC)",
        "from datetime import datetime as dt\ndt.today()",
        "from datetime import date\ndate.today()",
        "import time\ntime.time()",
        "import time as clock\nclock.time_ns()",
        "from time import time\ntime()",
        "import time\nfield(default_factory=time.time)",
    ],
)
def test_reading_the_wall_clock_is_found(text: str) -> None:
    assert found(clock, text) == [2]


@pytest.mark.parametrize(
    "text",
    [
        "import time\ntime.monotonic()",
        "from datetime import datetime\ndatetime.fromtimestamp(0, UTC)",
        "clock.now()",
        "self._clock.now()",
        "row.time",
    ],
)
def test_asking_a_clock_is_let_be(text: str) -> None:
    assert found(clock, text) == []


def test_the_clock_module_may_read_the_clock_and_ids_its_nanoseconds_only() -> None:
    assert found(clock, "import datetime\ndatetime.datetime.now()", "kit/clock.py") == []
    assert found(clock, "import time\ntime.time_ns()", "kit/ids.py") == []
    assert found(clock, "import time\ntime.time()", "kit/ids.py") == [2]


# --- signing ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text", ["key.sign(data)", "builder.sign(key, SHA256())", "self.keys[0].sign(x)", "f = key.sign"]
)
def test_signing_outside_the_mint_is_found(text: str) -> None:
    assert found(signing, text, "enroll/acme/finalize.py") == [1]


@pytest.mark.parametrize("path", ["pki/signer/keys.py", "client/jose.py", "agent/main.py"])
def test_the_mint_and_clients_may_sign(path: str) -> None:
    assert found(signing, "key.sign(data)", path) == []


@pytest.mark.parametrize(
    "text", ["signer.sign_checkpoint(x)", "sign(x)", "hmac.new(k, m).digest()", "profile.sign = 1"]
)
def test_asking_the_signer_for_one_named_thing_is_let_be(text: str) -> None:
    assert found(signing, text, "audit/notary.py") == []


# --- sql -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        'QUERY = "SELECT id FROM certificate"',
        'QUERY = """\n    SELECT a,\n    b FROM c"""',
        'x = "INSERT INTO t VALUES ($1)"',
        'x = "UPDATE certificate SET status = $1"',
        'x = "UPDATE certificate AS c SET status = $1"',
        'x = "DELETE FROM t"',
        'x = "WITH i AS (SELECT 1) INSERT INTO t SELECT * FROM i"',
        'x = "CREATE UNIQUE INDEX a ON b (c)"',
        'x = "SELECT pg_notify($1, $2)"',
        'await database.fetch("select 1")',
        'await database.fetchval(f"select {column}")',
        'x = f"SELECT {column} FROM {table}"',
    ],
)
def test_sql_outside_a_store_file_is_found(text: str) -> None:
    assert found(sql, text) == [1]


@pytest.mark.parametrize(
    "path", ["trust/subjects/store.py", "trust/x_store.py", "store/lease.py", "enroll/acme/store.py"]
)
def test_store_files_may_hold_sql(path: str) -> None:
    assert found(sql, 'x = "SELECT a FROM b"', path) == []


@pytest.mark.parametrize(
    "text",
    [
        '"""SELECT the profile FROM the list."""',
        'x = "Select a certificate from the list"',
        'x = "Update the profile and set a lifetime"',
        "await database.fetch(store.ORDERS, 5)",
        'raise E("could not SELECT a FROM b")',
        'x = "DELETE"',
    ],
)
def test_words_and_docstrings_are_let_be(text: str) -> None:
    assert found(sql, text) == []


# --- permissions -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        'Route("/a", {})',
        'Route("/a", {}, max_body=5)',
        'Route("/a", {}, permission="")',
        'Route("/a", {}, "")',
        'lane.Route("/a", {})',
        'from troth.kit.lane import Route as R; R("/a", {})',
    ],
)
def test_a_route_without_a_permission_is_found(text: str) -> None:
    assert found(permissions, text) == [1]


@pytest.mark.parametrize(
    "text", ['Route("/a", {}, permission="public")', 'Route("/a", {}, "public")', 'Route("/a", {}, permission=WHO)']
)
def test_a_route_with_a_permission_is_let_be(text: str) -> None:
    assert found(permissions, text) == []


@pytest.mark.parametrize(
    "decorator",
    [
        "@get",
        "@get()",
        '@post("/a")',
        '@get("/a", permission="")',
        '@get("/a", opt=needs())',
        '@get("/a", opt=something(READ))',
        '@delete("/a", opt={"other": 1})',
        "@get(opt=OPTIONS)",
    ],
)
def test_a_litestar_handler_without_a_permission_is_found(decorator: str) -> None:
    text = f"from litestar import delete, get, post\n{decorator}\nasync def handler() -> None: ...\n"
    assert found(permissions, text, "web/routes.py") == [3]


def test_a_handler_by_its_full_name_is_found() -> None:
    text = 'import litestar\n@litestar.get("/a")\nasync def handler() -> None: ...\n'
    assert found(permissions, text, "web/routes.py") == [3]


@pytest.mark.parametrize(
    "decorator",
    [
        '@get("/a", permission="certificate.read")',
        '@post(opt={"permission": "certificate.read"})',
        '@get("/a", opt=needs(Permission.READ))',
        '@get("/a", opt=public())',
        "@get(permission=READ)",
    ],
)
def test_a_litestar_handler_with_a_permission_is_let_be(decorator: str) -> None:
    text = f"from litestar import get, post\n{decorator}\nasync def handler() -> None: ...\n"
    assert found(permissions, text, "web/routes.py") == []


def test_decorators_of_others_are_let_be() -> None:
    text = "from functools import cache\n@cache\ndef f(): ...\n@app.get('/a')\ndef g(): ...\n"
    assert found(permissions, text) == []


# --- silence ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "clause", ["except:", "except Exception:", "except BaseException:", "except (OSError, Exception) as e:"]
)
@pytest.mark.parametrize("body", ["pass", "...", "continue", '"nothing to do"'])
def test_a_swallowed_exception_is_found(clause: str, body: str) -> None:
    assert found(silence, f"for x in y:\n  try:\n    f()\n  {clause}\n    {body}\n") == [4]


@pytest.mark.parametrize(
    "handler", ["except OSError:\n  pass", "except Exception:\n  raise", "except Exception as e:\n  log(e)"]
)
def test_a_named_or_answered_exception_is_let_be(handler: str) -> None:
    assert found(silence, f"try:\n  f()\n{handler}\n") == []


def test_a_traceback_is_logged_only_of_an_error_that_was_asked() -> None:
    assert found(traces, 'log.error("a", exc_info=error)\n') == [1]
    assert found(traces, 'log.error("a", exc_info=trace_of(error))\nlog.error("b", exc_info=True)\n') == []


# --- size and unfinished ---------------------------------------------------------------------------------------------


def test_a_file_of_four_hundred_lines_is_the_longest() -> None:
    assert found(size, "x = 1\n" * MOST_LINES) == []
    assert found(size, "x = 1\n" * (MOST_LINES + 1)) == [MOST_LINES + 1]


@pytest.mark.parametrize(
    "text",
    [
        "x = 1  # TODO later",
        "# FIXME",
        "raise NotImplementedError",
        'raise NotImplementedError("x")',
        "import unittest.mock",
    ],
)
def test_what_is_unfinished_is_found(text: str) -> None:
    assert found(unfinished, text) == [1]


@pytest.mark.parametrize("text", ['x = "TODO"', "except NotImplementedError: raise", "# what is to do next"])
def test_what_only_looks_unfinished_is_let_be(text: str) -> None:
    text = f"try: f()\n{text}\n" if text.startswith("except") else text
    assert found(unfinished, text) == []
