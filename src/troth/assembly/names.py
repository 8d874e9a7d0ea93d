"""Names of what a fresh installation has."""

from __future__ import annotations

ROOT = "root"
#: The authority that issues by default.
ISSUING = "issuing"
