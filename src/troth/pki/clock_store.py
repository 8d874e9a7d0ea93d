"""SQL of the clock interlock. clock_timestamp(), not now(): the moment of the answer, not of the transaction."""

from __future__ import annotations

from datetime import datetime

from troth.store.unit import Reader

_CLOCKS = "SELECT clock_timestamp() AS now, (SELECT newest_at FROM ledger_head) AS newest"


async def clocks(reader: Reader) -> tuple[datetime, datetime | None]:
    """(the database's clock, time of the newest ledger event or None)."""
    row = await reader.fetchrow(_CLOCKS)
    if row is None:
        raise RuntimeError("a SELECT without FROM returned no row")
    return row["now"], row["newest"]
