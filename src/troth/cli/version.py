"""``troth version``."""

from __future__ import annotations

import json
import platform

import troth
from troth.cli.options import Output


def version(*, output: Output = "text") -> int:
    """Print the version."""
    if output == "json":
        print(json.dumps({"troth": troth.__version__, "python": platform.python_version()}))
    else:
        print(f"troth {troth.__version__}")
    return 0
