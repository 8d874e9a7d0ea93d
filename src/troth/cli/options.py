"""Options that many commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from troth.cli.errors import UNREADABLE
from troth.kit.errors import TrothError

Data = Annotated[
    Path | None,
    Parameter(name="--data", help="Data directory. Default: $TROTH_DATA, /var/lib/troth for root, else your own."),
]
Output = Annotated[Literal["text", "json"], Parameter(name=["--output", "-o"], help="text or json.")]
Propose = Annotated[bool, Parameter(help="Propose it to others, even if the rule asks for no approval.", negative="")]

Serials = Annotated[Path | None, Parameter(help="File of serial numbers, one a line.")]


def serials_in(file: Path | None) -> list[str]:
    """The serial numbers in ``file``, none without one. Raises TrothError."""
    try:
        return file.read_text(encoding="ascii").split() if file else []
    except (OSError, UnicodeDecodeError) as error:
        raise TrothError(UNREADABLE, f"{file}: {error}") from error


def query(propose: bool) -> dict[str, str]:
    """The query of an act that may be proposed."""
    return {"propose": "true"} if propose else {}
