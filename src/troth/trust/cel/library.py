"""The CEL library, without its command line.

The package's ``__init__`` imports a command-line tool, and with it prompt_toolkit and pygments: a quarter of a second
and 15 MB in every process, for nobody's use here. An empty module in its place spares us that.
"""

from __future__ import annotations

import sys
import types

sys.modules.setdefault("cel.cli", types.ModuleType("cel.cli"))

import cel  # noqa: E402 -- only after its command line has been put aside

__all__ = ["cel"]
