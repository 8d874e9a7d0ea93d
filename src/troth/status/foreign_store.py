"""SQL of what is told of others' revocation lists in ``/metrics``."""

from __future__ import annotations

from troth.status.foreign_metrics import ForeignFigures
from troth.store.unit import Reader

_ENDS = "SELECT anchor, issuer_name, next_update FROM foreign_crl ORDER BY anchor, issuer_name LIMIT 200"
_FAILURES = "SELECT anchor, url, failures FROM foreign_crl_source ORDER BY anchor, url LIMIT 200"


async def foreign_figures(reader: Reader) -> ForeignFigures:
    """What is seen now."""
    return ForeignFigures(
        tuple((row["anchor"], row["issuer_name"], row["next_update"]) for row in await reader.fetch(_ENDS)),
        tuple((row["anchor"], row["url"], row["failures"]) for row in await reader.fetch(_FAILURES)),
    )
