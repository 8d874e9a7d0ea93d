"""Flat cost: every statement of the ACME door finds its rows by index, whatever is stored beside them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from types import ModuleType

import asyncpg

from troth.enroll.acme import (
    account_store,
    attempt_store,
    incident_store,
    limit_store,
    prune_store,
    renewal_store,
    store,
)
from troth.enroll.tokens import store as token_store
from troth.store.statement import Statement

MODULES = (account_store, attempt_store, incident_store, limit_store, prune_store, renewal_store, store, token_store)
INDEX_SCAN = re.compile(r"Index (?:Only )?Scan(?: Backward)? using \w+ on (\w+)[^\n]*\n([^\n]*)")
#: Tables that are small by their nature.
SMALL = {"renewal_incident", "rollover", "acme_meter"}


def statements() -> Iterator[tuple[str, str]]:
    for module in MODULES:
        for name, value in sorted(vars(module).items()):
            if isinstance(value, Statement):
                yield f"{_short(module)}.{name}", value.sql
            elif isinstance(value, str) and re.match(r"\s*(SELECT|WITH|UPDATE|DELETE)\b", value) and "$" in value:
                yield f"{_short(module)}.{name}", value


def _short(module: ModuleType) -> str:
    return module.__name__.rpartition(".")[2]


async def test_no_statement_reads_a_whole_table(database_url: str) -> None:
    scanning, unbounded, seen = [], [], 0
    connection = await asyncpg.connect(database_url)
    try:
        # Where an index would do, it is taken: what still scans could do nothing else.
        await connection.execute("SET enable_seqscan = off; SET plan_cache_mode = force_generic_plan")
        for number, (name, sql) in enumerate(statements()):
            most = max(int(one) for one in re.findall(r"\$(\d+)", sql))
            await connection.execute(f"PREPARE p{number} AS {sql}")
            values = ", ".join(["NULL"] * most)
            plan = "\n".join(row[0] for row in await connection.fetch(f"EXPLAIN EXECUTE p{number}({values})"))
            seen += 1
            tables = set(re.findall(r"Seq Scan on (\w+)", plan)) - SMALL
            scanning += [f"{name}: {table}" for table in sorted(tables)]
            # Reading an index from end to end is a scan by another name, unless a page ends it.
            for table, rest in re.findall(
                r"Index (?:Only )?Scan(?: Backward)? using \w+ on (\w+)[^\n]*\n([^\n]*)", plan
            ):
                if "Index Cond" not in rest and "LIMIT" not in sql and table not in SMALL:
                    unbounded.append(f"{name}: {table}")
    finally:
        await connection.close()
    assert seen > 50
    assert scanning == []
    assert unbounded == []
