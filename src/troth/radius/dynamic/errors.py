"""Why a request to an access server came to nothing."""

from __future__ import annotations

from troth.kit.errors import TrothError, reason

SILENT = reason(
    "radius.dynamic.silent",
    "the access server does not answer",
    fix="Is dynamic authorization switched on there, for Troth's address and this port, with the same secret? It is "
    "asked again; until it answers, Session-Timeout bounds the session.",
    status=502,
)
UNREACHABLE = reason(
    "radius.dynamic.unreachable",
    "the access server cannot be reached",
    fix="Look at `coa:` of the access server, at routes and firewalls on the way to it.",
    status=502,
)


class DynamicError(TrothError):
    """No answer that could be believed."""
