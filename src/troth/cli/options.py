"""Options that many commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

Data = Annotated[
    Path | None,
    Parameter(name="--data", help="Data directory. Default: $TROTH_DATA, /var/lib/troth for root, else your own."),
]
Output = Annotated[Literal["text", "json"], Parameter(name=["--output", "-o"], help="text or json.")]
Propose = Annotated[bool, Parameter(help="Propose it to others, even if the rule asks for no approval.", negative="")]


def query(propose: bool) -> dict[str, str]:
    """The query of an act that may be proposed."""
    return {"propose": "true"} if propose else {}
