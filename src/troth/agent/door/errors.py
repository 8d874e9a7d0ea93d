"""Why a door of the server stays shut."""

from __future__ import annotations

from troth.kit.errors import reason

SERVER = reason(
    "agent.server",
    "the server did not give what the agent asked for",
    fix="The message has the server's own code; docs/reason-codes.md tells what to do about it.",
    status=502,
)
IDENTITY = reason(
    "agent.identity",
    "the agent's own certificate is not there, or its key cannot sign",
    fix="See in `troth agent status` whether the certificate was got, and whether its token or TPM answers.",
    status=503,
)
