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
