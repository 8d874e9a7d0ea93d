"""Reading ahead for units whose steps are run together: what each would ask, asked once for all of them.

The steps stay as they are, one unit after the other, and so does what each of them reads: :class:`ReadAhead` answers a
statement that it was told to expect from the rows of one that asks for everybody, and hands on any other.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, TypeVar

from troth.store.unit import Reader, Row

T = TypeVar("T")

_PARAMETER: Final = re.compile(r"\$(\d+)")


@cache
def for_each(sql: str, types: tuple[str, ...]) -> str:
    """A query that asks ``sql`` for each row of its parameters, which are arrays; column ``n`` is the place, from 1."""
    arrays = ", ".join(f"${place}::{kind}[]" for place, kind in enumerate(types, start=1))
    names = ", ".join(f"p{place}" for place in range(1, len(types) + 1))
    one = _PARAMETER.sub(r"i.p\1", sql)
    return f"SELECT i.n, q.* FROM unnest({arrays}) WITH ORDINALITY AS i({names}, n) CROSS JOIN LATERAL ({one}) AS q"


@dataclass(slots=True)
class _Expected:
    many: str
    asked: list[tuple[Any, ...]]
    rows: dict[tuple[Any, ...], list[Row]] | None = None


class ReadAhead:
    """A :class:`~troth.store.unit.Reader` of one transaction, for steps that write nothing that they read.

    Args:
        company: how many units are run together.
    """

    def __init__(self, reader: Reader, company: int) -> None:
        self._reader = reader
        self.company = company
        self._expected: dict[str, _Expected] = {}
        self._kept: dict[object, Any] = {}

    def expect(self, sql: str, types: Sequence[str], asked: Sequence[tuple[Any, ...]]) -> None:
        """Expect ``sql`` to be asked with each of ``asked``; the first time, all are asked for in one statement.

        ``types``: PostgreSQL's, of its parameters. A lone one is asked as it is.
        """
        if len(asked) > 1:
            self._expected[sql] = _Expected(for_each(sql, tuple(types)), list(dict.fromkeys(asked)))

    def kept(self, key: object, make: Callable[[], T]) -> T:
        """What is kept under ``key`` until the transaction ends, made when it is first asked for."""
        if key not in self._kept:
            self._kept[key] = make()
        found: T = self._kept[key]
        return found

    async def fetch(self, sql: str, *values: Any) -> list[Row]:
        """All rows."""
        expected = self._expected.get(sql)
        if expected is not None:
            if expected.rows is None:
                expected.rows = await self._ask(expected)
            found = expected.rows.get(values)
            if found is not None:
                return found
        return await self._reader.fetch(sql, *values)

    async def fetchrow(self, sql: str, *values: Any) -> Row | None:
        """The first row, or None."""
        if sql not in self._expected:
            return await self._reader.fetchrow(sql, *values)
        rows = await self.fetch(sql, *values)
        return rows[0] if rows else None

    async def fetchval(self, sql: str, *values: Any) -> Any:
        """The first column of the first row, or None."""
        return await self._reader.fetchval(sql, *values)

    async def _ask(self, expected: _Expected) -> dict[tuple[Any, ...], list[Row]]:
        rows: dict[tuple[Any, ...], list[Row]] = {values: [] for values in expected.asked}
        for row in await self._reader.fetch(expected.many, *map(list, zip(*expected.asked, strict=True))):
            said = dict(row)
            rows[expected.asked[said.pop("n") - 1]].append(said)
        return rows


def kept(reader: Reader, key: object, make: Callable[[], T]) -> T:
    """What ``reader`` keeps under ``key`` for those that are run together; who is by itself gets a new one."""
    return reader.kept(key, make) if isinstance(reader, ReadAhead) else make()


def company_of(reader: Reader) -> int:
    """How many units are run together on ``reader``."""
    return reader.company if isinstance(reader, ReadAhead) else 1
