"""The rules that look at one module at a time. Each is a function from a source to its findings."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from typing import TypeAlias

from scripts.checks.source import Finding, Source

Rule: TypeAlias = Callable[[Source], Iterator[Finding]]

MOST_LINES = 400

_CLOCK = {
    "datetime.datetime.now", "datetime.datetime.utcnow", "datetime.datetime.today", "datetime.date.today",
    "time.time", "time.time_ns", "time.gmtime", "time.localtime",
}  # fmt: skip
_CLOCK_ALLOWED = {"kit/clock.py": _CLOCK, "kit/ids.py": {"time.time_ns"}}

_SIGNING_ROOMS = {"pki", "client", "agent"}

_SQL = re.compile(
    r"\s*(SELECT\s.+\sFROM\s|SELECT\s+\S+\(|INSERT\s+INTO\s|UPDATE\s+\S+(\s+AS\s+\S+|\s+\S+)?\s+SET\s|DELETE\s+FROM\s"
    r"|WITH\s.+\sAS\s+(MATERIALIZED\s+)?\(|MERGE\s+INTO\s|TRUNCATE\s|LOCK\s+TABLE\s"
    r"|(CREATE|ALTER|DROP)\s+(UNIQUE\s+)?(TABLE|INDEX|DATABASE|ROLE|TYPE|VIEW|SCHEMA)\s)",
    re.DOTALL,
)
_SQL_CALLS = {"fetch", "fetchrow", "fetchval", "execute", "executemany"}

_HANDLER_DECORATORS = {"get", "post", "put", "patch", "delete", "head", "route", "websocket", "websocket_listener"}

_UNFINISHED = re.compile(r"#.*\b(TODO|FIXME|XXX)\b")


def clock(source: Source) -> Iterator[Finding]:
    """Only ``kit/clock.py`` reads the machine's wall clock; everyone else is handed a Clock."""
    allowed = _CLOCK_ALLOWED.get(source.path, set())
    for node in source.nodes:
        if isinstance(node, (ast.Attribute, ast.Name)) and isinstance(node.ctx, ast.Load):
            name = source.dotted(node)
            if name in _CLOCK and name not in allowed:
                yield source.finding("clock", node, f"{name} outside kit/clock.py; take a Clock")


def signing(source: Source) -> Iterator[Finding]:
    """A private key's ``sign`` is touched in the mint only (and by clients, with their own keys).

    Others ask the signer for one named thing (``sign_checkpoint`` …); those names do not match.
    """
    if source.room in _SIGNING_ROOMS:
        return
    for node in source.nodes:
        if isinstance(node, ast.Attribute) and node.attr == "sign" and isinstance(node.ctx, ast.Load):
            yield source.finding("signing", node, "signing with a key outside troth/pki, client and agent")


def sql(source: Source) -> Iterator[Finding]:
    """SQL stands in ``store.py``, ``*_store.py`` and the store room."""
    if source.room == "store" or source.file_name == "store.py" or source.file_name.endswith("_store.py"):
        return
    for text, value in _texts(source):
        if _SQL.match(value):
            yield source.finding("sql", text, "SQL outside a store file")
    for node in source.nodes:
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in _SQL_CALLS:
            first = node.args[0] if node.args else None
            if isinstance(first, ast.JoinedStr) or (isinstance(first, ast.Constant) and isinstance(first.value, str)):
                yield source.finding("sql", node, f"a statement given to .{node.func.attr}() outside a store file")


def permissions(source: Source) -> Iterator[Finding]:
    """Every route says who may call it: ``Route(…, permission=…)``, and ``permission=`` on a Litestar handler."""
    for call in source.calls("Route"):
        given = next((k.value for k in call.keywords if k.arg == "permission"), None)
        if given is None and len(call.args) >= 3:
            given = call.args[2]
        if given is None or _empty(given):
            yield source.finding("permissions", call, "a Route without a permission")
    for node in source.nodes:
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            continue
        for decorator in node.decorator_list:
            target = decorator.func if isinstance(decorator, ast.Call) else decorator
            name = source.dotted(target) or ""
            if not name.startswith("litestar.") or name.rsplit(".", 1)[-1] not in _HANDLER_DECORATORS:
                continue
            if not isinstance(decorator, ast.Call) or not _declares_permission(decorator):
                yield source.finding("permissions", node, f"handler {node.name} without a permission")


def silence(source: Source) -> Iterator[Finding]:
    """No failure is swallowed unnamed: ``except Exception: pass`` and its kin."""
    for node in source.nodes:
        if not isinstance(node, ast.ExceptHandler):
            continue
        caught = node.type.elts if isinstance(node.type, ast.Tuple) else [node.type] if node.type else []
        names = {source.dotted(one) for one in caught}
        if (not caught or names & {"Exception", "BaseException"}) and all(_does_nothing(line) for line in node.body):
            yield source.finding("silence", node, "every exception is swallowed here; name the one that is meant")


def traces(source: Source) -> Iterator[Finding]:
    """No caught error goes into the log with its traceback unasked: some say of themselves that they are expected."""
    for node in source.nodes:
        if isinstance(node, ast.keyword) and node.arg == "exc_info" and isinstance(node.value, ast.Name):
            yield source.finding("traces", node.value, "an error's traceback is logged unasked; give trace_of(error)")


def size(source: Source) -> Iterator[Finding]:
    """A file holds one idea; past 400 lines it holds more."""
    lines = source.text.count("\n")
    if lines > MOST_LINES:
        yield source.finding("size", MOST_LINES + 1, f"{lines} lines; split by idea (at most {MOST_LINES})")


def unfinished(source: Source) -> Iterator[Finding]:
    """What stands in the product is finished: no stubs, no notes to self, no test doubles."""
    for number, line in enumerate(source.text.splitlines(), 1):
        if _UNFINISHED.search(line):
            yield source.finding("unfinished", number, "a note to self in the product; finish it or file it")
    for node in source.nodes:
        if isinstance(node, ast.Raise) and node.exc is not None:
            raised = node.exc.func if isinstance(node.exc, ast.Call) else node.exc
            if source.dotted(raised) == "NotImplementedError":
                yield source.finding("unfinished", node, "NotImplementedError in the product")
    for statement, name in source.imports():
        if name.startswith("unittest"):
            yield source.finding("unfinished", statement, "a test double in the product")


RULES: tuple[Rule, ...] = (clock, signing, sql, permissions, silence, traces, size, unfinished)


def _declares_permission(decorator: ast.Call) -> bool:
    """``permission=…`` (Litestar keeps it in ``opt``, where the guard reads it), the same key in ``opt=``, or one of
    the two words of ``web/guard.py``: ``opt=needs(…)`` and ``opt=public()``."""
    for keyword in decorator.keywords:
        if keyword.arg == "opt" and isinstance(keyword.value, ast.Call) and isinstance(keyword.value.func, ast.Name):
            needed = keyword.value.func.id == "needs" and bool(keyword.value.args)
            return needed or keyword.value.func.id == "public"
        if keyword.arg == "permission":
            return not _empty(keyword.value)
        if keyword.arg == "opt" and isinstance(keyword.value, ast.Dict):
            for key, value in zip(keyword.value.keys, keyword.value.values, strict=True):
                if isinstance(key, ast.Constant) and key.value == "permission":
                    return not _empty(value)
    return False


def _empty(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and not node.value


def _does_nothing(statement: ast.stmt) -> bool:
    return isinstance(statement, (ast.Pass, ast.Continue)) or (
        isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
    )


def _texts(source: Source) -> Iterator[tuple[ast.expr, str]]:
    """Every string, an f-string with ``x`` for what is filled in; not those that are statements (docstrings)."""
    left_out: set[ast.AST] = {node.value for node in source.nodes if isinstance(node, ast.Expr)}
    for node in source.nodes:  # breadth first, so an f-string comes before its parts
        if isinstance(node, ast.JoinedStr):
            left_out.update(node.values)
            parts = (part.value if isinstance(part, ast.Constant) else "x" for part in node.values)
            yield node, "".join(str(part) for part in parts)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in left_out:
            yield node, node.value
